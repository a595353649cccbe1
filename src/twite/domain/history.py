"""History of a conversion (attempts, state), and counts of all conversions by state."""

from collections.abc import Iterable

import msgspec

from twite.domain.delivery import NO_REQUEST, State
from twite.domain.times import spelled


class PastAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. `at` is in milliseconds; `answer` is X's own, untrusted text."""

    at: int
    outcome: str
    status: int | None
    answer: str
    ambiguous: bool = False

    @property
    def is_without_request(self) -> bool:
        """Whether it was a run of a tag that asked nobody."""
        return self.status is None and self.answer.startswith(NO_REQUEST)

    def __repr__(self) -> str:
        return f"PastAttempt({self.at}, {self.outcome}, {self.status})"


class TagNotFired(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that did not fire for a conversion. `why` completes "did not fire:"."""

    tag: str
    why: str


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """Another copy of a dead or held conversion: sent, queued, or received later."""

    delivery: int
    state: State


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The history of one conversion. Times are milliseconds since the epoch.

    `sent` is the body as X is sent it (JSON), empty once it is not kept any more; `reason` says why
    it is held, dead or suppressed;
    `duplicates` counts how often the same came again; `due_at` is when the next try is due;
    `paused` is why its pixel is not sent to, `spent` says which limit is spent until `spent_until`;
    `consent` is what was decided about it (JSON), where anything was said or needed; `not_fired`
    are the tags that were not told of it; `ambiguous_since` is since when it may be there without
    our knowing, of what is not delivered; `called` is the id that people know it by, where a tag's
    is made of it and of the event's name or the trigger; `superseded_by` is the later copy of the
    same conversion that has its dedup key, `supersedes` are the copies whose key this one took, and
    `rival` the copy that would make two of it, were this one sent.
    """

    delivery: int
    pixel: str
    event: str
    conversion_id: str
    state: State
    source: str
    receipt: str
    received_at: int
    deadline_at: int
    sent: bytes
    attempts: tuple[PastAttempt, ...]
    duplicates: int = 0
    reason: str | None = None
    due_at: int | None = None
    paused: str | None = None
    spent: str | None = None
    spent_until: int = 0
    consent: bytes | None = None
    not_fired: tuple[TagNotFired, ...] = ()
    ambiguous_since: int | None = None
    called: str | None = None
    superseded_by: int | None = None
    supersedes: tuple[int, ...] = ()
    rival: Rival | None = None

    def __repr__(self) -> str:
        return f"Life({self.pixel}, {self.event}, {self.conversion_id}, {self.state})"


def waiting(history: History, *, now: int) -> str | None:
    """Say why a queued one is not sent at this moment (ms); None where only its turn must come."""
    if history.state is not State.QUEUED:
        return None
    if history.paused is not None:
        return f"sending is paused: {history.paused}"
    if history.spent is not None and history.spent_until > now:
        return f"{history.spent}, until {spelled(history.spent_until)}"
    if history.due_at is not None and history.due_at > now:
        return f"it is tried again at {spelled(history.due_at)}"
    return None


class ConversionCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one source's and pixel's conversions by state; `pixel` is "" if unknown."""

    source: str
    pixel: str
    received: int = 0
    delivered: int = 0
    duplicate: int = 0
    suppressed: int = 0
    rejected: int = 0
    dead: int = 0
    held: int = 0
    pending: int = 0

    @property
    def balance(self) -> int:
        """What was received and is nowhere: must be 0."""
        return self.received - (
            self.delivered
            + self.duplicate
            + self.suppressed
            + self.rejected
            + self.dead
            + self.held
            + self.pending
        )


def total(accounts: Iterable[ConversionCounts]) -> ConversionCounts:
    """Add accounts up, under the names ""."""
    sums = dict.fromkeys(ConversionCounts.__struct_fields__[2:], 0)
    for account in accounts:
        for name in sums:
            sums[name] += getattr(account, name)
    return ConversionCounts(source="", pixel="", **sums)
