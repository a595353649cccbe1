"""Store contract: conversion ids by route, for the deduplication report."""

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import EVENT, PIXEL
from twite.domain.stats.sightings import (
    KEPT_FOR,
    MEETS_WITHIN,
    MOST_TOLD,
    DedupReport,
    PixelReport,
    Sighting,
    SightingPath,
    TwoIds,
)
from twite.domain.submission import Endpoint, Submission
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.ports.queries import DedupQuery, IdPairsQuery, PixelReportsQuery
from twite.gateway.ports.store import Store

_TODAY = NOW // DAY
_MIDNIGHT = _TODAY * DAY


def _seen(
    conversion_id: str,
    *ways: SightingPath,
    at: int = NOW,
    pixel: str = PIXEL,
    event: str = EVENT,
    email: int | None = None,
    click: int | None = None,
) -> tuple[Sighting, ...]:
    return tuple(
        Sighting(
            pixel=pixel,
            event=event,
            conversion_id=conversion_id,
            way=way,
            at=at,
            email_mark=email,
            click_mark=click,
        )
        for way in ways
    )


async def _sight(store: Store, *sightings: Sighting, receipt: str = "r1") -> None:
    await store.record(
        Submission(
            receipt=receipt,
            source="shop",
            endpoint=Endpoint.BEACON,
            received_at=NOW,
            body=b"{}",
            entries=(),
            sightings=sightings,
        )
    )


def _report(day: int = _TODAY, *, event: str = EVENT, **counts: int) -> DedupReport:
    return DedupReport(pixel=PIXEL, event=event, day=day, **counts)


