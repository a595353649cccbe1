"""What one run of one side came to."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    """Conversions a second, and seconds of CPU for each; NaN where one does not apply."""

    rate: float
    cpu: float
    p99: float = 0.0  # milliseconds

    @property
    def micros(self) -> float:
        """Microseconds of CPU for each conversion."""
        return self.cpu * 1_000_000


def median(samples: Sequence[Sample]) -> Sample:
    return Sample(*map(statistics.median, zip(*samples, strict=True)))
