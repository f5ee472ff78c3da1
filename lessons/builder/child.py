"""Run the code cells of one lesson, in a process of its own; run.py starts it.

    python child.py LESSON FIGURES < cells, as JSON: [[line, code], …]

Prints a line of JSON for each cell that ended: what it printed, its figures with their
alt texts, and, of one that failed, the traceback. The rest is then not run.
"""

import ast
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from types import ModuleType

LESSONS = Path(__file__).parents[1]


def main(lesson: Path, figures: Path) -> None:
    """Run the cells as `python LESSON` would, with its pictures going to `figures`."""
    cells = json.load(sys.stdin)
    sys.path[:1] = [str(lesson.parent), str(LESSONS)]
    sys.argv = [str(lesson)]
    import style

    style.FOLDER = figures
    module = ModuleType("__main__")
    module.__file__ = str(lesson)
    sys.modules["__main__"] = module
    with (
        os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1) as records,
        tempfile.TemporaryFile("w+", encoding="utf-8") as printed,
    ):
        os.dup2(printed.fileno(), 1)  # so that the cells' own subprocesses are heard
        for line, code in cells:
            begin, shown = printed.seek(0, os.SEEK_END), len(style.SHOWN)
            error = execute(code, line, lesson, module)
            sys.stdout.flush()
            printed.seek(begin)
            record = {
                "printed": printed.read(),
                "figures": [(str(path), alt) for path, alt in style.SHOWN[shown:]],
                "error": error,
            }
            print(json.dumps(record), file=records)
            if error:
                return


def execute(code: str, line: int, lesson: Path, module: ModuleType) -> str:
    """Run one cell that begins at `line` of the lesson; its traceback, or ""."""
    try:
        tree = ast.parse("\n" * (line - 1) + code, str(lesson))
        exec(compile(tree, str(lesson), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        frames = error.__traceback__
        if frames:  # the first is in this file, and of no interest
            frames = frames.tb_next
        return "".join(traceback.format_exception(type(error), error, frames))
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
