"""Diagnostics of the store: disk, file, SQLite, balance, held and paused deliveries, alerts."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from twite.app.control_client import running
from twite.app.monitoring import read_alerts
from twite.app.store_access import engine_of, open_records
from twite.config.settings import Settings
from twite.diagnostics.server import server
from twite.domain.alert import ALERTS_OF_PAUSES, RULES, Alert
from twite.domain.errors import StoreUnusable, TransientError, TwiteError
from twite.domain.history import ConversionCounts, total, without_tests
from twite.domain.pause import Cause, Pause
from twite.gateway.alerts.notifier import what_to_do
from twite.gateway.ports.findings import CheckFinding, failed, passed, warning
from twite.redaction.mask_tree import masked_words

_PAGE: Final = b"\0" * 4096
_SYNCS: Final = 21
_SLOW_MS: Final = 5.0  # if a sync takes longer, requests wait noticeably for their commits
_TOO_FAST_MS: Final = 0.05  # if a sync is faster, a cache confirmed it, and not the disk
_LITTLE_ROOM: Final = 1 << 30
_NO_ROOM: Final = 64 << 20
# Pauses during which Twite sends no conversions as a test.
_UNTIL: Final = {
    Cause.USER: "until a user resumes the pixel",
    Cause.EVENT_LIMITED: "until the time that the reason names",
}


async def disk_speed(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Write a temporary file to the store's folder, and measure how long a sync takes."""
    folder = settings.store.path.parent
    if not engine_of(settings).is_server and _is_writable(folder):
        yield speed_of(folder)


def speed_of(folder: Path) -> CheckFinding:
    """Measure the folder's disk with a temporary file."""
    try:
        return on_sync(sync_ms(folder))
    except OSError as failure:
        return failed(
            "disk",
            f"cannot write a file in {folder} ({failure.strerror})",
            "Twite cannot write to the store.",
            "Check the owner of the folder and how the disk is mounted.",
        )


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def on_room(free: int, folder: Path) -> CheckFinding:
    """Return the finding about free disk space, in bytes."""
    shown = f"{free / (1 << 30):.1f} GiB free in {folder}"
    fix = "Free some space, or move store.url to a larger disk."
    if free < _NO_ROOM:
        return failed("disk", shown, "If the disk is full, the gateway returns 503.", fix)
    if free < _LITTLE_ROOM:
        return warning("disk", shown, "A million conversions need about a gigabyte.", fix)
    return passed("disk", shown)


def on_sync(took: float) -> CheckFinding:
    """Return the finding about the duration of a sync, in milliseconds."""
    shown = f"a sync takes {took:.2f} ms"
    if took > _SLOW_MS:
        return warning(
            "disk",
            shown,
            "Each response waits for a sync. Batches and parallel requests share a sync.",
            "Put the store on a local SSD, or submit in batches.",
        )
    if took < _TOO_FAST_MS:
        return warning(
            "disk",
            shown,
            "No disk is this fast: a volatile cache, which loses data in a power failure, may "
            "have confirmed the sync.",
            "Make sure that the cache has a battery, and that the folder is not on a RAM disk.",
        )
    return passed("disk", shown)


def sync_ms(folder: Path) -> float:
    """Return the median of a few syncs of one page, in milliseconds. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".twite-probe-") as file:
        times = []
        for _ in range(_SYNCS):
            file.write(_PAGE)
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - begun) * 1_000)
    return statistics.median(times)


async def store(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Check the store without locking it, because a gateway may be running."""
    if engine_of(settings).is_server:
        async for finding in _on_server(settings):
            yield finding
    else:
        async for finding in _file(settings):
            yield finding


async def _file(settings: Settings) -> AsyncIterator[CheckFinding]:
    path = settings.store.path
    folder = path.parent
    if not _is_writable(folder):
        yield failed(
            "store",
            f"the folder {folder} does not exist, or this user cannot write to it",
            "The gateway would not start.",
            "Create the folder, or make the user that runs twite serve its owner.",
        )
        return
    yield on_room(shutil.disk_usage(folder).free, folder)
    yield passed("store", engine_of(settings).version)
    if not path.exists():
        yield passed("store", f"{path} does not exist yet; twite serve creates it")
        return
    if not os.access(path, os.R_OK | os.W_OK):
        yield failed(
            "store",
            f"this user cannot read and write {path}",
            "The gateway would not start.",
            "Run the check as the user that runs twite serve, or change the file's owner.",
        )
        return
    try:
        found = await engine_of(settings).examine(str(path))
    except (StoreUnusable, TransientError) as error:
        yield _unusable(error)
        return
    if found.stray is not None:
        yield warning(
            "store",
            found.stray,
            "The next start sets the log aside and holds deliveries that may have been sent.",
            "Start the gateway, and check twite dead list. To restore a backup, run twite restore.",
        )
        return
    if found.older is not None:
        yield warning(
            "store",
            found.older,
            "The next start holds all pending deliveries, because they may have been sent.",
            "Restore the newest backup, or start the gateway without restoring it and then check "
            "twite dead list.",
        )
    async for finding in _contents(settings):
        yield finding


