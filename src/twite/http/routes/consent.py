"""`POST /v1/consent`: a person withdraws consent, or gives it again."""

from typing import Final, Literal

import msgspec

from twite.domain.destination import Source
from twite.formats.native.answers import ErrorBody, ErrorDetail
from twite.gateway.ingest.consent_choice import UnusableChoice
from twite.http.responses import CODES, HttpRefusal, HttpResponse
from twite.http.route import HttpRequest


class ChoiceNoted(msgspec.Struct, frozen=True, kw_only=True):
    """The choice that now holds, and for how many identifiers of the person."""

    consent: Literal["granted", "revoked"]
    identifiers: int


async def answer(request: HttpRequest, source: Source) -> HttpResponse:
    """Record the choice. Raises HttpRefusal, MalformedRequest, LedgerUnavailable."""
    try:
        chosen = await request.services.choose.note(source=source, body=request.body)
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
