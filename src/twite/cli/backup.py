"""`twite backup`: a copy of the store, while it is in use."""

from pathlib import Path
from typing import Annotated, Final

import typer

from twite.app.store_access import back_up
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, text

EXAMPLE: Final = "Example: `twite backup /backup/twite-2026-11-25.db`"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backup", help=text("backup", backup, EXAMPLE))(backup)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; must not exist yet")],
    *,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """The gateway keeps running. The copy is checked before it gets its name."""
    done = back_up(load(config, credentials=False), file)
    if as_json:
        printing.print_json(done)
    else:
        printing.say(f"{done.to}: {done.size / (1 << 20):.1f} MiB in {done.seconds:.1f} s")
