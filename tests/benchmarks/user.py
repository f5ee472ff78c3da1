"""`numpyvae train` as the user runs it, with its epochs taken apart.

`python -m tests.benchmarks.user JSON ARGUMENTS`: runs the command line in this process
and writes, of each epoch, its seconds and those of the test images in it.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from numpyvae.cli.parser import main
from numpyvae.training.trainer import Trainer

epochs: list[dict[str, float]] = []
evaluate, run_epoch = Trainer.evaluate, Trainer.run_epoch
testing = 0.0


def timed_evaluate(trainer: Trainer) -> Any:
    global testing
    begin = time.perf_counter()
    try:
        return evaluate(trainer)
    finally:
        testing = time.perf_counter() - begin


def timed_epoch(trainer: Trainer, *arguments: Any) -> Any:
    begin = time.perf_counter()
    record = run_epoch(trainer, *arguments)
    seconds = time.perf_counter() - begin
    epochs.append({"training": seconds - testing, "testing": testing})
    return record


if __name__ == "__main__":
    Trainer.evaluate, Trainer.run_epoch = timed_evaluate, timed_epoch
    code = main(sys.argv[2:])
    Path(sys.argv[1]).write_text(json.dumps(epochs), encoding="utf-8")
    sys.exit(code)
