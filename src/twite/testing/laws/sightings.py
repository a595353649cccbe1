# ruff: noqa: S101 - assertions are how laws speak
"""Which way conversion ids went, and whether the twins met."""

import msgspec

from twite.domain.sighting import (
    KEPT_FOR,
    MEETS_WITHIN,
    MOST_TOLD,
    Overlap,
    Sighting,
    Told,
    TwoIds,
    Way,
)
from twite.domain.submission import Door, Submission
from twite.domain.times import DAY, HOUR, MINUTE
from twite.testing.builders import NOW, a_submission, an_entry
from twite.testing.laws.acts import EVENT, PIXEL, Store

_TODAY = NOW // DAY
_MIDNIGHT = _TODAY * DAY


def _seen(
    conversion_id: str,
    *ways: Way,
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
            door=Door.BEACON,
            received_at=NOW,
            body=b"{}",
            entries=(),
            sightings=sightings,
        )
    )


def _overlap(day: int = _TODAY, *, event: str = EVENT, **counts: int) -> Overlap:
    return Overlap(pixel=PIXEL, event=event, day=day, **counts)


class SightingLaws:
    async def test_nothing_was_seen(self, store: Store) -> None:
        assert list(await store.overlap(since=0)) == []

    async def test_ids_are_counted_by_the_ways_they_went(self, store: Store) -> None:
        await _sight(
            store,
            *_seen("a", Way.PIXEL, Way.PAGE),
            *_seen("b", Way.PIXEL, Way.SERVER),
            *_seen("c", Way.PIXEL),
            *_seen("d", Way.SERVER),
            *_seen("e", Way.BLOCKED, Way.PAGE),
            *_seen("f", Way.PIXEL, Way.PAGE, Way.SERVER),
        )

        assert list(await store.overlap(since=_MIDNIGHT)) == [
            _overlap(both=3, pixel_only=1, server_only=2, blocked=1, page_and_server=1)
        ]

    async def test_an_id_that_is_seen_again_on_the_same_way_is_one(self, store: Store) -> None:
        await _sight(store, *_seen("a", Way.PIXEL, Way.PAGE))
        await _sight(store, *_seen("a", Way.PIXEL, Way.PAGE, at=NOW + 1), receipt="r2")

        assert list(await store.overlap(since=0)) == [_overlap(both=1)]

    async def test_a_duplicate_is_seen_all_the_same(self, store: Store) -> None:
        first = a_submission(an_entry("a"))
        again = a_submission(an_entry("a"), receipt="r2")
        await store.record(
            msgspec.structs.replace(first, sightings=_seen("a", Way.PIXEL, Way.PAGE))
        )
        await store.record(msgspec.structs.replace(again, sightings=_seen("a", Way.SERVER)))

        assert list(await store.overlap(since=0)) == [_overlap(both=1, page_and_server=1)]

    async def test_events_and_days_are_counted_apart(self, store: Store) -> None:
        await _sight(
            store,
            *_seen("a", Way.SERVER, event="o8z6m"),
            *_seen("a", Way.SERVER),
            *_seen("b", Way.SERVER, at=NOW - DAY),
        )

        assert list(await store.overlap(since=0)) == [
            _overlap(_TODAY - 1, server_only=1),
            _overlap(server_only=1),
            _overlap(event="o8z6m", server_only=1),
        ]

    async def test_the_day_is_that_of_the_first_sighting(self, store: Store) -> None:
        await _sight(store, *_seen("a", Way.PIXEL, at=_MIDNIGHT - 1))
        await _sight(store, *_seen("a", Way.SERVER, at=_MIDNIGHT), receipt="r2")

        assert list(await store.overlap(since=_MIDNIGHT)) == []
        assert list(await store.overlap(since=_MIDNIGHT - DAY)) == [_overlap(_TODAY - 1, both=1)]

    async def test_more_than_48_hours_apart_is_late(self, store: Store) -> None:
        early = NOW - MEETS_WITHIN
        await _sight(
            store,
            *_seen("in-time", Way.PIXEL, at=early),
            *_seen("in-time", Way.SERVER),
            *_seen("late", Way.PIXEL, at=early - 1),
            *_seen("late", Way.SERVER),
            *_seen("fired-again", Way.SERVER, Way.PIXEL, at=early - 1),
            *_seen("fired-again", Way.PIXEL),
        )

        counted = [(one.both, one.late) for one in await store.overlap(since=0)]
        assert [sum(numbers) for numbers in zip(*counted, strict=True)] == [3, 2]

    async def test_the_same_order_under_two_ids(self, store: Store) -> None:
        await _sight(
            store,
            *_seen("page-1", Way.PIXEL, Way.PAGE, email=-7),
            *_seen("order-1", Way.SERVER, email=-7),
            *_seen("page-2", Way.PIXEL, Way.PAGE, email=8, click=9),
            *_seen("order-2", Way.SERVER, click=9),
        )

        assert [one.two_ids for one in await store.overlap(since=0)] == [2]
        assert list(await store.pairs(since=0, limit=9)) == [
            TwoIds(pixel="o8z6j", event="o8z6k", page_id="page-1", server_id="order-1", at=NOW),
            TwoIds(pixel="o8z6j", event="o8z6k", page_id="page-2", server_id="order-2", at=NOW),
        ]
        assert len(await store.pairs(since=0, limit=1)) == 1
        assert list(await store.pairs(since=NOW + 1, limit=9)) == []

    async def test_of_several_others_one_is_named(self, store: Store) -> None:
        await _sight(
            store,
            *_seen("order-1", Way.SERVER, email=1, at=NOW - HOUR),
            *_seen("order-2", Way.SERVER, email=1, at=NOW + MINUTE),
            *_seen("order-3", Way.SERVER, email=1, at=NOW + HOUR),
            *_seen("page-1", Way.PAGE, email=1),
        )

        (pair,) = await store.pairs(since=0, limit=9)
        assert (pair.page_id, pair.server_id in {"order-1", "order-2", "order-3"}) == (
            "page-1",
            True,
        )

    async def test_what_only_looks_like_the_same_order_is_none(self, store: Store) -> None:
        await _sight(
            store,
            # Two orders of one person, each on both ways.
            *_seen("order-1", Way.PIXEL, Way.SERVER, email=1),
            *_seen("order-2", Way.PIXEL, Way.SERVER, email=1),
            # Another identifier of the same number, another event, too long ago.
            *_seen("page-3", Way.PAGE, email=3),
            *_seen("order-3", Way.SERVER, click=3),
            *_seen("page-4", Way.PAGE, email=4),
            *_seen("order-4", Way.SERVER, email=4, event="o8z6m"),
            *_seen("page-5", Way.PAGE, email=5, at=NOW - MEETS_WITHIN - 1),
            *_seen("order-5", Way.SERVER, email=5),
            # Two pages, two servers.
            *_seen("page-6", Way.PAGE, email=6),
            *_seen("page-7", Way.PAGE, email=6),
            *_seen("order-8", Way.SERVER, email=8),
            *_seen("order-9", Way.SERVER, email=8),
        )

        assert sum(one.two_ids for one in await store.overlap(since=0)) == 0
        assert list(await store.pairs(since=0, limit=9)) == []

    async def test_twins_are_what_pages_told_of_the_same_id(self, store: Store) -> None:
        await _sight(
            store,
            *_seen("a", Way.PIXEL, at=NOW + 1),
            *_seen("a", Way.PAGE, Way.SERVER),
            *_seen("a", Way.BLOCKED, at=NOW - 1),
            *_seen("a", Way.PIXEL, event="o8z6m"),
            *_seen("a", Way.PIXEL, pixel="o9a7k"),
            *_seen("b", Way.PIXEL),
        )

        told = await store.twins(pixel=PIXEL, event=EVENT, conversion_id="a")
        assert list(told) == [Told(at=NOW - 1, blocked=True), Told(at=NOW + 1)]
        assert not await store.twins(pixel=PIXEL, event=EVENT, conversion_id="c")

    async def test_a_page_that_fires_again_and_again_tells_no_more(self, store: Store) -> None:
        await _sight(store, *(_seen("a", Way.PIXEL, at=NOW + n)[0] for n in range(MOST_TOLD + 1)))

        told = await store.twins(pixel=PIXEL, event=EVENT, conversion_id="a")
        assert [one.at for one in told] == list(range(NOW, NOW + MOST_TOLD))

    async def test_old_sightings_are_forgotten(self, store: Store) -> None:
        await _sight(store, *_seen("old", Way.PIXEL, at=NOW - KEPT_FOR - HOUR))
        await _sight(store, *_seen("new", Way.PIXEL), receipt="r2")
        await _sight(store, *_seen("newer", Way.PIXEL), receipt="r3")

        assert list(await store.overlap(since=0)) == [_overlap(pixel_only=2)]
