"""`POST /webhooks/{name}`: messages that shops and payment services sign.

Every genuine message gets 200 as soon as its content is stored, also if it is no conversion, or a
bad one: senders repeat a refused message for days, or give up the webhook.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.errors import MalformedRequest
from twite.domain.fault import Fault
from twite.domain.incoming_request import IncomingRequest
from twite.domain.secret import Secret
from twite.domain.submission import Endpoint, Ignored
from twite.domain.times import HOUR
from twite.domain.webhook_delivery import DeliveryVerdict
from twite.formats.parsed_request import Native, ParsedRequest
from twite.formats.strict_json import as_fault
from twite.formats.webhook_kind import (
    IgnoredReason,
    SignatureVerdict,
    WebhookMessage,
    WebhookReading,
    signed_base64,
    without_old,
)
from twite.gateway.ingest.receipts import AcceptReceipt
from twite.gateway.ingest.webhook_preview import TEST_HEADER, preview
from twite.gateway.ports.tags import EventOrigin
from twite.http.responses import HttpRefusal, HttpResponse, answer_to, error
from twite.http.route import HttpRequest, RouteAuthentication
from twite.http.routes.native import receipt_response
from twite.http.webhook_call import WebhookCall

PATH: Final = "/webhooks/{name:path}"
LABEL: Final = "/webhooks/…"
_UNKNOWN: Final = error(404, "webhook_unknown")
_REFUSALS: Final = {
    SignatureVerdict.WRONG: error(401, "signature_wrong"),
    SignatureVerdict.LATE: error(401, "signature_late"),
}
# WooCommerce's admin shows an error for any other status.
_PONG: Final = HttpResponse(status=200, body=b"{}")
# The sender's clock may be ahead, and its conversion then seem newer than its deduplication key.
_CLOCKS_DIFFER: Final = HOUR
# A message that was signed by "a-webhook-secret", for the tests of all routes.
_SAMPLE: Final = signed_base64(Secret("a-webhook-secret"), b"{}").decode()


async def _call(request: HttpRequest) -> WebhookCall:
    """Return the webhook that the path names. Raises HttpRefusal (404)."""
    services = request.services
    name, _, rest = request.parameters["name"].partition("/")
    found = services.webhook_sources.found.get(name)
    if found is None:
        raise HttpRefusal(_UNKNOWN)
    webhook, source = found
    public = (services.settings.public_url or "").rstrip("/")
    query = f"?{request.query_string}" if request.query_string else ""
    return WebhookCall(
        webhook=webhook,
        source=source,
        at=services.clock.now(),
        url=f"{public}{request.path}{query}",
        rest=rest,
    )


def _message(call: WebhookCall, headers: Mapping[bytes, bytes], body: bytes) -> WebhookMessage:
    return WebhookMessage(headers=headers, body=body, url=call.url, rest=call.rest)


def _verify(call: WebhookCall, headers: Mapping[bytes, bytes], body: bytes) -> None:
    """Raise HttpRefusal unless the message is genuine: 401, or 200 for an unsigned ping."""
    webhook = call.webhook
    verdict = webhook.kind.verify(_message(call, headers, body), webhook, call.at)
    if verdict is SignatureVerdict.PING:
        raise HttpRefusal(_PONG)
    if verdict is not SignatureVerdict.GENUINE:
        raise HttpRefusal(_REFUSALS[verdict])


signature: Final = RouteAuthentication(
    check=_call, verify=_verify, sample={"X-Shopify-Hmac-SHA256": _SAMPLE}
)


async def answer(request: HttpRequest, call: WebhookCall) -> HttpResponse:
    """Store what a genuine message says.

    Raises HttpRefusal, QueueFull, LedgerUnavailable and StoreUnusable.
    """
    webhook = call.webhook
    try:
        reading = webhook.kind.read(_message(call, request.headers, request.body), webhook)
    except MalformedRequest as malformed:
        reading = _unreadable(call, as_fault(malformed, malformed.path))
    is_test = TEST_HEADER.encode() in request.headers
    if reading.erase and not is_test:
        await _erase(request, call, reading)
    if webhook.kind.ignores_old:
        oldest = call.at - request.services.dedup_window + _CLOCKS_DIFFER
        reading = without_old(reading, oldest=oldest, now=call.at)
    previewed = reading
    if is_test:
        reading = _as_test(reading)
    # Tags see neither the headers nor the path, which may contain a secret.
    seen = IncomingRequest(method=request.method, path=f"/webhooks/{webhook.name}")
    receipt = await request.services.accept.parsed(
        reading.parsed,
        source=call.source,
        endpoint=Endpoint.WEBHOOK,
        origin=EventOrigin(request=seen),
    )
    verdict, reason = verdict_of(receipt)
    if reading.erase:
        verdict = DeliveryVerdict.ERASED
    _note(request, call, verdict, reason, message=reading.name, receipt=receipt.receipt)
    if is_test:
        return HttpResponse(status=200, body=_preview(request, call, previewed))
    return receipt_response(receipt, ignored=len(receipt.ignored), status=200)


def in_webhook_shape(
    request: HttpRequest, call: WebhookCall | None, fault: Exception, where: str
) -> HttpResponse:
    """Return the response to an exception, and note the delivery."""
    answer = answer_to(fault, where=where, observer=request.services.observer)
    if call is not None and answer is not _PONG:
        is_refused = answer.status < 500 and answer.status != 429
        verdict = DeliveryVerdict.REFUSED if is_refused else DeliveryVerdict.FAILED
        _note(request, call, verdict, answer.code)
    return answer


def verdict_of(receipt: AcceptReceipt) -> tuple[DeliveryVerdict, str]:
    """Return what became of a message, and the reason as a code."""
    if receipt.rejected:
        return DeliveryVerdict.REJECTED, receipt.rejected[0].errors[0].code
    if receipt.accepted:
        return DeliveryVerdict.ACCEPTED, ""
    if receipt.held:
        return DeliveryVerdict.HELD, ""
    if receipt.suppressed:
        return DeliveryVerdict.SUPPRESSED, ""
    if receipt.duplicates:
        return DeliveryVerdict.DUPLICATE, ""
    return DeliveryVerdict.IGNORED, receipt.ignored[0].reason if receipt.ignored else ""


async def _erase(request: HttpRequest, call: WebhookCall, reading: WebhookReading) -> None:
    """Erase a person. Raises LedgerUnavailable while that takes longer than the sender waits."""
    erase = request.services.erase_person
    if erase is None:
        raise HttpRefusal(error(503, "not_ready"))
    await erase(call.webhook.name, reading.erase)


def _as_test(reading: WebhookReading) -> WebhookReading:
    """Return a reading whose conversions are counted as tests, so that none is sent."""
    parsed = reading.parsed
    test = Ignored(name=reading.name or "unnamed", reason=IgnoredReason.TEST)
    ignored = (*parsed.ignored, *[test] * len(parsed.conversions))
    return WebhookReading(name=reading.name, parsed=ParsedRequest(ignored=ignored))


def _preview(request: HttpRequest, call: WebhookCall, reading: WebhookReading) -> bytes:
    services = request.services
    found = preview(
        reading,
        source=call.source,
        destinations=services.destinations,
        now=call.at,
        value_rules=services.accept.value_rules,
    )
    return msgspec.json.encode(found)


def _unreadable(call: WebhookCall, fault: Fault) -> WebhookReading:
    """Return a rejected conversion, so that the message is visible, and nothing else waits."""
    conversion = Native(event=call.webhook.event)
    return WebhookReading(
        name="", parsed=ParsedRequest(conversions=(conversion,), faults=((fault,),))
    )


def _note(
    request: HttpRequest,
    call: WebhookCall,
    verdict: DeliveryVerdict,
    reason: str,
    *,
    message: str = "",
    receipt: str = "",
) -> None:
    log = request.services.webhook_log
    if log is not None:
        log.note(call.webhook.name, verdict, reason=reason, message=message, receipt=receipt)
