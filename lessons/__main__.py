"""Build the site of the lessons: `python -m lessons [--only 08 ...]`."""

import argparse
import os
import sys
from pathlib import Path

LESSONS = Path(__file__).parent


def main(arguments: list[str] | None = None) -> int:
    """Run the lessons and write their pages; 1 where a lesson failed, 2 on misuse."""
    parser = argparse.ArgumentParser("python -m lessons", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", metavar="NN", help="run only these lessons"
    )
    parser.add_argument("--out", type=Path, default=Path("site"), help="default: site")
    parser.add_argument(
        "--fast", action="store_true", help="small sizes, to try it out"
    )
    options = parser.parse_args(arguments)
    try:
        from .builder.run import run
        from .builder.script import read
        from .builder.site import write_site
    except ModuleNotFoundError as missing:
        print(f'{missing}: pip install -e ".[lessons]"', file=sys.stderr)
        return 2

    lessons = [read(path) for path in sorted(LESSONS.glob("[0-9][0-9]_*.py"))]
    numbers = [lesson.number for lesson in lessons]
    wanted = [number.zfill(2) for number in options.only or numbers]
    for number in set(wanted) - set(numbers):
        there = ", ".join(numbers)
        print(f"--only {number}: no such lesson; there are {there}", file=sys.stderr)
        return 2
    if options.fast:
        os.environ["NUMPYVAE_FAST"] = "1"

    figures = options.out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    runs = []
    for lesson in lessons:
        if lesson.number in wanted:
            print(f"{lesson.number} {lesson.title} ", end="", flush=True)
            runs.append(run(lesson, figures.resolve()))
            print(f"{runs[-1].seconds:.1f} s", flush=True)
            print(runs[-1].error, end="", file=sys.stderr)
    write_site(lessons, runs, LESSONS / "ERRATA.md", options.out)
    print(f"{options.out / 'index.html'}")
    return 1 if any(each.error for each in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
