"""What X's statistics contain at a time: in buckets, of line items, by placement.

Unsegmented figures appear after `stats_delay`. They are estimates until they are 24 hours old, and
spend until it is three days old. [doc]
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Final
from zlib import crc32

from msgspec import Struct

from twite_emulator.ads import AdTouch, AttributedConversion
from twite_emulator.analytics.metrics import CONVERSION_METRICS, LOCKED_AFTER, SPEND_FINAL_AFTER
from twite_emulator.analytics.periods import HOUR, hours_of, midnight
from twite_emulator.state import EmulatedState
from twite_emulator.world import Placement

_UINT32: Final = 1 << 32


class ServedEntry(Struct, frozen=True, kw_only=True):
    """Something that statistics count: a touch, an hour of spend, or a conversion.

    `at`: the time under which it counts. `draw`: from 0 to 1, as if random, for segments.
    """

    at: float
    line_item: str
    placement: Placement
    draw: float
    clicks: int = 0
    views: int = 0
    micros: int = 0
    attributed: AttributedConversion | None = None


class EventFigures(Struct):
    """Conversions of one metric. `micros`: the sale amount in millionths of the currency."""

    by_view: int = 0
    by_click: int = 0
    micros: int = 0
    items: int = 0

    @property
    def count(self) -> int:
        return self.by_view + self.by_click


class BucketFigures(Struct):
    clicks: int = 0
    impressions: int = 0
    spend_micros: int = 0
    events: dict[str, EventFigures] = {}  # by metric

    def add(self, served: ServedEntry) -> None:
        self.clicks += served.clicks
        self.impressions += served.clicks + served.views
        self.spend_micros += served.micros
        conversion = served.attributed
        if conversion is None or conversion.tag.type not in CONVERSION_METRICS:
            return
        figures = self.events.setdefault(CONVERSION_METRICS[conversion.tag.type], EventFigures())
        if conversion.touch.kind == "view":
            figures.by_view += 1
        else:
            figures.by_click += 1
        figures.micros += conversion.micros
        figures.items += conversion.items


def buckets(served: Iterable[ServedEntry], edges: Sequence[float]) -> list[BucketFigures]:
    """Add up what is between the edges."""
    found = [BucketFigures() for _ in edges[1:]]
    for entry in served:
        place = bisect_right(edges, entry.at) - 1
        if 0 <= place < len(found):
            found[place].add(entry)
    return found


def served(
    line_items: Iterable[str],
    state: EmulatedState,
    *,
    at: float | None,
    placement: str | None = None,
) -> Iterator[ServedEntry]:
    """Yield what X's statistics contain at a time; with None for `at`, what they finally will."""
    for line_item in line_items:
        for entry in _of_line_item(line_item, state, at):
            if placement is None or entry.placement == placement:
                yield entry


def _of_line_item(line_item: str, state: EmulatedState, at: float | None) -> Iterator[ServedEntry]:
    seen = None if at is None else at - state.switches.stats_delay
    for touch in state.ads.touches.get(line_item, ()):
        if seen is None or touch.at <= seen:
            yield _of_touch(touch)
    for (spender, placement), days in state.ads.spend.items():
        if spender == line_item:
            for day, spent in days.items():
                for hour, micros in spend_by_hour(line_item, day, spent.micros, state, at):
                    yield ServedEntry(
                        at=hour, line_item=line_item, placement=placement, draw=0, micros=micros
                    )
    for conversion in state.ads.attributed_to(line_item):
        if is_counted(conversion, state) and (
            at is None or _is_shown(conversion, state, at, at - state.switches.stats_delay)
        ):
            yield ServedEntry(
                at=counted_at(conversion, state),
                line_item=line_item,
                placement=conversion.touch.placement,
                draw=conversion.draw,
                attributed=conversion,
            )


def _of_touch(touch: AdTouch) -> ServedEntry:
    is_click = touch.kind == "click"
    return ServedEntry(
        at=touch.at,
        line_item=touch.line_item,
        placement=touch.placement,
        draw=crc32(repr((touch.at, touch.keys)).encode()) / _UINT32,
        clicks=int(is_click),
        views=int(not is_click),
    )


def spend_by_hour(
    line_item: str, day: date, micros: int, state: EmulatedState, at: float | None
) -> Iterator[tuple[float, int]]:
    """Yield the beginning and the spend of each hour of a day that statistics contain."""
    zone = state.world.accounts[state.world.instrument_of(line_item).account].zone
    if at is not None and at < midnight(day + timedelta(1), zone) + SPEND_FINAL_AFTER:
        micros += int(micros * state.switches.spend_excess)
    hours = hours_of(day, zone)
    share, rest = divmod(micros, len(hours))
    for place, hour in enumerate(hours):
        if at is None or hour <= at - state.switches.stats_delay:
            yield hour, share + (place < rest)


def counted_at(conversion: AttributedConversion, state: EmulatedState) -> float:
    """Return the time under which a conversion counts."""
    by_touch = state.switches.attribution_day == "touch"
    return conversion.touch.at if by_touch else conversion.at


def is_counted(conversion: AttributedConversion, state: EmulatedState) -> bool:
    """Return whether statistics ever contain the conversion."""
    switches = state.switches
    if switches.late_conversions == "dropped":
        hour_end = counted_at(conversion, state) // HOUR * HOUR + HOUR
        if conversion.received_at > hour_end + LOCKED_AFTER:
            return False
    primary = state.world.line_items[conversion.touch.line_item].primary_web_event_tag
    return switches.counted_events == "all" or primary in (None, conversion.tag.id)


def settled_at(conversion: AttributedConversion, state: EmulatedState) -> float:
    """Return when the figure that contains the conversion is no estimate any more."""
    return max(counted_at(conversion, state), conversion.received_at) + LOCKED_AFTER


def _is_shown(
    conversion: AttributedConversion, state: EmulatedState, at: float, seen: float
) -> bool:
    if conversion.received_at > seen:
        return False
    return at >= settled_at(conversion, state) or conversion.draw < state.switches.estimate_share
