"""A server on a real socket, with fakes of the services behind it."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from builders import NOW, a_destination, a_source
from fakes import replays_in
from memory_store.store import MemoryStore
from raw_http import HttpResponse, Line, line_to, parse_response, request, say
from twite.domain.destination import Destination, Source
from twite.domain.history import ConversionCounts, History
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Secret
from twite.domain.submission import IgnoredTally
from twite.gateway.ingest.consent_choice import RecordConsentChoice
from twite.gateway.ingest.receipts import AcceptReceipt, XAcceptReceipt
from twite.gateway.operations.dedup_count import DedupCount
from twite.gateway.ports.events import GatewayEvent
from twite.gateway.ports.outbox import Discard, Move, MoveResult
from twite.gateway.ports.privacy import EraseStore
from twite.gateway.ports.queries import ByConversionId, IgnoredQuery, Query, Selection
from twite.http import GatewayServices, HttpApplication, HttpLimits, HttpSettings, Server
from twite.http.route_table import ROUTES

KEY = "a-source-key"
CONTROL_TOKEN = "a-control-token"


class StoppedClock:
    def now(self) -> int:
        return NOW

    def elapsed(self) -> int:
        return 0

    async def sleep(self, ms: int) -> None:
        """Wait for nothing."""


class FakeAccept:
    """Gives preset results and records the requests."""

    def __init__(self) -> None:
        self.native_answer: AcceptReceipt | Exception = a_receipt(accepted=1)
        self.x_answer: XAcceptReceipt | Exception = XAcceptReceipt(receipt="r1", processed=1)
        self.seen: list[tuple[str, bytes, str | None]] = []
        self.came = asyncio.Event()
        self.until: asyncio.Event | None = None

    def takes_directly(self, source: Source) -> bool:
        del source
        return False

    async def native(
        self, *, source: Source, body: bytes, idempotency_key: str | None
    ) -> AcceptReceipt:
        self.seen.append((source.name, body, idempotency_key))
        self.came.set()
        if self.until is not None:
            await self.until.wait()
        if isinstance(self.native_answer, Exception):
            raise self.native_answer
        return self.native_answer

    async def from_x(self, *, destination: Destination, body: bytes) -> XAcceptReceipt:
        self.seen.append((destination.pixel, body, None))
        if isinstance(self.x_answer, Exception):
            raise self.x_answer
        return self.x_answer


class FakeRecords:
    def __init__(self) -> None:
        self.histories: list[History] = []
        self.asked: list[tuple[str, tuple[str, ...], str]] = []
        self.kept: list[ConversionCounts] = []
        self.counted: list[IgnoredTally] = []
        self.problem: Exception | None = None

    async def find(self, selection: Selection) -> Sequence[History]:
        assert isinstance(selection, ByConversionId)
        events = None if selection.events is None else tuple(selection.events)
        self.asked.append((selection.pixel, events, selection.conversion_id))
        return [history for history in self.histories if events is None or history.event in events]

    async def balance(self) -> Sequence[ConversionCounts]:
        if self.problem is not None:
            raise self.problem
        return self.kept

    async def answer(self, query: Query[Any]) -> Sequence[IgnoredTally]:
        assert isinstance(query, IgnoredQuery)
        return [tally for tally in self.counted if tally.day >= query.since]


class FakeMoves:
    def __init__(self) -> None:
        self.done: list[tuple[str, tuple[int, ...], str, int]] = []
        self.audit_events: list[AuditEvent] = []

    async def move(
        self, move: Move, *, now: int, audit_event: AuditEvent | None = None
    ) -> MoveResult:
        self.audit_events += [] if audit_event is None else [audit_event]
        assert isinstance(move, Discard)
        self.done.append(("discard", tuple(move.deliveries), move.note, now))
        return MoveResult(moved=len(move.deliveries))


class Notices:
    def __init__(self) -> None:
        self.seen: list[GatewayEvent] = []

    def see(self, notice: GatewayEvent) -> None:
        self.seen.append(notice)


class FakeEraser:
    """`told` lists the slices of erasures in order. The log is always empty."""

    def __init__(self) -> None:
        self.reported: list[EraseStore] = []

    async def erase(self, erasing: EraseStore, *, now: int) -> int:
        del now
        self.reported.append(erasing)
        return 1 if erasing.ends else len(erasing.conversions)


class Stage:
    """A server on a real socket, and the fakes behind it."""

    def __init__(self, **said: Any) -> None:
        self.accept = FakeAccept()
        self.records = said.pop("records", FakeRecords())
        self.moves = said.pop("moves", FakeMoves())
        store = said.pop("store", MemoryStore())
        self.replays = replays_in(store, StoppedClock())
        self.eraser = FakeEraser()
        self.choose = RecordConsentChoice(privacy=MemoryStore(), clock=StoppedClock(), salt=b"salt")
        self.notices = Notices()
        self.why_not_ready: str | None = None
        limits = said.pop("limits", HttpLimits())
        settings = {name: said.pop(name) for name in HttpSettings.__struct_fields__ if name in said}
        routes = said.pop("routes", ROUTES)
        self.people = said.pop("people", MemoryStore().people)
        services = GatewayServices(
            accept=said.pop("accept", self.accept),
            queries=self.records,
            dedup_count=DedupCount(queries=self.records, clock=StoppedClock()),
            moves=self.moves,
            replays=self.replays,
            privacy=self.eraser,
            directory=self.people,
            record_choice=said.pop("choose", self.choose),
            clock=StoppedClock(),
            sources=said.pop("sources", [a_source()]),
            destinations=said.pop("destinations", {"o8z6j": a_destination()}),
            ready=lambda: self.why_not_ready,
            metrics=lambda accounts: b"accounts %d\n" % len(list(accounts)),
            control_token=said.pop("control_token", Secret(CONTROL_TOKEN)),
            observer=self.notices,
            **said,
        )
        self.collector = HttpApplication(
            services, HttpSettings(limits=limits, **settings), routes=routes
        )
        self.server = Server(self.collector, host="127.0.0.1", port=0, limits=limits)

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        key: str | None = KEY,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Send a request over a socket of its own, and read the response to its end."""
        said = {} if key is None else {"Authorization": f"Bearer {key}"}
        return parse_response(
            await self.say(request(method, path, body, said | dict(headers or {})))
        )

    async def submit(self, body: bytes, **said: Any) -> HttpResponse:
        return await self.ask("POST", "/v1/conversions", body, **said)

    async def say(self, sent: bytes) -> bytes:
        return await say(self.server.port, sent)

    def line(self) -> contextlib.AbstractAsyncContextManager[Line]:
        return line_to(self.server.port)


def a_receipt(**counts: Any) -> AcceptReceipt:
    return AcceptReceipt(
        **({"receipt": "r1", "accepted": 0, "duplicates": 0, "suppressed": 0} | counts)
    )


ONE = b'{"event":"purchase"}'
HEAD = (
    b"POST /v1/conversions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a-source-key\r\n"
    b"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n"
)


# The deadline for headers stays long: it begins before the client can send anything, so that on a
# busy machine a short one would end the connection of a client that is not slow.
QUICK = HttpLimits(
    body_seconds=0.1,
    idle_seconds=0.1,
    closing_seconds=0.1,
    stop_seconds=0.3,
    sweep_seconds=0.02,
)


async def one_answer(reader: asyncio.StreamReader) -> bytes:
    """Read a response from a connection that stays open."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    return head + await reader.readexactly(int(parse_response(head).headers["content-length"]))
