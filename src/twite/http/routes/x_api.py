"""X's own conversion route and Stape's auth proxy, both answered in X's own shapes.

X's route is authenticated by the pixel's own OAuth credentials: existing X API clients change only
the host. Stape's tag sends the source key in the path; an Authorization header is ignored. Every
response is a JSON object, because the tag reports neither success nor failure if a response is
anything else. [seen TW]
"""

import hmac
from typing import Final

import msgspec

from twite.domain.destination import Destination, OAuthKeys, PixelToken, Source
from twite.domain.errors import LedgerUnavailable, QueueFull
from twite.formats.native.answers import ErrorBody
from twite.gateway.ingest.receipts import XAcceptReceipt, XAcceptRefusal
from twite.http.responses import JSON, HttpRefusal, HttpResponse, answer_to
from twite.http.route import HttpRequest, RouteAuthentication
from twite.x import oauth1, spec

_TOKEN_HEADER: Final = spec.PIXEL_TOKEN_HEADER.lower().encode()
_VERSION_HEADER: Final = spec.CURRENT_VERSION_HEADER.encode()
# Stape's tags from before June 2026 send no version. [seen TW]
_DEFAULT_VERSION: Final = b"12"
_VERSIONS: Final = frozenset(version.encode() for version in spec.VERSIONS)
_NO_METHOD: Final = 405
_CODES: Final = {
    _NO_METHOD: spec.METHOD_NOT_ALLOWED,
    429: spec.TOO_MANY_REQUESTS,
    500: spec.INTERNAL_ERROR,
}
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(ErrorBody)


class XError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of X's errors. Some have a parameter, which may be ""."""

    code: str
    message: str
    parameter: str | None = None


class XParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    account_id: str | None = None


class XRequestEcho(msgspec.Struct, frozen=True, kw_only=True):
    params: XParams


class XErrors(msgspec.Struct, frozen=True, kw_only=True):
    """X's error response. [doc WEB]"""

    errors: tuple[XError, ...]
    request: XRequestEcho


class XProcessed(msgspec.Struct, frozen=True, kw_only=True):
    """`debug_id` is Twite's receipt."""

    conversions_processed: int
    debug_id: str


class XSuccess(msgspec.Struct, frozen=True, kw_only=True):
    """X's success response. [doc WEB]"""

    request: XRequestEcho
    data: XProcessed  # X's own value


class XRefusal(HttpRefusal):
    """An exception that ends a request, with a response in X's format."""


async def _pixel_credentials(request: HttpRequest) -> Destination:
    """Return the pixel with the client's credentials. If a pixel has two sets, both are accepted.

    Raises XRefusal (401, 404).
    """
    pixel = request.parameters["pixel_id"]
    destination = request.services.destinations.get(pixel)
    if destination is None:
        message = f"pixel_id ({pixel[:64]}) was not found"
        raise XRefusal(refusal(request, 404, spec.NOT_FOUND, message, parameter="pixel_id"))
    for credentials in (destination.credentials, destination.fallback):
        if isinstance(credentials, PixelToken):
            offered = request.headers.get(_TOKEN_HEADER, b"")
            if hmac.compare_digest(offered, credentials.token.reveal().encode()):
                return destination
        elif isinstance(credentials, OAuthKeys) and _signed(credentials, request):
            return destination
    raise XRefusal(unauthorized(request))


pixel_credentials: Final = RouteAuthentication(
    check=_pixel_credentials, sample={"X-Pixel-Token": "emulator-pixel-token-o8z6j"}
)


async def answer(request: HttpRequest, destination: Destination) -> HttpResponse:
    receipt = await request.services.accept.from_x(destination=destination, body=request.body)
    return accepted(request, receipt, destination.account)


async def no_route(request: HttpRequest, _caller: None) -> HttpResponse:
    """Raise XRefusal (404)."""
    raise XRefusal(refusal(request, 404, spec.ROUTE_NOT_FOUND, spec.NO_ROUTE))


def accepted(request: HttpRequest, receipt: XAcceptReceipt, account: str | None) -> HttpResponse:
    """Return X's response to accepted conversions."""
    success = XSuccess(
        request=_echo(account),
        data=XProcessed(conversions_processed=receipt.processed, debug_id=receipt.receipt),
    )
    headers = (JSON, _version_header(request))
    return HttpResponse(status=200, body=_ENCODER.encode(success), headers=headers)


def unauthorized(request: HttpRequest) -> HttpResponse:
    return refusal(request, 401, spec.UNAUTHORIZED_ACCESS, spec.NOT_AUTHENTICATED)


