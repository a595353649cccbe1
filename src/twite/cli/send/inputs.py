"""Open what `twite send` is to send: files, standard input, object storage, a query."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import typer

from twite.cli import printing
from twite.config.toml import Reader
from twite.formats.files.table import UnknownColumn
from twite.readers.database.open import open_database, open_query
from twite.readers.files import OpenedInput, examine
from twite.readers.input_file import STANDARD_INPUT, InputFile, local_file, standard_input
from twite.readers.object_storage import ObjectStorage, is_object_url


class InputOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How inputs are opened. `chosen` is `--map`: field → column."""

    chosen: dict[str, str]
    event: str | None
    delimiter: str | None
    can_ask: bool


def open_files(names: Sequence[str], options: InputOptions) -> list[OpenedInput]:
    """Read all files, so that nothing is sent if one cannot be read."""
    return [_opened(file, options) for name in names for file in _files(name)]


@contextmanager
def open_database_query(query: str, url: str, options: InputOptions) -> Iterator[OpenedInput]:
    """Run a query. Both arguments may be `env:NAME` or `file:PATH`."""
    reader = Reader(environ=os.environ, folder=Path.cwd())
    address = reader.secret(url, "URL")
    sql = reader.secret(query, "--query", lines=True).reveal()
    database = open_database(address)
    try:
        with _usage("the query"):
            opened = open_query(database, address, sql, options.chosen)
        _require_event(opened, options)
        if opened.unmapped_times:
            # The rows can be read only once, but the first ones are still in memory.
            column = _time_column("the query", opened.unmapped_times, can_ask=options.can_ask)
            opened = opened.mapped(options.chosen | {"time": column})
        yield opened
    finally:
        database.close()


def _files(name: str) -> Iterator[InputFile]:
    if name == STANDARD_INPUT:
        yield standard_input(sys.stdin.buffer)
    elif is_object_url(name):
        storage = ObjectStorage(name)
        objects = storage.objects()
        if not objects:
            raise typer.BadParameter(f"there are no objects at {name}", param_hint="FILE")
        yield from map(storage.file, objects)
    else:
        yield local_file(Path(name))


def _opened(file: InputFile, options: InputOptions) -> OpenedInput:
    with _usage(file.name):
        opened = examine(file, options.chosen, delimiter=options.delimiter)
    if options.delimiter is not None and opened.kind != "csv":
        raise typer.BadParameter(
            f"{file.name} is not a CSV file and has no separator",
            param_hint="--delimiter",
        )
    _require_event(opened, options)
    if opened.unmapped_times:
        column = _time_column(file.name, opened.unmapped_times, can_ask=options.can_ask)
        opened = opened.mapped(options.chosen | {"time": column})
    return opened


@contextmanager
def _usage(name: str) -> Iterator[None]:
    try:
        yield
    except UnknownColumn as error:
        raise typer.BadParameter(f"{name}: {error.message}", param_hint="--map") from None


def _require_event(opened: OpenedInput, options: InputOptions) -> None:
    columns = opened.columns
    if columns.header and "event" not in columns.taken and options.event is None:
        raise typer.BadParameter(
            f"{opened.name} has no event column. Give the event, as in --event purchase, or its "
            f"column, as in --map event=COLUMN",
            param_hint="--event",
        )


def _time_column(file: str, names: Sequence[str], *, can_ask: bool) -> str:
    """Ask which column is the time; "" for none. Raises BadParameter if nobody can be asked."""
    if not can_ask:
        likely = " or ".join(f'--map time="{name}"' for name in names[:3])
        raise typer.BadParameter(
            f"{file} has no known time column, and unused columns look like times. Use {likely}, "
            "or --map time= to send every row with the current time",
            param_hint="--map",
        )
    for name in names:
        question = f'{file}: is the column "{printing.safe(name)}" the time of the conversions?'
        if typer.confirm(question, default=True, err=True):
            return name
    return ""
