"""Apply connection faults to the real connection, and turn all other faults into responses."""

import gzip
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import msgspec

from twite_emulator import spec
from twite_emulator.exchange import (
    RATE_LIMITED,
    Problem,
    XAnswer,
    XRequestReceived,
    XVerdict,
    refusal,
)
from twite_emulator.faults import FaultKind, InjectedFault
from twite_emulator.judge import Judge
from twite_emulator.server.wire import Wire

BIG: Final = 100 * 1000 * 1000  # bytes, if a fault does not specify them
UNJUDGED: Final = (FaultKind.STATUS, FaultKind.RATE_LIMIT, FaultKind.HTML)
UNANSWERED: Final = (
    FaultKind.DROP_ANSWER,
    FaultKind.CUT_OFF,
    FaultKind.CUT_HEAD,
    FaultKind.STALL_HEAD,
    FaultKind.STALL_BODY,
    FaultKind.NOT_HTTP,
    FaultKind.OPEN_CHUNKS,
)
_CODES: Final = {
    400: spec.INVALID_PARAMETER,
    401: spec.UNAUTHORIZED_ACCESS,
    403: spec.UNAUTHORIZED_CLIENT_APPLICATION,
    404: spec.NOT_FOUND,
    405: spec.METHOD_NOT_ALLOWED,
    408: "CANCELLED_REQUEST",
    423: "LOCK_ACQUISITION_TIMEOUT",
    429: spec.TOO_MANY_REQUESTS,
    500: spec.INTERNAL_ERROR,
    503: spec.OVER_CAPACITY,
}


def unjudged_answer(fault: InjectedFault, judge: Judge) -> XAnswer:
    extra = tuple(fault.headers.items())
    if fault.kind is FaultKind.RATE_LIMIT:
        reset = str(int(judge.now() + fault.seconds))
        rates = {
            spec.USER_RATE_LIMIT: str(judge.switches.rate_limit),
            spec.USER_RATE_REMAINING: "0",
            spec.USER_RATE_RESET: reset,
        } | dict(fault.headers)
        problem = Problem(spec.TOO_MANY_REQUESTS, RATE_LIMITED)
        return refusal(429, problem).with_headers(*rates.items())
    if fault.kind is FaultKind.HTML:
        text = fault.body or f"<html><body><h1>{fault.answer_status}</h1></body></html>"
        kind = ("content-type", "text/html; charset=utf-8")
        return XAnswer(status=fault.answer_status, body=text.encode(), headers=(kind, *extra))
    if fault.body is not None:
        return XAnswer(status=fault.answer_status, body=fault.body.encode(), headers=extra)
    code = _CODES.get(fault.answer_status)
    if code is None:
        return XAnswer(status=fault.answer_status, headers=extra)
    answer = refusal(fault.answer_status, Problem(code, f"Fault {fault.answer_status}"))
    return answer.with_headers(*extra)


def spoiled(answer: XAnswer, fault: InjectedFault) -> XAnswer:
    """Return the emulator's response, with a changed body if the fault changes bodies."""
    match fault.kind:
        case FaultKind.EMPTY:
            return msgspec.structs.replace(answer, status=fault.answer_status, body=b"")
        case FaultKind.GZIP_LIE:
            return answer.with_headers(("content-encoding", "gzip"))
        case FaultKind.GZIP_BOMB:
            answer = answer.with_headers(("content-encoding", "gzip"))
    return msgspec.structs.replace(answer, body=_spoiled_body(answer, fault))


def _spoiled_body(answer: XAnswer, fault: InjectedFault) -> bytes:
    match fault.kind:
        case FaultKind.TRUNCATED_JSON:
            return answer.body[: len(answer.body) // 2]
        case FaultKind.GZIP_BOMB:
            return gzip.compress(answer.body.ljust(fault.bytes or BIG), compresslevel=6)
        case FaultKind.HUGE_BODY:
            return answer.body.ljust(fault.bytes or BIG)
        case FaultKind.WRONG_PROCESSED if answer.status == HTTPStatus.OK:
            document = msgspec.json.decode(answer.body)
            document["data"]["conversions_processed"] = fault.processed
            if fault.processed is None:
                del document["data"]["conversions_processed"]
            return msgspec.json.encode(document)
        case FaultKind.WITH_ERRORS if answer.status == HTTPStatus.OK:
            document = msgspec.json.decode(answer.body)
            error = {"code": spec.INVALID_PARAMETER, "message": "Fault", "parameter": ""}
            return msgspec.json.encode(document | {"errors": [error]})
        case _:
            return answer.body


async def respond_with_fault(fault: InjectedFault, answer: XAnswer, wire: Wire) -> None:
    """Send `answer` with the effect of `fault`."""
    if fault.kind in _PARTS:
        part = _PARTS[fault.kind](answer)
        await wire.send_bytes(part, seconds=fault.seconds, hard=fault.hard)
        return
    length = ("content-length", str(len(answer.body)))
    names = {name.lower() for name in fault.headers}
    if fault.kind is FaultKind.DROP_ANSWER:
        await wire.end(hard=fault.hard)
    elif fault.kind is FaultKind.CUT_OFF:
        part = answer.body[: fault.bytes or len(answer.body) // 2]
        await wire.send_raw(answer.with_headers(length), part, hard=fault.hard)
    elif fault.kind is FaultKind.OPEN_CHUNKS:
        chunked = answer.with_headers(("transfer-encoding", "chunked"))
        chunk = b"%x\r\n%b\r\n" % (len(answer.body), answer.body)
        await wire.send_raw(chunked, chunk, hard=fault.hard)
    elif fault.kind is FaultKind.TRICKLE:
        await wire.trickle(answer, size=fault.bytes or 1, seconds=fault.seconds)
    elif names & {"content-length", "transfer-encoding"}:
        await wire.send_raw(answer, answer.body, hard=fault.hard)
    else:
        await wire.say(answer)


def _half_of_the_head(answer: XAnswer) -> bytes:
    head = Wire.head(answer)
    return head[: len(head) // 2]


def _half_of_the_body(answer: XAnswer) -> bytes:
    length = ("content-length", str(len(answer.body)))
    return Wire.head(answer.with_headers(length)) + answer.body[: len(answer.body) // 2]


def _too_short_a_length(answer: XAnswer) -> bytes:
    length = ("content-length", str(len(answer.body) // 2))
    return Wire.head(answer.with_headers(length)) + answer.body


# The part of a response that is written before the connection ends or stalls.
_PARTS: Final[Mapping[FaultKind, Callable[[XAnswer], bytes]]] = {
    FaultKind.CUT_HEAD: _half_of_the_head,
    FaultKind.STALL_HEAD: _half_of_the_head,
    FaultKind.STALL_BODY: _half_of_the_body,
    FaultKind.SHORT_LENGTH: _too_short_a_length,
    FaultKind.NOT_HTTP: lambda answer: b"220 mail.example ESMTP " + answer.body[:1] + b"\r\n",
}


async def judged(
    request: XRequestReceived, fault: InjectedFault, judge: Judge, wire: Wire
) -> XVerdict | None:
    """Return the response under `fault`; None if the client disconnected before the check."""
    if fault.kind in UNJUDGED:
        return XVerdict(answer=unjudged_answer(fault, judge))
    if fault.kind is FaultKind.STALL and not await wire.wait(fault.seconds):
        return None
    skew = fault.seconds if fault.kind is FaultKind.CLOCK_SKEW else 0
    return judge.answer(request, skew=skew)


def dated(answer: XAnswer, at: float) -> XAnswer:
    return answer.with_headers(("date", formatdate(at, usegmt=True)))
