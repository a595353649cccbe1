"""The export of conversions: all that a list shows, as CSV or Parquet."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.responses import Response, StreamingResponse

from twite.console.export_files import (
    CSV,
    NO_POLARS,
    PARQUET,
    FileRow,
    csv_parts,
    parquet_parts,
    parquet_schema,
    polars,
)
from twite.console.page import PageRequest, PageRoute
from twite.console.problem_finder import ProblemFinder
from twite.console.scope import (
    FILTERS,
    IGNORED,
    EventNames,
    asked_again,
    known_values,
    look_of,
    range_of,
)
from twite.console.table_view import filter_problems
from twite.domain.destination import Destination
from twite.domain.people.users import AuditAction, Role
from twite.domain.times import spelled
from twite.gateway.operations.dedup_count import MOST_KEPT, DedupCount, of_counted
from twite.gateway.operations.export_rows import NAMES, cells_of, rejected_rows, row_of
from twite.gateway.ports.exports import ConversionsQuery, ExportRow, StoredConversion
from twite.gateway.ports.listing import ConversionSummary, ListedState, ListQuery
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import Queries

PATH: Final = "/console/conversions/export"
LIST: Final = "/console/conversions"
_ON_A_PAGE: Final = 100
_LONGEST_BACK: Final = 2_000  # characters
# How long to rest after a page, as a multiple of the time that it took, and in milliseconds.
_RESTS: Final = 2
_LONGEST_REST: Final = 100

TOO_MANY_ORDERS: Final = (
    f"Nothing was exported: the list has only the latest {MOST_KEPT:,} orders under two ids. "
    "Choose a later start."
)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ExportPage:
    """Sends the conversions of a list as a file, page by page, until the client leaves."""

    destinations: Mapping[str, Destination]
    queries: Queries
    finder: ProblemFinder
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
        # Browsers and proxies refuse long headers.
        back = f"{LIST}?{asked}" if len(asked) <= _LONGEST_BACK else LIST
        if chosen is PARQUET and library is None:
            return request.back_to(back, message=NO_POLARS, bad=True)
        query = look_of(request, self.destinations, form, limit=_ON_A_PAGE)
        listed = await self.finder.listed(request, self.destinations, form, query)
        query = listed.list_query
        # A list shows what it can of a wrong filter. A file would hide that.
        if problem := _problem_of(request, query):
            message = f"Nothing was exported. {problem}"
            return request.back_to(back, message=message, bad=True)
        if query.state is ListedState.TWO_IDS:
            counted = await self.count.first()
            if not counted.is_whole_since(query.since):
                return request.back_to(back, message=TOO_MANY_ORDERS, bad=True)
            query = of_counted(query, counted)
        await request.note(AuditAction.EXPORT, "conversions", f"{chosen.name} {asked}".strip())
        # A list that goes on while it is read: what arrives later is not in it.
        list_query = msgspec.structs.replace(
            query, position=None, until=min(query.until, request.now + 1)
        )
        pages = self._pages(list_query, at=request.now)
        if chosen is PARQUET:
            parts = parquet_parts(library, parquet_schema(library), pages)
        else:
            parts = csv_parts(NAMES, _cells(pages))
        name = f"conversions-{spelled(request.now)[:10]}.{chosen.name}"
        return StreamingResponse(
            parts,
            media_type=chosen.media_type,
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )

    async def _pages(self, list_query: ListQuery, *, at: int) -> AsyncIterator[Sequence[ExportRow]]:
        """Yield the rows of a list. Between two pages, rest: intake needs the process's one lock.

        A thread makes the rows, so that the event loop stays free.
        """
        while True:
            began = self.clock.elapsed()
            page = await self.queries.page(list_query)
            numbers = [each.delivery for each in page.summaries if each.delivery is not None]
            found = await self.queries.answer(ConversionsQuery(deliveries=numbers))
            stored = {each.delivery: each for each in found}

            if page.summaries:
                yield await asyncio.to_thread(self._rows, page.summaries, stored, at)
            if page.back_to is None:
                return
            list_query = msgspec.structs.replace(list_query, position=page.back_to)
            # A slow client already lets the process rest.
            await self.clock.sleep(min(_RESTS * (self.clock.elapsed() - began), _LONGEST_REST))

    def _rows(
        self,
        summaries: Sequence[ConversionSummary],
        stored: Mapping[int, StoredConversion],
        at: int,
    ) -> list[ExportRow]:
        """Return the rows of a page; a conversion that was pruned meanwhile has none."""
        rows = []
        for each in summaries:
            if each.delivery is None:
                rows += rejected_rows([each], self.names.of, at=at)
            elif each.delivery in stored:
                rows.append(row_of(stored[each.delivery], self.names.of, at=at))
        return rows


async def _cells(pages: AsyncIterator[Sequence[ExportRow]]) -> AsyncIterator[Sequence[FileRow]]:
    async for rows in pages:
        yield await asyncio.to_thread(lambda some: [cells_of(row) for row in some], rows)


def _problem_of(request: PageRequest, query: ListQuery) -> str:
    """Return what is wrong with the filter of a form; "" for nothing."""
    if problem := range_of(request, request.form).problem:
        return problem
    filters = [(name, title, "") for name, title in IGNORED.items()]
    known = known_values(request.form, query)
    return next(iter(filter_problems(request.form, filters, known, consequence="")), "")
