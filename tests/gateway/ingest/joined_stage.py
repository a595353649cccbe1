"""A shop whose conversions wait for what other events of their visitor say."""

import hashlib
import json

import msgspec

from builders import NOW, a_destination, a_source
from fakes import MovingClock, SeededRandomness
from twite.domain.submission import Endpoint
from twite.formats.event_data.conversions import parse_events
from twite.formats.page_visit import SERVER
from twite.formats.segment import read as segment
from twite.formats.segment.event import CallContext
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.queries import ByConversionId

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