class SightingLaws:
    async def test_empty_store_has_no_sightings(self, store: Store) -> None:
        assert list(await store.answer(DedupQuery(since=0))) == []

    async def test_ids_are_counted_by_their_paths(self, store: Store) -> None:
        await _sight(
            store,
            *_seen("a", SightingPath.PIXEL, SightingPath.PAGE),
            *_seen("b", SightingPath.PIXEL, SightingPath.SERVER),
            *_seen("c", SightingPath.PIXEL),
            *_seen("d", SightingPath.SERVER),
            *_seen("e", SightingPath.BLOCKED, SightingPath.PAGE),
            *_seen("f", SightingPath.PIXEL, SightingPath.PAGE, SightingPath.SERVER),
        )

        assert list(await store.answer(DedupQuery(since=_MIDNIGHT))) == [
            _report(both=3, pixel_only=1, server_only=2, blocked=1, page_and_server=1)
        ]

    async def test_repeated_sighting_of_an_id_on_one_path_counts_once(self, store: Store) -> None:
        await _sight(store, *_seen("a", SightingPath.PIXEL, SightingPath.PAGE))
        await _sight(
            store, *_seen("a", SightingPath.PIXEL, SightingPath.PAGE, at=NOW + 1), receipt="r2"
        )

        assert list(await store.answer(DedupQuery(since=0))) == [_report(both=1)]

    async def test_sighting_of_a_duplicate_counts(self, store: Store) -> None:
        first = a_submission(an_entry("a"))
        again = a_submission(an_entry("a"), receipt="r2")
        await store.record(
            msgspec.structs.replace(
                first, sightings=_seen("a", SightingPath.PIXEL, SightingPath.PAGE)
            )
        )
        await store.record(
            msgspec.structs.replace(again, sightings=_seen("a", SightingPath.SERVER))
        )

        assert list(await store.answer(DedupQuery(since=0))) == [_report(both=1, page_and_server=1)]

    async def test_events_and_days_are_counted_separately(self, store: Store) -> None:
        await _sight(
            store,
            *_seen("a", SightingPath.SERVER, event="o8z6m"),
            *_seen("a", SightingPath.SERVER),
            *_seen("b", SightingPath.SERVER, at=NOW - DAY),
        )

        assert list(await store.answer(DedupQuery(since=0))) == [
            _report(_TODAY - 1, server_only=1),
            _report(server_only=1),
            _report(event="o8z6m", server_only=1),
        ]

    async def test_day_is_that_of_the_first_sighting(self, store: Store) -> None:
        await _sight(store, *_seen("a", SightingPath.PIXEL, at=_MIDNIGHT - 1))
        await _sight(store, *_seen("a", SightingPath.SERVER, at=_MIDNIGHT), receipt="r2")

        assert list(await store.answer(DedupQuery(since=_MIDNIGHT))) == []
        assert list(await store.answer(DedupQuery(since=_MIDNIGHT - DAY))) == [
            _report(_TODAY - 1, both=1)
        ]

    async def test_sightings_more_than_48_hours_apart_are_late(self, store: Store) -> None:
        early = NOW - MEETS_WITHIN
        await _sight(
            store,
            *_seen("in-time", SightingPath.PIXEL, at=early),
            *_seen("in-time", SightingPath.SERVER),
            *_seen("late", SightingPath.PIXEL, at=early - 1),
            *_seen("late", SightingPath.SERVER),
            *_seen("fired-again", SightingPath.SERVER, SightingPath.PIXEL, at=early - 1),
            *_seen("fired-again", SightingPath.PIXEL),
        )

        counted = [(report.both, report.late) for report in await store.answer(DedupQuery(since=0))]
        assert [sum(numbers) for numbers in zip(*counted, strict=True)] == [3, 2]

    async def test_same_order_under_two_ids_is_paired(self, store: Store) -> None:
        await _sight(
            store,
            *_seen("page-1", SightingPath.PIXEL, SightingPath.PAGE, email=-7),
            *_seen("order-1", SightingPath.SERVER, email=-7),
            *_seen("page-2", SightingPath.PIXEL, SightingPath.PAGE, email=8, click=9),
            *_seen("order-2", SightingPath.SERVER, click=9),
        )

        assert [report.two_ids for report in await store.answer(DedupQuery(since=0))] == [2]
        assert list(await store.answer(IdPairsQuery(since=0, limit=9))) == [
            TwoIds(pixel="o8z6j", event="o8z6k", page_id="page-1", server_id="order-1", at=NOW),
            TwoIds(pixel="o8z6j", event="o8z6k", page_id="page-2", server_id="order-2", at=NOW),
        ]
        assert len(await store.answer(IdPairsQuery(since=0, limit=1))) == 1
        assert list(await store.answer(IdPairsQuery(since=NOW + 1, limit=9))) == []

    async def test_one_of_several_matching_ids_is_named(self, store: Store) -> None:
        await _sight(
            store,
            *_seen("order-1", SightingPath.SERVER, email=1, at=NOW - HOUR),
            *_seen("order-2", SightingPath.SERVER, email=1, at=NOW + MINUTE),
            *_seen("order-3", SightingPath.SERVER, email=1, at=NOW + HOUR),
            *_seen("page-1", SightingPath.PAGE, email=1),
        )

        (pair,) = await store.answer(IdPairsQuery(since=0, limit=9))
        assert (pair.page_id, pair.server_id in {"order-1", "order-2", "order-3"}) == (
            "page-1",
            True,
        )

    async def test_orders_that_only_look_alike_are_not_paired(self, store: Store) -> None:
        await _sight(
            store,
            # Two orders of one person, each seen on both paths.
            *_seen("order-1", SightingPath.PIXEL, SightingPath.SERVER, email=1),
            *_seen("order-2", SightingPath.PIXEL, SightingPath.SERVER, email=1),
            # Orders with the same number, but with another identifier, with another event, and too
            # long ago.
            *_seen("page-3", SightingPath.PAGE, email=3),
            *_seen("order-3", SightingPath.SERVER, click=3),
            *_seen("page-4", SightingPath.PAGE, email=4),
            *_seen("order-4", SightingPath.SERVER, email=4, event="o8z6m"),
            *_seen("page-5", SightingPath.PAGE, email=5, at=NOW - MEETS_WITHIN - 1),
            *_seen("order-5", SightingPath.SERVER, email=5),
            # Two sightings by pages, and two by servers.
            *_seen("page-6", SightingPath.PAGE, email=6),
            *_seen("page-7", SightingPath.PAGE, email=6),
            *_seen("order-8", SightingPath.SERVER, email=8),
            *_seen("order-9", SightingPath.SERVER, email=8),
        )

        assert sum(report.two_ids for report in await store.answer(DedupQuery(since=0))) == 0
        assert list(await store.answer(IdPairsQuery(since=0, limit=9))) == []

    async def test_pixel_reports_are_those_of_pages_for_the_same_id(self, store: Store) -> None:
        await _sight(
            store,
            *_seen("a", SightingPath.PIXEL, at=NOW + 1),
            *_seen("a", SightingPath.PAGE, SightingPath.SERVER),
            *_seen("a", SightingPath.BLOCKED, at=NOW - 1),
            *_seen("a", SightingPath.PIXEL, event="o8z6m"),
            *_seen("a", SightingPath.PIXEL, pixel="o9a7k"),
            *_seen("b", SightingPath.PIXEL),
        )

        reports = await store.answer(PixelReportsQuery(pixel=PIXEL, event=EVENT, conversion_id="a"))
        assert list(reports) == [PixelReport(at=NOW - 1, blocked=True), PixelReport(at=NOW + 1)]
        assert not await store.answer(
            PixelReportsQuery(pixel=PIXEL, event=EVENT, conversion_id="c")
        )

    async def test_pixel_reports_of_a_repeating_page_are_limited(self, store: Store) -> None:
        await _sight(
            store, *(_seen("a", SightingPath.PIXEL, at=NOW + n)[0] for n in range(MOST_TOLD + 1))
        )

        reports = await store.answer(PixelReportsQuery(pixel=PIXEL, event=EVENT, conversion_id="a"))
        assert [report.at for report in reports] == list(range(NOW, NOW + MOST_TOLD))

    async def test_old_sightings_are_deleted(self, store: Store) -> None:
        await _sight(store, *_seen("old", SightingPath.PIXEL, at=NOW - KEPT_FOR - HOUR))
        await _sight(store, *_seen("new", SightingPath.PIXEL), receipt="r2")
        await _sight(store, *_seen("newer", SightingPath.PIXEL), receipt="r3")

        assert list(await store.answer(DedupQuery(since=0))) == [_report(pixel_only=2)]

    async def test_many_old_sightings_are_deleted_gradually(self, store: Store) -> None:
        old = [_seen(f"old-{n}", SightingPath.PIXEL, at=NOW - KEPT_FOR - HOUR)[0] for n in range(9)]
        await _sight(store, *old)
        for n in range(3):
            await _sight(store, *_seen(f"new-{n}", SightingPath.PIXEL), receipt=f"new-{n}")

        assert list(await store.answer(DedupQuery(since=0))) == [_report(pixel_only=3)]
