"""`twite backup`, `restore`, `recover`, `rotate-key` and `reload`: store, key and settings."""

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from twite.app.control_client import reload_gateway
from twite.app.sealing import RotationResult, rotate
from twite.app.store_access import back_up, recover_store, restore_store
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, option, prints, who
from twite.config.collected_errors import located
from twite.domain.errors import SettingsError
from twite.domain.plural import plural
from twite.gateway.operations.control import ReloadReport
from twite.gateway.operations.sealed_payloads import counted
from twite.gateway.ports.events import ReloadResult
from twite.gateway.ports.store import Backup, Recovered, Restored

# The gateway kept the old settings.
_KEPT: Final = frozenset({ReloadResult.NEEDS_RESTART, ReloadResult.FAILED})


class LeftCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Secrets and conversions that are encrypted with a former key."""

    secrets: int
    conversions: int


class KeyRotated(msgspec.Struct, frozen=True, kw_only=True):
    """What was encrypted with the new key, which `file` holds if a file was written.

    `missing_keys` counts conversions by the name of an unknown key.
    """

    secrets: int
    conversions: int
    file: str | None
    left: LeftCounts
    missing_keys: Mapping[str, int]


@prints(Backup)
def backup(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file to write; must not exist yet")
    ],
    *,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """The gateway keeps running. The file gets its final name only after the copy was checked.

    Example: `twite backup /backup/twite-2026-11-25.db`
    """
    done = back_up(load(config), file)
    if as_json:
        printing.print_json(done)
    else:
        printing.say(f"{done.to}: {done.size / (1 << 20):.1f} MiB in {done.seconds:.1f} s")


@prints(Restored)
def restore(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The backup file; it is not changed")
    ],
    *,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """The backup is checked first, and the current database is kept under another name.

    Stop the gateway first. Deliveries that may have been sent since the backup are held.

    Example: `twite restore /backup/twite-2026-11-25.db`
    """
    done = restore_store(load(config), file)
    if as_json:
        printing.print_json(done)
    else:
        _print_restored(done)


def _print_restored(store: Restored) -> None:
    printing.say(f"{store.database}: restored from {store.backup}")
    latest = "none"
    if store.latest is not None:
        latest = f"{datetime.fromtimestamp(store.latest / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    printing.say(f"  latest    {latest}: the last request in the backup")
    if store.sent:
        printing.say(
            f"  pending   {store.pending} to send at the next start; nothing has been sent since "
            "the backup"
        )
    else:
        printing.say(
            f"  held      {store.pending} pending deliveries that may have been sent since the "
            "backup:"
        )
        printing.say(f"            {store.why}")
    printing.say(f"  missing   {store.received_after} conversions were received after the backup")
    if store.aside is not None:
        printing.say(f"  replaced  the previous database is now {store.aside}; delete it yourself")
    if not store.sent:
        printing.say(
            "After the start, twite dead list shows the held conversions, and twite dead replay "
            "sends"
        )
        printing.say("them.")
    if store.received_after:
        printing.say(
            "Send the missing conversions again from your shop's records, with the same ids."
        )
    printing.complain(
        "The backup does not contain later erasures, opt-outs and credential changes: repeat them "
        "before you start the gateway."
    )


@prints(Recovered)
def recover(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The database; default: from the settings"),
    ] = None,
    *,
    to: Annotated[
        Path | None, option("--to", "NEW", "The new file; default: replace the damaged one")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """The damaged file is kept under another name.

    Conversions that may already have been sent are held. Stop the gateway first.

    Example: `twite recover`, or `twite recover twite.db --to saved.db`
    """
    done = recover_store(load(config), file, to)
    if as_json:
        printing.print_json(done)
    else:
        _print_recovered(done)


def _print_recovered(store: Recovered) -> None:
    rows = store.rows
    printing.say(f"{store.to}: {rows['conversion']} conversions from {rows['submission']} requests")
    printing.say(f"  pending   {store.pending} to send when the gateway starts")
    printing.say(f"  held      {store.held} that may already have been sent")
    if store.unknown:
        printing.say(
            f"            {store.unknown} of them had unknown values, such as no known state"
        )
    printing.say(f"  dead      {store.dead}, including those with damaged bodies")
    lost = sum(store.lost.values())
    printing.say(f"  lost      {lost} received conversions that cannot be recovered")
    if store.behind:
        printing.say(
            f"            and {store.behind} that were received after the last entry in the file"
        )
    for whose, many in store.lost.items():
        printing.say(f"              {whose}: {many}")
    printing.say(
        f"  damage    {store.damaged_pages} pages; the damaged file is {store.quarantined}"
    )
    if not store.log_is_whole:
        printing.say("            the log is damaged too, so all pending conversions are held")
    if store.incomplete_tables:
        printing.say(f"            rows may be missing from: {', '.join(store.incomplete_tables)}")
    if "opt_out" in store.incomplete_tables:
        printing.complain(
            "The list of opt-outs may be incomplete: send them again before you start the gateway."
        )
    if store.held:
        printing.say(
            "twite dead list shows the held conversions, and twite dead replay sends them."
        )


@prints(KeyRotated)
def rotate_key(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """The gateway keeps running. If the command is interrupted, run it again.

    If the key is in a file, the command replaces it. If it is in the environment, change it
    yourself first; the command then encrypts everything with the new key, as the gateway does when
    it starts. Exits with 1 if something is still encrypted with a former key.

    Example: `twite rotate-key --config /etc/twite/twite.toml`
    """
    done = asyncio.run(rotate(load(config, credentials=True), os.environ, by=who()))
    if as_json:
        printing.print_json(
            KeyRotated(
                secrets=done.secrets,
                conversions=done.payloads,
                file=None if done.file is None else str(done.file),
                left=LeftCounts(secrets=done.unsealed.secrets, conversions=done.unsealed.payloads),
                missing_keys=done.unsealed.missing_keys,
            )
        )
    else:
        _print_rotated(done)
    if done.unsealed.any:
        raise typer.Exit(1)


def _print_rotated(result: RotationResult) -> None:
    left = result.unsealed
    if result.file is not None:
        printing.say(
            f"Wrote a new key to {result.file}: keep a copy of it"
            + ("." if left.any else ", and delete the old key.")
        )
    printing.say(f"Encrypted with it: {counted(secrets=result.secrets, payloads=result.payloads)}.")
    for key, many in left.missing_keys.items():
        printing.complain(
            f"Encrypted with the key {key}, which is not configured: {counted(payloads=many)}. "
            f"Add that key to server.former_secret_keys, and run the command again."
        )
    if left.any:
        still = counted(secrets=left.secrets, payloads=left.payloads)
        printing.complain(
            f"Still encrypted with a former key: {still}. "
            f"Keep that key configured{_fix(result)}, and run the command again."
        )
    elif result.file is None:
        printing.say("You can remove server.former_secret_keys from the settings.")


def _fix(result: RotationResult) -> str:
    if result.gateway is None:
        return ""
    return f", restart the gateway (process {result.gateway} is running with different keys)"


@prints(ReloadReport)
def reload(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would change, and change nothing")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Requests and connections go on. All workers reload, and other nodes read their own files.

    If the file has mistakes, the gateway keeps the old settings. The command lists the changed keys
    that need a restart. Exits with 1 if the gateway kept the old settings.

    Example: `twite reload --dry-run`
    """
    try:
        report = asyncio.run(reload_gateway(load(config), dry_run=dry_run))
    except SettingsError as wrong:
        report = ReloadReport(result=ReloadResult.FAILED, problems=located(config, wrong))
    if as_json:
        printing.print_json(report)
    else:
        _print_reloaded(report, dry_run=dry_run)
    if report.result in _KEPT:
        raise typer.Exit(1)


def _print_reloaded(report: ReloadReport, *, dry_run: bool) -> None:
    for change in report.changes:
        printing.say(f"  {change}")
    for key in report.restart:
        printing.say(f"  {key} needs a restart")
    for problem in report.problems:
        printing.complain(f"Error: {problem}")
    if report.result in _KEPT:
        printing.complain("The gateway keeps the old settings.")
    elif dry_run:
        printing.say("Nothing was changed: this was a dry run.")
    elif report.result is ReloadResult.UNCHANGED:
        printing.say("Nothing to reload.")
    else:
        printing.say(f"Reloaded in {plural(report.processes, 'process', 'processes')}.")
