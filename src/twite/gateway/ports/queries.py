"""Queries port: reads for the console, commands and the monitor. Reads never delay a commit."""

from collections.abc import Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.history import ConversionCounts, History
from twite.domain.joins import JoinCount
from twite.domain.results.figures import DeliveredEvent
from twite.domain.secret import Masked
from twite.domain.stats.backlog import BacklogHour
from twite.domain.stats.deduplication import DedupReport, OtherId, PixelReport, TwoIds
from twite.domain.stats.match_keys import FlawCount, Matched, Matching
from twite.domain.stats.tally import DeliveryTimes, FlowCounts
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.submission import IgnoredTally, Rejection, RejectionQuery
from twite.domain.times import LATEST
from twite.domain.value_change import RuleFailures
from twite.gateway.ports.listing import ListCount, ListQuery, QueryScope, SummaryPage

T = TypeVar("T")
Answer_co = TypeVar("Answer_co", covariant=True)

# The maximum number of deliveries counted per error group.
COUNTED: Final = 10_000
MOST_GROUPS: Final = 2_000


class ConversionOrigin(Masked, frozen=True, kw_only=True):
    """The submission of a conversion, and its index (`place`) in the body.

    `body` is empty once it is pruned; `amended` has the (time, note) of each edit, and `unedited`
    the body for X before the first one, empty without edits or once pruned.
    """

    in_repr = ("history", "endpoint", "place")
    history: History
    endpoint: str
    body: bytes
    place: int
    flag: ValueFlag | None = None
    amended: tuple[tuple[int, str], ...] = ()
    unedited: bytes = b""


class KeptSubmission(Masked, frozen=True, kw_only=True):
    """The submission of a conversion, and its index (`place`) in the body.

    Conversions of one submission share the `body` object; it is empty once pruned.
    """

    in_repr = ("delivery", "place")
    delivery: int
    body: bytes
    place: int


class ErrorGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead or held deliveries with one reason.

    `deliveries` counts at most COUNTED. `ambiguous` counts deliveries that X may already have.
    """

    pixel: str
    event: str
    state: State
    reason: str
    deliveries: int
    first_at: int
    last_at: int
    ambiguous: bool = False
    cause: DeliveryCause | None = None


class DecidedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is not sent yet, and the evidence of its consent decision."""

    delivery: int
    pixel: str
    evidence: bytes | None


class ByConversionId(msgspec.Struct, frozen=True, kw_only=True):
    """All deliveries of a conversion id; `events` None covers all events of the pixel."""

    pixel: str
    events: Sequence[str] | None
    conversion_id: str


class ByReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries of a submission, at most 1,000, or only those of one conversion id."""

    receipt: str
    conversion_id: str | None = None


class AtRest(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries that became dead or held in `since <= time < until` (ms), latest first."""

    pixel: str | None = None
    since: int = 0
    until: int = LATEST
    limit: int


