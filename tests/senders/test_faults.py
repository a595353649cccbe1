"""Every failure of X on a socket: its classification, and that no conversion is lost.

Each row is one fault. The emulator simulates it, then reports what X received and counted.
"""

import asyncio
import os

import pytest

from builders import a_destination, a_submission, an_entry
from memory_store.store import MemoryStore
from twite.domain.outcome import Delivered, Errored, Rejected, RejectionScope
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ports.events import ProblemSeen
from twite.gateway.ports.outbox import Replay
from twite.gateway.ports.queries import AtRest
from twite.machine.system import SystemClock, SystemRandomness
from twite.senders.http import HttpTransport
from twite.x.encode import batch_body

LONG = os.environ.get("TWITE_TRIAL") == "1"
EACH = 200
TIMEOUT = 300  # milliseconds, of a request that X does not answer
SLOW = 2_000  # milliseconds, of all requests of a sequence: X answers some of them, and not others
PATIENT = 30_000  # milliseconds, longer than any answer takes on a busy machine
FAR = 600  # seconds: beyond every timeout

MAYBE = (Errored, True)
LATER = (Errored, False)
PIXEL = (Rejected, RejectionScope.PIXEL)
# The text is not X's own: perhaps it is a proxy's, perhaps it is about one conversion.
UNCLEAR = (Rejected, RejectionScope.UNCLEAR)
EVENT = (Rejected, RejectionScope.EVENT)
SOME = (Rejected, RejectionScope.CONVERSION)
SIZE = (Rejected, RejectionScope.SIZE)
FINE = (Delivered, None)

NO_EVENT = (
    '{"errors":[{"code":"NOT_FOUND","message":"event_id (o8z6k) does not belong to provided '
    'account","parameter":"event_id"}]}'
)
HOSTILE = '{"errors":[{"code":"<script>","message":"\\u0000\\ud83d\\ude00%s","parameter":"../"}]}'

# X's behavior, and its classification by the sender.
FAULTS = {
    "reset before the request was read": ({"kind": "reset"}, MAYBE),
    "stall before the work": ({"kind": "stall", "seconds": FAR}, MAYBE),
    "stall after the work": ({"kind": "slow", "seconds": FAR}, MAYBE),
    "closed after the work": ({"kind": "drop_answer"}, MAYBE),
    "reset after the work": ({"kind": "drop_answer", "hard": True}, MAYBE),
    "closed in the headers": ({"kind": "cut_head"}, MAYBE),
    "reset in the headers": ({"kind": "cut_head", "hard": True}, MAYBE),
    "stall in the headers": ({"kind": "stall_head", "seconds": FAR}, MAYBE),
    "closed in the body": ({"kind": "cut_off"}, MAYBE),
    "reset in the body": ({"kind": "cut_off", "hard": True}, MAYBE),
    "stall in the body": ({"kind": "stall_body", "seconds": FAR}, MAYBE),
    "a byte at a time": ({"kind": "trickle", "seconds": FAR}, MAYBE),
    "chunked without an end": ({"kind": "open_chunks"}, MAYBE),
    "a length too long": (
        {"kind": "status", "status": 200, "body": "{}", "headers": {"content-length": "9999"}},
        MAYBE,
    ),
    "a length too short": ({"kind": "short_length"}, MAYBE),
    "no http": ({"kind": "not_http"}, MAYBE),
    "gzip that is none": ({"kind": "gzip_lie"}, MAYBE),
    "a gzip bomb": ({"kind": "gzip_bomb", "bytes": 100_000_000}, MAYBE),
    "a body of 100 MB": ({"kind": "huge_body", "bytes": 100_000_000}, MAYBE),
    "200 empty": ({"kind": "empty"}, MAYBE),
    "200 truncated": ({"kind": "truncated_json"}, MAYBE),
    "200 html": ({"kind": "html", "status": 200}, MAYBE),
    "200 fewer": ({"kind": "wrong_processed", "processed": EACH - 1}, MAYBE),
    "200 more": ({"kind": "wrong_processed", "processed": EACH + 1}, MAYBE),
    "200 none": ({"kind": "wrong_processed", "processed": 0}, MAYBE),
    "200 without a count": ({"kind": "wrong_processed", "processed": None}, MAYBE),
    "200 a count in words": ({"kind": "wrong_processed", "processed": str(EACH)}, MAYBE),
    "200 with errors": ({"kind": "with_errors"}, MAYBE),
    "204": ({"kind": "empty", "status": 204}, MAYBE),
    "301 elsewhere": (
        {"kind": "status", "status": 301, "headers": {"location": "http://127.0.0.1:1/"}},
        UNCLEAR,
    ),
    "302 elsewhere": (
        {"kind": "status", "status": 302, "headers": {"location": "http://127.0.0.1:1/"}},
        UNCLEAR,
    ),
    "307 elsewhere": (
        {"kind": "status", "status": 307, "headers": {"location": "http://127.0.0.1:1/"}},
        UNCLEAR,
    ),
    "400": ({"kind": "status", "status": 400}, SOME),
    "400 hostile": ({"kind": "status", "status": 400, "body": HOSTILE}, SOME),
    "400 html": ({"kind": "html", "status": 400}, UNCLEAR),
    "401": ({"kind": "status", "status": 401}, PIXEL),
    "403": ({"kind": "status", "status": 403}, PIXEL),
    "404 the event": ({"kind": "status", "status": 404, "body": NO_EVENT}, EVENT),
    "404 html": ({"kind": "html", "status": 404}, UNCLEAR),
    "405": ({"kind": "status", "status": 405}, PIXEL),
    "408": ({"kind": "status", "status": 408}, MAYBE),
    "413": ({"kind": "html", "status": 413}, SIZE),
    "423": ({"kind": "status", "status": 423}, MAYBE),
    "429 with a reset": ({"kind": "rate_limit", "seconds": 1}, LATER),
    "429 without a reset": ({"kind": "status", "status": 429}, LATER),
    "429 reset long ago": ({"kind": "rate_limit", "seconds": -9_999}, LATER),
    "429 reset in 2100": ({"kind": "rate_limit", "seconds": 2_300_000_000}, LATER),
    "429 reset in words": (
        {"kind": "status", "status": 429, "headers": {"x-rate-limit-reset": "soon"}},
        LATER,
    ),
    "500": ({"kind": "status", "status": 500}, MAYBE),
    "502 html": ({"kind": "html", "status": 502}, MAYBE),
    "503": ({"kind": "status", "status": 503}, MAYBE),
    "504 html": ({"kind": "html", "status": 504}, MAYBE),
    "a clock an hour off": ({"kind": "clock_skew", "seconds": 3_600}, FINE),
}


