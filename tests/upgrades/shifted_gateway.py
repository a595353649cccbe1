"""A gateway whose clock is set back to when a store of an earlier release was written."""

import os
import time
from pathlib import Path

from write_store import KEY, settings_in

from gateway_process import GatewayProcess
from twite.domain.times import FUTURE_TOLERANCE, HOUR, MINUTE, spelled
from twite_emulator.process import Emulator

CLOCKS = Path(__file__).parent / "shifted_clock"


class ShiftedGateway(GatewayProcess):
    """Continues with a store an hour after it was written, by its own clock and by X's."""

    def __init__(
        self, folder: Path, written_at: int, *, x: Emulator, vendor: str, note: str
    ) -> None:
        config = settings_in(folder, x=x.url, vendor=vendor)
        super().__init__(config, note=folder / note, key=KEY)
        self._back = now() - written_at - HOUR
        x.clock(shift=-self._back / 1_000)
        paths = [str(CLOCKS), *filter(None, [self.environment.get("PYTHONPATH")])]
        self.environment |= {
            "PYTHONPATH": os.pathsep.join(paths),
            "TEST_CLOCK_BACK": str(self._back),
        }

    def start(self) -> None:
        super().start()
        # A dead shift looks like lost deliveries, since they are then too old to be sent again.
        future = spelled(now() - self._back + FUTURE_TOLERANCE + MINUTE)
        assert self.get(f"/v1/rejections?since={future}")[0] == 400, "its clock is not shifted"


def now() -> int:
    return time.time_ns() // 1_000_000
