"""sgtm/twite-tag.tpl forwards exactly the event fields that `POST /v1/sgtm` reads.

An event that records the requested fields shows which ones the route reads.
"""

import hashlib
import json
from pathlib import Path

import msgspec

from twite.domain import normalize
from twite.domain.incoming_request import IncomingRequest
from twite.domain.times import spelled
from twite.formats.event_data.consent import SIGNALS
from twite.formats.event_data.conversions import in_our_words
from twite.formats.page_visit import Visitor
from twite.formats.parsed_request import Native, TagEvent
from twite.formats.sgtm_tag import read as sgtm
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.effects import HttpEffect
from twite.tags.template.fields import fill
from twite.tags.template.permissions import policy
from twite.tags.template.sandbox import Call, ContainerVersion
from twite.tags.template.template import read_template

TAG = read_template((Path(__file__).parents[2] / "sgtm/twite-tag.tpl").read_bytes())
ENGINE = QuickJsEngine(TAG)
NOW = 1_764_000_000_000
SERVER = Visitor(trusted=True, now=NOW)
DIGEST = hashlib.sha256(b"shopper@example.com").hexdigest()
NAMED = {"event_name": "purchase"}


class Remembering(dict):
    """An event that records the requested names."""

    def __init__(self, given):
        super().__init__(given)
        self.asked = set()

    def get(self, name, default=None):
        self.asked.add(name)
        return super().get(name, default)

    def __contains__(self, name):
        self.asked.add(name)
        return super().__contains__(name)


def fields_the_endpoint_reads():
    """Return the paths of the leaves, dotted if nested."""
    asked = set()
    # Without a currency, the value is not read.
    for said in ({}, {"currency": "EUR"}):
        event = Remembering(said)
        in_our_words(TagEvent(event=event, visitor=SERVER))
        asked |= event.asked
    tables = {place.partition(".")[0] for place in asked if "." in place}
    return asked - tables


PLACES = sorted((fields_the_endpoint_reads() | SIGNALS.keys()) - {"event_name"})


def a_value_for(place):
    """Return a value that the route accepts at a path."""
    last = place.rpartition(".")[2]
    if last in {"items", "contents"}:
        return [{"item_id": "SKU-1"}]
    if last in {"x-ga-mp2-user_properties", "x-sst-system_properties"}:
        return {"us_privacy": "1YYN"}
    if last in {"consent_state", "consent"}:
        return {"ad_storage": "granted"}
    by_part = {
        "sha256": DIGEST,
        "hashed": DIGEST,
        "mail": "Shopper@example.com",
        "phone": "+44 20 7946 0958",
        "referrer": "https://shop.example/?twclid=abc-1",
        "micros": NOW * 1_000,
        "timestamp": NOW,
        "time": "2026-11-24T10:00:00Z",
        "dateiso": "2026-11-24T10:00:00Z",
        "location": "https://shop.example/thanks",
        "url": "https://shop.example/thanks",
        "href": "https://shop.example/thanks",
        "country": "DE",
        "x-ga-ur": "DE-BE",
        "currency": "EUR",
        "twpid": "tw.1.2",
        "customer_type": "returning",
        "new_customer": "true",
    }
    return next((value for part, value in by_part.items() if part in last.lower()), "12.50")


def an_event(place):
    event = {**NAMED}
    if place in {"value", "ecommerce.value", "revenue", "e_v", "x-ga-mp1-ev", "x-ga-mp1-tr"}:
        event["currency"] = "EUR"
    *tables, last = place.split(".")
    inside = event
    for table in tables:
        inside = inside.setdefault(table, {})
    inside[last] = a_value_for(place)
    return event


def forwarded(event):
    """Return the event that the tag sends."""
    fields = fill(TAG.fields, {"gatewayUrl": "https://t.shop.example", "sourceKey": "key"})
    turn = ENGINE.start(
        Call(
            fields=fields,
            event=event,
            now=NOW,
            container=ContainerVersion(debug_mode=True),
            request=IncomingRequest(),
        )
    )
    assert turn.error is None
    [request] = [effect for effect in turn.effects if isinstance(effect, HttpEffect)]
    return request.body.encode()


def read(event) -> Native:
    said = in_our_words(TagEvent(event=event, visitor=SERVER))
    email, phone = said.email, said.phone
    return msgspec.structs.replace(
        said,
        email=email and normalize.email_digest(email, path="email"),
        phone=phone and normalize.phone_digest(phone, region=None, path="phone"),
    )


def fields_of(said):
    return {name: getattr(said, name) for name in Native.__struct_fields__}


def test_route_reads_the_forwarded_event_like_the_original():
    unread = fields_of(read(NAMED))
    for place in PLACES:
        event = an_event(place)

        [sent] = sgtm.read(forwarded(event)).tagged.events

        whole = read(event)
        assert fields_of(whole) != unread, f"no value of the test is read at {place}"
        expected = fields_of(whole) | {"time": whole.time or spelled(NOW)}
        assert fields_of(read(sent)) == expected, place


def test_forwarded_fields_are_those_that_the_route_reads():
    assert {"ecommerce.transaction_id", "dateISO", "user_data.email_address", "x-ga-gcd"} <= set(
        PLACES
    )
    assert len(PLACES) > 60


def test_key_of_a_repeated_hit_is_forwarded():
    event = NAMED | dict.fromkeys(sgtm.REPEATED, "5")

    whole = sgtm.read(json.dumps({"event": event}).encode()).tagged.repeated

    assert whole != (None,)
    assert sgtm.read(forwarded(event)).tagged.repeated == whole


def test_twite_tag_sends_only_fields_that_the_route_reads():
    event = {**NAMED}
    for place in policy(TAG.grants).event:
        *tables, last = place.replace("\\", "").split(".")
        inside = event
        for table in tables:
            inside = inside.setdefault(table, {})
        inside.setdefault(last, a_value_for(last))

    [sent] = sgtm.read(forwarded(event)).tagged.events

    spelled_otherwise = {"usPrivacy", "usprivacy", "US_PRIVACY"}
    read_there = {*PLACES, *sgtm.REPEATED, *NAMED, *spelled_otherwise}
    tables = {place.partition(".")[0] for place in PLACES if "." in place}
    assert set(sent) - read_there - tables == set()
