"""Reading the changed orders of a WooCommerce shop, against a stand-in on a real socket."""

from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from shop_double import KEY, SECRET, an_order, shop_double
from twite.cli.sync.cursor import SyncCursor
from twite.cli.sync.shop import ShopAccess, ShopUnreadable, changed_orders
from twite.domain.errors import OperatorError
from twite.domain.secret import Secret

BEGIN = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
ONE = b'[{"id": 1, "date_modified_gmt": "2026-11-25T09:00:01"}]'
UNSORTED = b"""[{"id": 1, "date_modified_gmt": "2026-11-25T09:00:09"},
                {"id": 2, "date_modified_gmt": "2026-11-25T09:00:08"}]"""
SINCE = int(BEGIN.timestamp()) * 1_000


@pytest.fixture
def shop():
    with shop_double() as double:
        yield double


def at(seconds):
    return (BEGIN + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


async def read(shop, *, secret=SECRET):
    access = ShopAccess(url=shop.url + "/", consumer_key=KEY, consumer_secret=Secret(secret))
    async with aiohttp.ClientSession() as session:
        pages = changed_orders(session, access, since=SINCE)
        return [order async for orders in pages for order in orders]


async def test_all_changed_orders_are_read_once_oldest_first(shop):
    shop.orders = [an_order(number, at(number)) for number in range(250, -5, -1)]

    found = await read(shop)

    assert [order.id for order in found] == list(range(1, 251))
    assert [len(order.body) > 100 for order in found] == [True] * 250


async def test_shop_without_changed_orders_is_asked_once(shop):
    assert await read(shop) == []
    assert len(shop.requests) == 1


async def test_no_order_is_skipped_if_an_order_changes_between_two_pages(shop):
    shop.orders = [an_order(number, at(number)) for number in range(1, 251)]

    def change(request):
        if request == 2:
            for order in shop.orders[:50]:
                order["date_modified_gmt"] = at(1_000 + order["id"])

    shop.before = change

    found = [order.id for order in await read(shop)]

    assert set(found) == set(range(1, 251))
    assert found.count(200) == 1


async def test_more_orders_than_a_page_may_change_within_one_second(shop):
    shop.orders = [an_order(number, at(5)) for number in range(1, 251)]
    shop.orders += [an_order(number, at(6)) for number in range(251, 300)]

    found = [order.id for order in await read(shop)]

    assert sorted(found) == list(range(1, 300))


async def test_order_stays_as_the_shop_wrote_it(shop):
    shop.answer = (
        200,
        {},
        b'[{"id": 9007199254740993, "date_modified_gmt": "2026-11-25T09:00:09", "total": 1.10}]',
    )

    (order,) = await read(shop)

    assert order.id == 9_007_199_254_740_993
    assert b'"total": 1.10' in order.body


async def test_order_without_a_time_of_change_is_read(shop):
    shop.answer = 200, {}, b'[{"id": 1}, {"id": 2, "date_modified_gmt": null}]'

    found = await read(shop)

    assert [(order.id, order.changed_at) for order in found] == [(1, SINCE), (2, SINCE)]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_key_is_not_sent_to_the_address_of_a_redirect(shop, status):
    with shop_double() as other:
        shop.answer = (status, {"Location": f"{other.url}/wp-json/wc/v3/orders"}, b"")

        with pytest.raises(ShopUnreadable, match="the shop redirects"):
            await read(shop)

        assert other.requests == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, {}, b""), "refuses the consumer key"),
        ((403, {}, b""), "may not read orders"),
        ((404, {}, b""), "permalinks"),
        ((500, {}, b""), "answered with 500"),
        ((429, {}, b""), "answered with 429"),
        ((200, {}, b"<html>Back soon</html>"), "did not return a list of orders"),
        ((200, {}, b'{"code": "x"}'), "did not return a list of orders"),
        ((200, {}, b'[{"total": 1}]'), "did not return a list of orders"),
        ((200, {"X-WP-TotalPages": "9"}, ONE), "the same page of orders again"),
        ((200, {}, b"[" * 10_000), "did not return a list of orders"),
        ((200, {}, UNSORTED), "does not sort"),
    ],
)
async def test_other_answers_are_explained_without_the_key(shop, answer, words):
    shop.answer = answer

    with pytest.raises(ShopUnreadable, match=words) as raised:
        await read(shop)

    assert "canary" not in str(raised.value)


async def test_shop_that_does_not_answer_is_an_error():
    with shop_double() as shop:
        pass

    with pytest.raises(ShopUnreadable, match="does not answer"):
        await read(shop)


def test_cursor_is_kept_in_a_file_and_only_moves_forward(tmp_path):
    cursor = SyncCursor.beside(tmp_path / "twite.db", "shop", "https://shop.example")
    assert cursor.at is None

    cursor.move(2_000)
    cursor.move(1_000)

    again = SyncCursor.beside(tmp_path / "twite.db", "shop", "https://shop.example")
    assert (cursor.at, again.at) == (2_000, 2_000)


def test_cursor_of_another_shop_or_a_damaged_one_does_not_count(tmp_path):
    SyncCursor.beside(tmp_path / "twite.db", "shop", "https://shop.example").move(2_000)
    other = SyncCursor.beside(tmp_path / "twite.db", "shop", "https://new.example")
    (tmp_path / "twite.db.sync-shop").write_bytes(b"{")

    damaged = SyncCursor.beside(tmp_path / "twite.db", "shop", "https://shop.example")

    assert (other.at, damaged.at) == (None, None)


def test_cursor_that_cannot_be_written_is_an_error(tmp_path):
    cursor = SyncCursor.beside(tmp_path / "nowhere" / "twite.db", "shop", "https://shop.example")

    with pytest.raises(OperatorError, match="cannot be written"):
        cursor.move(1_000)
