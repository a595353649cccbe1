"""Wait for an event or a time, whichever is first."""

import asyncio

from twite.gateway.ports.machine import Clock


async def wait_for_event(event: asyncio.Event, clock: Clock, *, most: int) -> None:
    """Return once the event is set, and after `most` milliseconds of the clock at the latest."""
    timer = asyncio.ensure_future(clock.sleep(most))
    news = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({timer, news}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
        news.cancel()
