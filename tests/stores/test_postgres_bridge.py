"""Synchronous code waits for awaitables, without a thread."""

import asyncio
from contextvars import ContextVar

import pytest

from twite.stores.postgres.driver.bridge import run_in_greenlet, wait_for

REQUEST = ContextVar("REQUEST", default="none")


async def doubled(value):
    await asyncio.sleep(0)
    return value * 2


async def failing():
    await asyncio.sleep(0)
    raise ConnectionResetError("lost")


async def test_synchronous_code_continues_with_each_result():
    def code():
        return wait_for(doubled(1)) + wait_for(doubled(20))

    assert await run_in_greenlet(code) == 42
    assert await run_in_greenlet(lambda: "without a wait") == "without a wait"


async def test_error_is_raised_where_the_code_waits():
    def code():
        try:
            wait_for(failing())
        except ConnectionResetError as error:
            return wait_for(doubled(str(error)))

    assert await run_in_greenlet(code) == "lostlost"
    with pytest.raises(ConnectionResetError):
        await run_in_greenlet(lambda: wait_for(failing()))


async def test_cancellation_reaches_the_synchronous_code():
    ended = []

    def code():
        try:
            wait_for(asyncio.get_running_loop().create_future())
        except asyncio.CancelledError:
            ended.append("canceled")
            raise

    task = asyncio.create_task(run_in_greenlet(code))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["canceled"]


async def test_synchronous_code_has_the_context_of_its_task():
    """Log lines of a transaction name the request that they belong to."""
    REQUEST.set("request 7")

    def code():
        before = REQUEST.get()
        wait_for(doubled(1))
        return before, REQUEST.get()

    assert await run_in_greenlet(code) == ("request 7", "request 7")
