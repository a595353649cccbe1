"""`twite restore`: put a backup in the place of the store."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from twite.app.store_access import restore_store
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, text
from twite.gateway.ports.store import Restored

EXAMPLE: Final = "Example: `twite restore /backup/twite-2026-11-25.db`"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("restore", help=text("restore", restore, EXAMPLE))(restore)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup; it is kept")],
    *,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """The backup is checked first, and the current database is kept under another name.

    Stop the gateway first. Deliveries that may have been sent since the backup are held.
    """
    done = restore_store(load(config, credentials=False), file)
    if as_json:
        printing.print_json(done)
    else:
        _print(done)


def _print(done: Restored) -> None:
    printing.say(f"{done.database}: restored from {done.backup}")
    latest = "none"
    if done.latest is not None:
        latest = f"{datetime.fromtimestamp(done.latest / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    printing.say(f"  latest    {latest}: the last request in the backup")
    if done.sent:
        printing.say(f"  pending   {done.pending} are sent at the next start; none was sent since")
    else:
        printing.say(f"  held      {done.pending} were pending and may have been sent since:")
        printing.say(f"            {done.why}")
    printing.say(f"  missing   {done.received_after} conversions came after the backup")
    if done.aside is not None:
        printing.say(f"  replaced  the former database is {done.aside}; delete it yourself")
    if not done.sent:
        printing.say(
            "After the start, twite dead list shows the held ones; twite dead replay sends"
        )
        printing.say("them.")
    if done.received_after:
        printing.say("Send the missing ones again from your shop's records, with the same ids.")
    printing.complain(
        "Erasures, opt-outs and changed credentials since the backup are not in it: repeat them "
        "before the gateway starts."
    )
