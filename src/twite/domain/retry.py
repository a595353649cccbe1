"""Retry: exponential back-off with full jitter."""

from typing import Final

from twite.domain.times import MINUTE, SECOND

FIRST_CEILING: Final = 5 * SECOND
LAST_CEILING: Final = 10 * MINUTE
_DOUBLINGS: Final = 7  # 5 s doubled seven times is past ten minutes


def backoff(*, attempts: int, randomness: float) -> int:
    """Return milliseconds to wait after `attempts` failed tries, with full jitter.

    `randomness` is in [0, 1). The ceiling doubles from 5 s to 10 min; the whole range below it is
    used, so that many deliveries that failed together do not come back together.
    """
    ceiling = min(LAST_CEILING, FIRST_CEILING << min(max(attempts - 1, 0), _DOUBLINGS))
    return int(ceiling * randomness)
