"""What people look at: ports, as in `ports`. Views of one store; reading never delays a commit.

Whoever looks sees some pixels or all: that is part of every question, so that no answer holds more.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from twite.domain.delivery import State
from twite.domain.history import ConversionCounts, History
from twite.domain.ignored import IgnoredTally
from twite.domain.people.users import AuditEvent
from twite.domain.rejection import Rejection, RejectionQuery
from twite.domain.stats.match_keys import FlawCount, Matched
from twite.domain.stats.sightings import DedupReport, PixelReport, TwoIds
from twite.domain.stats.tally import DeliveryTimes, FlowCounts
from twite.domain.stats.value_guard import ValueFlag

# How many conversions one question looks through at most, and how many of a heap are counted.
LOOKED_THROUGH: Final = 10_000
COUNTED: Final = 10_000


class QueryScope(msgspec.Struct, frozen=True, kw_only=True):
    """Which pixels and sources are asked about. `pixels` are those that the viewer sees.

    None is all; `pixel` and `source` narrow it down.
    """

    pixels: frozenset[str] | None = None
    pixel: str | None = None
    source: str | None = None

    @property
    def seen(self) -> frozenset[str] | None:
        """The pixels that the answer may hold."""
        if self.pixel is None:
            return self.pixels
        own = frozenset({self.pixel})
        return own if self.pixels is None else own & self.pixels

    def shows(self, pixel: str) -> bool:
        """Return whether a pixel may be in the answer."""
        return self.seen is None or pixel in self.seen


class TallyQueries(Protocol):
    """What was counted while it happened. Moments and spans are milliseconds."""

    async def flows(self, scope: QueryScope, *, span: int, since: int) -> Sequence[FlowCounts]:
        """Return what came and went, by spans of a length (`domain.stats.tally.KEPT`), in order.

        There is none for idle ones.
        """
        ...

    async def waits(self, scope: QueryScope, *, span: int, since: int) -> Sequence[DeliveryTimes]:
        """Return how long deliveries took that X took in those spans."""
        ...

    async def matched(self, scope: QueryScope, *, since: int) -> Sequence[Matched]:
        """Return the match keys by pixel, event and day, from a day on (whole days since 1970)."""
        ...

    async def flaws(self, scope: QueryScope, *, since: int) -> Sequence[FlawCount]:
        """Return what spoilt match keys, from a day on, the commonest first."""
        ...


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which conversions are wanted. `reason` is told whole, `event` is X's id."""

    scope: QueryScope = QueryScope()
    event: str | None = None
    state: State | None = None
    reason: str | None = None
    before: int | None = None
    after: int = 0
    limit: int = 50


class ConversionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One conversion, as a line. `body` is empty where it is not kept any more."""

    delivery: int
    received_at: int
    pixel: str
    event: str
    conversion_id: str
    source: str
    door: str
    state: State
    reason: str | None
    body: bytes
    flag: ValueFlag | None = None

    def __repr__(self) -> str:
        return f"Glimpse({self.delivery}, {self.pixel}, {self.event}, {self.state})"


class SummaryPage(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, the newest first, and how far was looked.

    `back_to` is the number before which to go on looking; None where the beginning was reached.
    """

    glimpses: tuple[ConversionSummary, ...]
    back_to: int | None = None
    latest: int = 0


class ConversionOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a conversion came from: its submission as it is kept, and its place therein.

    `door` is where it came in; `body` is empty once it is not kept any more; `amended` are (moment,
    note) of what people have changed in it.
    """

    life: History
    door: str
    body: bytes
    place: int
    flag: ValueFlag | None = None
    amended: tuple[tuple[int, str], ...] = ()

    def __repr__(self) -> str:
        return f"Origin({self.life!r}, {self.door}, {self.place})"


class KeptSubmission(msgspec.Struct, frozen=True, kw_only=True):
    """The submission that a conversion came with, as it is kept, and its place therein.

    Those of one submission hold the same `body`, not copies of it; it is empty once it is kept no
    more.
    """

    delivery: int
    body: bytes
    place: int

    def __repr__(self) -> str:
        return f"Kept({self.delivery}, {self.place}, body=<{len(self.body)} bytes>)"


class ConsoleQueries(Protocol):
    """Conversions one by one, the newest first."""

    async def newest(self, look: ListQuery) -> SummaryPage:
        """Return what is wanted of the LOOKED_THROUGH conversions before `look.before`."""
        ...

    async def number_at(self, at: int) -> int:
        """Return a number below which are those received before a moment, as nearly as is known."""
        ...

    async def origin(self, delivery: int, scope: QueryScope) -> ConversionOrigin | None:
        """Return where a conversion came from, if it is there and may be seen."""
        ...

    async def kept(self, deliveries: Sequence[int], scope: QueryScope) -> Sequence[KeptSubmission]:
        """Return the submissions of those of some conversions that may be seen, in their order."""
        ...

    async def flagged(self, look: ListQuery) -> SummaryPage:
        """Return conversions whose amounts are remarkable, in the same way."""
        ...


class ErrorGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries that rest for the same reason. `deliveries` stops at COUNTED.

    `ambiguous` is whether X may have some of them already.
    """

    pixel: str
    event: str
    state: State
    reason: str
    deliveries: int
    first_at: int
    last_at: int
    ambiguous: bool = False


class ErrorGroups(Protocol):
    """What is dead or held, by what it is so for."""

    async def heaps(self, scope: QueryScope) -> Sequence[ErrorGroup]:
        """Return the heaps, the largest first."""
        ...

    async def heap(
        self, scope: QueryScope, heap: ErrorGroup, *, after: int = 0, limit: int = 100
    ) -> Sequence[History]:
        """Return the deliveries of a heap with numbers above `after`, in order of their numbers."""
        ...

    async def resting_among(
        self, scope: QueryScope, deliveries: Sequence[int]
    ) -> Sequence[History]:
        """Return those of some deliveries that are dead or held and may be seen."""
        ...


class EditedBody(msgspec.Struct, frozen=True, kw_only=True):
    """A dead or held conversion as it is to be sent instead."""

    delivery: int
    event: str
    body: bytes

    def __repr__(self) -> str:
        return f"Amendment({self.delivery}, {self.event}, body=<{len(self.body)} bytes>)"


class Editor(Protocol):
    """What a person changes before it is sent again."""

    async def amend(
        self,
        amendments: Sequence[EditedBody],
        *,
        now: int,
        note: str,
        sure: Collection[int] = (),
        deed: AuditEvent | None = None,
    ) -> Mapping[int, str]:
        """Put bodies in the place of those of dead or held deliveries, and queue them.

        They keep their conversion ids. What cannot be is left as it is: returned with the reason,
        by delivery. Where the event is another, another delivery may have its dedup key. `sure`,
        `deed` and the slices are those of `Desk.replay`.
        """
        ...


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


class Sightings(Protocol):
    """Reads sightings from the ledger, which keeps them for `domain.stats.sightings.KEPT_FOR`."""

    async def pairs(self, *, since: int, limit: int) -> Sequence[TwoIds]:
        """Return the conversions counted as `two_ids`, latest first, each with another id of it."""
        ...

    async def overlap(self, *, since: int) -> Sequence[DedupReport]:
        """Return the counts by path since a time (ms, midnight UTC).

        Ordered by pixel, event and day; days without sightings are left out.
        """
        ...

    async def twins(self, *, pixel: str, event: str, conversion_id: str) -> Sequence[PixelReport]:
        """Return when pages reported a conversion id to X's pixel, the first MOST_TOLD in order."""
        ...
