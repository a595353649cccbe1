"""Replays that users start: a batch of dead and held deliveries, which Twite works off in parts."""

from collections.abc import Collection
from enum import StrEnum

import msgspec

from twite.domain.times import DAY

# The deliveries of a part: moving them takes the store a few milliseconds.
PART = 250
KEPT_FOR = 30 * DAY
# A replay starts within this time after its parts, or never, because its command was killed.
STARTED_WITHIN = DAY


def first_id(at: int) -> str:
    """Return the least id of replays since a time (ms): see `Randomness.receipt`."""
    digits = f"{at:012x}"
    return f"{digits[:8]}-{digits[8:]}"


class ReplayBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A replay that `who` started at a time (`at`, ms), and its progress.

    `pixel` has the pixels of its deliveries, separated by blanks; `event` and `reason` are those of
    the problem, "" if there are several; `edit` is an Edit of `gateway.operations.edit` as JSON;
    `confirmed_at` is when the user confirmed that X may count some of them twice. `done` of its
    `parts` are worked off: `moved` deliveries were queued. A cancelled replay has `taken_back`
    those that were not sent.
    """

    id: str
    at: int
    who: str
    pixel: str
    event: str
    reason: str
    edit: str
    confirmed_at: int | None
    total: int
    parts: int
    done: int = 0
    moved: int = 0
    ended_at: int | None = None
    cancelled_by: str = ""
    taken_back: int = 0

    def is_within(self, pixels: Collection[str] | None) -> bool:
        """Return whether all its deliveries are of some pixels; None means all pixels."""
        own = self.pixel.split()
        return pixels is None or (bool(own) and set(own) <= set(pixels))


class ReplayPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a replay. Its deliveries were dead or held for the same cause and reason.

    `refused` has (delivery, why) of those that were not changed.
    """

    batch: str
    place: int
    cause: str | None
    reason: str
    deliveries: tuple[int, ...]
    refused: tuple[tuple[int, str], ...] = ()


class ReplayState(StrEnum):
    """Whether a replay has something left to send."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class ReplayProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Where the deliveries of a replay are. `left` are not queued yet; `unchanged` cannot be."""

    left: int = 0
    queued: int = 0
    delivered: int = 0
    refused: int = 0
    held: int = 0
    suppressed: int = 0
    unchanged: int = 0
    taken_back: int = 0

    @property
    def is_settled(self) -> bool:
        return not (self.left or self.queued)

    def state_of(self, batch: ReplayBatch) -> ReplayState:
        """Return the state of a batch with this progress."""
        if batch.cancelled_by:
            return ReplayState.CANCELLED
        return ReplayState.DONE if self.is_settled else ReplayState.RUNNING
