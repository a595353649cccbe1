"""`twite store`: copy a store to another database."""

import asyncio
import os
import time
from typing import Annotated, Final

import msgspec
import typer

from twite.app.store_access import copy_stores, hold_pending
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, prints
from twite.domain.plural import plural
from twite.gateway.operations.store_copy import StoreCopied

_EVERY: Final = 2.0  # seconds between two lines about one table


class DeliveriesHeld(msgspec.Struct, frozen=True, kw_only=True):
    """How many pending deliveries are held now."""

    held: int


store = typer.Typer(
    help="Example: `twite store copy sqlite:twite.db env:TWITE_STORE`", no_args_is_help=True
)


@store.command("copy")
@prints(StoreCopied)
def copy(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="The store to copy: a value of store.url, or env:NAME"
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="A new file or an empty PostgreSQL database, in the same form"
        ),
    ],
    *,
    accept_weak_durability: Annotated[
        bool,
        typer.Option(
            "--accept-weak-durability",
            help="Accept a PostgreSQL server that can lose commits in a power failure",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Copy a store into a new database, and compare both.

    Stop the gateway first. SOURCE is not changed. If the command is interrupted, run the same
    command again: the copy continues.

    Example: `twite store copy sqlite:twite.db env:TWITE_STORE`
    """
    printing.complain("Checking the source. For a large SQLite file, this takes minutes.")
    done = asyncio.run(
        copy_stores(
            source,
            target,
            os.environ,
            accept_weak_durability=accept_weak_durability,
            progress=_Progress(),
        )
    )
    if as_json:
        printing.print_json(done)
    else:
        _print_copied(done)


@store.command("hold")
@prints(DeliveriesHeld)
def hold(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Hold all pending deliveries of a restored PostgreSQL database.

    They may have been sent since the backup. Stop all gateways first.

    Example: `twite store hold`
    """
    held = hold_pending(load(config))
    if as_json:
        printing.print_json(DeliveriesHeld(held=held))
        return
    printing.say(f"Held {plural(held, 'pending delivery')}.")
    printing.say("twite dead list shows them, and twite dead replay sends them.")


class _Progress:
    """Prints the progress of the copy, at most every two seconds."""

    def __init__(self) -> None:
        self._printed = time.monotonic()

    def __call__(self, table: str, done: int, total: int, *, is_checking: bool) -> None:
        now = time.monotonic()
        if now - self._printed >= _EVERY:
            self._printed = now
            what = "Compared" if is_checking else "Copied"
            printing.complain(f"{what} {done:,} of {total:,} rows of the table {table}")


def _print_copied(copied: StoreCopied) -> None:
    rows = sum(copied.rows.values())
    printing.say(f"Copied {copied.source} to {copied.target} in {copied.seconds:.1f} s.")
    if copied.copied < rows:
        printing.say(f"  copied       {copied.copied:,} rows; an earlier run copied the others")
    printing.say(f"  compared     {rows:,} rows of {len(copied.rows)} tables, all equal")
    printing.say(f"               the accounting and {copied.histories} histories, all equal")
    printing.say(f"  conversions  {copied.conversions:,}, of which {copied.pending:,} are pending")
    printing.say("Set store.url to the new store, keep server.secret_key, and start the gateway.")
    printing.complain(
        "Do not start a gateway on the old store again: it would send the pending conversions too."
    )
