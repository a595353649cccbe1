"""What is known of a visitor is forgotten after an erasure, an opt-out and a denial."""

import msgspec
import pytest
from joined_stage import (
    CLICK,
    DENIED,
    IDENTIFY,
    IDENTIFY_USER,
    LANDED,
    MAIL,
    PHONE,
    PIXEL,
    SHA,
    Shop,
    waiting_source,
)

from store_contract.joined_erasure import search_of, traces
from twite.domain.consent import person_keys
from twite.domain.conversion import Identifiers
from twite.domain.delivery import State
from twite.domain.people.erasure import CONVERSION_ID
from twite.domain.times import DAY, HOUR
from twite.gateway.ingest.consent_choice import PolicyChange
from twite.gateway.ports.events import SilentObserver
from twite.gateway.ports.privacy import EraseStore
from twite.stores.sqlite import SQLiteStore


@pytest.fixture
async def shop(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    yield Shop(store, waiting_source())
    await store.close()


async def test_erasure_by_order_id_forgets_the_user_of_an_order_that_did_not_wait(shop):
    await shop.order(conversion_id="first", email=MAIL, phone=PHONE, twclid=CLICK)
    found = await traces(shop.store, search_of(CONVERSION_ID, "first"))
    erasing = EraseStore(conversions=tuple(found.conversions), known=tuple(found.known))
    await shop.store.erase(erasing, now=shop.clock.now())
    shop.clock.jump(1)
    await shop.order(conversion_id="second", phone="+44 20 7946 0000")

    sent = await shop.sent()
    assert SHA not in str(sent)
    assert CLICK not in str(sent)


@pytest.mark.parametrize("later", [1, 13 * HOUR])
async def test_conversion_of_a_user_who_opted_out_by_email_is_suppressed(shop, later):
    await shop.call(LANDED, IDENTIFY)
    await opt_out(shop)
    shop.clock.jump(later)
    await shop.order(phone=PHONE)

    assert await shop.sent() == []
    assert (await shop.history()).state == State.SUPPRESSED


async def test_browser_of_a_person_who_opted_out_gives_nobody_a_click(shop):
    await shop.call(LANDED, IDENTIFY)
    await opt_out(shop)
    shop.clock.jump(13 * HOUR)
    await shop.order(user_id=None, visitor_id="b-1", phone=PHONE)

    (sent,) = await shop.sent()
    assert sent.keys() == {"hashed_phone_number"}


async def test_denial_in_the_first_of_many_browsers_of_a_user_counts(shop):
    for number in range(40):
        await shop.call(IDENTIFY | {"anonymousId": f"b-{number}"})
        shop.clock.jump(1)
    await shop.order(phone=PHONE)
    await shop.call({"type": "page", "anonymousId": "b-0", "messageId": "m-3"}, **DENIED)
    shop.clock.jump(1)
    await shop.call(IDENTIFY_USER | {"messageId": "m-4"})

    (sent,) = await shop.sent()
    assert sent.keys() == {"hashed_phone_number"}


@pytest.mark.parametrize("is_reload", [False, True])
async def test_click_from_before_a_denial_that_came_without_a_wait_is_not_joined(shop, is_reload):
    await shop.call(LANDED, IDENTIFY)
    waiting = shop.source
    shop.source = msgspec.structs.replace(waiting, wait=0, joined_pixels=frozenset())
    other = msgspec.structs.replace(waiting, name="other", joined_pixels=frozenset({"o8z7x"}))
    await PolicyChange(
        sources=[shop.source, other] if is_reload else [shop.source],
        store=shop.store,
        clock=shop.clock,
        observer=SilentObserver(),
        unjoined=waiting.joined_pixels if is_reload else frozenset(),
    ).once()
    shop.clock.jump(DAY)
    await shop.call(LANDED, IDENTIFY, **DENIED)
    shop.source = waiting
    await shop.order(phone=PHONE)

    (sent,) = await shop.sent()
    assert sent.keys() == {"hashed_phone_number"}


async def opt_out(shop):
    """Do what /v1/consent does for an email."""
    keys = person_keys(Identifiers(email=SHA), pixel=PIXEL, salt=shop.store.salt)
    await shop.store.revoke(keys, now=shop.clock.now())
