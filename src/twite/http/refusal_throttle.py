"""Delay refusals to addresses that are refused often, so that retrying faster gains nothing.

One process serves everybody, and a refusal is so cheap that two connections in a tight loop keep
the process from ever being idle; accepted requests would then wait for the disk.
"""

from collections.abc import Sequence
from typing import Final

from starlette.types import Scope

from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.machine import Clock
from twite.gateway.rate_limiter import RateLimiter
from twite.http.addresses import Network, address_of, line_of

REFUSALS: Final = 600  # of one address in a minute: a page with a wrong key is not delayed
# Refusals that a stranger can provoke at will: no key, forbidden, no such route, too fast.
KEPT_WAITING: Final = frozenset({401, 403, 404, 405, 429, 503})


class RefusalThrottle:
    """Delays responses by a second for an address that was refused `rate` times in a minute.

    The number of delayed responses is bounded by the connection limit: each connection has one.
    """

    def __init__(
        self, *, clock: Clock, rate: int = REFUSALS, trusted_proxies: Sequence[Network] = ()
    ) -> None:
        self._clock = clock
        self._refusals = RateLimiter(size=rate, per=MINUTE)
        self._trusted = tuple(trusted_proxies)

    async def before(self, status: int, scope: Scope) -> None:
        """Wait if a response of this status is to be delayed."""
        if status not in KEPT_WAITING:
            return
        line = line_of(address_of(scope, self._trusted))
        if self._refusals.spend(line, now=self._clock.elapsed()):
            await self._clock.sleep(SECOND)
