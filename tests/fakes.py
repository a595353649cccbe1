"""Fakes for tests: clock, randomness, transports, engine, accounts, passwords, disk."""

import asyncio
import heapq
from collections.abc import Callable, Iterable
from itertools import count
from random import Random
from typing import Any, Final

import msgspec

from twite.gateway.operations.replays import Replays
from twite.gateway.ports.machine import DiskSpace
from twite.gateway.ports.ownership import LEASE_IS_OVER
from twite.gateway.ports.transport import NoResponse, OutboundRequest, Response


class MovingClock:
    """A clock for tests. `jump` moves only the wall clock, like a clock correction."""

    def __init__(self, now: int = 1_795_600_000_000) -> None:
        self._now = now
        self._elapsed = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> int:
        """Return wall time in milliseconds."""
        return self._now

    def elapsed(self) -> int:
        """Return monotonic milliseconds."""
        return self._elapsed

    @property
    def waits(self) -> bool:
        """Whether anything sleeps."""
        return any(not waiter.done() for _, _, waiter in self._sleepers)

    async def sleep(self, ms: int) -> None:
        """Wait until the clock has advanced by this time."""
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + ms, next(self._order), waiter))
        await waiter

    def jump(self, ms: int) -> None:
        """Move only the wall clock."""
        self._now += ms

    async def advance(self, ms: int) -> None:
        """Advance the clock.

        Each sleeper wakes at its time, and runs before time advances further.
        """
        end = self._elapsed + ms
        await settled()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, waiter = heapq.heappop(self._sleepers)
            self._now += max(0, at - self._elapsed)
            self._elapsed = max(at, self._elapsed)
            if not waiter.done():
                waiter.set_result(None)
                await settled()
        self._now += end - self._elapsed
        self._elapsed = end
        await settled()


async def settled(turns: int = 100) -> None:
    """Run the event loop until every task waits for the clock, or for a limited number of turns."""
    ready = getattr(asyncio.get_running_loop(), "_ready", None)
    for _ in range(turns):
        await asyncio.sleep(0)
        if ready is not None and not ready:
            return  # no other task can run


class SeededRandomness:
    """Randomness for tests: the same seed gives the same numbers, nonces and receipts."""

    def __init__(self, seed: int = 1) -> None:
        self._random = Random(seed)
        self._nonces = 0

    def fraction(self) -> float:
        return self._random.random()

    def nonce(self) -> str:
        """Return text that this instance has not returned before."""
        self._nonces += 1
        return f"nonce{self._nonces}"

    def receipt(self) -> str:
        """Return a text with the form of a UUID; later ones sort later."""
        self._nonces += 1
        return f"{self._nonces:08x}-0000-7000-8000-{self._random.getrandbits(48):012x}"


Reply = Response | NoResponse | Callable[[OutboundRequest], Response | NoResponse]


class ScriptedTransport:
    """Returns the scripted responses in order, then accepts everything; records each request."""

    def __init__(self, replies: Iterable[Reply] = ()) -> None:
        self._replies = list(replies)
        self.sent: list[OutboundRequest] = []

    def reply(self, reply: Reply) -> None:
        """Add a response to the script."""
        self._replies.append(reply)

    async def post(self, outbound: OutboundRequest) -> Response | NoResponse:
        """Record the request and return the next response, unless it may not be sent."""
        if not outbound.may_send():
            return NoResponse(reason=LEASE_IS_OVER, left=False)
        self.sent.append(outbound)
        reply = self._replies.pop(0) if self._replies else taken
        return reply(outbound) if callable(reply) else reply


def conversions_of(outbound: OutboundRequest) -> list[dict[str, object]]:
    body = msgspec.json.decode(outbound.body, type=dict[str, list[dict[str, object]]])
    return body["conversions"]


