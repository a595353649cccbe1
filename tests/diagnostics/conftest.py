import sys
from pathlib import Path

for beside in ("app", "cli", "config"):
    sys.path.append(str(Path(__file__).parents[1] / beside))
