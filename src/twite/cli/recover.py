"""`twite recover`: what is sound of a damaged store, in a new file."""

from pathlib import Path
from typing import Annotated, Final

import typer

from twite.app.store_access import recover_store
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, text
from twite.gateway.ports.store import Recovered

EXAMPLE: Final = "Example: `twite recover`, or `twite recover twite.db --to saved.db`"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("recover", help=text("recover", recover, EXAMPLE))(recover)


def recover(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The database; default: from the settings"),
    ] = None,
    *,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="NEW", help="The new file; default: in place of the damaged one"
        ),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """The damaged file is kept under another name.

    Conversions that may already have been sent are held. Stop the gateway first.
    """
    done = recover_store(load(config, credentials=False), file, to)
    if as_json:
        printing.print_json(done)
    else:
        _print(done)


def _print(done: Recovered) -> None:
    rows = done.rows
    printing.say(f"{done.to}: {rows['conversion']} conversions of {rows['submission']} submissions")
    printing.say(f"  pending   {done.pending} are sent when the gateway starts")
    printing.say(f"  held      {done.held} were pending, or may have been, and may have been sent")
    printing.say(f"  dead      {done.dead}, of them with damaged bodies")
    lost = sum(done.lost.values())
    printing.say(f"  lost      {lost} were received and cannot be recovered")
    if done.behind:
        printing.say(
            f"            {done.behind} more were received after the last entry of the file"
        )
    for whose, many in done.lost.items():
        printing.say(f"              {whose}: {many}")
    printing.say(f"  damage    {done.damaged_pages} pages; the damaged file is {done.quarantined}")
    if not done.log_is_whole:
        printing.say("            its log, too, so all that was pending is held")
    if done.unsure:
        printing.say(f"            rows may be missing of: {', '.join(done.unsure)}")
    if "opt_out" in done.unsure:
        printing.complain(
            "The list of opt-outs may be incomplete: repeat them before the gateway starts."
        )
    if done.held:
        printing.say("twite dead list shows the held ones; twite dead replay sends them.")
