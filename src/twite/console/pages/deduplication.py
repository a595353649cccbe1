"""The deduplication report: the rate over time, the pixels, and orders with two ids."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from twite.console.account_health import listing_path
from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.row_pages import matching, row_page, typed_name
from twite.console.scope import EventNames, known_names, scope_of
from twite.console.table_view import table_view
from twite.console.time_chart import (
    ChartKind,
    ChartSeries,
    ChartStep,
    TimeChart,
    Unit,
    time_chart,
)
from twite.console.time_range import span_query
from twite.domain.destination import Destination
from twite.domain.stats.deduplication import ADVICE, MOST_DAYS, DedupReport, total
from twite.domain.times import DAY
from twite.gateway.operations.dedup_count import DedupCount
from twite.gateway.operations.dedup_report import first_moment

PATH: Final = "/console/deduplication"
MOST_SHOWN: Final = 20
_TONES: Final = {
    "both": "ok",
    "pixel_only": "warn",
    "server_only": "wait",
    "blocked": "none",
    "page_and_server": "ok",
    "two_ids": "bad",
    "late": "bad",
}
# These three counts are disjoint; the others are subsets of them.
_APART: Final = ("both", "pixel_only", "server_only")
_SORTS: Final[Mapping[str, Callable[["PathRow"], Any]]] = {
    "pixel": lambda row: row.name,
    "ids": lambda row: row.ids,
    "rate": lambda row: row.rate,
    "two-ids": lambda row: row.report.two_ids,
    "late": lambda row: row.report.late,
}


class PathRow(msgspec.Struct, frozen=True, kw_only=True):
    """The conversion ids of a pixel, or of one of its events. `path` leads to its own report.

    `lists` are the URLs of the conversions of a count, by its name, for the counts with a list.
    """

    name: str
    pixels: Sequence[str]
    report: DedupReport
    path: str = ""
    lists: Mapping[str, str] = {}

    @property
    def ids(self) -> int:
        return sum(getattr(self.report, name) for name in _APART)

    @property
    def rate(self) -> float:
        """The share of ids that X received twice and counts once, from 0 to 1."""
        return self.report.both / self.ids if self.ids else 0.0


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class DeduplicationPage:
    """The page of the deduplication report, as of the last count."""

    destinations: Mapping[str, Destination]
    count: DedupCount
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        location = PageLocation("Deduplication", NavigationGroup.QUALITY)
        return (PageRoute("GET", PATH, self._show, location=location),)

    async def _show(self, request: PageRequest) -> Response:
        counted = await self.count.last()
        found = () if counted is None else counted.reports
        scope, account = scope_of(request, self.destinations), request.query.first("account")
        seen = [report for report in found if scope.shows(report.pixel)]
        pixels = sorted({report.pixel for report in seen})
        pixel = scope.pixel or (pixels[0] if len(pixels) == 1 else "")
        filters = {"pixel": pixel} if pixel else {"account": account}
        lists = _lists(request, filters)
        whole = PathRow(name="", pixels=[pixel], report=total(seen), lists=lists)
        typed = typed_name(request)
        view = table_view(
            request,
            filters=(
                ("account", "Account", account),
                ("pixel", "Pixel", request.query.first("pixel")),
                ("q", "Name", typed),
            ),
            known=known_names(request, self.destinations),
            sorts=() if pixel else _SORTS,
            sort="" if pixel else "rate",
            place="page",
        )
        rows = (
            self._by_event(request, seen, pixel) if pixel else self._by_pixel(request, seen, typed)
        )
        pairs = () if counted is None else counted.pairs
        shown = [pair for pair in pairs if scope.shows(pair.pixel)]
        return request.page(
            "quality/deduplication.html",
            title=_title(account, pixel),
            pixel=pixel,
            whole=whole,
            view=view,
            page=row_page(request, view, rows if pixel else view.sorted(rows, _SORTS)),
            typed_name=typed,
            chart=_chart(request, seen, filters),
            parts_=[(_said(name), getattr(whole.report, name), _TONES[name]) for name in _APART],
            legend=[
                (_said(name), getattr(whole.report, name), _TONES[name], lists.get(name, ""))
                for name in _APART
            ],
            spoken=", ".join(f"{getattr(whole.report, name)} {_said(name)}" for name in _APART),
            advice=[
                (_said(name), getattr(whole.report, name), text, _TONES[name], lists.get(name, ""))
                for name, text in ADVICE.items()
            ],
            pairs=[
                (pair, self.names(pair.pixel, pair.event) or pair.event)
                for pair in shown[:MOST_SHOWN]
            ],
            days=MOST_DAYS,
            counted_at=None if counted is None else counted.at,
        )

    def _by_pixel(
        self, request: PageRequest, reports: Iterable[DedupReport], typed: str
    ) -> list[PathRow]:
        groups: dict[str, list[DedupReport]] = {}
        for report in reports:
            groups.setdefault(report.pixel, []).append(report)
        rows = [
            PathRow(
                name=pixel,
                pixels=[pixel],
                report=total(some),
                path=f"{PATH}?{urlencode({'pixel': pixel})}",
                lists=_lists(request, {"pixel": pixel}),
            )
            for pixel, some in groups.items()
        ]
        return matching(rows, typed)

    def _by_event(
        self, request: PageRequest, reports: Iterable[DedupReport], pixel: str
    ) -> list[PathRow]:
        groups: dict[str, list[DedupReport]] = {}
        for report in reports:
            groups.setdefault(report.event, []).append(report)
        rows = [
            PathRow(
                name=self.names(pixel, event) or event,
                pixels=[pixel],
                report=total(some),
                lists=_lists(request, {"pixel": pixel}, event=event),
            )
            for event, some in groups.items()
        ]
        return sorted(rows, key=lambda row: -row.ids)


def _chart(
    request: PageRequest, reports: Sequence[DedupReport], filters: Mapping[str, str]
) -> TimeChart:
    """Return the rate by day. Days without conversion ids have no point.

    A day leads to the conversions that arrived in it and that X's pixel sent, too.
    """
    by_day: dict[int, list[DedupReport]] = {}
    for report in reports:
        by_day.setdefault(report.day, []).append(report)
    first = first_moment(request.now, MOST_DAYS) // DAY
    steps = []
    for day in range(first, first + MOST_DAYS):
        row = PathRow(name="", pixels=[""], report=total(by_day.get(day, ())))
        steps.append(
            ChartStep(
                at=day * DAY,
                until=(day + 1) * DAY,
                values=(row.rate if row.ids else None,),
                url=listing_path(
                    "both", **filters, when=span_query(day * DAY, (day + 1) * DAY, request.zone)
                ),
            )
        )
    return time_chart(
        steps,
        series=[ChartSeries("deduplicated", "ok")],
        kind=ChartKind.LINES,
        unit=Unit.SHARE,
        zone=request.zone,
    )


def _lists(request: PageRequest, scope: Mapping[str, str], *, event: str = "") -> dict[str, str]:
    """Return the URLs of the conversions of each count that has a list, in the report's days.

    The gateway has no conversion of an id that only X's pixel received, and of an id that arrived
    twice it keeps the first copy, so that no list shows which ones were late or came in two ways.
    """
    own = urlencode({"event": event}) if event else ""
    since = span_query(first_moment(request.now, MOST_DAYS), None, request.zone)
    return {
        name: listing_path(
            name,
            **scope,
            # Orders with two ids are listed as they were counted, whenever they were received.
            when="&".join(filter(None, (own, "" if name == "two_ids" else since))),
        )
        for name in ("both", "server_only", "blocked", "two_ids")
    }


def _title(account: str, pixel: str) -> str:
    if pixel:
        return f"Deduplication of pixel {pixel}"
    return f"Deduplication of account {account}" if account else "Deduplication"


def _said(name: str) -> str:
    return name.replace("_", " ")
