"""Run a gateway until it is stopped by a signal."""

import asyncio
import gc
import hashlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvloop

from twite.app.gateway import RunningGateway
from twite.app.gateway_builder import start_gateway
from twite.app.http_clients import OnDemandTransport
from twite.app.monitoring import WEBHOOK_TIMEOUT
from twite.app.workers import WorkerPlace
from twite.config.settings import Settings
from twite.domain.alert import REMIND_EVERY, Alert, AlertKind, AlertPhase
from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.gateway.alerts.checks import STORE
from twite.gateway.alerts.notifier import enveloped, post, why_not
from twite.gateway.ports.findings import CheckFinding
from twite.machine.service_manager import keep_watchdog_quiet, notify, watchdog_seconds
from twite.machine.system import SystemClock, raise_limit, use_one_arena

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)


async def report_unusable(settings: Settings, unusable: StoreUnusable) -> None:
    """Send a message to the webhook, if there is one, at most once a day.

    A file next to the database records the message, so that a restart loop does not repeat it.
    """
    webhook = settings.alerts.webhook
    note = settings.store.alerted_file
    clock = SystemClock()
    now = clock.now()
    # A record with a time in the future is ignored: the clock was wrong.
    if webhook is None or 0 <= now - _reported_at(note) < REMIND_EVERY:
        return
    reason = f"{unusable.reason}. {unusable.fix}"
    alert = Alert(
        id=f"store-{hashlib.sha256(f'{reason}{now}'.encode()).hexdigest()[:32]}",
        kind=AlertKind.STORE_UNUSABLE,
        subject=STORE,
        reason=reason,
        opened_at=now,
        reported_at=now,
    )
    transport = OnDemandTransport(timeout=WEBHOOK_TIMEOUT, connections=1)
    try:
        message = enveloped(alert, AlertPhase.OPENED, gateway=settings.known_as)
        came = await post(webhook, message, transport=transport, clock=clock)
    finally:
        await transport.stop()
    if why_not(came) is None:
        # If the record cannot be written, the message is repeated.
        with suppress(OSError):
            note.write_text("")


def forget_unusable(settings: Settings) -> None:
    """Delete the record after the store was opened: the next failure is reported immediately."""
    with suppress(OSError):
        settings.store.alerted_file.unlink()


def _reported_at(note: Path) -> int:
    try:
        return note.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0


def serve(
    settings: Settings,
    *,
    ready: Callable[[str, bool], None],
    examine: Callable[[], AsyncIterator[CheckFinding]],
    worker: WorkerPlace | None = None,
) -> bool:
    """Run until SIGTERM or SIGINT, then stop; return whether all requests finished.

    SIGHUP reloads the settings. If it is ignored at the start, as under `nohup`, it stays ignored.
    `ready` receives the address, and whether the console has an admin; `examine` runs the
    diagnostics for the console. A `worker` also stops with its parent. A second signal ends the
    process immediately; requests in flight are resent as ambiguous after the next start. Raises
    StoreInUse, SettingsError, and StoreUnusable, also if the store fails permanently while the
    gateway runs.
    """
    raise_limit()
    use_one_arena()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_until_stopped(settings, ready, examine, worker))
        except StoreUnusable as error:
            runner.run(report_unusable(settings, error))
            raise


async def _until_stopped(
    settings: Settings,
    ready: Callable[[str, bool], None],
    examine: Callable[[], AsyncIterator[CheckFinding]],
    worker: WorkerPlace | None,
) -> bool:
    loop = asyncio.get_running_loop()
    asked, reloads = asyncio.Event(), asyncio.Event()
    for stop in _STOPS:
        loop.add_signal_handler(stop, asked.set)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, reloads.set)
    # The parent of several workers blocks it until here.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    if worker is not None:
        worker.on_stop(loop, asked.set)
    gateway = await start_gateway(settings, examine=examine, worker=worker)
    forget_unusable(settings)
    # Of several workers, only the parent reports to the service manager.
    watchdog = watchdog_seconds() if worker is None else None
    watched = None if watchdog is None else asyncio.create_task(keep_watchdog_quiet(watchdog))
    reloading: asyncio.Task[None] | None = None
    try:
        ready(gateway.url, await _has_admin(gateway))
        if worker is None:
            notify("READY=1")
        _tune_garbage_collection()
        reloading = asyncio.create_task(_reload(reloads, gateway))
        unusable = await _either(asked, gateway)
    finally:
        if worker is None:
            notify("STOPPING=1")
        if watched is not None:
            watched.cancel()
        if reloading is not None:
            reloading.cancel()
        for stop in _STOPS:
            loop.remove_signal_handler(stop)
        landed = await gateway.stop()
    if unusable is not None:
        raise unusable
    return landed


async def _has_admin(gateway: RunningGateway) -> bool:
    """Return whether the console has an admin; True if the store does not say."""
    with suppress(LedgerUnavailable):
        return await gateway.has_admin()
    return True


async def _reload(reloads: asyncio.Event, gateway: RunningGateway) -> None:
    """Reload the settings after each SIGHUP; several signals during a reload cause one more."""
    while True:
        await reloads.wait()
        reloads.clear()
        await gateway.reload_alone()


async def _either(asked: asyncio.Event, gateway: RunningGateway) -> StoreUnusable | None:
    """Wait for a stop signal or a final failure of the store; return that failure."""
    stop = asyncio.ensure_future(asked.wait())
    failure = asyncio.ensure_future(gateway.failed())
    try:
        await asyncio.wait({stop, failure}, return_when=asyncio.FIRST_COMPLETED)
        return failure.result() if failure.done() else None
    finally:
        stop.cancel()
        failure.cancel()


def _tune_garbage_collection() -> None:
    """Exempt permanent objects from garbage collection and run it less often: few cycles arise."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
