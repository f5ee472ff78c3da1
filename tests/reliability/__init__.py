"""Whether numpyvae keeps what it promises when things go wrong.

`python -m tests.reliability` tries it all, within bounds, and prints one table.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests import each other so
