"""A simulated X and its network: accepts, refuses, limits, delays and loses responses."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import Enum, auto
from typing import Final, Protocol

import msgspec

from simulator.clock import START, TrialClock
from simulator.judge import Judge
from simulator.records import Key, Request
from simulator.store import Span
from twite.domain.times import SECOND
from twite.gateway.ports.transport import NoResponse, OutboundRequest, Response
from twite.x import spec

# X refuses conversions whose description starts with this.
POISON: Final = "poison"
# How long the gateway waits for an answer.
_TIMEOUT: Final = 30 * SECOND


class RequestFault(Enum):
    """The faults of one request."""

    FAIR = auto()
    NO_CONNECTION = auto()
    TIMEOUT = auto()
    RESET = auto()
    CUT = auto()
    WRONG_COUNT = auto()
    NOT_JSON = auto()
    ERROR = auto()  # 500 to 504
    LOCKED = auto()  # 408, 423
    LIMITED = auto()  # 429 with a reset
    LIMITED_WITHOUT_RESET = auto()
    REVOKED = auto()  # 401
    FORBIDDEN = auto()  # 403
    MOVED = auto()  # 302
    WRONG_EVENT = auto()  # 404 about the event
    ALL_ALIKE = auto()  # 400 to whatever is sent: the account is at fault, not the conversions
    DIES_BEFORE = auto()  # the process crashes before X has the request
    DIES_AFTER = auto()  # the process crashes when X has it


class Met(msgspec.Struct, frozen=True, kw_only=True):
    """The faults of a request. `takes`: whether X processes it although the response is lost.

    `status` is for an error; `there` and `back` are delays in ms; `wait` is for a limit.
    """

    request_fault: RequestFault = RequestFault.FAIR
    takes: bool = True
    status: int = 503
    there: int = 20
    back: int = 80
    wait: int = 90 * SECOND


class NetworkMischief(Protocol):
    """Decides the faults of requests."""

    def on_request(self, pixel: str) -> Met:
        """Return the faults of a pixel's next request."""
        ...


class _Conversion(msgspec.Struct):
    conversion_id: str
    event_id: str
    description: str = ""


class _Sent(msgspec.Struct):
    conversions: list[msgspec.Raw]


_CONVERSION: Final = msgspec.json.Decoder(_Conversion)
_SENT: Final = msgspec.json.Decoder(_Sent)
_LOST: Final = {
    RequestFault.TIMEOUT,
    RequestFault.RESET,
    RequestFault.CUT,
    RequestFault.ERROR,
    RequestFault.LOCKED,
}
_AMBIGUOUS: Final = _LOST | {RequestFault.WRONG_COUNT, RequestFault.NOT_JSON}
_PIXEL_REFUSED: Final = {RequestFault.REVOKED, RequestFault.FORBIDDEN, RequestFault.MOVED}


