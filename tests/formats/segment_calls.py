"""Calls of Segment's API, and their result without a server."""

import json

from tag_cases import DESTINATIONS, NOW, a_shop, read_natively

from twite.formats.event_data.conversions import parse_events
from twite.formats.page_visit import Visitor
from twite.formats.segment.event import CallContext
from twite.formats.segment.read import read

CLICK = "23opevjt88psuo13lu8d020qkn"
SERVER = Visitor(trusted=True, now=NOW)
PAGE = Visitor(ip="203.0.113.7", user_agent="Mozilla/5.0", now=NOW)
ORDER = {
    "type": "track",
    "event": "Order Completed",
    "userId": "user-7",
    "messageId": "m-1",
    "properties": {"order_id": "O-1", "total": 49.9, "currency": "EUR"},
    "context": {"traits": {"email": "shopper@shop.example"}},
}


def read_all(body, *, call="batch", visitor=SERVER, named=(), events=None):
    """Return the parsed request, and the result of each conversion."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    context = CallContext(named=named, now=NOW, from_page=not visitor.trusted)
    tagged = read(sent, call=call, call_context=context).tagged
    found = parse_events(
        tagged.events,
        source=a_shop(events),
        destinations=DESTINATIONS,
        visitor=visitor,
        repeated=tagged.repeated,
        unread=tagged.unread,
    )
    return found, read_natively(found, a_shop(events)).results


def batch(*calls, **said):
    return {"batch": list(calls), **said}


def order(properties=None, context=None, **said):
    """Return an order; values of None remove a field."""
    call = ORDER | said
    call["properties"] = ORDER["properties"] | (properties or {})
    call["context"] = ORDER["context"] | (context or {})
    return call


def conversion_of(call, **said):
    _, (result,) = read_all(batch(call), **said)
    assert result.conversion is not None, result.faults
    return result.conversion


def signals_of(call, **said):
    found, _ = read_all(batch(call, **said.pop("shared", {})), **said)
    return found.conversions[0].consent
