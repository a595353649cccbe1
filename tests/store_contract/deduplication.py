"""Store contract: the conversion ids of pages and servers, for the deduplication report."""

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import EVENT, PIXEL, histories, record
from twite.domain.stats.deduplication import (
    KEPT_FOR,
    MEETS_WITHIN,
    MOST_REPORTS,
    DedupPath,
    DedupReport,
    DedupRow,
    OtherId,
    PixelReport,
    TwoIds,
)
from twite.domain.submission import Endpoint, Submission
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.ports.queries import (
    DedupQuery,
    IdPairsQuery,
    OtherIdsQuery,
    PixelCopiesQuery,
    PixelReportsQuery,
)
from twite.gateway.ports.store import Store

_TODAY = NOW // DAY
_MIDNIGHT = _TODAY * DAY


def _seen(
    conversion_id: str,
    *ways: DedupPath,
    at: int = NOW,
    pixel: str = PIXEL,
    event: str = EVENT,
    email: int | None = None,
    click: int | None = None,
) -> tuple[DedupRow, ...]:
    return tuple(
        DedupRow(
            pixel=pixel,
            event=event,
            conversion_id=conversion_id,
            path=way,
            at=at,
            email_mark=email,
            click_mark=click,
        )
        for way in ways
    )


async def _record(store: Store, *dedup_rows: DedupRow, receipt: str = "r1") -> None:
    await store.record(
        Submission(
            receipt=receipt,
            source="shop",
            endpoint=Endpoint.BEACON,
            received_at=NOW,
            body=b"{}",
            entries=(),
            dedup_rows=dedup_rows,
        )
    )


def _report(day: int = _TODAY, *, event: str = EVENT, **counts: int) -> DedupReport:
    return DedupReport(pixel=PIXEL, event=event, day=day, **counts)


