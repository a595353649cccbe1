import pytest
from pages import CLICK, a_message, a_shop, a_stage, beacon

from builders import NOW
from twite.domain.stats.deduplication import ADVICE, DedupPath, DedupReport, DedupRow
from twite.domain.submission import Endpoint, Submission
from twite.domain.times import DAY
from twite.gateway.operations.dedup_report import COUNTS, day_of
from twite.gateway.ports.queries import DedupQuery
from twite.stores.sqlite import SQLiteStore

NOTHING = dict.fromkeys(COUNTS, 0)
TODAY = day_of(NOW // DAY)


@pytest.fixture
async def store(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    yield store
    await store.close()


@pytest.fixture
async def page(staged, store):
    return await staged(**a_stage(store))


async def record(store, *, pixel="o8z6j", at=NOW, receipt="r1", name="x", way=DedupPath.SERVER):
    seen = DedupRow(pixel=pixel, event="o8z6k", conversion_id=name, path=way, at=at, email_mark=7)
    await store.record(
        Submission(
            receipt=receipt,
            source="shop",
            endpoint=Endpoint.NATIVE,
            received_at=at,
            body=b"{}",
            entries=(),
            dedup_rows=(seen,),
        )
    )


async def test_deduplication_report_has_counts_by_event_and_day_and_advice(page):
    await beacon(
        page,
        a_message(
            {"conversion_id": "a", "pixel": "loaded"},
            {"conversion_id": "b", "pixel": "blocked"},
        ),
    )

    answer = await page.ask("GET", "/v1/deduplication")

    counts = NOTHING | {"both": 1, "server_only": 1, "blocked": 1}
    assert (answer.status, answer.json()) == (
        200,
        counts
        | {
            "since": day_of(NOW // DAY - 6),
            "by": [counts | {"pixel": "o8z6j", "event": "o8z6k", "name": "purchase", "day": TODAY}],
            "advice": {name: ADVICE[name] for name in ("both", "server_only", "blocked")},
        },
    )


async def test_deduplication_report_contains_only_pixels_of_the_source(page, store):
    await record(store, pixel="other")

    answer = await page.ask("GET", "/v1/deduplication")

    assert answer.json()["by"] == []


async def test_deduplication_report_lists_orders_with_two_ids_of_its_own_pixels(page, store):
    for pixel in ("o8z6j", "other"):
        await record(
            store, pixel=pixel, name=f"page-{pixel}", way=DedupPath.PAGE, receipt=f"p-{pixel}"
        )
        await record(store, pixel=pixel, name=f"order-{pixel}", receipt=f"s-{pixel}")

    reported = (await page.ask("GET", "/v1/deduplication")).json()

    assert (
        reported["two_ids"],
        [(pair["page_id"], pair["server_id"]) for pair in reported["pairs"]],
    ) == (
        1,
        [("page-o8z6j", "order-o8z6j")],
    )


async def test_days_of_the_deduplication_report_are_counted_back_from_today(page, store):
    await record(store, at=NOW - DAY)

    assert (await page.ask("GET", "/v1/deduplication?days=1")).json()["by"] == []
    assert len((await page.ask("GET", "/v1/deduplication?days=2")).json()["by"]) == 1


@pytest.mark.parametrize("days", ["0", "15", "-1", "1.5", "", "x", "9999999999"])
async def test_deduplication_report_of_invalid_days_is_refused(page, days):
    answer = await page.ask("GET", f"/v1/deduplication?days={days}")

    assert (answer.status, answer.faults()) == (400, [("days", "days")])


async def test_pages_cannot_read_the_deduplication_report(staged, store):
    page = await staged(**a_stage(store, a_shop()))

    answer = await page.ask("GET", "/v1/deduplication", key=None)

    assert answer.status == 401


def test_advice_for_a_page_without_the_pixel_names_the_missing_setting():
    assert "load X's pixel there" in ADVICE["server_only"]
    assert 'x_pixel to "load"' in ADVICE["server_only"]


def test_every_count_of_the_deduplication_report_has_advice():
    assert set(COUNTS) == set(DedupReport.__struct_fields__) - {"pixel", "event", "day"}


async def test_deduplication_report_counts_what_the_page_reported_to_the_pixel(page, store):
    await beacon(
        page,
        a_message(
            {"conversion_id": "a", "pixel": "loaded"},
            {"conversion_id": "b", "pixel": "called"},
            {"conversion_id": "c", "pixel": "blocked"},
            {"conversion_id": "d", "pixel": "absent"},
        ),
    )

    assert list(await store.answer(DedupQuery(since=0))) == [
        DedupReport(pixel="o8z6j", event="o8z6k", day=NOW // DAY, both=2, server_only=2, blocked=1)
    ]


async def test_conversion_that_the_gateway_cannot_send_counts_as_pixel_only(page, store):
    refused = {"conversion_id": "a", "pixel": "loaded", "twclid": None}
    denied = {"conversion_id": "b", "pixel": "loaded"}

    await beacon(page, a_message(refused))
    await beacon(page, a_message(denied, consent={"ad_storage": "denied"}))

    (report,) = await store.answer(DedupQuery(since=0))
    assert (report.pixel_only, report.both, report.server_only) == (2, 0, 0)


async def test_copy_from_the_server_is_matched_with_the_conversion_of_the_page(page, store):
    await beacon(page, a_message({"conversion_id": "order-1", "pixel": "loaded"}))

    answer = await page.submit(
        b'{"event": "purchase", "conversion_id": "order-1", "email": "shopper@example.com"}'
    )

    (report,) = await store.answer(DedupQuery(since=0))
    assert answer.json()["duplicates"] == 1
    assert (report.both, report.page_and_server) == (1, 1)


async def test_order_with_two_ids_is_counted_in_the_deduplication_report(page, store):
    await beacon(page, a_message({"conversion_id": "page-1", "pixel": "loaded"}))

    await page.submit(
        b'{"event": "purchase", "conversion_id": "order-1", "twclid": "%b"}' % CLICK.encode()
    )

    (report,) = await store.answer(DedupQuery(since=0))
    assert (report.both, report.server_only, report.two_ids) == (1, 1, 1)
