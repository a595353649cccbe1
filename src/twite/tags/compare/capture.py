"""Read lines of captured traffic into cases.

Each line is a JSON object with one of these shapes:

    {"event": {…} or "request": {…}, "sent": [{…}, …]}    a whole case
    {"trace": "…", "event" or "request": …}                what came in
    {"trace": "…", "sent": …}                              what was sent for it
    {"TraceId": "…", "Type": "Request", "RequestUrl": …}   the same, as Stape's tags log it

The lines with the same trace form one case; a line without a trace is a case of its own. The
`trace-id` header of a request counts as its trace, as in Stape's logs. [seen: facts on preview and
logs]
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from twite.domain.errors import OperatorError
from twite.domain.incoming_request import IncomingRequest
from twite.tags.json_tree import Tree

_LEAST_MILLISECONDS: Final = 100_000_000_000  # as seconds: the year 5138


class CaptureUnusable(OperatorError):
    """An unreadable line of a capture. `line` counts from 1."""

    def __init__(self, *, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


class CapturedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A captured request. `headers` is None if they were not captured.

    `status` and `answer` are those of the response, if known. The request contains personal data
    and keys, which its repr hides.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] | None = None
    body: str | None = None
    status: int = 200
    answer: str = "{}"

    def __repr__(self) -> str:
        return f"CapturedRequest({self.method})"


class CapturedCase(msgspec.Struct, frozen=True, kw_only=True):
    """An incoming event or request, and the requests sent for it. `line` is the first line.

    If there is no `event`, it is read from the request. `now` is in milliseconds, 0 if unknown.
    """

    line: int
    event: Mapping[str, Tree] | None = None
    request: IncomingRequest = IncomingRequest()
    client: str = ""
    now: int = 0
    sent: tuple[CapturedRequest, ...] = ()

    def __repr__(self) -> str:
        return f"CapturedCase(line {self.line})"


def read_cases(lines: Iterable[bytes]) -> tuple[CapturedCase, ...]:
    """Read a capture. Raises CaptureUnusable."""
    cases: dict[str, CapturedCase] = {}
    came: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        read = _read(line, number)
        trace = read.trace or _trace_of(read) or f"line {number}"
        case = cases.get(trace) or CapturedCase(line=number)
        if read.event is not None or read.request is not None:
            if trace in came:
                raise CaptureUnusable(line=number, message=f"the trace {trace!r} occurs twice")
            came.add(trace)
            case = msgspec.structs.replace(
                case,
                event=read.event,
                request=read.request or IncomingRequest(),
                client=read.client,
                now=read.now,
            )
        cases[trace] = msgspec.structs.replace(case, sent=case.sent + read.sent)
    return tuple(cases.values())


class WrittenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request to the container, in a JSON form that people can write."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: dict[str, str] = {}
    body: str | None = None
    remote_address: str = ""

    def incoming(self) -> IncomingRequest:
        """Return the request as templates read it."""
        return IncomingRequest(
            method=self.method.upper(),
            path=self.path,
            query=self.query.removeprefix("?"),
            headers=tuple((name.lower(), value) for name, value in self.headers.items()),
            body=self.body,
            remote_address=self.remote_address,
        )


class _Sent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    method: str = "GET"
    headers: dict[str, str] | None = None
    body: Tree = None
    status: int = 200
    answer: Tree = "{}"


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    trace: str = ""
    event: dict[str, Tree] | None = None
    request: WrittenRequest | None = None
    client: str = ""
    time: str | int = 0
    sent: tuple[_Sent, ...] | _Sent = ()


class _Logged(msgspec.Struct, frozen=True, rename="pascal"):
    """A log line of Stape's tags. Other keys are ignored."""

    trace_id: str
    type: str
    request_method: str = "GET"
    request_url: str = ""
    request_body: Tree = None


class _Read(msgspec.Struct, kw_only=True):
    trace: str
    event: Mapping[str, Tree] | None = None
    request: IncomingRequest | None = None
    client: str = ""
    now: int = 0
    sent: tuple[CapturedRequest, ...] = ()


def _read(line: bytes, number: int) -> _Read:
    try:
        tree = msgspec.json.decode(line)
        if isinstance(tree, dict) and "TraceId" in tree:
            return _of_log(msgspec.convert(tree, _Logged))
        read = msgspec.convert(tree, _Line)
    except RecursionError:
        raise CaptureUnusable(line=number, message="is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CaptureUnusable(line=number, message=str(error)) from None
    if read.event is None and read.request is None and not read.trace:
        message = "has no incoming event or request, and no trace of an outgoing request"
        raise CaptureUnusable(line=number, message=message)
    sent = read.sent if isinstance(read.sent, tuple) else (read.sent,)
    return _Read(
        trace=read.trace,
        event=read.event,
        request=None if read.request is None else read.request.incoming(),
        client=read.client,
        now=_moment(read.time, number),
        sent=tuple(_sent(request) for request in sent),
    )


def _of_log(logged: _Logged) -> _Read:
    if logged.type != "Request" or not logged.request_url:
        return _Read(trace=logged.trace_id)
    sent = CapturedRequest(
        url=logged.request_url,
        method=logged.request_method.upper(),
        body=_text(logged.request_body),
    )
    return _Read(trace=logged.trace_id, sent=(sent,))


def _sent(sent: _Sent) -> CapturedRequest:
    return CapturedRequest(
        url=sent.url,
        method=sent.method.upper(),
        headers=None
        if sent.headers is None
        else {name.lower(): value for name, value in sent.headers.items()},
        body=_text(sent.body),
        status=sent.status,
        answer=_text(sent.answer) or "",
    )


def _text(tree: Tree) -> str | None:
    """Return a body: a string unchanged, anything else as JSON."""
    return tree if tree is None or isinstance(tree, str) else msgspec.json.encode(tree).decode()


def _trace_of(read: _Read) -> str:
    headers = dict(read.request.headers) if read.request is not None else {}
    return headers.get("trace-id", "")


def _moment(time: str | int, number: int) -> int:
    if isinstance(time, int):
        return time * 1000 if time < _LEAST_MILLISECONDS else time
    try:
        return int(datetime.fromisoformat(time).timestamp() * 1000)
    except (ValueError, OverflowError):
        message = f"the time {time!r} is neither ISO 8601 nor a number"
        raise CaptureUnusable(line=number, message=message) from None
