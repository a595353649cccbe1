"""Identifiers are joined only for the same person, and forgotten after a denial."""

import pytest
from joined_stage import (
    CLICK,
    DENIED,
    IDENTIFY,
    IDENTIFY_USER,
    LANDED,
    MAIL,
    PHONE,
    SHA,
    WAIT,
    Shop,
    waiting_source,
)

from builders import NOW
from twite.domain.joins import LONGEST_WAIT
from twite.domain.times import HOUR, spelled
from twite.stores.sqlite import SQLiteStore


@pytest.fixture
async def shop(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    yield Shop(store, waiting_source())
    await store.close()


@pytest.mark.parametrize("late", [False, True])
async def test_denied_identify_joins_nothing_in_any_order(shop, late):
    await shop.order(email="other@example.com")
    if late:
        await shop.call(LANDED, IDENTIFY)
        await shop.call(IDENTIFY, **DENIED)
    else:
        await shop.call(IDENTIFY, **DENIED)
        await shop.call(LANDED, IDENTIFY)

    (sent,) = await shop.sent()
    assert sent.keys() == {"hashed_email"}


async def test_denial_forgets_the_person_under_linked_keys(shop):
    await shop.call(LANDED, IDENTIFY)
    shop.clock.jump(WAIT + 1)
    await shop.call(IDENTIFY_USER, **DENIED)
    shop.clock.jump(WAIT + 1)
    await shop.order(user_id=None, visitor_id="b-1", phone=PHONE)

    (sent,) = await shop.sent()
    assert sent.keys() == {"hashed_phone_number"}


async def test_nothing_from_before_a_denial_is_joined_if_the_keys_are_linked_later(shop):
    await shop.call(LANDED)
    shop.clock.jump(1)
    await shop.call(IDENTIFY_USER, **DENIED)
    shop.clock.jump(2 * LONGEST_WAIT + 1)
    await shop.call(IDENTIFY)
    await shop.order(phone=PHONE)

    (sent,) = await shop.sent()
    assert sent.keys() == {"hashed_phone_number", "hashed_email"}


async def test_event_from_before_a_denial_that_arrives_later_is_not_joined(shop):
    await shop.call(IDENTIFY, **DENIED)
    shop.clock.jump(2 * LONGEST_WAIT)
    before = spelled(NOW - HOUR)
    lead = {"event": "sign_up", "time": before, "email": MAIL, "twclid": CLICK}
    await shop.order(**lead, conversion_id="lead-1")
    await shop.order(phone=PHONE)

    assert {"hashed_phone_number"} in [sent.keys() for sent in await shop.sent()]


async def test_browser_of_a_user_stays_linked_over_many_orders(shop):
    await shop.call(LANDED, IDENTIFY)
    for number in range(40):
        shop.clock.jump(1)
        await shop.order(conversion_id=f"order-{number}", email=MAIL)

    assert {sent["twclid"] for sent in await shop.sent()} == {CLICK}


async def test_person_who_agrees_again_after_a_denial_is_joined(shop):
    await shop.call(LANDED, IDENTIFY, **DENIED)
    shop.clock.jump(WAIT + 1)
    await shop.call(LANDED, IDENTIFY)
    await shop.order()

    assert await shop.sent() == [{"twclid": CLICK, "hashed_email": SHA}]


async def test_denial_is_stored_under_a_key_with_many_rows(shop):
    for number in range(40):
        await shop.call(IDENTIFY | {"anonymousId": f"b-{number}"})
    await shop.call(IDENTIFY_USER, **DENIED)
    await shop.call(LANDED, IDENTIFY)
    await shop.order(phone=PHONE)

    (sent,) = await shop.sent()
    assert sent.keys() == {"hashed_phone_number"}


async def test_latest_browser_of_a_user_with_many_orders_is_linked(shop):
    for number in range(40):
        await shop.order(conversion_id=f"old-{number}", email=MAIL)
    await shop.sent()
    shop.clock.jump(WAIT + 1)
    await shop.call(LANDED, IDENTIFY)
    await shop.order()

    assert await shop.sent() == [{"twclid": CLICK, "hashed_email": SHA}]


async def test_events_with_the_same_id_are_not_one_order(shop):
    await shop.order(event="sign_up", email=MAIL, twclid=CLICK, user_id=None)
    await shop.order(phone=PHONE, user_id=None)

    assert {"hashed_phone_number"} in [sent.keys() for sent in await shop.sent()]


async def test_lead_and_purchase_of_one_user_are_joined(shop):
    await shop.order(event="sign_up", conversion_id="lead-1", email=MAIL, twclid=CLICK)
    await shop.order()

    assert {"twclid": CLICK, "hashed_email": SHA} in await shop.sent()


GUEST = "guest@example.com"


@pytest.mark.parametrize("first", ["guest", "user"])
async def test_guest_and_user_of_one_browser_exchange_no_email(shop, first):
    guest = {"visitor_id": "b-1", "user_id": None, "conversion_id": "guest"}
    user = {"visitor_id": "b-1", "conversion_id": "user"}
    steps = [
        lambda: shop.order(**guest, email=GUEST),
        lambda: shop.order(**user, phone=PHONE),
    ]
    if first == "user":
        steps = [
            lambda: shop.order(**user, email=MAIL),
            lambda: shop.order(**guest, phone=PHONE),
        ]
    for step in steps:
        await step()

    for sent in await shop.sent():
        assert len(sent) == 1


async def test_browser_of_two_users_gives_neither_what_a_guest_said(shop):
    guest = {"visitor_id": "b-1", "user_id": None, "email": GUEST, "twclid": CLICK}
    await shop.order(**guest, conversion_id="guest")
    await shop.call(IDENTIFY | {"userId": "other", "traits": {}})
    await shop.order(visitor_id="b-1", phone=PHONE)
    await shop.order(visitor_id="b-1", user_id=None, phone=PHONE, conversion_id="guest-2")

    alone = {"hashed_phone_number"}
    assert [sent.keys() for sent in await shop.sent()][1:] == [alone, alone]


async def test_other_user_of_a_second_browser_gets_nothing(shop):
    await shop.call(LANDED, IDENTIFY)
    await shop.call(IDENTIFY | {"anonymousId": "b-2"})
    await shop.call(IDENTIFY | {"anonymousId": "b-2", "userId": "other", "traits": {}})
    await shop.order(user_id="other", visitor_id="b-2", phone=PHONE)

    (sent,) = await shop.sent()
    assert sent.keys() == {"hashed_phone_number"}


async def test_page_copy_of_a_users_order_gains_the_users_identifiers(shop):
    await shop.call(LANDED, IDENTIFY)
    await shop.order(user_id=None, phone=PHONE)
    await shop.order()

    (sent,) = await shop.sent()
    assert sent.keys() == {"twclid", "hashed_email", "hashed_phone_number"}


async def test_placeholder_user_of_many_persons_gives_nobody_an_email(shop):
    for number in range(40):
        traits = {"email": f"p{number}@example.com"}
        await shop.call(IDENTIFY | {"anonymousId": f"b-{number}", "traits": traits})
    await shop.order(phone=PHONE)

    (sent,) = await shop.sent()
    assert "hashed_email" not in sent


@pytest.mark.parametrize("apart", [1, HOUR])
async def test_placeholder_of_few_strangers_joins_the_next_to_none_of_them(shop, apart):
    for number in range(4):
        name, mail = f"order-{number}", f"p{number}@example.com"
        await shop.order(conversion_id=name, user_id="till 3", email=mail, twclid=CLICK)
        shop.clock.jump(apart)
    await shop.sent()
    await shop.order(conversion_id="last", user_id="till 3", phone=PHONE)

    (sent,) = await shop.sent()
    assert sent.keys() == {"hashed_phone_number"}


@pytest.mark.parametrize("name", ["user-7", "1", "test@shop.example", "77", "0x7f", "ab-00"])
async def test_ids_of_one_person_are_joined(shop, name):
    await shop.call(IDENTIFY | {"userId": name, "anonymousId": "b-1"})
    await shop.order(user_id=name, phone=PHONE)

    (sent,) = await shop.sent()
    assert sent["hashed_email"] == SHA


@pytest.mark.parametrize(
    "nobody",
    [
        *("0", "null", " guest ", "undefined", "x" * 257, ""),
        *("-", "(none)", "{{user_id}}", "${u}", "-1", "walk-in", "WALK IN", "server", "Guest User"),
        *("anon", "test", "undefined.undefined", "GA1.1.undefined", "[object Undefined]", "0.0"),
        *("not logged in", "00000000000000000000000000000000", "<user_id>", "{user_id}", "-0"),
        *("%user_id%", "#USER_ID#", "(user)", "%7B%7Buid%7D%7D", "N/A ", "default", "no-user"),
        "11111111-1111-1111-1111-111111111111",
    ],
)
async def test_placeholder_ids_join_no_strangers(shop, nobody):
    await shop.call(IDENTIFY | {"userId": nobody, "anonymousId": nobody})
    await shop.order(user_id=nobody, phone="+44 20 7946 0958")

    (sent,) = await shop.sent()
    assert "hashed_email" not in sent


COMPANY = {"email": "other@company.example", "phone": "+442079460000"}


@pytest.mark.parametrize(
    "call",
    [
        {"type": "group", "groupId": "g-1", "traits": COMPANY},
        {"type": "alias", "previousId": "b-1", "traits": COMPANY},
        {"type": "page", "properties": COMPANY},
        {"type": "track", "event": "Friend Invited", "properties": COMPANY},
        {"type": "track", "event": "Gift Sent", "properties": {"mail": COMPANY["email"]}},
    ],
)
async def test_persons_that_other_calls_are_about_are_not_joined(shop, call):
    await shop.order(twclid=CLICK)
    await shop.call(call | {"userId": "user-7@shop.example", "messageId": "m-9"})

    (sent,) = await shop.sent()
    assert sent.keys() == {"twclid"}


async def test_traits_in_the_context_of_any_call_are_joined(shop):
    await shop.order()
    track = {"type": "track", "event": "X", "userId": "user-7@shop.example", "messageId": "m-9"}
    await shop.call(track, context={"traits": {"email": MAIL}})

    (sent,) = await shop.sent()
    assert sent == {"hashed_email": SHA}


async def test_email_of_a_calls_properties_is_joined_if_the_call_is_a_conversion(shop):
    await shop.order(twclid=CLICK)
    call = {"type": "track", "event": "Order Completed", "messageId": "m-9"}
    own = {"order_id": "order-1", "email": MAIL, "value": 49.9, "currency": "EUR"}
    await shop.call(call | {"properties": own, "userId": "user-7@shop.example"})

    (sent,) = await shop.sent()
    assert sent["hashed_email"] == SHA
