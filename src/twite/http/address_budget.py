"""Limit the CPU time that requests from one address use."""

import time
from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any, Final, TypeVar

from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.machine import Clock
from twite.gateway.rate_limiter import RateLimiter
from twite.http.responses import HttpRefusal, again

ResultT = TypeVar("ResultT")

# The mean CPU time that each of the allowed requests may use. A GA4 hit uses less than one.
REQUEST_MS: Final = 5
_CPU_TIME: Final = "the requests from this address need too much CPU time"


class AddressBudget:
    """The CPU time of each address: that of `rate` usual requests per minute.

    A request that has begun may use more than is left. The next ones then wait until the address
    has no debt.
    """

    def __init__(self, *, rate: int, clock: Clock) -> None:
        # A token is a microsecond.
        self._limiter = RateLimiter(size=rate * REQUEST_MS * 1_000, per=MINUTE)
        self._clock = clock

    def wait(self, address: str) -> int:
        """Return the milliseconds until the address may use CPU time again; 0 for now."""
        return self._limiter.wait(address, now=self._clock.elapsed())

    def require(self, address: str) -> None:
        """Raise HttpRefusal (429) if the address has used too much."""
        wait = self.wait(address)
        if wait:
            raise HttpRefusal(again(429, "too_fast", -(-wait // SECOND), of=_CPU_TIME))

    def charge(self, address: str, microseconds: int) -> None:
        """Subtract CPU time that was used, here or in another process."""
        self._limiter.take(address, microseconds, now=self._clock.elapsed())

    @coroutine
    def metered(self, work: Awaitable[ResultT], address: str) -> Generator[Any, Any, ResultT]:
        """Do the work, and subtract the CPU time of each step from the address's budget.

        Between the steps, the thread works for others.
        """
        steps = work.__await__()
        thrown: BaseException | None = None
        while True:
            began = time.thread_time_ns()
            try:
                waits_for = next(steps) if thrown is None else steps.throw(thrown)
            except StopIteration as done:
                result: ResultT = done.value
                return result
            finally:
                self.charge(address, (time.thread_time_ns() - began) // 1_000)
            thrown = None
            try:
                yield waits_for
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:  # noqa: BLE001  the work handles it, such as its cancellation
                thrown = error
