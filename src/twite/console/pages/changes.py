"""Tell open pages that the store has changed, so that they load themselves again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import msgspec
from starlette.responses import Response, StreamingResponse

from twite.console.page import PageRequest, PageRoute
from twite.console.visible_alerts import visible
from twite.domain.alert import Alert, Mute
from twite.domain.replay_batch import ReplayBatch
from twite.domain.times import MINUTE
from twite.gateway.alerts.alert_store import read_replies
from twite.gateway.operations.problem_keys import MUTED
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.machine import Clock, wait_for_event
from twite.gateway.ports.queries import AttemptsQuery, FlowsQuery, Queries
from twite.gateway.ports.state import StateReader

PATH: Final = "/console/changes"
EACH: Final = 4
MOST: Final = 32
# Streams end after this time and browsers reconnect, so that a shutdown does not wait for them, and
# a session that has ended is noticed.
_STREAM: Final = 8_000
_EVERY: Final = 1_000
_RETRY: Final = b"retry: 1000\n\n"
# How long, in milliseconds, a browser waits before it reconnects after another stream replaced its
# own.
_MADE_WAY: Final = b"retry: 15000\n\n"
_DIGEST_SIZE: Final = 12


class Stream:
    """An open event stream. `ended` is set when another stream replaces it."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.ended = asyncio.Event()


class Streams:
    """The open streams, oldest first: at most `each` per user and `most` in total.

    At the limit per user, a new stream ends the user's oldest stream. At the total limit, it ends
    the oldest stream of the user with the most streams.
    """

    def __init__(self, *, each: int = EACH, most: int = MOST) -> None:
        self._each = each
        self._most = most
        self._open: list[Stream] = []

    def open(self, who: str) -> Stream:
        """Return a new stream. At a limit, another stream ends."""
        counts = Counter(stream.who for stream in self._open)
        if counts[who] >= self._each:
            self._end_oldest(who)
        elif len(self._open) >= self._most:
            greatest = max(counts.values())
            # If several users have the most streams, the one with the oldest stream loses it.
            self._end_oldest(
                next(stream.who for stream in self._open if counts[stream.who] == greatest)
            )
        stream = Stream(who)
        self._open.append(stream)
        return stream

    def close(self, stream: Stream) -> None:
        if stream in self._open:
            self._open.remove(stream)

    def _end_oldest(self, who: str) -> None:
        oldest = next(stream for stream in self._open if stream.who == who)
        self._open.remove(oldest)
        oldest.ended.set()


class ChangeStreams:
    """Server-sent events that say "changed" when a version changes, at most once a second.

    The id of an event is the version. A browser that reconnects sends the last id, so no change is
    lost between two streams. A browser that has none is told to load the page again, because the
    page may have changed since it was rendered.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._streams = Streams()

    def answer(self, request: PageRequest, version: Callable[[], Awaitable[str]]) -> Response:
        """Respond with a stream. `version` returns ASCII text without line breaks."""
        headers = request.request.headers
        # A client that does not request a stream gets only the present version.
        lasting = _STREAM if "text/event-stream" in headers.get("accept", "") else 0
        seen = headers.get("last-event-id", "")
        return StreamingResponse(
            self._events(request.viewer.name, version, seen, lasting),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _events(
        self, who: str, version: Callable[[], Awaitable[str]], seen: str, lasting: int
    ) -> AsyncIterator[bytes]:
        stream = self._streams.open(who)
        try:
            yield _RETRY
            until = self._clock.elapsed() + lasting
            while True:
                found = await version()
                if found != seen:
                    seen = found
                    yield b"id: %s\ndata: changed\n\n" % found.encode("ascii")
                if self._clock.elapsed() >= until:
                    return
                await wait_for_event(stream.ended, self._clock, most=_EVERY)
                if stream.ended.is_set():
                    yield _MADE_WAY
                    return
        finally:
            self._streams.close(stream)


class StoreVersions:
    """The versions of what the viewers see of the store, each read at most once a second.

    A version changes when a conversion arrives, with any outcome, when a request to X ends, when an
    alert opens, changes or resolves, when a user replies to it or mutes a problem, when a replay
    goes on, when conversions change their state, and every minute. The store is read, so changes by
    other gateways are seen, too.
    """

    def __init__(self, queries: Queries, state: StateReader, clock: Clock) -> None:
        self._queries = queries
        self._state = state
        self._clock = clock
        self._read: dict[frozenset[str] | None, tuple[int, str]] = {}
        self._reading = asyncio.Lock()

    async def of(self, scope: QueryScope) -> str:
        async with self._reading:
            at, version = self._read.get(scope.pixels, (0, ""))
            now = self._clock.elapsed()
            if not version or now - at >= _EVERY:
                version = await self._fresh(scope)
                kept = {key: held for key, held in self._read.items() if now - held[0] < MINUTE}
                self._read = kept | {scope.pixels: (now, version)}
            return version

    async def _fresh(self, scope: QueryScope) -> str:
        minute = self._clock.now() // MINUTE * MINUTE
        # A conversion's traffic counts for the minute of its receipt, or of X's answer.
        flows = await self._queries.answer(
            FlowsQuery(scope=scope, span=MINUTE, since=minute - MINUTE)
        )
        attempts = await self._queries.answer(AttemptsQuery(since=minute))
        # Only of the pixels that the viewer sees: others' traffic must not show.
        seen = sorted((pixel, tried) for pixel, tried in attempts.items() if scope.shows(pixel))
        counts = [each for each in await self._queries.balance() if scope.shows(each.pixel)]
        replays = [
            (batch.id, batch.done, batch.cancelled_by)
            for batch in await self._state.load(ReplayBatch)
            if batch.is_within(scope.pixels)
        ]
        mutes = await self._state.load(Mute, prefix=MUTED)
        alerts = await self._alerts(scope)
        parts = msgspec.msgpack.encode((minute, flows, seen, counts, replays, mutes, alerts))
        return blake2b(parts, digest_size=_DIGEST_SIZE).hexdigest()

    async def _alerts(self, scope: QueryScope) -> list[object]:
        replies = await read_replies(self._state)
        now = self._clock.now()
        return [
            (alert, replies.acknowledgement(alert), replies.mute(alert, now=now))
            for alert in visible(await self._state.load(Alert), scope.pixels)
        ]


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ChangesPage:
    """The stream that every page with `{% set live = true %}` listens to."""

    queries: Queries
    state: StateReader
    clock: Clock
    _streams: ChangeStreams = field(init=False)
    _versions: StoreVersions = field(init=False)

    def __post_init__(self) -> None:
        self._streams = ChangeStreams(self.clock)
        self._versions = StoreVersions(self.queries, self.state, self.clock)

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (PageRoute("GET", PATH, self._stream),)

    async def _stream(self, request: PageRequest) -> Response:
        scope = QueryScope(pixels=request.viewer.pixels)
        return self._streams.answer(request, lambda: self._versions.of(scope))