class DedupLaws:
    async def test_empty_store_has_an_empty_deduplication_report(self, store: Store) -> None:
        assert list(await store.answer(DedupQuery(since=0))) == []

    async def test_conversion_ids_are_counted_by_path(self, store: Store) -> None:
        await _record(
            store,
            *_seen("a", DedupPath.PIXEL, DedupPath.PAGE),
            *_seen("b", DedupPath.PIXEL, DedupPath.SERVER),
            *_seen("c", DedupPath.PIXEL),
            *_seen("d", DedupPath.SERVER),
            *_seen("e", DedupPath.BLOCKED, DedupPath.PAGE),
            *_seen("f", DedupPath.PIXEL, DedupPath.PAGE, DedupPath.SERVER),
        )

        assert list(await store.answer(DedupQuery(since=_MIDNIGHT))) == [
            _report(both=3, pixel_only=1, server_only=2, blocked=1, page_and_server=1)
        ]

    async def test_conversion_id_repeated_on_a_path_counts_once(self, store: Store) -> None:
        await _record(store, *_seen("a", DedupPath.PIXEL, DedupPath.PAGE))
        await _record(store, *_seen("a", DedupPath.PIXEL, DedupPath.PAGE, at=NOW + 1), receipt="r2")

        assert list(await store.answer(DedupQuery(since=0))) == [_report(both=1)]

    async def test_conversion_id_of_a_duplicate_is_counted(self, store: Store) -> None:
        first = a_submission(an_entry("a"))
        again = a_submission(an_entry("a"), receipt="r2")
        await store.record(
            msgspec.structs.replace(first, dedup_rows=_seen("a", DedupPath.PIXEL, DedupPath.PAGE))
        )
        await store.record(msgspec.structs.replace(again, dedup_rows=_seen("a", DedupPath.SERVER)))

        assert list(await store.answer(DedupQuery(since=0))) == [_report(both=1, page_and_server=1)]

    async def test_deduplication_report_separates_events_and_days(self, store: Store) -> None:
        await _record(
            store,
            *_seen("a", DedupPath.SERVER, event="o8z6m"),
            *_seen("a", DedupPath.SERVER),
            *_seen("b", DedupPath.SERVER, at=NOW - DAY),
        )

        assert list(await store.answer(DedupQuery(since=0))) == [
            _report(_TODAY - 1, server_only=1),
            _report(server_only=1),
            _report(event="o8z6m", server_only=1),
        ]

    async def test_conversion_id_counts_on_its_first_day(self, store: Store) -> None:
        await _record(store, *_seen("a", DedupPath.PIXEL, at=_MIDNIGHT - 1))
        await _record(store, *_seen("a", DedupPath.SERVER, at=_MIDNIGHT), receipt="r2")

        assert list(await store.answer(DedupQuery(since=_MIDNIGHT))) == []
        assert list(await store.answer(DedupQuery(since=_MIDNIGHT - DAY))) == [
            _report(_TODAY - 1, both=1)
        ]

    async def test_copies_more_than_48_hours_apart_are_late(self, store: Store) -> None:
        early = NOW - MEETS_WITHIN
        await _record(
            store,
            *_seen("in-time", DedupPath.PIXEL, at=early),
            *_seen("in-time", DedupPath.SERVER),
            *_seen("late", DedupPath.PIXEL, at=early - 1),
            *_seen("late", DedupPath.SERVER),
            *_seen("fired-again", DedupPath.SERVER, DedupPath.PIXEL, at=early - 1),
            *_seen("fired-again", DedupPath.PIXEL),
        )

        counted = [(report.both, report.late) for report in await store.answer(DedupQuery(since=0))]
        assert [sum(numbers) for numbers in zip(*counted, strict=True)] == [3, 2]

    async def test_order_with_two_ids_is_reported(self, store: Store) -> None:
        await _record(
            store,
            *_seen("page-1", DedupPath.PIXEL, DedupPath.PAGE, email=-7),
            *_seen("order-1", DedupPath.SERVER, email=-7),
            *_seen("page-2", DedupPath.PIXEL, DedupPath.PAGE, email=8, click=9),
            *_seen("order-2", DedupPath.SERVER, click=9),
        )

        assert [report.two_ids for report in await store.answer(DedupQuery(since=0))] == [2]
        assert list(await store.answer(IdPairsQuery(since=0, limit=9))) == [
            TwoIds(pixel="o8z6j", event="o8z6k", page_id="page-1", server_id="order-1", at=NOW),
            TwoIds(pixel="o8z6j", event="o8z6k", page_id="page-2", server_id="order-2", at=NOW),
        ]
        assert len(await store.answer(IdPairsQuery(since=0, limit=1))) == 1
        assert list(await store.answer(IdPairsQuery(since=NOW + 1, limit=9))) == []

    async def test_delivery_of_an_order_with_two_ids_knows_the_other(self, store: Store) -> None:
        for name in ("order-1", "page-1", "order-2", "alone"):
            await record(store, name, receipt=f"r-{name}")
        ids = {
            name: (await histories(store, name))[0].delivery
            for name in ("order-1", "page-1", "order-2")
        }
        pairs = [
            TwoIds(pixel=PIXEL, event=EVENT, page_id=page, server_id=server, at=NOW)
            for page, server in (("page-1", "order-1"), ("only-at-x", "order-2"))
        ]

        assert await store.answer(OtherIdsQuery(pairs=pairs)) == {
            ids["page-1"]: OtherId("order-1", ids["order-1"]),
            ids["order-1"]: OtherId("page-1", ids["page-1"]),
            ids["order-2"]: OtherId("only-at-x"),
        }

    async def test_one_of_several_equal_orders_with_two_ids_is_named(self, store: Store) -> None:
        await _record(
            store,
            *_seen("order-1", DedupPath.SERVER, email=1, at=NOW - HOUR),
            *_seen("order-2", DedupPath.SERVER, email=1, at=NOW + MINUTE),
            *_seen("order-3", DedupPath.SERVER, email=1, at=NOW + HOUR),
            *_seen("page-1", DedupPath.PAGE, email=1),
        )

        (pair,) = await store.answer(IdPairsQuery(since=0, limit=9))
        assert (pair.page_id, pair.server_id in {"order-1", "order-2", "order-3"}) == (
            "page-1",
            True,
        )

    async def test_different_orders_are_not_reported_as_one(self, store: Store) -> None:
        await _record(
            store,
            # Two orders of one person, each seen on both paths.
            *_seen("order-1", DedupPath.PIXEL, DedupPath.SERVER, email=1),
            *_seen("order-2", DedupPath.PIXEL, DedupPath.SERVER, email=1),
            # Orders with the same number, but with another identifier, with another event, and too
            # long ago.
            *_seen("page-3", DedupPath.PAGE, email=3),
            *_seen("order-3", DedupPath.SERVER, click=3),
            *_seen("page-4", DedupPath.PAGE, email=4),
            *_seen("order-4", DedupPath.SERVER, email=4, event="o8z6m"),
            *_seen("page-5", DedupPath.PAGE, email=5, at=NOW - MEETS_WITHIN - 1),
            *_seen("order-5", DedupPath.SERVER, email=5),
            # Two dedup_rows by pages, and two by servers.
            *_seen("page-6", DedupPath.PAGE, email=6),
            *_seen("page-7", DedupPath.PAGE, email=6),
            *_seen("order-8", DedupPath.SERVER, email=8),
            *_seen("order-9", DedupPath.SERVER, email=8),
        )

        assert sum(report.two_ids for report in await store.answer(DedupQuery(since=0))) == 0
        assert list(await store.answer(IdPairsQuery(since=0, limit=9))) == []

    async def test_pixel_call_of_a_page_is_matched_by_conversion_id(self, store: Store) -> None:
        await _record(
            store,
            *_seen("a", DedupPath.PIXEL, at=NOW + 1),
            *_seen("a", DedupPath.PAGE, DedupPath.SERVER),
            *_seen("a", DedupPath.BLOCKED, at=NOW - 1),
            *_seen("a", DedupPath.PIXEL, event="o8z6m"),
            *_seen("a", DedupPath.PIXEL, pixel="o9a7k"),
            *_seen("b", DedupPath.PIXEL),
        )

        reports = await store.answer(PixelReportsQuery(pixel=PIXEL, event=EVENT, conversion_id="a"))
        assert list(reports) == [PixelReport(at=NOW - 1, blocked=True), PixelReport(at=NOW + 1)]
        assert not await store.answer(
            PixelReportsQuery(pixel=PIXEL, event=EVENT, conversion_id="c")
        )

    async def test_first_pixel_call_is_found_by_delivery(self, store: Store) -> None:
        await record(store, "a", receipt="ra")
        await record(store, "b", receipt="rb")
        await record(store, "c", receipt="rc")
        await _record(
            store,
            *_seen("a", DedupPath.PIXEL, at=NOW + 1),
            *_seen("a", DedupPath.PIXEL, at=NOW + 9),
            *_seen("b", DedupPath.BLOCKED),
            *_seen("c", DedupPath.PIXEL, event="o8z6m"),
        )
        ids = [(await histories(store, name))[0].delivery for name in "abc"]

        query = PixelCopiesQuery(pixel=PIXEL, event=EVENT, deliveries=ids)

        assert await store.answer(query) == {ids[0]: NOW + 1}

    async def test_repeated_pixel_calls_of_a_page_are_limited(self, store: Store) -> None:
        await _record(
            store, *(_seen("a", DedupPath.PIXEL, at=NOW + n)[0] for n in range(MOST_REPORTS + 1))
        )

        reports = await store.answer(PixelReportsQuery(pixel=PIXEL, event=EVENT, conversion_id="a"))
        assert [report.at for report in reports] == list(range(NOW, NOW + MOST_REPORTS))

    async def test_rows_beyond_the_retention_are_deleted(self, store: Store) -> None:
        await _record(store, *_seen("old", DedupPath.PIXEL, at=NOW - KEPT_FOR - HOUR))
        await _record(store, *_seen("new", DedupPath.PIXEL), receipt="r2")
        await _record(store, *_seen("newer", DedupPath.PIXEL), receipt="r3")

        assert list(await store.answer(DedupQuery(since=0))) == [_report(pixel_only=2)]

    async def test_many_rows_beyond_the_retention_are_deleted_slowly(self, store: Store) -> None:
        old = [_seen(f"old-{n}", DedupPath.PIXEL, at=NOW - KEPT_FOR - HOUR)[0] for n in range(9)]
        await _record(store, *old)
        for n in range(3):
            await _record(store, *_seen(f"new-{n}", DedupPath.PIXEL), receipt=f"new-{n}")

        assert list(await store.answer(DedupQuery(since=0))) == [_report(pixel_only=3)]
