import sys
from pathlib import Path

# Trials with real processes use the journeys' gateway; those of workers use worker_bench.
for _room in ("journeys",):
    sys.path.insert(0, str(Path(__file__).parents[1] / _room))
