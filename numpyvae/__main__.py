"""The process `numpyvae`, also `python -m numpyvae`: signals first, then the rest."""

import signal
import sys

from . import signals


def main() -> int:
    """Run the command line; a signal ends it, whenever it comes, with one line."""
    signals.obey(signals.abort)  # while importing, which takes most of a second
    from .cli.parser import main as run

    try:
        signals.obey(signals.interrupt)
        return run()
    except KeyboardInterrupt:
        signals.abort(signal.SIGINT, None)
    finally:
        signals.obey(signal.SIG_IGN)  # all is done; Python is about to end


if __name__ == "__main__":
    sys.exit(main())
