"""Bridge: run the synchronous code of stores/sql on the event loop, over an asynchronous driver.

Each unit of work runs in a greenlet. For each statement, the greenlet passes the awaitable to the
task that started it, and continues with the result. No thread is involved.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import greenlet

T = TypeVar("T")


async def run_in_greenlet(function: Callable[[], T]) -> T:
    """Run a function that calls `wait_for`, and return its result."""
    worker = greenlet.greenlet(function)
    worker.gr_context = greenlet.getcurrent().gr_context
    result: Any = worker.switch()
    while not worker.dead:
        try:
            value = await result
        except BaseException as error:  # noqa: BLE001 - it is raised where the function waits
            result = worker.throw(error)
        else:
            result = worker.switch(value)
    return result  # type: ignore[no-any-return]  # of the function


def wait_for(awaitable: Awaitable[T]) -> T:
    """Return the result of an awaitable, inside `run_in_greenlet`."""
    task = greenlet.getcurrent().parent
    assert task is not None  # noqa: S101 - called by run_in_greenlet
    return task.switch(awaitable)  # type: ignore[no-any-return]  # of the awaitable
