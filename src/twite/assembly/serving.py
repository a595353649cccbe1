"""A gateway for as long as nobody stops it."""

import asyncio
import signal
from collections.abc import Callable
from typing import Final

import uvloop

from twite.assembly.gateway import Gateway
from twite.assembly.settings import Settings

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)


def serve(settings: Settings, *, ready: Callable[[str], None]) -> bool:
    """Run until SIGTERM or SIGINT, then stop in order; return whether all in flight landed.

    `ready` is told the address. A second signal ends the process at once: what was in flight is
    resent as ambiguous after the next start. Raises StoreInUse, StoreUnusable, SettingsError.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_until_stopped(Gateway(settings), ready))


async def _until_stopped(gateway: Gateway, ready: Callable[[str], None]) -> bool:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for stop in _STOPS:
        loop.add_signal_handler(stop, asked.set)
    await gateway.start()
    try:
        ready(gateway.url)
        await asked.wait()
    finally:
        for stop in _STOPS:
            loop.remove_signal_handler(stop)
        landed = await gateway.stop()
    return landed
