"""Limits of failed sign-ins: how long a user name or an address waits after failures."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.times import MINUTE, SECOND

# The most counts that a store holds. Beyond it, the counts with the oldest failure are deleted.
MOST_COUNTS: Final = 3 * 16_384
FORGOTTEN_AFTER: Final = 60 * MINUTE
_LONGEST: Final = 15 * MINUTE


class FailedSignIns(msgspec.Struct, frozen=True, kw_only=True):
    """The number of failed sign-ins for a key, and the time of the last one.

    The key is a hash of a user name, an address, or both.
    """

    key: bytes
    times: int
    at: int


class SignInLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit for a key.

    After `free` failures, each further failure doubles the wait, from one second to 15 minutes. An
    hour without a failure resets the count.
    """

    key: bytes
    free: int

    def wait(self, failed: FailedSignIns | None, *, now: int) -> int:
        """Return how many milliseconds the key must still wait."""
        if failed is None or failed.times < self.free or now - failed.at >= FORGOTTEN_AFTER:
            return 0
        # The failure may have been counted by another gateway, whose clock may be ahead.
        began = min(failed.at, now)
        return max(0, began + min(_LONGEST, SECOND << min(failed.times - self.free, 20)) - now)


def longest_wait(
    limits: Sequence[SignInLimit], failed: Mapping[bytes, FailedSignIns], *, now: int
) -> int:
    return max(limit.wait(failed.get(limit.key), now=now) for limit in limits)


def one_more(failed: FailedSignIns | None, key: bytes, *, now: int) -> FailedSignIns:
    """Count a failure."""
    is_old = failed is None or now - failed.at >= FORGOTTEN_AFTER
    times = 0 if failed is None or is_old else failed.times
    return FailedSignIns(key=key, times=times + 1, at=now)
