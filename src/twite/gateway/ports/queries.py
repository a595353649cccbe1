"""Queries port: what happened, for people and for other parts. Reading never delays a commit.

A user sees some pixels or all: every query carries that scope, so that no answer holds more.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from twite.domain.delivery import State
from twite.domain.history import ConversionCounts, History
from twite.domain.stats.backlog import BacklogHour
from twite.domain.stats.match_keys import FlawCount, Matched
from twite.domain.stats.sightings import DedupReport, PixelReport, TwoIds
from twite.domain.stats.tally import DeliveryTimes, FlowCounts
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.submission import IgnoredTally, Rejection, RejectionQuery

T = TypeVar("T")
Answer_co = TypeVar("Answer_co", covariant=True)

# How many conversions one question looks through at most, and how many of an error group are
# counted.
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


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which conversions are wanted. `reason` is told whole, `event` is X's id."""

    scope: QueryScope = QueryScope()
    event: str | None = None
    state: State | None = None
    reason: str | None = None
    before: int | None = None
    after: int = 0
    limit: int = 50
    # Whether only conversions with remarkable amounts are wanted; `reason` is then what they are.
    flagged: bool = False


class ConversionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One conversion, as a line. `body` is empty where it is not kept any more."""

    delivery: int
    received_at: int
    pixel: str
    event: str
    conversion_id: str
    source: str
    endpoint: str
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

    `endpoint` is where it came in; `body` is empty once it is no longer stored; `amended` are
    (moment, note) of what people have changed in it.
    """

    history: History
    endpoint: str
    body: bytes
    place: int
    flag: ValueFlag | None = None
    amended: tuple[tuple[int, str], ...] = ()

    def __repr__(self) -> str:
        return f"Origin({self.history!r}, {self.endpoint}, {self.place})"


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


class DecidedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that may still be sent, and what was kept of the decision that it may."""

    delivery: int
    pixel: str
    evidence: bytes | None


class ByConversionId(msgspec.Struct, frozen=True, kw_only=True):
    """All copies of a conversion id, one for each event; without `events`, of all of the pixel."""

    pixel: str
    events: Sequence[str] | None
    conversion_id: str


class ByReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a submission brought, at most 1,000."""

    receipt: str


class AtRest(msgspec.Struct, frozen=True, kw_only=True):
    """Dead and held deliveries, the latest first."""

    pixel: str | None = None
    limit: int


class InErrorGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries of an error group with numbers above `after`, in order of their numbers."""

    scope: QueryScope
    group: ErrorGroup
    after: int = 0
    limit: int = 100


class RestingAmong(msgspec.Struct, frozen=True, kw_only=True):
    """Those of some deliveries that are dead or held and may be seen."""

    scope: QueryScope
    deliveries: Sequence[int]


Selection = ByConversionId | ByReceipt | AtRest | InErrorGroup | RestingAmong


class Query(msgspec.Struct, Generic[Answer_co], frozen=True, kw_only=True):
    """A question, and the type of its answer."""


class FlowsQuery(Query[Sequence[FlowCounts]], frozen=True, kw_only=True):
    """What came and went, by spans of a length (`domain.stats.tally.KEPT`), idle ones left out.

    Moments and spans are milliseconds.
    """

    scope: QueryScope
    span: int
    since: int


class WaitsQuery(Query[Sequence[DeliveryTimes]], frozen=True, kw_only=True):
    """How long deliveries took that X took in those spans."""

    scope: QueryScope
    span: int
    since: int


class MatchQuery(Query[Sequence[Matched]], frozen=True, kw_only=True):
    """The match keys by pixel, event and day, from a day on (whole days since 1970)."""

    scope: QueryScope
    since: int


class FlawsQuery(Query[Sequence[FlawCount]], frozen=True, kw_only=True):
    """What spoilt match keys, from a day on, the commonest first."""

    scope: QueryScope
    since: int


class IgnoredQuery(Query[Sequence[IgnoredTally]], frozen=True, kw_only=True):
    """How often what was ignored, from a day on."""

    since: int


class RejectionsQuery(Query[Sequence[Rejection]], frozen=True, kw_only=True):
    """What was rejected, the latest first, of what is kept."""

    wanted: RejectionQuery


class AttemptsQuery(Query[Mapping[str, Sequence[tuple[int, int]]]], frozen=True, kw_only=True):
    """By pixel, (moment, conversions) of each attempt since a moment."""

    since: int


class DeliveredQuery(Query[Mapping[str, Sequence[tuple[int, int]]]], frozen=True, kw_only=True):
    """By pixel, (moment, conversions) of the requests that X took since a moment.

    Those of one minute may be told as one, at the minute's end.
    """

    since: int


class DedupQuery(Query[Sequence[DedupReport]], frozen=True, kw_only=True):
    """How often which paths brought a conversion id, since a time (ms, midnight UTC).

    Ordered by pixel, event and day; days without sightings are left out.
    """

    since: int


class IdPairsQuery(Query[Sequence[TwoIds]], frozen=True, kw_only=True):
    """The conversions counted as `two_ids`, latest first, each with another id of it."""

    since: int
    limit: int


class PixelReportsQuery(Query[Sequence[PixelReport]], frozen=True, kw_only=True):
    """When pages reported a conversion id to X's pixel, the first MOST_TOLD in order."""

    pixel: str
    event: str
    conversion_id: str


class SubmissionsQuery(Query[Sequence[KeptSubmission]], frozen=True, kw_only=True):
    """The submissions of those of some conversions that may be seen, in their order."""

    deliveries: Sequence[int]
    scope: QueryScope


class NumberAtQuery(Query[int], frozen=True, kw_only=True):
    """A number below which are those received before a moment, as nearly as is known."""

    at: int


class UndeliveredQuery(Query[Sequence[DecidedDelivery]], frozen=True, kw_only=True):
    """A source's queued, held and dead deliveries beyond an id, by their ids."""

    source: str
    after: int
    limit: int


class PayloadHeadsQuery(Query[Sequence[tuple[bytes, int]]], frozen=True, kw_only=True):
    """(The first 6 bytes of a sealed tag payload, how many queued ones have them)."""


class Queries(Protocol):
    """What happened. Each answer is one consistent view."""

    async def find(self, selection: Selection) -> Sequence[History]:
        """Return the histories of the deliveries that are selected."""

    async def get(self, delivery: int, scope: QueryScope) -> ConversionOrigin | None:
        """Return where a conversion came from, if it is there and may be seen."""

    async def page(self, look: ListQuery) -> SummaryPage:
        """Return what is wanted of the LOOKED_THROUGH conversions before `look.before`."""

    async def group(self, scope: QueryScope) -> Sequence[ErrorGroup]:
        """Return what is dead or held, by pixel, event, state and reason, the largest first."""

    async def balance(self) -> Sequence[ConversionCounts]:
        """Return the counts by source and pixel."""

    async def backlog(self) -> Sequence[BacklogHour]:
        """Return what is pending, by pixel and hour of rank."""

    async def answer(self, query: Query[T]) -> T:
        """Answer_co any other question."""
