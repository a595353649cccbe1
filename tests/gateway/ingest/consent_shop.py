import json

import msgspec

from builders import NOW, a_destination, a_source
from fakes import MovingClock, SeededRandomness
from memory_store.store import MemoryStore
from twite.domain.consent import ConsentPolicy
from twite.domain.times import MINUTE
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.consent_choice import (
    PolicyChange,
    RecordConsentChoice,
)
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.queries import ByConversionId

EMAIL = "shopper@example.com"
CLICK = "23opevjt88psuo13lu8d020qkn"


class Shop:
    """A source, a store, and intake between them."""

    def __init__(self, store=None, *, seed=0, **policy):
        self.store = store or MemoryStore()
        self.clock = MovingClock(NOW)
        self.notices = []
        self.destinations = {pixel: a_destination(pixel) for pixel in ("o8z6j", "p2")}
        self.accept = Accept(
            intake=self.store,
            clock=self.clock,
            randomness=SeededRandomness(seed),
            destinations=self.destinations,
            salt=self.store.salt,
            wake=lambda _pixel: None,
            privacy=self.store,
        )
        self.choose = RecordConsentChoice(
            privacy=self.store, clock=self.clock, salt=self.store.salt
        )
        self.policy(**policy)

    def policy(self, **policy):
        self.source = msgspec.structs.replace(a_source(), consent=ConsentPolicy(**policy))

    async def sell(self, conversion_id="order-1", **fields):
        order = {"event": "purchase", "conversion_id": conversion_id, "email": EMAIL} | fields
        return await self.accept.native(source=self.source, body=json.dumps(order).encode())

    async def sell_as_x(self, conversion_id="order-1", click=CLICK):
        order = {
            "conversion_time": "2026-11-24T10:00:00.000Z",
            "event_id": "o8z6k",
            "conversion_id": conversion_id,
            "identifiers": [{"twclid": click}],
        }
        body = json.dumps({"conversions": [order]}).encode()
        return await self.accept.from_x(destination=a_destination(), body=body)

    async def choice(self, word, **person):
        body = json.dumps(person | {"consent": {"ad_user_data": word}}).encode()
        return await self.choose.note(source=self.source, body=body)

    async def history(self, conversion_id="order-1"):
        (history,) = await self.store.find(
            ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id=conversion_id)
        )
        return history

    async def claim(self):
        return await self.store.claim(
            Claim(
                pixel="o8z6j", now=self.clock.now(), lease_until=self.clock.now() + MINUTE,
                limit=500, ambiguous_after=0,
            )
        )  # fmt: skip

    async def both_histories(self):
        """Return the histories of an order at the pixel and at the tag."""
        of_tag = await self.store.find(
            ByConversionId(pixel="tag:crm", events=["purchase"], conversion_id="order-1")
        )
        return [await self.history(), *of_tag]

    async def start_again(self):
        """Apply the policies as the gateway does when it starts."""
        return await PolicyChange(
            sources=[self.source], store=self.store, clock=self.clock, observer=self
        ).once()

    def see(self, notice):
        self.notices.append(notice)