def in_x_shape(
    request: HttpRequest, caller: Destination | Source | None, fault: Exception, where: str
) -> HttpResponse:
    """Return the response to an exception in X's format."""
    account = caller.account if isinstance(caller, Destination) else None
    match fault:
        case XRefusal(answer=answer):
            return answer
        case XAcceptRefusal(complaints=complaints, status=status):
            errors = tuple(
                XError(code=wrong.code, message=wrong.message, parameter=wrong.parameter)
                for wrong in complaints
            )
            return _shaped(request, status, errors, account)
        case QueueFull(retry_after=seconds):
            return _too_fast(request, seconds, account)
        case LedgerUnavailable(retry_after=seconds):
            return refusal(
                request,
                503,
                spec.SERVICE_UNAVAILABLE,
                "The conversions could not be stored; nothing of the request was stored",
                account=account,
                headers=((b"retry-after", b"%d" % seconds),),
            )
        case _:
            answer = answer_to(fault, where=where, observer=request.services.observer)
            return _translated(request, answer, account)


def _signed(keys: OAuthKeys, request: HttpRequest) -> bool:
    """Verify the OAuth signature, for the public URL or for the host that the client called.

    Query parameters mean nothing on this route, but they are part of the signature.
    """
    authorization = request.headers.get(b"authorization", b"").decode("latin-1")
    if authorization[:6].lower() != "oauth ":
        return False
    services = request.services
    host = request.headers.get(b"host", b"").decode("latin-1")
    query = request.query_string
    target = f"{request.path}?{query}" if query else request.path
    url = services.settings.public_url
    public = url.rstrip("/") if url else None
    now = services.clock.now() // 1_000
    # The client signed the URL that it called; a proxy may have changed its scheme and host.
    for origin in (public, f"https://{host}", f"http://{host}"):
        if origin is None:
            continue
        nonce = oauth1.verify(
            method="POST", url=f"{origin}{target}", authorization=authorization, keys=keys, now=now
        )
        if nonce is not None:
            return services.nonces.use(keys.token, nonce, now=now)
    return False


def _translated(request: HttpRequest, answer: HttpResponse, account: str | None) -> HttpResponse:
    """Return a refusal that X itself never sends, or an internal error, in X's format."""
    errors = tuple(
        XError(
            code=_CODES.get(answer.status, spec.INVALID_PARAMETER),
            message=wrong.message,
            # X's error about a method has no parameter.
            parameter=None if answer.status == _NO_METHOD else wrong.path,
        )
        for wrong in _DECODER.decode(answer.body).errors
    )
    response = _shaped(request, answer.status, errors, account, headers=answer.headers[1:])
    return msgspec.structs.replace(response, code=answer.code)


def refusal(
    request: HttpRequest,
    status: int,
    code: str,
    message: str,
    *,
    parameter: str | None = None,
    account: str | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> HttpResponse:
    """Build a response with one error in X's format."""
    errors = (XError(code=code, message=message, parameter=parameter),)
    return _shaped(request, status, errors, account, headers=headers)


def _too_fast(request: HttpRequest, seconds: int, account: str | None) -> HttpResponse:
    reset = request.services.clock.now() // 1_000 + seconds
    return refusal(
        request,
        429,
        spec.TOO_MANY_REQUESTS,
        "Too many requests; wait until x-rate-limit-reset",
        account=account,
        headers=(
            (b"retry-after", b"%d" % seconds),
            (spec.USER_RATE_REMAINING.encode(), b"0"),
            (spec.USER_RATE_RESET.encode(), b"%d" % reset),
        ),
    )


def _shaped(
    request: HttpRequest,
    status: int,
    errors: tuple[XError, ...],
    account: str | None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> HttpResponse:
    return HttpResponse(
        status=status,
        body=_ENCODER.encode(XErrors(errors=errors, request=_echo(account))),
        headers=(JSON, _version_header(request), *headers),
        code=errors[0].code if errors else "",
    )


def _echo(account: str | None) -> XRequestEcho:
    return XRequestEcho(params=XParams(account_id=account))


def _version_header(request: HttpRequest) -> tuple[bytes, bytes]:
    """Return the API version from the path, else from the header, else the default."""
    named = request.path[1:3].encode()
    if named not in _VERSIONS:
        named = request.headers.get(b"x-twitter-api-version", _DEFAULT_VERSION).strip()
    return _VERSION_HEADER, named if named in _VERSIONS else _DEFAULT_VERSION


async def _key_in_path(request: HttpRequest) -> Source:
    """Return the source whose key is in the path. Raises XRefusal (401)."""
    key = request.parameters["source_key"].encode("utf-8", "surrogateescape")
    source = request.services.keys.find(key)
    if source is None:
        raise XRefusal(unauthorized(request))
    return source


key_in_path: Final = RouteAuthentication(check=_key_in_path)


async def answer_stape(request: HttpRequest, source: Source) -> HttpResponse:
    """Accept the conversions of Stape's X tag. The response names the account."""
    proxy = request.services.proxy
    if proxy is None:
        return await no_route(request, None)
    receipt, account = await proxy.take(source=source, body=request.body)
    return accepted(request, receipt, account)
