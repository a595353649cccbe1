"""Conversions wait for what other events of their visitor say: requests through to the outbox."""

import json

import pytest
from joined_stage import (
    CLICK,
    IDENTIFY,
    LANDED,
    MAIL,
    PHONE,
    SHA,
    WAIT,
    Shop,
    waiting_source,
)

from builders import NOW, a_source
from formats.webhook_builders import a_message, a_webhook
from twite.domain.delivery import State
from twite.domain.joins import LONGEST_WAIT, NOTHING_KNOWN
from twite.domain.submission import Endpoint
from twite.domain.times import DAY, HOUR, spelled
from twite.formats.webhook_kinds import KINDS
from twite.formats.woocommerce import read as woocommerce
from twite.http.routes.reports import gained_views
from twite.stores.sqlite import SQLiteStore

WOOCOMMERCE = KINDS["woocommerce"]


@pytest.fixture
async def shop(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    yield Shop(store, waiting_source())
    await store.close()


async def test_order_of_a_server_gains_the_click_of_the_first_visit_and_the_email(shop):
    await shop.call(LANDED)
    await shop.call(IDENTIFY)

    receipt = await shop.order()

    assert receipt.accepted == 1
    assert await shop.sent() == [{"twclid": CLICK, "hashed_email": SHA}]
    gained = {each.identifier: each.origin for each in (await shop.history()).gained}
    assert gained == {"twclid": "page", "email": "identify"}


@pytest.mark.parametrize("first", [0, 1, 2])
async def test_order_of_arrival_within_the_wait_does_not_matter(shop, first):
    steps = [lambda: shop.call(LANDED), lambda: shop.call(IDENTIFY), shop.order]
    for step in steps[first:] + steps[:first]:
        await step()

    assert await shop.sent() == [{"twclid": CLICK, "hashed_email": SHA}]


async def test_later_copy_of_an_order_is_dropped_and_its_click_joined(shop):
    await shop.order(email=MAIL, user_id=None)
    copy = await shop.order(user_id=None, twclid=CLICK)

    assert copy.duplicates == 1
    assert await shop.sent() == [{"twclid": CLICK, "hashed_email": SHA}]


async def test_conversion_that_gains_nothing_is_suppressed_with_the_reason(shop):
    receipt = await shop.order()

    assert receipt.accepted == 1
    assert await shop.sent() == []
    history = await shop.history()
    assert (history.state, history.reason) == (State.SUPPRESSED, NOTHING_KNOWN)


async def test_conversion_with_all_identifiers_does_not_wait(shop):
    await shop.order(email=MAIL, phone="+44 20 7946 0958", twclid=CLICK)

    assert len(await shop.sent(now=NOW)) == 1


async def test_click_after_the_conversions_own_time_does_not_count(shop):
    await shop.order(phone=PHONE, time=spelled(NOW - HOUR))
    await shop.call(LANDED, IDENTIFY)

    (sent,) = await shop.sent()
    assert sent.keys() == {"hashed_email", "hashed_phone_number"}


async def test_click_has_its_age_at_the_conversions_own_time(shop):
    await shop.call(LANDED, IDENTIFY)
    shop.clock.jump(2 * DAY)
    await shop.order(time=spelled(NOW + DAY))
    await shop.sent(now=NOW + 2 * DAY + WAIT)

    (gained,) = gained_views(await shop.history())
    assert gained.age == "1 day old, within X's click windows of 1, 7, 14, 30, 60, 90 days"


async def test_click_of_a_later_copy_of_the_order_counts(shop):
    await shop.order(phone=PHONE)
    shop.clock.jump(WAIT // 2)
    await shop.order(user_id=None, twclid=CLICK)

    assert (await shop.sent())[0]["twclid"] == CLICK


async def test_sale_by_webhook_gains_the_click_of_its_customer(shop):
    order = {
        "id": 1017, "status": "completed", "customer_id": 26, "total": "49.90", "currency": "EUR",
        "date_paid_gmt": spelled(NOW), "line_items": [], "billing": {"email": MAIL},
    }  # fmt: skip
    await shop.call(LANDED, IDENTIFY | {"userId": "26", "traits": {}})

    reading = woocommerce.read(a_message(json.dumps(order).encode()), a_webhook(WOOCOMMERCE))
    await shop.accept.parsed(reading.parsed, source=shop.source, endpoint=Endpoint.WEBHOOK)

    assert await shop.sent() == [{"twclid": CLICK, "hashed_email": SHA}]


async def test_restricted_conversion_joins_nothing(shop):
    await shop.call(LANDED, IDENTIFY)
    await shop.order(phone="+44 20 7946 0958", consent={"ad_personalization": "denied"})

    (sent,) = await shop.sent(now=NOW)
    assert sent.keys() == {"hashed_phone_number"}


async def test_other_sources_of_the_pixel_are_kept_and_do_not_wait(shop):
    shop.source = waiting_source(wait=0)
    await shop.call(LANDED, IDENTIFY)
    await shop.order(email=MAIL, user_id=None)

    assert await shop.sent(now=NOW) == [{"hashed_email": SHA}]

    shop.source = waiting_source()
    await shop.order(conversion_id="order-2")
    assert await shop.sent() == [{"twclid": CLICK, "hashed_email": SHA}]


async def test_ids_and_persons_never_reach_the_store(shop, tmp_path):
    await shop.call(LANDED, IDENTIFY)
    await shop.order(visitor_id="visitor-secret")
    await shop.sent()
    await shop.store.close()

    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert SHA.encode() in files
    for person in (MAIL, "user-7", "visitor-secret", "b-1"):
        assert person.encode() not in files


async def test_source_without_a_wait_stores_nothing_of_visitors(shop):
    shop.source = a_source()
    await shop.call(LANDED, IDENTIFY)
    await shop.order(email=MAIL)

    assert shop.accept.takes_directly(shop.source)
    assert await shop.sent(now=NOW) == [{"hashed_email": SHA}]
    rows = await shop.store._database.read(  # noqa: SLF001
        lambda connection: connection.execute("SELECT count(*) FROM known_identifier").fetchone()
    )
    assert rows == (0,)


def test_wait_is_well_below_the_hours_in_which_x_drops_copies():
    assert LONGEST_WAIT <= 6 * 3_600_000
