"""The deduplication report: the rate over time, the pixels, and orders with two ids."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from twite.console.account_health import listing_path
from twite.console.dedup_count import DedupCount
from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.row_pages import matching, row_page, typed_name
from twite.console.scope import EventNames
from twite.console.table_view import table_view
from twite.console.time_chart import (
    ChartKind,
    ChartSeries,
    ChartStep,
    TimeChart,
    Unit,
    time_chart,
)
from twite.console.time_range import minute_of
from twite.domain.stats.deduplication import ADVICE, MOST_DAYS, DedupReport, total
from twite.domain.times import DAY
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

    `blocked_path` lists those in whose pages X's script was blocked.
    """

    name: str
    pixels: Sequence[str]
    report: DedupReport
    path: str = ""
    blocked_path: str = ""

    @property
    def ids(self) -> int:
        return sum(getattr(self.report, name) for name in _APART)

    @property
    def rate(self) -> float:
        """The share of ids that X received twice and counts once, from 0 to 1."""
        return self.report.both / self.ids if self.ids else 0.0

    @property
    def two_ids_path(self) -> str:
        return listing_path("two_ids", pixel=self.pixels[0])


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class DeduplicationPage:
    """The page of the deduplication report, as of the last count."""

    count: DedupCount
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        location = PageLocation("Deduplication", NavigationGroup.QUALITY)
        return (PageRoute("GET", PATH, self._show, location=location),)

    async def _show(self, request: PageRequest) -> Response:
        counted = await self.count.last()
        found = () if counted is None else counted.reports
        visible = [report for report in found if request.viewer.sees(report.pixel)]
        pixels = sorted({report.pixel for report in visible})
        pixel = request.query.first("pixel") or (pixels[0] if len(pixels) == 1 else "")
        seen = [report for report in visible if pixel in ("", report.pixel)]
        whole = PathRow(name="", pixels=[pixel], report=total(seen))
        typed = typed_name(request)
        view = table_view(
            request,
            filters=(("pixel", "Pixel", request.query.first("pixel")), ("q", "Name", typed)),
            sorts=() if pixel else _SORTS,
            sort="" if pixel else "rate",
        )
        rows = (
            self._by_event(request, seen, pixel) if pixel else self._by_pixel(request, seen, typed)
        )
        pairs = () if counted is None else counted.pairs
        shown = [pair for pair in pairs if request.viewer.sees(pair.pixel)]
        shown = [pair for pair in shown if pixel in ("", pair.pixel)]
        return request.page(
            "quality/deduplication.html",
            title=f"Deduplication of pixel {pixel}" if pixel else "Deduplication",
            pixel=pixel,
            whole=whole,
            view=view,
            page=row_page(request, view, rows if pixel else view.sorted(rows, _SORTS)),
            typed_name=typed,
            chart=_chart(request, seen),
            parts_=[(_said(name), getattr(whole.report, name), _TONES[name]) for name in _APART],
            spoken=", ".join(f"{getattr(whole.report, name)} {_said(name)}" for name in _APART),
            advice=[
                (_said(name), getattr(whole.report, name), text, _TONES[name])
                for name, text in ADVICE.items()
            ],
            pairs=[
                (pair, self.names(pair.pixel, pair.event) or pair.event)
                for pair in shown[:MOST_SHOWN]
            ],
            two_ids_path=listing_path("two_ids", pixel=pixel),
            blocked_path=_blocked_path(request, pixel),
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
                blocked_path=_blocked_path(request, pixel),
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
                blocked_path=_blocked_path(request, pixel, event=event),
            )
            for event, some in groups.items()
        ]
        return sorted(rows, key=lambda row: -row.ids)


def _chart(request: PageRequest, reports: Sequence[DedupReport]) -> TimeChart:
    """Return the rate by day. Days without conversion ids have no point."""
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
                # Conversion ids of X's pixel alone are no conversions of the gateway: no list.
                values=(row.rate if row.ids else None,),
            )
        )
    return time_chart(
        steps,
        series=[ChartSeries("deduplicated", "ok")],
        kind=ChartKind.LINES,
        unit=Unit.SHARE,
        zone=request.zone,
    )


def _blocked_path(request: PageRequest, pixel: str, *, event: str = "") -> str:
    """Return the conversions in whose pages X's script was blocked, in the report's days."""
    since = first_moment(request.now, MOST_DAYS)
    fields = {"event": event} if event else {}
    typed = urlencode(fields | {"from": minute_of(since, request.zone)}, safe=":")
    return listing_path("blocked", pixel=pixel, when=typed)


def _said(name: str) -> str:
    return name.replace("_", " ")
