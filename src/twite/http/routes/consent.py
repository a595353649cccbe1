"""`POST /v1/consent`: a person withdraws consent, or gives it again."""

from collections.abc import Mapping
from typing import Final, Literal, Protocol

import msgspec
from starlette.types import Receive

from twite.domain.destination import Source
from twite.gateway.ingest.consent_choice import ConsentChoiceResult, UnusableChoice
from twite.http.bodies import read_body, require_json
from twite.http.responses import CODES, ErrorBody, ErrorDetail, HttpRefusal, HttpResponse

MOST_BODY: Final = 64 * 1024


class RecordsChoice(Protocol):
    """The gateway's consent recorder."""

    async def note(self, *, source: Source, body: bytes) -> ConsentChoiceResult: ...


class ChoiceNoted(msgspec.Struct, frozen=True, kw_only=True):
    """The choice that now holds, and for how many identifiers of the person."""

    consent: Literal["granted", "revoked"]
    identifiers: int


class ConsentRoute:
    """Records a consent choice that a source reports."""

    def __init__(self, choose: RecordsChoice) -> None:
        self._choose = choose

    async def answer(
        self, source: Source, headers: Mapping[bytes, bytes], receive: Receive
    ) -> HttpResponse:
        """Raises HttpRefusal, ClientGone, MalformedRequest, LedgerUnavailable."""
        require_json(headers)
        body = await read_body(headers, receive, MOST_BODY)
        try:
            chosen = await self._choose.note(source=source, body=body)
        except UnusableChoice as unusable:
            raise HttpRefusal(_refusal(unusable)) from None
        noted = ChoiceNoted(
            consent="revoked" if chosen.revoked else "granted", identifiers=chosen.identifiers
        )
        return HttpResponse(status=200, body=_ENCODER.encode(noted))


def _refusal(unusable: UnusableChoice) -> HttpResponse:
    wrong = tuple(
        ErrorDetail(path=fault.path, code=fault.code, message=fault.message)
        for fault in unusable.faults
    ) or (ErrorDetail(path="consent", code="consent_unclear", message=CODES["consent_unclear"]),)
    return HttpResponse(status=422, body=_ENCODER.encode(ErrorBody(errors=wrong)))


_ENCODER: Final = msgspec.json.Encoder()