@pytest.fixture
async def clients(x_emulator):
    """Return a function that makes clients of X from their timeout in milliseconds."""
    x_emulator.switch(rate_limit=1_000_000_000, dedup_scope="all")
    transports = []

    async def client(ms):
        transport = HttpTransport(timeout=ms)
        transports.append(transport)
        await transport.start()
        return XClient(
            transport=transport,
            clock=MonotonicClock(SystemClock()),
            randomness=SystemRandomness(),
            api_url=x_emulator.url,
            version="12",
        )

    yield client
    for transport in transports:
        await transport.stop()


def meaning_of(outcome):
    detail = {Errored: "ambiguous", Rejected: "scope"}.get(type(outcome))
    return type(outcome), None if detail is None else getattr(outcome, detail)


@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_of_x_is_classified(name, x_emulator, clients):
    fault, meaning = FAULTS[name]
    client = await clients(TIMEOUT if fault.get("seconds") == FAR else PATIENT)
    x_emulator.fault(**fault)
    body = batch_body([an_entry(f"c{n}").body for n in range(EACH)])

    _, outcome = await client.send(a_destination(), body, count=EACH)

    assert meaning_of(outcome) == meaning


def test_at_least_forty_faults_of_x_are_tested():
    assert len(FAULTS) >= 40


async def test_all_faults_of_x_in_sequence_lose_no_conversion(x_emulator, clients, figure):
    """No exceptions, no losses, and no conversion is given up without a verdict of X."""
    # Faults that pause a pixel and rate limits take a minute each: they run only in the trial.
    slow = (PIXEL, LATER)
    chosen = [
        fault for fault, meaning in FAULTS.values() if LONG or meaning not in (*slow, SOME, EVENT)
    ]
    store, seen, clock = MemoryStore(), [], MonotonicClock(FastClock())
    run = DeliveryRunner(
        destinations=[a_destination(rate=10_000_000)],
        outbox=store,
        x_client=await clients(SLOW),
        clock=clock,
        randomness=SystemRandomness(),
        observer=type("Seen", (), {"see": lambda _, notice: seen.append(notice)})(),
        worker_config=WorkerConfig(batch=EACH, linger=0),
    )
    for fault in chosen:
        x_emulator.fault(**fault)
    ids = [f"c{n}" for n in range(EACH * len(chosen))]
    await run.start()
    for start in range(0, len(ids), EACH):
        entries = [an_entry(id_, index=i) for i, id_ in enumerate(ids[start : start + EACH])]
        await store.record(a_submission(*entries, receipt=f"r{start}", received_at=clock.now()))
    run.wake_all()
    async with asyncio.timeout(600 if LONG else 200):
        while (await store.balance())[0].pending:
            await asyncio.sleep(0.05)
            await _replay_held(store, clock.now())
    await run.stop(within=2_000)

    account = (await store.balance())[0]
    counted = x_emulator.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]
    assert (account.delivered, account.balance) == (len(ids), 0)
    assert set(counted) == set(ids)
    assert {tally["counted"] for tally in counted.values()} == {1}
    assert [notice for notice in seen if isinstance(notice, ProblemSeen)] == []
    figure(
        "X answers badly",
        f"{len(FAULTS)} faults classified; {len(chosen)} in a row with {len(ids):,} conversions: "
        "0 lost, 0 counted twice, 0 faults of ours",
    )


class FastClock:
    """A clock that runs a thousand times too fast, so that the trial takes no minutes."""

    def __init__(self):
        self._machine = SystemClock()
        self._wall, self._began = self._machine.now(), self._machine.elapsed()

    def now(self):
        return self._wall + self.elapsed()

    def elapsed(self):
        return (self._machine.elapsed() - self._began) * 1_000

    async def sleep(self, ms):
        await self._machine.sleep(ms / 1_000)


async def _replay_held(store, now):
    """Replay held deliveries as a user: X temporarily did not know an event."""
    held = await store.find(AtRest(pixel=None, limit=1_000))
    await store.move(Replay(deliveries=[letter.delivery for letter in held]), now=now)
