"""Find the preview session of a request, by the header or cookie of Google's preview."""

from collections.abc import Iterable

from starlette.types import Scope

from twite.gateway.preview.sessions import COOKIE, HEADER, PreviewSessions
from twite.gateway.preview.trace import RequestTrace, set_current
from twite.http.authorization import SourceKeys
from twite.http.responses import HttpResponse

_HEADER = HEADER.encode()
_COOKIE = COOKIE.encode()
Headers = list[tuple[bytes, bytes]]


def begin(
    previews: PreviewSessions, scope: Scope, keys: SourceKeys
) -> tuple[Scope, RequestTrace | None]:
    """Return the request without its token, and its trace; None if it belongs to no session."""
    token, headers = _taken(scope["headers"])
    if not token:
        return scope, None
    scope = {**scope, "headers": headers}
    shown = keys.removed(scope)
    trace = previews.begin(
        token,
        method=scope["method"],
        path=shown["path"],
        query=shown["query_string"].decode("latin-1"),
        headers=[
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in shown["headers"]
        ],
    )
    if trace is not None:
        set_current(trace)
    return scope, trace


def record_answer(trace: RequestTrace, answer: HttpResponse) -> None:
    cookies = [value.decode("latin-1") for name, value in answer.headers if name == b"set-cookie"]
    trace.answered(answer.status, cookies)


def _taken(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, Headers]:
    """Return the token, and the headers without it: the token must not be logged or stored."""
    token = b""
    left: Headers = []
    for name, value in headers:
        if name == _HEADER:
            token = token or value.strip()
            continue
        if name == b"cookie" and _COOKIE in value:
            pairs = [pair.strip() for pair in value.split(b";")]
            own = [pair for pair in pairs if pair.partition(b"=")[0] == _COOKIE]
            token = token or next((pair.partition(b"=")[2] for pair in own), b"")
            pairs = [pair for pair in pairs if pair not in own]
            if pairs:
                left.append((name, b"; ".join(pairs)))
            continue
        left.append((name, value))
    return token.decode("latin-1"), left
