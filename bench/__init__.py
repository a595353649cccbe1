"""`make bench`: ratios, taken side by side in one run on the machine at hand."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for its builders and servers
