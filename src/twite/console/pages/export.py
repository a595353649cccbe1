"""The export of conversions: all that a list shows, as CSV or Parquet."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from starlette.responses import Response, StreamingResponse

from twite.console.export_files import CSV, PARQUET, ExportRow, csv_parts, parquet_parts, polars
from twite.console.page import PageRequest, PageRoute
from twite.console.scope import FILTERS, EventNames, asked_again, look_of
from twite.domain.destination import Destination
from twite.domain.people.users import AuditAction, Role
from twite.domain.times import spelled
from twite.gateway.operations.conversion_value import value_of
from twite.gateway.operations.dedup_count import MOST_KEPT, DedupCount, of_counted
from twite.gateway.ports.listing import ConversionSummary, ListedState, ListQuery
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import Queries
from twite.redaction.mask_tree import masked_words

PATH: Final = "/console/conversions/export"
LIST: Final = "/console/conversions"
COLUMNS: Final = (
    *("number", "received_at", "pixel", "event", "event_name", "conversion_id", "receipt"),
    *("source", "endpoint", "state", "reason", "value", "currency", "duplicates", "flag"),
)
_ON_A_PAGE: Final = 100
# How long to rest after a page, as a multiple of the time that it took, and in milliseconds.
_RESTS: Final = 2
_LONGEST_REST: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# As long as the amounts that Twite accepts.
_DIGITS: Final = 36
_DECIMALS: Final = 18
NO_POLARS: Final = (
    "Parquet needs the package polars, which is not installed in Twite's environment. Install it "
    "with pip install polars, or export as CSV."
)

TOO_MANY_ORDERS: Final = (
    f"Nothing was exported: the list has only the latest {MOST_KEPT:,} orders under two ids. "
    "Choose a later start."
)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ExportPage:
    """Sends the conversions of a list as a file, page by page, until the client leaves."""

    destinations: Mapping[str, Destination]
    queries: Queries
    clock: Clock
    count: DedupCount
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (PageRoute("POST", PATH, self._export, role=Role.OPERATOR),)

    async def _export(self, request: PageRequest) -> Response:
        form = request.form
        chosen = PARQUET if form.first("format") == PARQUET.name else CSV
        library: Any = polars() if chosen is PARQUET else None
        asked = asked_again(form, FILTERS)
        if chosen is PARQUET and library is None:
            return request.back_to(f"{LIST}?{asked}", message=NO_POLARS, bad=True)
        query = look_of(request, self.destinations, form, limit=_ON_A_PAGE)
        if query.state is ListedState.TWO_IDS:
            counted = await self.count.first()
            if not counted.is_whole_since(query.since):
                return request.back_to(f"{LIST}?{asked}", message=TOO_MANY_ORDERS, bad=True)
            query = of_counted(query, counted)
        await request.note(AuditAction.EXPORT, "conversions", f"{chosen.name} {asked}".strip())
        # A list that goes on while it is read: what arrives later is not in it.
        list_query = msgspec.structs.replace(
            query, position=None, until=min(query.until, request.now + 1)
        )
        pages = self._pages(list_query)
        if chosen is PARQUET:
            parts = parquet_parts(library, _schema(library), _rows(pages, self._columns))
        else:
            parts = csv_parts(COLUMNS, _rows(pages, self._cells))
        name = f"conversions-{spelled(request.now)[:10]}.{chosen.name}"
        return StreamingResponse(
            parts,
            media_type=chosen.media_type,
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )

    async def _pages(self, list_query: ListQuery) -> AsyncIterator[Sequence[ConversionSummary]]:
        """Yield the pages of a list. Between two, rest: intake needs the process's one lock."""
        while True:
            began = self.clock.elapsed()
            page = await self.queries.page(list_query)
            if page.summaries:
                yield page.summaries
            if page.back_to is None:
                return
            list_query = msgspec.structs.replace(list_query, position=page.back_to)
            # A slow client already lets the process rest.
            await self.clock.sleep(min(_RESTS * (self.clock.elapsed() - began), _LONGEST_REST))

    def _columns(self, summary: ConversionSummary) -> ExportRow:
        """Return the values of COLUMNS with their types."""
        value = value_of(summary.body)
        return (
            summary.delivery,
            _EPOCH + timedelta(milliseconds=summary.received_at),
            summary.pixel,
            summary.event,
            self.names(summary.pixel, summary.event),
            summary.conversion_id,
            summary.receipt,
            summary.source,
            summary.endpoint,
            summary.state.value,
            masked_words(summary.reason or ""),
            _decimal(value.value),
            value.price_currency,
            summary.duplicates,
            None if summary.flag is None else summary.flag.kind,
        )

    def _cells(self, summary: ConversionSummary) -> ExportRow:
        """Return the values of COLUMNS as texts."""
        cells = ["" if value is None else str(value) for value in self._columns(summary)]
        cells[COLUMNS.index("received_at")] = spelled(summary.received_at)
        cells[COLUMNS.index("value")] = value_of(summary.body).value or ""
        return cells


async def _rows(
    pages: AsyncIterator[Sequence[ConversionSummary]],
    convert: Callable[[ConversionSummary], ExportRow],
) -> AsyncIterator[Sequence[ExportRow]]:
    """Yield the rows of pages. A thread converts them, so that the event loop stays free."""
    async for summaries in pages:
        yield await asyncio.to_thread(lambda some: [convert(each) for each in some], summaries)


def _decimal(value: str | None) -> Decimal | None:
    try:
        return None if value is None else Decimal(value)
    except InvalidOperation:
        return None


def _schema(library: Any) -> Mapping[str, object]:  # noqa: ANN401  # polars
    """Return the types of the columns for Parquet."""
    types = {
        "number": library.Int64,
        "received_at": library.Datetime("ms", "UTC"),
        "value": library.Decimal(_DIGITS, _DECIMALS),
        "duplicates": library.Int64,
    }
    return {name: types.get(name, library.String) for name in COLUMNS}
