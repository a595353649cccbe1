"""Limit the CPU time that requests from one address use in the event loop."""

import time
from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import Any, Final, TypeVar

from twite.domain.times import MINUTE
from twite.gateway.rate_limiter import RateLimiter

ResultT = TypeVar("ResultT")

# The mean CPU time that each of the allowed requests may use. A GA4 hit uses less than one.
REQUEST_MS: Final = 5
_NS: Final = 1_000


class AddressBudget:
    """The CPU time of each address: that of `rate` usual requests per minute.

    A request that has begun may use more than is left. The next ones then wait until the address
    has no debt. `cpu_time` returns the CPU time of the thread, in nanoseconds.
    """

    def __init__(self, *, rate: int, cpu_time: Callable[[], int] = time.thread_time_ns) -> None:
        # A token is a microsecond.
        self._limiter = RateLimiter(size=rate * REQUEST_MS * 1_000, per=MINUTE)
        self._cpu_time = cpu_time

    def wait(self, address: str, *, now: int) -> int:
        """Return the milliseconds until the address may use CPU time again; 0 for now."""
        return self._limiter.wait(address, now=now)

    @coroutine
    def metered(
        self, work: Awaitable[ResultT], address: str, elapsed: Callable[[], int]
    ) -> Generator[Any, Any, ResultT]:
        """Do the work, and subtract the CPU time of each step from the address's budget.

        Between the steps, the thread works for others. `elapsed` returns the monotonic time.
        """
        steps = work.__await__()
        thrown: BaseException | None = None
        while True:
            began = self._cpu_time()
            try:
                waits_for = next(steps) if thrown is None else steps.throw(thrown)
            except StopIteration as done:
                result: ResultT = done.value
                return result
            finally:
                used = (self._cpu_time() - began) // _NS
                self._limiter.take(address, used, now=elapsed())
            thrown = None
            try:
                yield waits_for
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:  # noqa: BLE001  the work handles it, such as its cancellation
                thrown = error
