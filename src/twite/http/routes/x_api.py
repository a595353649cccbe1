"""X's own conversion route: existing X API clients change only the host.

Authenticated by the pixel's own OAuth credentials, answered in X's own shapes.
"""

import hmac
from collections.abc import Awaitable, Mapping
from typing import Final, Protocol

import msgspec
from starlette.types import Receive

from twite.domain.destination import Destination, OAuthKeys, PixelToken
from twite.domain.errors import LedgerFull, LedgerUnavailable
from twite.domain.submission import Endpoint
from twite.gateway.ingest.accept import X_SOURCE, XAcceptReceipt, XAcceptRefusal
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Clock
from twite.http import responses as answers
from twite.http.admission import AdmissionGate
from twite.http.bodies import read_body, require_json
from twite.http.error_responses import tell_of
from twite.http.nonces import NonceMemory
from twite.http.responses import JSON, HttpResponse
from twite.http.source_keys import SourceKeys
from twite.x import oauth1, spec

PREFIXES: Final = tuple(f"/{version}/" for version in spec.VERSIONS)
_ROUTES: Final = {
    spec.CONVERSIONS_PATH.format(version=version, pixel_id=""): version.encode()
    for version in spec.VERSIONS
}
_TOKEN_HEADER: Final = spec.PIXEL_TOKEN_HEADER.lower().encode()
_NONCE_SECONDS: Final = 2 * spec.OAUTH_WINDOW_SECONDS  # from the OAuth timestamp, both ways


class AcceptsX(Protocol):
    """The gateway's accept function: see gateway.ingest.accept."""

    async def from_x(self, *, destination: Destination, body: bytes) -> XAcceptReceipt: ...


class XError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of X's errors. Some carry a parameter, which may be "", and some do not."""

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
    """`debug_id` is our receipt."""

    conversions_processed: int
    debug_id: str


class XSuccess(msgspec.Struct, frozen=True, kw_only=True):
    """X's success response. [doc WEB]"""

    request: XRequestEcho
    data: XProcessed  # X's own word


class XApiRoute:
    """Authenticate as X does (OAuth 1.0a), read, accept, answer as X does."""

    def __init__(
        self,
        *,
        accept: AcceptsX,
        clock: Clock,
        destinations: Mapping[str, Destination],
        keys: SourceKeys,
        public_url: str | None,
        gate: AdmissionGate,
        body_limit: int,
        observer: Observer,
    ) -> None:
        self._accept = accept
        self._clock = clock
        self._destinations = destinations
        self._public_url = public_url.rstrip("/") if public_url else None
        self._keys = keys
        self._gate = gate
        self._body_limit = body_limit
        self._observer = observer
        self._nonces = NonceMemory(seconds=_NONCE_SECONDS)

    async def answer(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[bytes, bytes],
        receive: Receive,
    ) -> HttpResponse:
        """Raises ClientGone; every other outcome is a response in X's shape.

        Query parameters mean nothing on this route, but they are part of the signature.
        """
        prefix, _, pixel = path.rpartition("/")
        version = _ROUTES.get(f"{prefix}/")
        if version is None or not pixel:
            return refusal(404, spec.ROUTE_NOT_FOUND, spec.NO_ROUTE, version=path[1:3].encode())
        if method != "POST":
            return refusal(
                405,
                spec.METHOD_NOT_ALLOWED,
                "This route takes POST",
                version=version,
                headers=((b"allow", b"POST"),),
            )
        destination = self._destinations.get(pixel)
        if destination is None:
            message = f"pixel_id ({pixel[:64]}) was not found"
            return refusal(404, spec.NOT_FOUND, message, parameter="pixel_id", version=version)
        if not self._authentic(destination, f"{path}?{query}" if query else path, headers):
            return refusal(401, spec.UNAUTHORIZED_ACCESS, spec.NOT_AUTHENTICATED, version=version)
        try:
            answer = await self._accepted(destination, version, headers, receive)
        except answers.HttpRefusal as refused:
            answer = in_xs_words(refused.answer, account=destination.account, version=version)
        tell_of(answer, source=X_SOURCE, door=Endpoint.X_API, observer=self._observer)
        return answer

    async def _accepted(
        self,
        destination: Destination,
        version: bytes,
        headers: Mapping[bytes, bytes],
        receive: Receive,
    ) -> HttpResponse:
        require_json(headers)
        weight = self._gate.enter(headers)
        try:
            body = self._keys.without(await read_body(headers, receive, self._body_limit))
            return await as_x_answers(
                self._taken(destination, body),
                version=version,
                clock=self._clock,
                account=destination.account,
            )
        finally:
            self._gate.leave(weight)

    async def _taken(
        self, destination: Destination, body: bytes
    ) -> tuple[XAcceptReceipt, str | None]:
        receipt = await self._accept.from_x(destination=destination, body=body)
        return receipt, destination.account

    def _authentic(
        self, destination: Destination, target: str, headers: Mapping[bytes, bytes]
    ) -> bool:
        """Whether the client shows the pixel's credentials; of two sets, either."""
        for credentials in (destination.credentials, destination.fallback):
            if isinstance(credentials, PixelToken):
                offered = headers.get(_TOKEN_HEADER, b"")
                if hmac.compare_digest(offered, credentials.token.reveal().encode()):
                    return True
            elif isinstance(credentials, OAuthKeys) and self._signed(credentials, target, headers):
                return True
        return False

    def _signed(self, keys: OAuthKeys, target: str, headers: Mapping[bytes, bytes]) -> bool:
        """Verify the OAuth signature for the host that the client called, or our public one."""
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        if authorization[:6].lower() != "oauth ":
            return False
        host = headers.get(b"host", b"").decode("latin-1")
        now = self._clock.now() // 1_000
        # The scheme is the client's, before any proxy; the Host header may be the proxy's.
        for origin in (self._public_url, f"https://{host}", f"http://{host}"):
            if origin is None:
                continue
            nonce = oauth1.verify(
                method="POST",
                url=f"{origin}{target}",
                authorization=authorization,
                keys=keys,
                now=now,
            )
            if nonce is not None:
                return self._nonces.use(keys.token, nonce, now=now)
        return False


