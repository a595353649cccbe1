"""Faults on demand: which kind, for which requests, and how often."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import count as counter
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from twite_emulator.exchange import EmulatorInputError


class FaultKind(StrEnum):
    STATUS = "status"
    RATE_LIMIT = "rate_limit"
    HTML = "html"
    EMPTY = "empty"
    RESET = "reset"
    STALL = "stall"
    SLOW = "slow"
    DROP_ANSWER = "drop_answer"
    CUT_OFF = "cut_off"
    CUT_HEAD = "cut_head"
    STALL_HEAD = "stall_head"
    STALL_BODY = "stall_body"
    SHORT_LENGTH = "short_length"
    NOT_HTTP = "not_http"
    TRUNCATED_JSON = "truncated_json"
    WRONG_PROCESSED = "wrong_processed"
    WITH_ERRORS = "with_errors"
    TRICKLE = "trickle"
    OPEN_CHUNKS = "open_chunks"
    GZIP_LIE = "gzip_lie"
    GZIP_BOMB = "gzip_bomb"
    HUGE_BODY = "huge_body"
    CLOCK_SKEW = "clock_skew"


DEFAULT_STATUS: Final[Mapping[FaultKind, int]] = {
    FaultKind.STATUS: 503,
    FaultKind.HTML: 502,
    FaultKind.EMPTY: 200,
}


class InjectedFault(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Spares the first `after` requests, then hits `count` requests (0: all, until it is deleted).

    With `event`, `holding` or `over`, it hits only requests with a conversion of that event id,
    with that text in the body, or with a body longer than that (bytes).
    """

    kind: FaultKind
    count: Annotated[int, Meta(ge=0)] = 1
    after: Annotated[int, Meta(ge=0)] = 0
    pixel: str | None = None
    event: str | None = None
    holding: str | None = None
    over: Annotated[int, Meta(ge=0)] | None = None
    on: Literal["conversions", "analytics", "any"] = "conversions"
    seconds: float = 0
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    body: str | None = None
    headers: Mapping[str, str] = {}
    bytes: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    processed: int | str | None = None
    hard: bool = False  # end the connection with a reset instead of a close

    @property
    def reads_body(self) -> bool:
        return (self.event, self.holding, self.over) != (None, None, None)

    @property
    def answer_status(self) -> int:
        return self.status or DEFAULT_STATUS[self.kind]


class Armed(Struct, kw_only=True):
    id: int
    fault: InjectedFault
    to_pass: int
    hits: int = 0


class FaultBoard:
    """The armed faults, in the order in which they were added. The first ready fault hits."""

    def __init__(self) -> None:
        self.armed: list[Armed] = []
        self._ids = counter(1)

    def arm(self, document: object) -> list[Armed]:
        """Add one fault or a list of them."""
        try:
            faults = msgspec.convert(
                document if isinstance(document, list) else [document], list[InjectedFault]
            )
        except msgspec.ValidationError as error:
            kinds = ", ".join(FaultKind)
            raise EmulatorInputError(f"This is not a fault: {error}. Kinds are {kinds}") from None
        for fault in faults:
            _check(fault)
        added = [Armed(id=next(self._ids), fault=fault, to_pass=fault.after) for fault in faults]
        self.armed += added
        return added

    @property
    def reads_body(self) -> bool:
        return any(armed.fault.reads_body for armed in self.armed)

    def draw(self, *, endpoint: str, pixel: str | None, body: bytes = b"") -> InjectedFault | None:
        """Return the fault for this request, and count the hit."""
        for armed in self.armed:
            fault = armed.fault
            if fault.on not in ("any", endpoint):
                continue
            if fault.pixel is not None and fault.pixel != pixel:
                continue
            if fault.reads_body and not _is_meant(fault, body):
                continue
            if armed.to_pass:
                armed.to_pass -= 1
                continue
            if fault.count and armed.hits >= fault.count:
                continue
            armed.hits += 1
            return fault
        return None

    def clear(self) -> None:
        self.armed.clear()


def _is_meant(fault: InjectedFault, body: bytes) -> bool:
    if fault.holding is not None and fault.holding.encode() not in body:
        return False
    if fault.over is not None and len(body) <= fault.over:
        return False
    return fault.event is None or fault.event in _events_of(body)


def _events_of(body: bytes) -> set[object]:
    try:
        sent = msgspec.json.decode(body)
        return {conversion.get("event_id") for conversion in sent["conversions"]}
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError, AttributeError):
        return set()


def _check(fault: InjectedFault) -> None:
    if fault.seconds < 0 and fault.kind not in (FaultKind.CLOCK_SKEW, FaultKind.RATE_LIMIT):
        raise EmulatorInputError(f"The seconds of {fault.kind} cannot be negative")
    texts = [text for pair in fault.headers.items() for text in pair]
    if any(not text.isprintable() for text in texts):
        raise EmulatorInputError("A header cannot contain control characters")
