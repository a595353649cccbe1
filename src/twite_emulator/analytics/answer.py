"""The statistics that answer a request, in the shapes that the switches choose."""

from collections.abc import Callable, Sequence
from typing import Final

from twite_emulator.ads import MICROS
from twite_emulator.analytics.figures import (
    BucketFigures,
    EventFigures,
    ServedEntry,
    buckets,
    served,
)
from twite_emulator.analytics.metrics import CONVERSION_METRICS, SEGMENTS, UNTAGGED
from twite_emulator.analytics.query import StatsQuery, entity_ids, metrics_of
from twite_emulator.state import EmulatedState
from twite_emulator.switches import Switches

_CENTS: Final = MICROS // 100
_SEGMENTED_BY: Final = ("PLATFORMS", "CONVERSION_TAGS")  # metrics of WEB_CONVERSION
_COUNTS: Final[dict[str, Callable[[BucketFigures], int]]] = {
    "engagements": lambda figures: figures.clicks,
    "impressions": lambda figures: figures.impressions,
    "clicks": lambda figures: figures.clicks,
    "url_clicks": lambda figures: figures.clicks,
    "billed_engagements": lambda figures: figures.clicks,
    "billed_charge_local_micro": lambda figures: figures.spend_micros,
}


def stats_document(query: StatsQuery, state: EmulatedState, *, at: float) -> dict[str, object]:
    """Return X's answer, with the figures as of a time."""
    edges = query.period.edges(query.granularity, state.switches)
    line_items = entity_ids(query.entity, query.account, state.world)
    return {
        "data_type": "stats",
        "time_series_length": len(edges) - 1,
        "data": [
            {
                "id": id_,
                "id_data": _id_data(query, line_items.get(id_, []), edges, state, at),
            }
            for id_ in query.entity_ids
        ],
        "request": {"params": query.echo},
    }


def _id_data(
    query: StatsQuery,
    line_items: Sequence[str],
    edges: Sequence[float],
    state: EmulatedState,
    at: float,
) -> list[object]:
    every = list(served(line_items, state, at=at, placement=query.placement))
    if query.segmentation_type is None:
        return [{"segment": None, "metrics": _metrics(query, buckets(every, edges), state)}]
    segments: dict[str, list[ServedEntry]] = {}
    for entry in every:
        name = _segment_of(entry, query.segmentation_type)
        if name is not None:
            segments.setdefault(name, []).append(entry)
    return [
        {
            "segment": _segment(name, query.segmentation_type, state),
            "metrics": _metrics(query, buckets(entries, edges), state),
        }
        for name, entries in sorted(segments.items())
    ]


def _segment_of(entry: ServedEntry, segmentation: str) -> str | None:
    """Return the segment; None for what no segment contains: segments do not add up. [doc]"""
    if segmentation == "CONVERSION_TAGS":
        return entry.attributed.tag.id if entry.attributed else None
    names = SEGMENTS[segmentation]
    place = int(entry.draw * (len(names) + 1))
    return names[place] if place < len(names) else None


def _segment(name: str, segmentation: str, state: EmulatedState) -> object:
    title = state.world.events[name].name if segmentation == "CONVERSION_TAGS" else name
    match state.switches.segment_shape:
        case "name_value":
            return {"segment_name": title, "segment_value": name}
        case "value":
            return {"segment_value": name}
        case "id":
            return name


def _metrics(
    query: StatsQuery, figures: Sequence[BucketFigures], state: EmulatedState
) -> dict[str, object]:
    switches, segmentation = state.switches, query.segmentation_type
    metrics: dict[str, object] = {}
    for name in metrics_of(query.metric_groups):
        count = _COUNTS.get(name)
        values = [count(bucket) for bucket in figures] if count else []
        metrics[name] = values if any(values) and not switches.stats_nulls else None
    if "WEB_CONVERSION" not in query.metric_groups:
        return metrics
    for name in CONVERSION_METRICS.values():
        series = [bucket.events.get(name) for bucket in figures]
        offered = segmentation is None or (
            segmentation in _SEGMENTED_BY
            and (
                segmentation == "PLATFORMS"
                or name not in UNTAGGED
                or switches.segmented_tags == "all"
            )
        )
        hidden = switches.stats_nulls or not offered
        metrics[name] = None if hidden else _conversions(series, switches)
    return metrics


def _conversions(series: Sequence[EventFigures | None], switches: Switches) -> object:
    """Return the value of a WEB_CONVERSION metric."""
    if not any(series):
        match switches.empty_conversions:
            case "null":
                return None
            case "object":
                return {}
    figures = [entry or EventFigures() for entry in series]
    amounts = [_amount(entry.micros, switches) for entry in figures]
    counts = [entry.count for entry in figures]
    more = {"sale_amount": amounts, "order_quantity": [entry.items for entry in figures]}
    match switches.conversion_shape:
        case "metric":
            return {"metric": counts, **more}
        case "array":
            return counts
        case "split":  # as the metrics of apps
            return {
                "post_view": [entry.by_view for entry in figures],
                "post_engagement": [entry.by_click for entry in figures],
                "assisted": [0] * len(figures),
                **more,
            }


def _amount(micros: int, switches: Switches) -> int | float:
    match switches.sale_amount_unit:
        case "micro":
            return micros
        case "money":
            return micros / MICROS
        case "minor":
            return micros // _CENTS