async def _on_server(settings: Settings) -> AsyncIterator[CheckFinding]:
    try:
        found = await engine_of(settings).examine(settings.store.place)
    except (StoreUnusable, TransientError) as error:
        yield _unusable(error)
        return
    if found.server is None:
        return
    for finding in server(settings, found.server):
        yield finding
    if found.server.schema:
        async for finding in _contents(settings):
            yield finding


async def _contents(settings: Settings) -> AsyncIterator[CheckFinding]:
    try:
        async with open_records(settings) as records:
            accounts = await records.balance()
            pauses = await records.load(Pause)
    except (StoreUnusable, TransientError) as error:
        yield _unusable(error)
        return
    gateway = running(settings.store.gateway_file)
    owner = f"; the gateway is running as process {gateway.pid}" if gateway else ""
    yield passed("store", f"{settings.store.shown} can be read{owner}")
    for finding in _balance(accounts):
        yield finding
    for finding in _pauses(pauses):
        yield finding


def _unusable(error: StoreUnusable | TransientError) -> CheckFinding:
    found, fix = error.reason, "Check the disk, and run the check again"
    if isinstance(error, StoreUnusable):
        found, fix = f"{error.path}: {error.reason}", error.fix
    return failed("store", found, "The gateway cannot use this store.", f"{fix}.")


def _balance(accounts: Sequence[ConversionCounts]) -> Iterator[CheckFinding]:
    everything = total(without_tests(accounts))
    residue = [account for account in accounts if account.balance]
    if residue:
        where = ", ".join(
            f"{account.source}/{account.pixel or 'no pixel'}: {account.balance:+d}"
            for account in residue
        )
        yield failed(
            "balance",
            f"the balance is not 0 ({where})",
            "Some received conversions are unaccounted for.",
            "Keep the database file unchanged, and report this bug.",
        )
    else:
        yield passed("balance", f"0: {everything.received} received, {everything.pending} pending")
    if everything.dead or everything.held:
        yield warning(
            "dead letters",
            f"{everything.dead} dead, {everything.held} held",
            "Twite does not send these deliveries until you decide.",
            "List them with twite dead list, then replay or discard them.",
        )


def _pauses(pauses: Sequence[Pause]) -> Iterator[CheckFinding]:
    for pause in pauses:
        since = datetime.fromtimestamp(pause.since / 1_000, UTC)
        event = f"event {pause.event} of " if pause.event else ""
        rule = RULES[ALERTS_OF_PAUSES[pause.cause]]
        status = failed if rule.urgent else warning
        until = _UNTIL.get(pause.cause, "until X accepts one, which Twite tests once a minute")
        yield status(
            "paused",
            f"{event}pixel {pause.pixel}, since {since:%Y-%m-%d %H:%M} UTC: "
            f"{masked_words(pause.reason)[:200]}",
            f"Its conversions stay queued {until}.",
            rule.fix,
        )


async def alerts(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Check the alert settings, and the open alerts in the store."""
    if settings.alerts.webhook is None:
        yield warning(
            "alerts",
            "no webhook is configured",
            "Without a webhook, alerts appear only in the log, the metrics and twite alerts.",
            "Set alerts.webhook, and test it with twite alerts test.",
        )
    else:
        yield passed("alerts", "alerts are sent to a webhook; test it with twite alerts test")
    try:
        found = (await read_alerts(settings))[0] if settings.store.exists else []
    except TwiteError:
        # The check of the store reports why.
        return
    for alert in found:
        if alert.resolved_at is None:
            yield _on_alert(alert)


def _on_alert(alert: Alert) -> CheckFinding:
    rule = RULES[alert.kind]
    status = failed if rule.urgent else warning
    return status(
        "alerts",
        f"{alert.kind} is open for {alert.subject}: {masked_words(alert.reason)}",
        f"{rule.title[0].upper()}{rule.title[1:]}.",
        f"{what_to_do(alert.kind)}.",
    )