async def as_x_answers(
    taking: Awaitable[tuple[XAcceptReceipt, str | None]],
    *,
    version: bytes,
    clock: Clock,
    account: str | None = None,
) -> HttpResponse:
    """Await acceptance of a request, and return the outcome in X's shape.

    `taking` returns the receipt and the account that X would name; `account` is named if it
    raises. Other exceptions than X's refusals and store trouble pass through.
    """
    try:
        receipt, account = await taking
    except XAcceptRefusal as refused:
        errors = tuple(
            XError(code=complaint.code, message=complaint.message, parameter=complaint.parameter)
            for complaint in refused.complaints
        )
        return _shaped(refused.status, errors, account, version)
    except LedgerFull as full:
        return _too_fast(full.retry_after, account, version, clock)
    except LedgerUnavailable as unavailable:
        return refusal(
            503,
            spec.SERVICE_UNAVAILABLE,
            "The conversions could not be stored; nothing of the request was kept",
            account=account,
            version=version,
            headers=((b"retry-after", b"%d" % unavailable.retry_after),),
        )
    success = XSuccess(
        request=_echo(account),
        data=XProcessed(conversions_processed=receipt.processed, debug_id=receipt.receipt),
    )
    return HttpResponse(
        status=200, body=_ENCODER.encode(success), headers=(JSON, _version_header(version))
    )


def in_xs_words(
    answer: HttpResponse, *, account: str | None = None, version: bytes = b"12"
) -> HttpResponse:
    """Return in X's shape a refusal that X does not have, or an internal error."""
    errors = tuple(
        XError(
            code=_CODES.get(answer.status, spec.INVALID_PARAMETER),
            message=wrong.message,
            parameter=wrong.path,
        )
        for wrong in _DECODER.decode(answer.body).errors
    )
    said = _shaped(answer.status, errors, account, version, headers=answer.headers[1:])
    return msgspec.structs.replace(said, code=answer.code)


def refusal(
    status: int,
    code: str,
    message: str,
    *,
    version: bytes,
    parameter: str | None = None,
    account: str | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> HttpResponse:
    """Build a response with one error in X's shape."""
    errors = (XError(code=code, message=message, parameter=parameter),)
    return _shaped(status, errors, account, version, headers=headers)


def _too_fast(seconds: int, account: str | None, version: bytes, clock: Clock) -> HttpResponse:
    reset = clock.now() // 1_000 + seconds
    return refusal(
        429,
        spec.TOO_MANY_REQUESTS,
        "Too many requests; wait until x-rate-limit-reset",
        account=account,
        version=version,
        headers=(
            (b"retry-after", b"%d" % seconds),
            (spec.USER_RATE_REMAINING.encode(), b"0"),
            (spec.USER_RATE_RESET.encode(), b"%d" % reset),
        ),
    )


def _shaped(
    status: int,
    errors: tuple[XError, ...],
    account: str | None,
    version: bytes,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> HttpResponse:
    return HttpResponse(
        status=status,
        body=_ENCODER.encode(XErrors(errors=errors, request=_echo(account))),
        headers=(JSON, _version_header(version), *headers),
        code=errors[0].code if errors else "",
    )


def _echo(account: str | None) -> XRequestEcho:
    return XRequestEcho(params=XParams(account_id=account))


def _version_header(version: bytes) -> tuple[bytes, bytes]:
    return (spec.CURRENT_VERSION_HEADER.encode(), version)


_CODES: Final = {429: spec.TOO_MANY_REQUESTS, 500: spec.INTERNAL_ERROR}
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(answers.ErrorBody)