class InErrorGroups(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries of error groups after the number `after`, in order.

    They became dead or held from `since` (ms) on, and before `until`.
    """

    scope: QueryScope
    groups: Sequence[ErrorGroup]
    since: int = 0
    until: int = LATEST
    after: int = 0
    limit: int = 100


class RestingAmong(msgspec.Struct, frozen=True, kw_only=True):
    """The given deliveries that are dead or held, within the scope."""

    scope: QueryScope
    deliveries: Sequence[int]


class ByDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """The given deliveries in any state, within the scope, in their order."""

    scope: QueryScope
    deliveries: Sequence[int]


Selection = ByConversionId | ByReceipt | ByDelivery | AtRest | InErrorGroups | RestingAmong


class Query(msgspec.Struct, Generic[Answer_co], frozen=True, kw_only=True):
    """A question, and the type of its answer."""


class ListCountQuery(Query[ListCount], frozen=True, kw_only=True):
    """How many conversions all pages of a list have."""

    list_query: ListQuery


class FlowsQuery(Query[Sequence[FlowCounts]], frozen=True, kw_only=True):
    """Traffic by spans of a length in `domain.stats.tally.KEPT` (ms), without idle spans."""

    scope: QueryScope
    span: int
    since: int


class FlowsByPixelQuery(Query[Mapping[str, FlowCounts]], frozen=True, kw_only=True):
    """Traffic since a time by pixel: what was received since, and how much is delivered or dead."""

    span: int
    since: int


class CountedSinceQuery(Query[int | None], frozen=True, kw_only=True):
    """When the first conversion counted by `balance` arrived (ms)."""

    scope: QueryScope


class WaitsQuery(Query[Sequence[DeliveryTimes]], frozen=True, kw_only=True):
    """Delivery times of accepted deliveries, by span (ms)."""

    scope: QueryScope
    span: int
    since: int


class MatchQuery(Query[Sequence[Matched]], frozen=True, kw_only=True):
    """Match keys by source, pixel, event and day, since a day (days since 1970)."""

    scope: QueryScope
    since: int


class MatchByPixelQuery(Query[Mapping[str, Matching]], frozen=True, kw_only=True):
    """Match keys since a day, by pixel."""

    since: int


class FlawsQuery(Query[Sequence[FlawCount]], frozen=True, kw_only=True):
    """Flaws of match keys since a day, most frequent first."""

    scope: QueryScope
    since: int


class IgnoredQuery(Query[Sequence[IgnoredTally]], frozen=True, kw_only=True):
    """Counts of ignored items since a day."""

    since: int


class RejectionsQuery(Query[Sequence[Rejection]], frozen=True, kw_only=True):
    """Rejections, latest first."""

    rejection_query: RejectionQuery


class AttemptsQuery(Query[Mapping[str, Sequence[tuple[int, int]]]], frozen=True, kw_only=True):
    """By pixel, (time, conversions) of each attempt since a time."""

    since: int


class DeliveredQuery(Query[Mapping[str, Sequence[tuple[int, int]]]], frozen=True, kw_only=True):
    """By pixel, (time, conversions) of the requests that X accepted since a time.

    The requests of one minute may be summed at its end.
    """

    since: int


class DeliveredEventsQuery(Query[Sequence[DeliveredEvent]], frozen=True, kw_only=True):
    """The deliveries of each event among what was received in `since <= time < until` (ms).

    These are the conversions that a list of the state DELIVERED shows. It takes about a second
    of CPU time for 100,000.
    """

    scope: QueryScope
    since: int
    until: int


class DedupQuery(Query[Sequence[DedupReport]], frozen=True, kw_only=True):
    """The deduplication report since a time (ms, midnight UTC), by pixel, event and day."""

    since: int


class IdPairsQuery(Query[Sequence[TwoIds]], frozen=True, kw_only=True):
    """The conversions counted as `two_ids`, latest first, each with one other id."""

    since: int
    limit: int
    scope: QueryScope = QueryScope()


class OtherIdsQuery(Query[Mapping[int, OtherId]], frozen=True, kw_only=True):
    """The stored deliveries of orders with two ids, each with the order's other id."""

    pairs: Sequence[TwoIds]


class PixelReportsQuery(Query[Sequence[PixelReport]], frozen=True, kw_only=True):
    """The first MOST_REPORTS reports of a conversion id to X's pixel."""

    pixel: str
    event: str
    conversion_id: str


class JoinsQuery(Query[Sequence[JoinCount]], frozen=True, kw_only=True):
    """What conversions gained that were joined since a time (ms)."""

    since: int


class SubmissionsQuery(Query[Sequence[KeptSubmission]], frozen=True, kw_only=True):
    """The submissions of the given conversions, if they are visible, in order."""

    deliveries: Sequence[int]
    scope: QueryScope


class ReceiptsQuery(Query[Mapping[int, str]], frozen=True, kw_only=True):
    """The receipts of the given conversions that exist."""

    deliveries: Sequence[int]


class ErrorDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The first delivery of an error group, and how many became dead or held by day.

    Days are whole days since 1970, of a zone.
    """

    history: History | None = None
    days: Mapping[int, int] = {}


class ErrorDetailsQuery(Query[Sequence[ErrorDetails]], frozen=True, kw_only=True):
    """Details of error groups, in order. `offset` is that of the zone to UTC (ms).

    At most COUNTED deliveries of each group are counted, the latest ones, since a time.
    """

    groups: Sequence[ErrorGroup]
    scope: QueryScope
    since: int
    offset: int = 0


class FlaggedAmount(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion with an unusual amount. `kind` is a value of UnusualAmount, if known."""

    delivery: int
    received_at: int
    pixel: str
    event: str
    conversion_id: str
    kind: str
    value: str
    currency: str
    usual: str


class FlaggedAmountsQuery(Query[Sequence[FlaggedAmount]], frozen=True, kw_only=True):
    """The latest conversions with unusual amounts in a scope: at most `limit`.

    They were received from `since` until before `until` (ms).
    """

    scope: QueryScope
    since: int = 0
    until: int = LATEST
    limit: int


class PixelCopiesQuery(Query[Mapping[int, int]], frozen=True, kw_only=True):
    """By delivery, when a page first reported an event with its conversion id to X's pixel."""

    pixel: str
    event: str
    deliveries: Sequence[int]


class FailedRulesQuery(Query[Sequence[RuleFailures]], frozen=True, kw_only=True):
    """The failures of value rules for real conversions received since a time (ms)."""

    since: int


class StatesQuery(Query[Mapping[State, int]], frozen=True, kw_only=True):
    """The number of the given conversions by state."""

    deliveries: Sequence[int]


class HeldKeysQuery(Query[frozenset[bytes]], frozen=True, kw_only=True):
    """Those of the given dedup keys that a conversion of the history holds, of any age."""

    keys: Sequence[bytes]


class UndeliveredQuery(Query[Sequence[DecidedDelivery]], frozen=True, kw_only=True):
    """A source's queued, held and dead deliveries after an id."""

    source: str
    after: int
    limit: int


class PayloadHeadsQuery(Query[Sequence[tuple[bytes, int]]], frozen=True, kw_only=True):
    """Pairs (first 6 bytes of a sealed tag payload, number of queued payloads with them)."""


class Queries(Protocol):
    """Reads the store. Each answer is one consistent view."""

    async def find(self, selection: Selection) -> Sequence[History]:
        """Return the histories of the selected deliveries."""

    async def get(self, delivery: int, scope: QueryScope) -> ConversionOrigin | None:
        """Return a conversion with its submission, if it exists and may be seen."""

    async def page(self, query: ListQuery) -> SummaryPage:
        """Search a limited number of conversions before `query.before`, and return the matches."""

    async def group(
        self, scope: QueryScope, *, since: int = 0, until: int = LATEST
    ) -> Sequence[ErrorGroup]:
        """Return error groups by pixel, event, state and reason, largest first.

        They count what became dead or held in `since <= time < until` (ms). At most MOST_GROUPS
        are read.
        """

    async def balance(self) -> Sequence[ConversionCounts]:
        """Return counts by source and pixel."""

    async def backlog(self) -> Sequence[BacklogHour]:
        """Return pending deliveries by pixel and by the hour of their rank."""

    async def answer(self, query: Query[T]) -> T: ...
