"""The Queries port in SQL: each query is a view on a read connection."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, Self, TypeVar

import msgspec

from twite.domain.history import ConversionCounts, History
from twite.domain.stats.backlog import BacklogHour
from twite.domain.times import LATEST
from twite.gateway.ports import queries as port
from twite.gateway.ports.exports import ConversionsAfterQuery, ConversionsQuery, NumberQuery
from twite.gateway.ports.listing import ListQuery, QueryScope, SummaryPage
from twite.gateway.ports.past_requests import PastRequestsQuery
from twite.gateway.ports.privacy import EraseSearch, EraseTraces
from twite.stores.sql import (
    console_queries,
    deduplication,
    erase_search,
    joins,
    moves,
    records,
    rejections,
    tallies,
)
from twite.stores.sql.database import ReadsViews, View
from twite.stores.sql.directory import SqlDirectoryReader
from twite.stores.sql.listing import exports, problems, value_changes
from twite.stores.sql.listing.delivered_events import delivered_events
from twite.stores.sql.listing.page import list_count, page
from twite.stores.sql.listing.past_requests import past_requests
from twite.stores.sql.state import SqlStateReader
from twite.stores.sql.statements import SqlConnection, query

T = TypeVar("T")

# The fields of a query are the arguments of its view.
_VIEWS: Final[Mapping[type, Callable[..., Any]]] = {
    port.ByConversionId: records.history,
    port.ByReceipt: records.submission,
    port.ByDelivery: console_queries.by_delivery,
    port.AtRest: records.resting,
    port.InErrorGroups: problems.in_error_groups,
    port.RestingAmong: console_queries.resting_among,
    port.ListCountQuery: list_count,
    port.FlowsQuery: tallies.flows,
    port.FlowsByPixelQuery: console_queries.flows_by_pixel,
    port.CountedSinceQuery: tallies.counted_since,
    port.WaitsQuery: tallies.waits,
    port.MatchQuery: tallies.matched,
    port.MatchByPixelQuery: tallies.matched_by_pixel,
    port.FlawsQuery: tallies.flaws,
    port.IgnoredQuery: rejections.ignored,
    port.RejectionsQuery: rejections.rejections,
    port.AttemptsQuery: records.spent,
    port.DeliveredQuery: records.delivered,
    port.DeliveredEventsQuery: delivered_events,
    port.DedupQuery: deduplication.dedup_reports,
    port.IdPairsQuery: deduplication.pairs,
    port.OtherIdsQuery: deduplication.other_ids,
    port.PixelReportsQuery: deduplication.pixel_reports,
    port.JoinsQuery: joins.join_counts,
    port.SubmissionsQuery: console_queries.kept,
    port.ReceiptsQuery: records.receipts,
    port.ErrorDetailsQuery: problems.error_details,
    port.FlaggedAmountsQuery: problems.flagged_amounts,
    port.PixelCopiesQuery: deduplication.pixel_copies,
    port.HeldKeysQuery: records.held_keys,
    port.StatesQuery: records.states,
    port.FailedRulesQuery: value_changes.failed_rules,
    port.UndeliveredQuery: records.undelivered,
    port.PayloadHeadsQuery: moves.heads,
    PastRequestsQuery: past_requests,
    ConversionsQuery: exports.stored_conversions,
    ConversionsAfterQuery: exports.conversions_after,
    NumberQuery: exports.number_of_time,
}
# These take seconds.
_LONG: Final = (
    port.DedupQuery,
    port.DeliveredEventsQuery,
    port.IdPairsQuery,
    port.OtherIdsQuery,
)


class SqlQueries:
    """Implements Queries. Store classes inherit it."""

    _database: ReadsViews

    async def find(self, selection: port.Selection) -> Sequence[History]:
        return await self._database.read(_view_of(selection))

    async def get(self, delivery: int, scope: QueryScope) -> port.ConversionOrigin | None:
        return await self._database.read(
            lambda connection: console_queries.origin(connection, delivery=delivery, scope=scope)
        )

    async def page(self, query: ListQuery) -> SummaryPage:
        return await self._database.read(lambda connection: page(connection, query))

    async def group(
        self, scope: QueryScope, *, since: int = 0, until: int = LATEST
    ) -> Sequence[port.ErrorGroup]:
        return await self._database.read(
            lambda connection: problems.error_groups(
                connection, scope=scope, since=since, until=until
            )
        )

    async def balance(self) -> Sequence[ConversionCounts]:
        return await self._database.read(records.accounts)

    async def backlog(self) -> Sequence[BacklogHour]:
        return await self._database.read(records.backlog)

    async def answer(self, query: port.Query[T]) -> T:
        return await self._database.read(_view_of(query), is_long=isinstance(query, _LONG))


def _view_of(query: msgspec.Struct) -> View[Any]:
    view = _VIEWS[type(query)]
    values = {name: getattr(query, name) for name in query.__struct_fields__}
    return lambda connection: view(connection, **values)


class ReadDatabase(ReadsViews, Protocol):
    """A database that a process reads, and closes in the end."""

    async def close(self) -> None: ...


class SqlReader(SqlQueries, SqlStateReader):
    """Implements StoreReader. Engines open the database."""

    def __init__(self, database: ReadDatabase, *, salt: bytes) -> None:
        self._database: ReadDatabase = database
        self.salt = salt
        self.people = SqlDirectoryReader(database)

    @classmethod
    async def of(cls, database: ReadDatabase) -> Self:
        """Read a database of this version of Twite."""
        return cls(database, salt=await database.read(salt_of))

    async def close(self) -> None:
        await self._database.close()

    async def traces(self, search: EraseSearch) -> EraseTraces:
        return await self._database.read(
            lambda connection: erase_search.search(connection, search), is_long=True
        )


def salt_of(connection: SqlConnection) -> bytes:
    return bytes(connection.execute(query("read_deployment")).fetchone()[0])
