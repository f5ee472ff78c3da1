"""A warm Python: everything is imported but the package, each request is a fork.

A request is a line of JSON on standard input: a module to run as `python -m` would,
its arguments, environment variables to set, and seconds to live. The answer is a line
as well: the exit code and what was printed. Wants a Unix.
"""

import json
import os
import runpy
import signal
import sys
import tempfile
import time
from typing import Any

import hypothesis.extra.numpy  # noqa: F401
import matplotlib.figure  # noqa: F401
import numba
import pytest  # noqa: F401
import tqdm  # noqa: F401


def run(module: str, arguments: list[str], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    numba.core.config.reload_config()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        end = time.monotonic() + request.pop("seconds")
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setsid()  # so that what it starts can be ended with it
                for stream in (1, 2):
                    os.dup2(output.fileno(), stream)
                run(**request)
                code = 0
            except SystemExit as end_of_module:
                code = int(end_of_module.code or 0)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}")
            finally:
                sys.stdout.flush()
                os._exit(code)
        while not (status := os.waitpid(pid, os.WNOHANG))[0]:
            if time.monotonic() > end:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return {"code": -signal.SIGKILL, "output": ""}
            time.sleep(0.005)
        output.seek(0)
        return {"code": os.waitstatus_to_exitcode(status[1]), "output": output.read()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
