"""Set a process's clock back by TEST_CLOCK_BACK milliseconds, to when its store was written."""

import os
import time

_BACK = int(os.environ.get("TEST_CLOCK_BACK", "0")) * 1_000_000
_time_ns = time.time_ns

time.time_ns = lambda: _time_ns() - _BACK
time.time = lambda: (_time_ns() - _BACK) / 1_000_000_000
