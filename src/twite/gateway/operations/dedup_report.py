"""Deduplication report: conversion ids by path (pixel, server), with sums and advice."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from twite.domain.destination import Destination
from twite.domain.stats.deduplication import ADVICE, MOST_PAIRS, DedupReport, TwoIds, total
from twite.domain.times import DAY, SECOND
from twite.gateway.ports.queries import DedupQuery, IdPairsQuery, Queries

DEFAULT_DAYS: Final = 7
COUNTS: Final = tuple(ADVICE)


class PathCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of conversion ids by path. The first three are disjoint; the rest are subsets."""

    both: int
    pixel_only: int
    server_only: int
    blocked: int
    page_and_server: int
    two_ids: int
    late: int


class EventPathCounts(PathCounts, frozen=True, kw_only=True):
    """The counts of one event and day.

    `event` is X's id, `name` the name in the settings, if any; `day` is in UTC.
    """

    pixel: str
    event: str
    name: str | None
    day: str


class PairOf(msgspec.Struct, frozen=True, kw_only=True):
    """One order with two ids: one from the page and, within 48 hours, one from a server."""

    pixel: str
    event: str
    name: str | None
    day: str
    page_id: str
    server_id: str


class PathCountsBy(PathCounts, frozen=True, kw_only=True, omit_defaults=True):
    """The total counts since a day, the counts by event and day, and advice.

    `advice` has a text for each total above zero. `pairs` are the latest MOST_PAIRS of the
    conversions counted as `two_ids`.
    """

    since: str
    by: tuple[EventPathCounts, ...]
    advice: dict[str, str]
    pairs: tuple[PairOf, ...] = ()


def first_moment(now: int, days: int) -> int:
    """Return the UTC midnight (ms) that begins a period of `days` days ending today."""
    return (now // DAY - days + 1) * DAY


async def read_report(
    queries: Queries, *, since: int, most_pairs: int = MOST_PAIRS
) -> tuple[Sequence[DedupReport], Sequence[TwoIds]]:
    """Return the counts of conversion ids since a time, and the orders with two ids.

    Of these, only the latest `most_pairs`.
    """
    found = await queries.answer(DedupQuery(since=since))
    if not any(counts.two_ids for counts in found):
        return found, ()
    return found, await queries.answer(IdPairsQuery(since=since, limit=most_pairs))


def ways_by(
    reports: Sequence[DedupReport],
    destinations: Mapping[str, Destination],
    *,
    since: int,
    pairs: Sequence[TwoIds] = (),
) -> PathCountsBy:
    sums = _counts(total(reports))
    return PathCountsBy(
        **sums,
        since=day_of(since // DAY),
        by=tuple(
            EventPathCounts(
                **_counts(report),
                pixel=report.pixel,
                event=report.event,
                name=_name(destinations.get(report.pixel), report.event),
                day=day_of(report.day),
            )
            for report in reports
        ),
        advice={name: ADVICE[name] for name, count in sums.items() if count},
        pairs=tuple(
            PairOf(
                pixel=pair.pixel,
                event=pair.event,
                name=_name(destinations.get(pair.pixel), pair.event),
                day=day_of(pair.at // DAY),
                page_id=pair.page_id,
                server_id=pair.server_id,
            )
            for pair in pairs
        ),
    )


def day_of(day: int) -> str:
    """Return a day in ISO 8601, such as 2026-11-25."""
    return datetime.fromtimestamp(day * DAY / SECOND, UTC).date().isoformat()


def _counts(report: DedupReport) -> dict[str, int]:
    return {name: getattr(report, name) for name in COUNTS}


def _name(destination: Destination | None, event: str) -> str | None:
    events = {} if destination is None else destination.events
    return next((name for name, id_ in events.items() if id_ == event), None)