class SimulatedX:
    """X for all processes. `limits` are moments (elapsed) until which an account is refused."""

    def __init__(
        self,
        *,
        clock: TrialClock,
        judge: Judge,
        mischief: NetworkMischief,
        meters: Mapping[str, str],
    ) -> None:
        self._clock = clock
        self._judge = judge
        self._mischief = mischief
        self._meters = meters
        self._limits: dict[str, int] = {}

    async def post(self, span: Span, outbound: OutboundRequest) -> Response | NoResponse:
        """Receive a request of a process."""
        clock = self._clock
        clock.beat()
        await span.step()
        pixel = outbound.url.rsplit("/", 1)[1]
        met = self._mischief.on_request(pixel)
        bodies = [bytes(raw) for raw in _SENT.decode(outbound.body).conversions]
        read = [_CONVERSION.decode(body) for body in bodies]
        keys: list[Key] = [
            (pixel, conversion.event_id, conversion.conversion_id) for conversion in read
        ]
        request = self._judge.leaves(span, pixel, list(zip(keys, bodies, strict=True)))
        if met.request_fault is RequestFault.DIES_BEFORE:
            await span.end()
        await clock.sleep(met.there)
        clock.beat()
        poison = next(
            (conversion for conversion in read if conversion.description.startswith(POISON)), None
        )
        came = self._treat(request, met, poison)
        if met.request_fault is RequestFault.DIES_AFTER:
            await span.end()
        await clock.sleep(_TIMEOUT if met.request_fault is RequestFault.TIMEOUT else met.back)
        await span.step()
        self._tell(request, came)
        return came

    def _treat(  # noqa: PLR0911  a table of what X does, one line a row
        self, request: Request, met: Met, poison: _Conversion | None
    ) -> Response | NoResponse:
        """Process the request as X, and return the response."""
        limited = self._limited(request.pixel, met)
        if met.request_fault is RequestFault.NO_CONNECTION:
            return NoResponse(reason="no connection", left=False)
        if limited is not None:
            return limited
        if met.request_fault in _PIXEL_REFUSED:
            return self._refusal(_STATUS[met.request_fault], "UNAUTHORIZED_ACCESS", "not you")
        if met.request_fault is RequestFault.WRONG_EVENT:
            text = f"event_id ({request.keys[0][1]}) does not belong to provided account"
            return self._refusal(404, spec.NOT_FOUND, text, "event_id")
        if met.request_fault is RequestFault.ALL_ALIKE:
            return self._refusal(400, spec.INVALID_PARAMETER, spec.NO_IDENTIFIER)
        ambiguous = met.request_fault in _AMBIGUOUS
        if ambiguous and not met.takes and met.request_fault in _LOST:
            return self._lost(met, len(request.keys))
        if poison is not None:
            if met.request_fault in _LOST:
                return self._lost(met, len(request.keys))
            return self._refused_for(poison)
        self._judge.takes(request)
        if ambiguous:
            return self._lost(met, len(request.keys))
        return self._answer(200, _processed(len(request.keys)))

    def _limited(self, pixel: str, met: Met) -> Response | None:
        """Return a 429 if a limit applies."""
        meter, now = self._meters[pixel], self._clock.elapsed()
        if met.request_fault is RequestFault.LIMITED:
            # Round down to whole seconds of X's clock.
            reset = (self._clock.true_now() + met.wait) // SECOND * SECOND - START
            self._limits[meter] = max(self._limits.get(meter, 0), reset)
        until = self._limits.get(meter, 0)
        if now < until:
            headers = {spec.ACCOUNT_RATE_RESET: str((START + until) // SECOND)}
            return self._refusal(429, spec.TOO_MANY_REQUESTS, "slow down", headers=headers)
        if met.request_fault is RequestFault.LIMITED_WITHOUT_RESET:
            return self._refusal(429, spec.TOO_MANY_REQUESTS, "slow down")
        return None

    def _lost(  # noqa: PLR0911  a table, too
        self, met: Met, sent: int
    ) -> Response | NoResponse:
        match met.request_fault:
            case RequestFault.TIMEOUT:
                return NoResponse(reason="no answer in time", left=True)
            case RequestFault.RESET:
                return NoResponse(reason="connection lost", left=True)
            case RequestFault.CUT:
                return self._answer(200, _processed(sent)[:20], whole=False)
            case RequestFault.WRONG_COUNT:
                return self._answer(200, _processed(sent - 1))
            case RequestFault.NOT_JSON:
                return self._answer(200, b"<html>done</html>")
            case RequestFault.LOCKED:
                return self._refusal(423, "LOCK_ACQUISITION_TIMEOUT", "locked")
            case _:
                return self._refusal(met.status, spec.SERVICE_UNAVAILABLE, "later")

    def _refused_for(self, poison: _Conversion) -> Response:
        if poison.description.endswith("echo"):
            text = f'Expected a good one, got "{poison.description}" for description'
            return self._refusal(400, spec.INVALID_PARAMETER, text, "description")
        return self._refusal(400, spec.INVALID_PARAMETER, spec.NO_IDENTIFIER)

    def _refusal(
        self,
        status: int,
        code: str,
        message: str,
        parameter: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        error = {"code": code, "message": message, "parameter": parameter}
        body = msgspec.json.encode({"errors": [error], "request": {"params": {}}})
        return self._answer(status, body, headers=headers)

    def _answer(
        self,
        status: int,
        body: bytes,
        *,
        whole: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        date = format_datetime(
            datetime.fromtimestamp(self._clock.true_now() // SECOND, UTC), usegmt=True
        )
        return Response(
            status=status, headers={"date": date, **(headers or {})}, body=body, whole=whole
        )

    def _tell(self, request: Request, came: Response | NoResponse) -> None:
        """Report the response to the judge before the gateway gets it."""
        self._clock.beat()
        if isinstance(came, NoResponse):
            self._judge.answered(
                request, doubt=came.left, refused_pixel=False, passed=False, taken=False
            )
            return
        clear = came.whole and came.status == 200 and came.body == _processed(len(request.keys))
        refused = 400 <= came.status < 500 and came.status not in {408, 423}
        self._judge.answered(
            request,
            doubt=not (clear or refused or came.status == 302),
            refused_pixel=came.status in _STATUS.values(),
            passed=clear or came.status in {400, 404},
            taken=clear,
        )
        reset = came.headers.get(spec.ACCOUNT_RATE_RESET)
        if reset is not None:
            self._judge.reported_reset(request, int(reset) * SECOND - START)


_STATUS: Final = {RequestFault.REVOKED: 401, RequestFault.FORBIDDEN: 403, RequestFault.MOVED: 302}


def _processed(many: int) -> bytes:
    return msgspec.json.encode(
        {"data": {"conversions_processed": many, "debug_id": "d"}, "request": {"params": {}}}
    )


class SpanTransport:
    """The connection of one process to X."""

    def __init__(self, *, x: SimulatedX, span: Span) -> None:
        self._x = x
        self._span = span

    async def post(self, outbound: OutboundRequest) -> Response | NoResponse:
        return await self._x.post(self._span, outbound)
