import sys
from pathlib import Path

for _folder in (".", "engines", "run", "../gateway/ingest"):
    sys.path.insert(0, str(Path(__file__).parent / _folder))
