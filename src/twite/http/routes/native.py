"""`POST /v1/conversions`: accept conversions in Twite's own format."""

import re
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from twite.domain.destination import Source
from twite.domain.submission import Endpoint
from twite.formats.native.answers import NativeReceipt, RejectedItem
from twite.formats.parsed_request import ParsedRequest
from twite.gateway.ingest.accept import AcceptReceipt
from twite.gtm.template.sandbox import Incoming
from twite.http.responses import HttpRefusal, HttpResponse, error
from twite.http.route import HttpRequest

_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x20-\x7e]{1,255}")


async def answer(request: HttpRequest, source: Source) -> HttpResponse:
    """Accept the conversions. Raises HttpRefusal (400)."""
    key, keys = request.headers.get(b"idempotency-key"), request.services.keys
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise HttpRefusal(_BAD_IDEMPOTENCY_KEY)
    receipt = await request.services.accept.native(
        source=source,
        body=request.body,
        idempotency_key=None if key is None else keys.without(key).decode("ascii"),
    )
    return told(receipt)


def taking(
    endpoint: Endpoint, read: Callable[[HttpRequest, Source], ParsedRequest]
) -> Callable[[HttpRequest, Source], Awaitable[HttpResponse]]:
    """Return what accepts a format that servers send, and answers as the native route does."""

    async def answer(request: HttpRequest, source: Source) -> HttpResponse:
        found = read(request, source)
        # The address and headers of the request are the server's, not the visitor's.
        seen = Incoming(method=request.method, path=request.path)
        receipt = await request.services.accept.found(
            found, source=source, endpoint=endpoint, request=seen
        )
        return told(receipt, ignored=len(found.ignored))

    return answer


def told(receipt: AcceptReceipt, *, ignored: int = 0) -> HttpResponse:
    """Return the response; `ignored` counts events that are not conversions of the source."""
    body = _ENCODER.encode(
        NativeReceipt(
            receipt=receipt.receipt,
            accepted=receipt.accepted,
            duplicates=receipt.duplicates,
            suppressed=receipt.suppressed,
            rejected=tuple(
                RejectedItem(index=refusal.index, errors=refusal.errors)
                for refusal in receipt.rejected
            ),
            warnings=receipt.warnings,
            duplicate_indexes=receipt.duplicate_indexes,
            suppressed_indexes=receipt.suppressed_indexes,
            held=receipt.held,
            held_indexes=receipt.held_indexes,
            suppressed_reasons=receipt.suppressed_reasons,
            ignored=ignored,
        )
    )
    taken = receipt.accepted or receipt.duplicates or receipt.suppressed or receipt.held or ignored
    return HttpResponse(status=202 if taken else 422, body=body)


_BAD_IDEMPOTENCY_KEY: Final = error(
    400,
    "idempotency_key",
    "Idempotency-Key must have 1 to 255 characters of printable ASCII",
)
_ENCODER: Final = msgspec.json.Encoder()
