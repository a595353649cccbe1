"""`POST /v1/consent`: a person took consent back, or gave it again."""

from collections.abc import Mapping
from typing import Final, Literal, Protocol

import msgspec
from starlette.types import Receive

from twite.collector.answers import CODES, Answer, Errors, Refused, Wrong
from twite.collector.bodies import read_body, require_json
from twite.domain.destination import Source
from twite.gateway.choose import Chosen, Unusable

MOST_BODY: Final = 64 * 1024


class Chooses(Protocol):
    """What this route needs of the gateway: see gateway.choose.Choose."""

    async def note(self, *, source: Source, body: bytes) -> Chosen: ...


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """What holds from now on, and for how many identifiers of the person."""

    consent: Literal["granted", "revoked"]
    identifiers: int


class ChoiceRoute:
    """Notes what a source tells of a person."""

    def __init__(self, choose: Chooses) -> None:
        self._choose = choose

    async def answer(
        self, source: Source, headers: Mapping[bytes, bytes], receive: Receive
    ) -> Answer:
        """Raises Refused, Gone, Malformed, LedgerUnavailable."""
        require_json(headers)
        body = await read_body(headers, receive, MOST_BODY)
        try:
            chosen = await self._choose.note(source=source, body=body)
        except Unusable as unusable:
            raise Refused(_refusal(unusable)) from None
        noted = Noted(
            consent="revoked" if chosen.revoked else "granted", identifiers=chosen.identifiers
        )
        return Answer(status=200, body=_ENCODER.encode(noted))


def _refusal(unusable: Unusable) -> Answer:
    wrong = tuple(
        Wrong(path=one.path, code=one.code, message=one.message) for one in unusable.faults
    ) or (Wrong(path="consent", code="consent_unclear", message=CODES["consent_unclear"]),)
    return Answer(status=422, body=_ENCODER.encode(Errors(errors=wrong)))


_ENCODER: Final = msgspec.json.Encoder()
