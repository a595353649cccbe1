import pytest
from pages import (
    CLICK,
    a_message,
    beacon,
)

from builders import NOW
from twite.domain.stats.deduplication import DedupReport
from twite.domain.times import DAY
from twite.gateway.ports.queries import DedupQuery
from twite.stores.sqlite import SQLiteStore


@pytest.fixture
async def store(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    yield store
    await store.close()


async def test_page_reports_which_conversions_the_pixel_got(page, store):
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
