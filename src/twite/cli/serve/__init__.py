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
from twite.app.worker_channel import is_reloaded
from twite.app.workers import WorkerPlace, WorkersEnded, WorkerSupervisor
from twite.cli.serve.notices import ServeNotices, failures_as_json
from twite.config.log_format import wants_json
from twite.config.settings import FILE, Settings, load
from twite.config.store_url import refuse_shared_file
from twite.domain.errors import SettingsError
from twite.gateway.ports.findings import CheckFinding
from twite.observers.library_log import library_messages


class GatewayReady(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses and the process of a gateway that accepts requests."""

    url: str
    public_url: str | None
    pid: int


def serve(
    *,
    config: Path = FILE,
    workers: int | None = None,
    as_json: bool = False,
) -> None:
    """On SIGTERM or SIGINT, in-flight requests finish before shutdown. SIGHUP reloads settings."""
    with failures_as_json() if wants_json(config, os.environ) else nullcontext():
        settings = load(config, os.environ)
        notices = ServeNotices(settings.log)
        _warn(settings, notices)

        def announce(url: str, has_admin: bool) -> None:  # noqa: FBT001  # see `run`
            if as_json:
                public_url = settings.server.public_url
                ready = GatewayReady(url=url, public_url=public_url, pid=os.getpid())
                notices.say(msgspec.json.encode(ready).decode())
            if not as_json or settings.log.format == "json":
                notices.started(settings, url, has_admin=has_admin)

        with library_messages(notices.log), _emulated_x(settings):
            _serve(settings, workers, announce, notices)
            if not as_json or settings.log.format == "json":
                notices.stopped()


def _warn(settings: Settings, notices: ServeNotices) -> None:
    for warning in settings.warnings:
        notices.warn("settings warning", f"Warning: {warning}.")
    folder = settings.store.gateway_file.parent
    if not os.access(folder, os.W_OK):
        notices.warn(
            "folder not writable",
            f"Warning: {folder} is not writable, so commands on this machine cannot reach this "
            "gateway.",
        )


def _emulated_x(settings: Settings) -> AbstractContextManager[None]:
    if settings.x.emulator is None:
        return nullcontext()
    from twite.app.emulated_x import emulated_x  # noqa: PLC0415  # few gateways have it

    return emulated_x(settings)


def _serve(
    settings: Settings,
    workers: int | None,
    announce: Callable[[str, bool], None],
    notices: ServeNotices,
) -> None:
    many, worker = settings.server.workers if workers is None else workers, None
    if many > 1:
        refuse_shared_file(
            settings.store.url, many, "server.workers" if workers is None else "--workers"
        )
        worker = _started(settings, many, announce, notices)
        if worker is None:
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
            "requests interrupted",
            "Some requests to X were interrupted; they are resent with the same ids after the next "
            "start.",
        )
    if worker is not None:
        raise SystemExit(0)


def _current(settings: Settings, worker: WorkerPlace, notices: ServeNotices) -> Settings:
    """Return the settings for a worker: read again if a reload has replaced those of the parent.

    If the file has mistakes by now, the worker starts with the settings of the parent.
    """
    if not is_reloaded(worker.folder):
        return settings
    try:
        return load(settings.path, os.environ)
    except SettingsError as error:
        notices.warn(
            "worker uses earlier settings",
            f"Warning: a worker starts with the settings of the first start: {error}",
        )
        return settings


def _started(
    settings: Settings, many: int, announce: Callable[[str, bool], None], notices: ServeNotices
) -> WorkerPlace | None:
    """Start the workers. Returns in each worker process; in the parent, returns None at the end."""
    warn = partial(notices.warn, "worker replaced")
    try:
        return WorkerSupervisor(settings, many, announced=announce, warn=warn).run()
    except WorkersEnded as ended:
        raise SystemExit(ended.code) from None


async def _examined(path: Path) -> AsyncIterator[CheckFinding]:
    """Run the diagnostics; the first run imports them on another thread."""
    await asyncio.to_thread(import_module, "twite.diagnostics")
    from twite.diagnostics import examine  # noqa: PLC0415  # imported by now

    async for finding in examine(path, os.environ):
        yield finding
