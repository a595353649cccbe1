"""`twite serve`: run the gateway."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path

import msgspec

from twite.app.serving import serve as run
from twite.app.worker_reload import is_reloaded
from twite.app.workers import WorkerPlace, WorkersEnded, WorkerSupervisor
from twite.cli.serve.notices import ServeNotices
from twite.config.settings import FILE, Settings, load
from twite.config.store_url import refuse_shared_file
from twite.domain.errors import SettingsError
from twite.gateway.ports.findings import CheckFinding


def serve(
    *,
    config: Path = FILE,
    workers: int | None = None,
    as_json: bool = False,
) -> None:
    """On SIGTERM or SIGINT, in-flight requests finish before shutdown. SIGHUP reloads settings."""
    settings = load(config, os.environ)
    notices = ServeNotices()
    for warning in settings.warnings:
        notices.warn(f"Warning: {warning}.")
    folder = settings.store.gateway_file.parent
    if not os.access(folder, os.W_OK):
        notices.warn(
            f"Warning: {folder} is not writable, so commands on this machine cannot reach this "
            "gateway. Set store.local_folder to a folder that this user can write to."
        )

    def announce(url: str) -> None:
        _announce(settings, url, notices, as_json=as_json)

    with _emulated_x(settings):
        _serve(settings, workers, announce, notices, as_json=as_json)


def _emulated_x(settings: Settings) -> AbstractContextManager[None]:
    if settings.x.emulator is None:
        return nullcontext()
    from twite.app.emulated_x import emulated_x  # noqa: PLC0415  # few gateways have it

    return emulated_x(settings)


def _serve(
    settings: Settings,
    workers: int | None,
    announce: Callable[[str], None],
    notices: ServeNotices,
    *,
    as_json: bool,
) -> None:
    many, worker = settings.server.workers if workers is None else workers, None
    if many > 1:
        place = "server.workers" if workers is None else "--workers"
        worker = _started(settings, many, place=place, announce=announce, notices=notices)
        if worker is None:
            if not as_json:
                notices.say("Stopped.")
            return
        settings = _current(settings, worker, notices)
    landed = run(
        settings,
        ready=announce if worker is None else worker.announce,
        examine=partial(_examined, settings.path),
        worker=worker,
    )
    if not landed:
        notices.warn(
            "Some requests to X were interrupted; they are resent with the same ids after the next "
            "start."
        )
    if not as_json and worker is None:
        notices.say("Stopped.")


def _current(settings: Settings, worker: WorkerPlace, notices: ServeNotices) -> Settings:
    """Return the settings for a worker: read again if a reload has replaced those of the parent.

    If the file has mistakes by now, the worker starts with the settings of the parent.
    """
    if not is_reloaded(worker.folder):
        return settings
    try:
        return load(settings.path, os.environ)
    except SettingsError as error:
        notices.warn(f"Warning: a worker starts with the settings of the first start: {error}")
        return settings


def _started(
    settings: Settings,
    many: int,
    *,
    place: str,
    announce: Callable[[str], None],
    notices: ServeNotices,
) -> WorkerPlace | None:
    """Start the workers. Returns in each worker process; in the parent, returns None at the end."""
    refuse_shared_file(settings.store.url, many, place)
    try:
        return WorkerSupervisor(settings, many, announced=announce, warn=notices.warn).run()
    except WorkersEnded as ended:
        raise SystemExit(ended.code) from None


async def _examined(path: Path) -> AsyncIterator[CheckFinding]:
    """Run the diagnostics; the first run imports them on another thread."""
    await asyncio.to_thread(import_module, "twite.diagnostics")
    from twite.diagnostics import examine  # noqa: PLC0415  # imported by now

    async for finding in examine(path, os.environ):
        yield finding


def _announce(settings: Settings, url: str, notices: ServeNotices, *, as_json: bool) -> None:
    if as_json:
        ready = {"url": url, "public_url": settings.server.public_url, "pid": os.getpid()}
        notices.say(msgspec.json.encode(ready).decode())
        return
    pixels = ", ".join(pixel.pixel for pixel in settings.destinations()) or "none"
    notices.say(f"Twite listens on {url}")
    if settings.server.public_url is not None:
        notices.say(f"  seen as   {settings.server.public_url}")
    notices.say(f"  store     {settings.store.shown}")
    if settings.x.emulator is None:
        notices.say(f"  sends to  {settings.x.api_url}, pixels: {pixels}")
    else:
        notices.say(f"  sends to  the built-in emulator, NOT to X, pixels: {pixels}")
        notices.say("            twite connect switches to X")
    notices.say("  stops     on Ctrl-C or SIGTERM, after in-flight requests have finished")