def taken(outbound: OutboundRequest) -> Response:
    """Return X's response when it accepts everything."""
    count = len(conversions_of(outbound))
    body = {"data": {"conversions_processed": count, "debug_id": "d"}, "request": {"params": {}}}
    return Response(status=200, headers={}, body=msgspec.json.encode(body))


def refused(*errors: tuple[str, str, str], status: int = 400) -> Response:
    """Return X's response to a refused request; each error is (code, message, parameter)."""
    body = {
        "errors": [
            {"code": code, "message": message, "parameter": parameter}
            for code, message, parameter in errors
        ],
        "request": {"params": {}},
    }
    return Response(status=status, headers={}, body=msgspec.json.encode(body))


class ScriptedWeb:
    """Returns the scripted answers in order, then 200 for everything; records the requests.

    See twite.tags.ports.web.Web.
    """

    def __init__(self, answers: Iterable[Response | NoResponse] = ()) -> None:
        self._answers = list(answers)
        self.asked = []

    async def ask(self, asked) -> Response | NoResponse:
        """Record the request and return the next answer, unless it may not be sent."""
        if not asked.may_send():
            return NoResponse(reason=LEASE_IS_OVER, left=False)
        self.asked.append(asked)
        if self._answers:
            return self._answers.pop(0)
        return Response(status=200, headers={}, body=b"{}")


_PREFIX: Final = "plain:"
_FORMER: Final = "former:"


class PlainPasswords:
    """Stores passwords in plain text. A hash that begins with `former:` is valid, and outdated.

    `verified` and `hashed` count the calls.
    """

    def __init__(self) -> None:
        self.verified = 0
        self.hashed = 0

    async def hash(self, password: str) -> str:
        self.hashed += 1
        return _PREFIX + password

    async def verify(self, hash_: str, password: str) -> bool:
        self.verified += 1
        return hash_ in {_PREFIX + password, _FORMER + password}

    def is_current(self, hash_: str) -> bool:
        return hash_.startswith(_PREFIX)


class HeldPasswords(PlainPasswords):
    """Blocks calls of `verify` or `hash` until the test releases them.

    A test can thus act at a moment when a slow hash would be running.
    """

    def __init__(self) -> None:
        super().__init__()
        self._to_hold = {"verify": 0, "hash": 0}
        self._held = 0
        self._arrival = asyncio.Condition()
        self._go = asyncio.Event()

    def hold(self, what: str, *, times: int = 1) -> None:
        """Hold the next `count` calls at the end of `verify` or `hash`."""
        self._to_hold[what] = times
        self._held = 0
        self._go = asyncio.Event()

    async def arrived(self, times: int = 1) -> None:
        """Wait until this number of calls is held."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: self._held >= times)

    def let_go(self) -> None:
        """Release the held calls."""
        self._go.set()

    async def hash(self, password: str) -> str:
        hashed = await super().hash(password)
        await self._wait("hash")
        return hashed

    async def verify(self, hash_: str, password: str) -> bool:
        right = await super().verify(hash_, password)
        await self._wait("verify")
        return right

    async def _wait(self, what: str) -> None:
        if not self._to_hold[what]:
            return
        self._to_hold[what] -= 1
        go = self._go
        async with self._arrival:
            self._held += 1
            self._arrival.notify_all()
        await go.wait()


class SetDisk:
    """A disk for tests.

    `room` is the reported free space; with None, it fails like a broken disk.
    """

    def __init__(self, room: DiskSpace | None = None) -> None:
        self.room: DiskSpace | None = room or DiskSpace(free=50 << 30, files={"database": 1})

    async def space(self) -> DiskSpace:
        """Return the free space. Raises OSError if `room` is None."""
        if self.room is None:
            raise OSError(5, "Input/output error")
        return self.room


def replays_in(store: Any, clock: Any) -> Replays:
    """Return what starts, works off and cancels replays in a store."""
    return Replays(
        state=store, queries=store, moves=store, clock=clock, randomness=SeededRandomness()
    )
