"""Who is refused again and again waits for each answer: to ask faster brings nothing.

One process answers everybody, and a refusal is so cheap that two connections without a pause keep
it from ever being idle; what others sent waits then for its turn at the disk.
"""

from collections.abc import Sequence
from typing import Final

from starlette.types import Message, Scope, Send

from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.store import Clock
from twite.http.addresses import Network, address_of
from twite.http.rate_limiter import RateLimiter

REFUSALS: Final = 600  # of one address in a minute: a page with a wrong key is not kept waiting
# What strangers can be told as often as they like: no key, not theirs, no such route, too fast.
KEPT_WAITING: Final = frozenset({401, 403, 404, 405, 429, 503})


class RefusalThrottle:
    """An address that has been refused `rate` times in a minute has its answers a second later.

    How many wait is bounded by the connections that there may be: each has one request in hand.
    """

    def __init__(
        self, *, clock: Clock, rate: int = REFUSALS, trusted_proxies: Sequence[Network] = ()
    ) -> None:
        self._clock = clock
        self._refusals = RateLimiter(size=rate, per=MINUTE)
        self._trusted = tuple(trusted_proxies)

    async def before(self, status: int, scope: Scope) -> None:
        """Wait, where an answer of this status should be waited for."""
        if status not in KEPT_WAITING:
            return
        address = address_of(scope, self._trusted) or ""
        if self._refusals.spend(address, now=self._clock.elapsed()):
            await self._clock.sleep(SECOND)

    def with_it(self, send: Send, scope: Scope) -> Send:
        """Return a `send` that waits before it begins such an answer."""

        async def later(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self.before(message["status"], scope)
            await send(message)

        return later
