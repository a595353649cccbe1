"""Run a gateway until it is stopped by a signal."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from typing import Final

import uvloop

from twite.app.gateway import Gateway
from twite.app.last_alert import forget_unusable, say_unusable
from twite.config.settings import Settings
from twite.domain.errors import StoreUnusable
from twite.gateway.ports.findings import CheckFinding
from twite.machine.descriptors import raise_limit

_STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(
    settings: Settings,
    *,
    ready: Callable[[str], None],
    examine: Callable[[], AsyncIterator[CheckFinding]],
) -> bool:
    """Run until SIGTERM, SIGINT or SIGHUP, then stop; return whether all requests finished.

    Under `nohup`, which starts it with SIGHUP ignored, it goes on after one.

    `ready` is told the address; `examine` runs the diagnostics, for the console.
    A second signal ends the process at once: what was in flight is
    resent as ambiguous after the next start. Raises StoreInUse, SettingsError, and StoreUnusable,
    that also where the store fails for good while it runs.
    """
    raise_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_until_stopped(Gateway(settings, examine=examine), ready, settings))
        except StoreUnusable as error:
            runner.run(say_unusable(settings, error))
            raise


async def _until_stopped(
    gateway: Gateway, ready: Callable[[str], None], settings: Settings
) -> bool:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    stops = [stop for stop in _STOPS if hangs_up or stop != signal.SIGHUP]
    for stop in stops:
        loop.add_signal_handler(stop, asked.set)
    await gateway.start()
    forget_unusable(settings)
    try:
        ready(gateway.url)
        unusable = await _either(asked, gateway)
    finally:
        for stop in stops:
            loop.remove_signal_handler(stop)
        landed = await gateway.stop()
    if unusable is not None:
        raise unusable
    return landed


async def _either(asked: asyncio.Event, gateway: Gateway) -> StoreUnusable | None:
    """Wait for a stop signal or a final failure of the store; return that failure."""
    stop = asyncio.ensure_future(asked.wait())
    failure = asyncio.ensure_future(gateway.failed())
    try:
        await asyncio.wait({stop, failure}, return_when=asyncio.FIRST_COMPLETED)
        return failure.result() if failure.done() else None
    finally:
        stop.cancel()
        failure.cancel()
