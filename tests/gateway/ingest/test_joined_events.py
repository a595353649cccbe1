"""Conversions wait for what other events of their visitor say: requests through to the outbox."""

import hashlib
import json

import msgspec
import pytest

from builders import NOW, a_destination, a_source
from fakes import MovingClock, SeededRandomness
from twite.domain.delivery import State
from twite.domain.joins import LONGEST_WAIT, NOTHING_KNOWN
from twite.domain.submission import Endpoint
from twite.domain.times import DAY, HOUR, spelled
from twite.formats.event_data.conversions import parse_events
from twite.formats.page_visit import SERVER
from twite.formats.segment import read as segment
from twite.formats.segment.event import CallContext
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.queries import ByConversionId
from twite.http.routes.reports import gained_views
from twite.stores.sqlite import SQLiteStore

PIXEL = "o8z6j"
WAIT = 60_000
CLICK = "2-3k9x0abcd1efgh2ijkl3mnop4q"
MAIL = "shopper@example.com"
SHA = hashlib.sha256(MAIL.encode()).hexdigest()
LANDED = {
    "type": "page",
    "anonymousId": "b-1",
    "messageId": "m-1",
    "context": {"page": {"url": f"https://shop.example/?twclid={CLICK}"}},
}
IDENTIFY = {
    "type": "identify",
    "anonymousId": "b-1",
    "userId": "user-7@shop.example",
    "messageId": "m-2",
    "traits": {"email": MAIL},
}
IDENTIFY_USER = {key: value for key, value in IDENTIFY.items() if key != "anonymousId"}
ORDER = {
    "event": "purchase",
    "conversion_id": "order-1",
    "user_id": "user-7@shop.example",
    "value": "49.90",
    "currency": "EUR",
}
PHONE = "+44 20 7946 0958"
DENIED = {"context": {"consent": {"categoryPreferences": {"ads": False}}}}


class Shop:
    """A gateway without a sender: `accept` and its store."""

    def __init__(self, store, source):
        self.store, self.source = store, source
        self.clock = MovingClock(NOW)
        self.accept = Accept(
            intake=store,
            clock=self.clock,
            randomness=SeededRandomness(),
            destinations={PIXEL: a_destination(PIXEL)},
            salt=store.salt,
            wake=lambda _pixel: None,
            privacy=store,
        )

    async def call(self, *calls, **changes):
        """Send calls of Segment's API."""
        body = json.dumps({"batch": [call | changes for call in calls]}).encode()
        context = CallContext(now=self.clock.now())
        found = parse_events(
            segment.read(body, call="batch", call_context=context).tagged.events,
            source=self.source,
            destinations=self.accept.destinations,
            visitor=SERVER,
        )
        return await self.accept.parsed(found, source=self.source, endpoint=Endpoint.SEGMENT)

    async def order(self, **changes):
        body = json.dumps(ORDER | changes).encode()
        return await self.accept.native(source=self.source, body=body)

    async def sent(self, now=None):
        """Return the identifiers of each conversion that is ready, by default after the wait."""
        now = self.clock.now() + WAIT if now is None else now
        bodies = []
        while batch := await self.store.claim(
            Claim(pixel=PIXEL, now=now, lease_until=now + 1, limit=99, ambiguous_after=0)
        ):
            bodies += [msgspec.json.decode(delivery.body) for delivery in batch.deliveries]
        return [
            {name: value for element in body["identifiers"] for name, value in element.items()}
            for body in bodies
        ]

    async def history(self, name="order-1"):
        (history,) = await self.store.find(
            ByConversionId(pixel=PIXEL, events=None, conversion_id=name)
        )
        return history


def waiting_source(wait=WAIT):
    return msgspec.structs.replace(a_source(), wait=wait, joined_pixels=frozenset({PIXEL}))


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


@pytest.mark.parametrize(
    "nobody",
    [
        *("0", "null", " guest ", "undefined", "x" * 257, ""),
        *("-", "(none)", "{{user_id}}", "${u}"),
    ],
)
async def test_placeholder_ids_join_no_strangers(shop, nobody):
    await shop.call(IDENTIFY | {"userId": nobody, "anonymousId": nobody})
    await shop.order(user_id=nobody, phone="+44 20 7946 0958")

    (sent,) = await shop.sent()
    assert "hashed_email" not in sent


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
