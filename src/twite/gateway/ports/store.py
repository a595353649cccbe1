"""What the gateway needs of the outside. Each port has one real adapter and one shipped fake.

Ledger, Outbox, Limits, Doubts, Records and Desk are views of one store. None assumes one process,
nor that a delivery stays a row for ever.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from twite.domain.delivery import MOST_BYTES, Batch, Settlement
from twite.domain.history import ConversionCounts, History
from twite.domain.ignored import IgnoredTally
from twite.domain.people.users import AuditEvent
from twite.domain.rejection import Rejection, RejectionQuery
from twite.domain.submission import Recorded, Submission


class Intake(Protocol):
    """Takes submissions in."""

    async def record(self, submission: Submission) -> Recorded:
        """Commit a submission, its conversions, dedup keys and deliveries, all or nothing.

        Returns once the commit would survive power loss. An entry whose key was seen within the
        dedup window, in this submission or before, or whose delivery is still to be sent, is a
        duplicate: counted, and never sent.
        Suppressed entries are kept and counted, and neither take nor match a key. What the
        submission ignored is counted; where it brought nothing else, nothing else is kept of it.
        What it refused is counted, and kept as rejections.

        Raises LedgerFull when more waits than memory may hold, LedgerUnavailable when the commit
        failed; nothing of the submission was kept then.
        """
        ...


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A sender's wish. Times are milliseconds.

    `ambiguous_after`: a delivery that has been ambiguous since before this moment must not be sent
    again (the ledger leaves it for the sweep). `limits` are narrower limits of single events, and
    `most_bytes` is how many bytes of conversions fit, though one always does. Deliveries of
    `passing_events` and those in `passing` are passed over. Without `suspects`, what the sender
    may die of is left for later.
    """

    pixel: str
    now: int
    lease_until: int
    limit: int
    ambiguous_after: int
    limits: Mapping[str, int] = {}
    most_bytes: int = MOST_BYTES
    passing_events: frozenset[str] = frozenset()
    passing: frozenset[int] = frozenset()
    suspects: bool = True


class SweepRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What time has come for. Moments are milliseconds.

    `furthest`: nothing is ever postponed or leased beyond it, so what is was written by another
    clock. `holding` are the leases that running flights hold, whatever the time; what is ambiguous
    of the `cautious` pixels is held at once.
    """

    now: int
    ambiguous_before: int
    waiting_before: int
    furthest: int = 1 << 62
    holding: frozenset[int] = frozenset()
    cautious: frozenset[str] = frozenset()


class SweepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep did, in deliveries, and when the next postponed one is due."""

    lapsed: int = 0
    held: int = 0
    promoted: int = 0
    next_due: int | None = None


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A pixel that is not sent to, or with `event` one event of it alone.

    `since` is in milliseconds; `reason` is for a person.
    """

    pixel: str
    since: int
    reason: str
    event: str = ""


class Outbox(Protocol):
    """What is to be sent."""

    async def claim(self, claim: Claim) -> Batch | None:
        """Lease the due deliveries of one event of the pixel, oldest deadline first.

        The deadline is that of `domain.delivery.rank`. The event is that of the first; what
        `together` says may not go with others goes alone. The claim is durable before it returns:
        what may have been sent is known after a crash. None when nothing is due.
        """
        ...

    async def settle(self, settlement: Settlement) -> int:
        """Write an attempt and the next states together; extend the lease of the rest.

        A fate only reaches deliveries that are still under this lease; returns how many were not.
        """
        ...

    async def sweep(self, sweeping: SweepRequest) -> SweepResult:
        """Bring time's effects about.

        Leases past their end lapse (queued again, ambiguous from the claim on); queued deliveries
        ambiguous since before `ambiguous_before`, or received before `waiting_before`, are held;
        what is due only beyond `furthest` is due now.
        """
        ...

    async def pause(self, pause: Pause) -> None:
        """Note, durably, that a pixel or an event of it is not sent to."""
        ...

    async def resume(self, pixel: str, event: str = "") -> None:
        """Forget the pause of a pixel, or of one event of it."""
        ...

    async def pauses(self) -> Sequence[Pause]:
        """Return the pauses in force."""
        ...

    async def spent(self, *, since: int) -> Mapping[str, Sequence[tuple[int, int]]]:
        """Return, by pixel, (moment, conversions) of each attempt since a moment."""
        ...


class RateLimitWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A pixel whose limit is spent until a moment (milliseconds)."""

    pixel: str
    until: int
    reason: str


class ClockRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is on record of time, in milliseconds.

    `latest` is the latest moment (0: none), `last` that which was written last: a clock that was
    ahead for a while leaves later ones. `ahead` is how far X's clock was ahead.
    """

    latest: int
    last: int
    ahead: int | None


class LimitRecords(Protocol):
    """What must be known of limits and of time after a restart."""

    async def close_limits(self, closures: Sequence[RateLimitWindow]) -> None:
        """Note, durably, until when pixels take nothing more; a later word replaces it."""
        ...

    async def closures(self, *, now: int) -> Sequence[RateLimitWindow]:
        """Return those that are in force at a moment."""
        ...

    async def timed(self) -> ClockRecord:
        """Return what is on record of time."""
        ...

    async def note_ahead(self, ahead: int) -> None:
        """Note, durably, how far X's clock is ahead of the moments on record."""
        ...


class RejectionReview(Protocol):
    """What was refused and is perhaps not at fault."""

    async def doubt(self, deliveries: Sequence[int], *, reason: str, now: int) -> int:
        """Hold what is dead among these; returns how many it was."""
        ...

    async def recall(self, *, pixel: str, event: str, reason: str, now: int) -> int:
        """Queue again what is held for a reason that begins so, each once in its life.

        What was replayed or recalled before stays held. Returns how many it was.
        """
        ...


class DeliveryStore(Outbox, LimitRecords, RejectionReview, Protocol):
    """All that senders need of a store."""


class Records(Protocol):
    """What happened. Reading never delays a commit."""

    async def life(
        self, *, pixel: str, events: Sequence[str] | None, conversion_id: str
    ) -> Sequence[History]:
        """Return the lives under this conversion id: one for each event that has one.

        Without `events`, of all that the pixel ever had.
        """
        ...

    async def submission(self, receipt: str) -> Sequence[History]:
        """Return the lives of what a submission brought, at most 1,000."""
        ...

    async def accounts(self) -> Sequence[ConversionCounts]:
        """Return the accounts by source and pixel, in one consistent view."""
        ...

    async def ignored(self, *, since: int) -> Sequence[IgnoredTally]:
        """Return how often what was ignored, from a day on (whole days since 1970)."""
        ...

    async def rejections(self, wanted: RejectionQuery) -> Sequence[Rejection]:
        """Return what was rejected, the latest first, of what is kept."""
        ...

    async def resting(self, *, pixel: str | None, limit: int) -> Sequence[History]:
        """Return dead and held deliveries, the latest first."""
        ...


class Operations(Protocol):
    """What a person does to deliveries that are dead or held."""

    async def replay(
        self,
        deliveries: Sequence[int],
        *,
        now: int,
        sure: Collection[int] = (),
        deed: AuditEvent | None = None,
    ) -> int:
        """Queue them again, with the same conversion id and body; returns how many it was.

        What is held for its amount takes what is held together with it along (`held_together`).
        `sure` are those that a person wants sent though X may have them: of these alone it is
        forgotten. The others are held again when their 40 hours are over.

        Many go in slices, so that nobody waits for all of them: what fails in the middle leaves the
        rest at rest. The `deed` is noted in one transaction with the first.
        """
        ...

    async def discard(
        self, deliveries: Sequence[int], *, now: int, note: str, deed: AuditEvent | None = None
    ) -> int:
        """Give them up for good, as suppressed, with the note as reason; returns how many.

        What is held together with them goes, too. Many go in slices, as replayed ones do.
        """
        ...


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `headers` are lower-case; `whole` is false where `body` is not all of it.

    The connection ended before the answer did, or the answer went on beyond any that X gives.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True

    def __repr__(self) -> str:
        return f"Answer({self.status}, body=<{len(self.body)} bytes>)"


class NoResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing came back. `left` is whether the request may have reached X whole."""

    reason: str
    left: bool


class OutboundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request ready to go out. Its headers hold credentials: it does not print."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Parcel(url={self.url!r}, body=<{len(self.body)} bytes>)"


class Transport(Protocol):
    """The way to X: one request, one answer, no retries, no redirects."""

    async def post(self, outbound: OutboundRequest) -> Response | NoResponse:
        """Send it. Raises nothing but CancelledError: what fails is a NoAnswer."""
        ...


class Clock(Protocol):
    """Time, in milliseconds."""

    def now(self) -> int:
        """Return wall time since the epoch."""
        ...

    def elapsed(self) -> int:
        """Return time that never jumps, for waiting."""
        ...

    async def sleep(self, ms: int) -> None:
        """Wait."""
        ...


class Randomness(Protocol):
    """What must not be guessed or not be in step."""

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        ...

    def nonce(self) -> str:
        """Return ASCII text never returned before."""
        ...

    def receipt(self) -> str:
        """Return a new UUID (version 7, so that later ones sort later)."""
        ...
