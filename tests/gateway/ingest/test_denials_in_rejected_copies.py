"""The denial in a rejected copy applies to all copies of the conversion."""

import json

import pytest
from test_consent_at_intake import CLICK, Keeping, Shop

from builders import NOW
from memory_store.store import MemoryStore
from twite.domain.delivery import State
from twite.domain.submission import Endpoint
from twite.formats.beacon.read import read as read_beacon
from twite.formats.data_tag import read as data_tag
from twite.formats.event_data.conversions import parse_events
from twite.formats.ga4 import read as ga4
from twite.formats.measurement_protocol import read as measurement_protocol
from twite.formats.page_visit import Visitor
from twite.formats.sgtm_tag import read as sgtm_tag
from twite.gateway.ports.queries import ByConversionId
from twite.stores.sqlite import SQLiteStore

NO = {"ad_storage": "denied", "ad_user_data": "denied"}
# Each is invalid, so it is rejected unless its consent is denied.
FAULTY = {
    "no identifiers": {"email": None, "consent": NO},
    "an unknown field": {"consent": NO, "foo": 1},
    "a time of the wrong type": {"consent": NO, "time": 1764000000},
    "a value that is no amount": {"consent": NO, "value": "x", "currency": "EUR"},
    "no currency": {"consent": NO, "value": "1"},
    "a hash that is none": {"consent": NO, "phone_sha256": "abc"},
    "a text that is too long": {"consent": NO, "description": "a" * 100_000},
    "an unreadable signal beside it": {"consent": {**NO, "gpc": 1}},
    "consent that is no object": {"consent": "denied"},
    "a signal that is no text": {"consent": {"ad_storage": 0}},
    "a misspelt name of consent": {"consnet": NO},
}
BY_TAGS = {
    "data": lambda: data_tag.read(
        "v=2",
        b'{"event_name":"purchase","transaction_id":"order-1","us_privacy":"1YYN"}',
        form=False,
    ),
    "ga4": lambda: ga4.read(
        "v=2&tid=G-1&cid=1.2&en=purchase&ep.transaction_id=order-1&gcs=G100", b""
    ),
    "measurement protocol": lambda: measurement_protocol.read(
        b'{"client_id":"1.2","consent":{"ad_user_data":"DENIED"},"events":'
        b'[{"name":"purchase","params":{"transaction_id":"order-1"}}]}',
        measurement="G-1",
    ),
    "sgtm": lambda: (
        sgtm_tag.read(
            b'{"event":{"event_name":"purchase","transaction_id":"order-1","us_privacy":"1YYN"}}'
        ).tagged
    ),
}


@pytest.fixture(params=["memory", "sqlite"])
async def shop(request, tmp_path):
    if request.param == "memory":
        yield Shop(MemoryStore())
        return
    store = await SQLiteStore.open(str(tmp_path / "t.db"))
    yield Shop(store)
    await store.close()


async def histories(shop):
    return await shop.store.find(
        ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id="order-1")
    )


@pytest.mark.parametrize("fields", FAULTY.values(), ids=FAULTY)
async def test_denial_in_a_rejected_copy_withdraws_the_queued_conversion(shop, fields):
    await shop.sell()

    receipt = await shop.sell(**fields)

    assert (receipt.accepted, receipt.rejected, receipt.suppressed_indexes) == (0, (), (0,))
    assert receipt.warnings[0].warnings
    assert await shop.claim() is None
    found = await histories(shop)
    assert [life.state for life in found] == [State.SUPPRESSED] * 2
    assert sorted("according to a later copy" in life.reason for life in found) == [False, True]


@pytest.mark.parametrize("fields", FAULTY.values(), ids=FAULTY)
async def test_denial_in_an_earlier_rejected_copy_suppresses_later_copies(shop, fields):
    await shop.sell(**fields)

    receipt = await shop.sell()

    assert (receipt.accepted, receipt.duplicates) == (0, 1)
    assert await shop.claim() is None


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("fields", FAULTY.values(), ids=FAULTY)
async def test_denial_in_a_rejected_copy_applies_within_one_request(shop, fields, is_first):
    good = {"event": "purchase", "conversion_id": "order-1", "email": "a@example.com"}
    pair = [good | fields, good] if is_first else [good, good | fields]

    await shop.accept.native(source=shop.source, body=json.dumps({"conversions": pair}).encode())

    assert await shop.claim() is None


@pytest.mark.parametrize("read", BY_TAGS.values(), ids=BY_TAGS)
async def test_denial_of_a_tag_without_identifiers_withdraws_the_queued_conversion(shop, read):
    await shop.sell()
    tagged = read()
    found = parse_events(
        tagged.events,
        source=shop.source,
        destinations=shop.destinations,
        visitor=Visitor(now=NOW),
        unread=tagged.unread,
    )

    receipt = await shop.accept.parsed(found, source=shop.source, endpoint=Endpoint.GA4)

    assert receipt.suppressed_indexes == (0,)
    assert await shop.claim() is None


async def test_denial_of_the_script_without_identifiers_withdraws_the_conversion(shop):
    await shop.sell()
    message = {
        "v": 1,
        "sent": 1,
        "consent": NO,
        "conversions": [{"event": "purchase", "conversion_id": "order-1"}],
    }
    found = read_beacon(json.dumps(message).encode(), Visitor(now=NOW)).parsed

    await shop.accept.parsed(found, source=shop.source, endpoint=Endpoint.BEACON)

    assert await shop.claim() is None


async def test_rejected_copy_of_an_opted_out_person_withdraws_the_conversion(shop):
    await shop.sell(twclid=CLICK, email=None)
    await shop.choice("denied", email="shopper@example.com")

    receipt = await shop.sell(foo=1)

    assert receipt.suppressed_reasons[0].reason == "consent_revoked"
    assert await shop.claim() is None


@pytest.mark.parametrize(
    "fields",
    [
        {"consent": {"ad_storage": "granted"}, "foo": 1},
        {"foo": 1},
        {"consent": NO, "event": "unheard"},
        {"consent": NO, "conversion_id": 1.5},
        {"consent": NO, "conversion_id": "a" * 300},
        {"consent": NO, "conversion_id": "a@example.com", "foo": 1},
        {"consent": NO, "pixel": "nobody"},
        {"consent": NO, "conversion_id": None, "foo": 1},
    ],
    ids=str,
)
async def test_copy_without_a_denial_or_a_key_stays_rejected(shop, fields):
    await shop.sell()

    receipt = await shop.sell(**fields)

    assert [refusal.index for refusal in receipt.rejected] == [0]
    assert [given.conversion_id for given in (await shop.claim()).deliveries] == ["order-1"]


@pytest.mark.parametrize("fields", FAULTY.values(), ids=FAULTY)
async def test_denial_in_a_rejected_copy_stores_no_personal_data(fields):
    store = Keeping()

    await Shop(store).sell(**{"twclid": CLICK, "ip": "203.0.113.7"} | fields)

    [submission] = store.submissions
    [entry] = submission.entries
    kept = (submission.body + entry.body + (entry.consent or b"")).decode()
    assert not [text for text in (CLICK, "203.0.113.7", "shopper", "_sha256") if text in kept]
