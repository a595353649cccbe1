"""`POST /-/desk`: how a command of the same machine reaches the gateway that owns the store."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from starlette.types import Receive

from twite.collector.answers import Answer, Refused, error
from twite.collector.bodies import read_body
from twite.collector.keys import bearer
from twite.domain.secret import Secret
from twite.gateway.ports import Clock, Desk

Delivery = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done to which deliveries. `note` is the reason that discarded ones get."""

    do: Literal["replay", "discard"]
    deliveries: tuple[Delivery, ...]
    note: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries it was done to."""

    done: int


class DeskRoute:
    """Obeys whoever holds the token. Without one, or with a wrong one, there is no such route."""

    def __init__(self, *, desk: Desk, clock: Clock, token: Secret | None, body_limit: int) -> None:
        self._desk = desk
        self._clock = clock
        self._token = token
        self._body_limit = body_limit

    def opens_to(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether the request carries the token."""
        offered = bearer(headers)
        return (
            self._token is not None
            and offered is not None
            and self._token.matches(offered.decode("latin-1"))
        )

    async def answer(self, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        """Raises Refused and Gone, and LedgerUnavailable where the store is."""
        body = await read_body(headers, receive, self._body_limit)
        try:
            order = _DECODER.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as wrong:
            raise Refused(error(400, "wrong_shape", str(wrong))) from None
        now = self._clock.now()
        if order.do == "replay":
            done = await self._desk.replay(order.deliveries, now=now)
        else:
            done = await self._desk.discard(order.deliveries, now=now, note=order.note)
        return Answer(status=200, body=_ENCODER.encode(Done(done=done)))


_DECODER: Final = msgspec.json.Decoder(Order)
_ENCODER: Final = msgspec.json.Encoder()
