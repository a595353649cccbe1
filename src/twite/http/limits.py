"""Limits of the HTTP layer: sizes, timeouts, concurrent requests, and delays after refusals."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final, final

import msgspec
from starlette.types import Scope

from twite.domain.plural import plural
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.machine import Clock
from twite.gateway.rate_limiter import RateLimiter
from twite.http.addresses import Network, address_of, line_of
from twite.http.responses import HttpRefusal, again

_BUSY: Final = again(429, "too_busy")
REFUSALS: Final = 600  # per address and minute; high enough not to delay a page with a wrong key
# Refusals that anyone can cause: no key, forbidden, no such route, too many requests.
DELAYED: Final = frozenset({401, 403, 404, 405, 429, 503})


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds.

    `body` counts after decompression. `requests` limits concurrent authenticated requests, and
    `bodies` the total size of their bodies; further requests are refused with 429. `page_body`,
    `page_requests` and `page_bodies` are the same limits for browser requests, which have no key.
    `discarded` is the part of a refused body that is read, so that the client sees the response
    before the connection closes. `tell_seconds` is the time between two log lines about too many
    connections.
    """

    body: int = 1024 * 1024
    headers: int = 16 * 1024
    headers_seconds: float = 5.0
    body_seconds: float = 15.0
    idle_seconds: float = 75.0
    closing_seconds: float = 5.0
    connections: int = 4_096
    requests: int = 1_024
    bodies: int = 64 * 1024 * 1024
    page_body: int = 64 * 1024  # browsers limit sendBeacon to this
    page_requests: int = 512
    page_bodies: int = 16 * 1024 * 1024
    discarded: int = 8 * 1024 * 1024
    stop_seconds: float = 10.0
    sweep_seconds: float = 0.5
    tell_seconds: float = 60.0


class ClosedConnections:
    """Counts connections closed or refused at the connection limit, since the last report.

    While `is_stopping`, connections accepted before the listeners closed are closed unread.
    """

    def __init__(self) -> None:
        self.is_stopping = False
        self.closed = 0
        self.refused = 0

    def report(self) -> str | None:
        """Return a sentence about the events since the last report; None if there were none."""
        closed, refused = self.closed, self.refused
        self.closed = self.refused = 0
        if not closed and not refused:
            return None
        return (
            f"connection limit reached: closed {plural(closed, 'idle connection')}, refused "
            f"{plural(refused, 'new connection')} with 503"
        )


@final
class AdmissionGate:
    """Admits up to `requests` concurrent requests with `size` bytes in total.

    Otherwise raises HttpRefusal (429). Requests without a key have gates of their own. A compressed
    body counts as `largest`, because its inflated size is not known.
    """

    __slots__ = ("_arriving", "_inside", "_largest", "_requests", "_size", "_weight")

    def __init__(self, *, requests: int, size: int, largest: int) -> None:
        self._requests = requests
        self._size = size
        self._largest = largest
        self._inside = 0
        self._weight = 0
        # Bodies that `arrived` waits for, with their weights, in order of arrival.
        self._arriving: dict[asyncio.Timeout, int] = {}

    def weigh(self, headers: Mapping[bytes, bytes]) -> int:
        """Return the weight of a request."""
        declared = headers.get(b"content-length")
        if declared is None or b"content-encoding" in headers:
            return self._largest
        return min(int(declared), self._largest)

    def admits(self, weight: int) -> bool:
        """Admit a request of this weight; return False if there is no room for it."""
        # One request is always admitted. Otherwise, a body larger than the whole limit would never
        # be accepted.
        if self._inside and (self._inside >= self._requests or self._weight + weight > self._size):
            return False
        self._inside += 1
        self._weight += weight
        return True

    def enter(self, headers: Mapping[bytes, bytes]) -> int:
        """Admit a request; return its weight, which the caller passes to `leave`."""
        weight = self.weigh(headers)
        if not self.admits(weight):
            raise HttpRefusal(_BUSY)
        return weight

    def enter_first(self, weight: int) -> None:
        """Admit a request, in place of those whose bodies have been arriving for longest.

        So slow senders without a key cannot keep others out. Raises HttpRefusal (429).
        """
        while not self.admits(weight):
            if not self._arriving:
                raise HttpRefusal(_BUSY)
            oldest = next(iter(self._arriving))
            self.leave(self._arriving.pop(oldest))
            oldest.reschedule(0)

    async def arrived(self, weight: int, body: Awaitable[bytes]) -> bytes:
        """Wait for the body of an admitted request. Raises HttpRefusal (429) if it lost its place.

        The caller must still call `leave`.
        """
        place = asyncio.timeout(None)
        try:
            async with place:
                self._arriving[place] = weight
                try:
                    return await body
                finally:
                    has_left = self._arriving.pop(place, None) is None
                    if has_left:
                        self._inside += 1
                        self._weight += weight
        except TimeoutError:
            if not place.expired():
                raise
            raise HttpRefusal(_BUSY) from None

    def leave(self, weight: int) -> None:
        self._inside -= 1
        self._weight -= weight

    @property
    def is_occupied(self) -> bool:
        return self._inside > 0


class RefusalThrottle:
    """Delays responses by a second for an address that was refused `rate` times in a minute.

    Refusals are cheap: without a delay, two connections in a tight loop would keep the process
    busy, and slow down accepted requests.

    The number of delayed responses is bounded by the connection limit: each connection has one.
    """

    def __init__(
        self, *, clock: Clock, rate: int = REFUSALS, trusted_proxies: Sequence[Network] = ()
    ) -> None:
        self._clock = clock
        self._refusals = RateLimiter(size=rate, per=MINUTE)
        self._trusted = tuple(trusted_proxies)

    async def before(self, status: int, scope: Scope) -> None:
        """Wait if a response with this status must be delayed."""
        if status not in DELAYED:
            return
        line = line_of(address_of(scope, self._trusted))
        if self._refusals.spend(line, now=self._clock.elapsed()):
            await self._clock.sleep(SECOND)
