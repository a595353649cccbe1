"""The named statements of queries.sql, and protocols for running them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

from twite.domain.errors import StoreUnusable

T = TypeVar("T", bound=msgspec.Struct)

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_NUMBERED: Final = re.compile(r"([0-9]{4})_\w+\.sql")
_ROW: Final = re.compile(r"VALUES (\([^()]+\))")

# In SQLite, a statement of 256 rows costs little more per row than one of 1,000. Each statement
# releases the interpreter's lock and must acquire it again. So a usual group, of up to 64 rows, is
# one statement of exactly that size; larger groups use powers of two, so that there are few
# different statements.
MOST_ROWS: Final = 256
_ANY_SIZE: Final = 64
# What to do about a store of a development version.
DRAIN: Final = (
    "Send its pending deliveries, or export what you need, with the version of Twite that wrote "
    "it. Then start with a new store"
)
# What to do about a store that a command cannot use as it is.
START_ONCE: Final = "Start the gateway on it once, stop the gateway, then run the command again"
# The state of a delivery. SQLite records only in the lease that some deliveries are being sent.
SHOWN_STATE: Final = """CASE WHEN outbox.id IN (
    SELECT claimed.value FROM lease CROSS JOIN json_each(lease.deliveries) AS claimed
    WHERE lease.unmarked) THEN 'sending' ELSE outbox.state END"""


class Cursor(Protocol):
    """The cursor of a statement: as in PEP 249, and iterable."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...  # noqa: ANN401 - a row
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class SqlConnection(Protocol):
    """A connection of an engine's driver."""

    def execute(self, statement: str, values: Any = ..., /) -> Cursor: ...  # noqa: ANN401


class RunsStatements(Protocol):
    def __call__(self, name: str, /, **values: object) -> Cursor: ...


def named(text: str) -> dict[str, str]:
    """Read `-- name: x` sections. Raises ValueError for a duplicate name."""
    parts = _NAME.split(text)
    names = parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError("two queries have the same name")
    return {name: _bare(body) for name, body in zip(names, parts[2::2], strict=True)}


def numbered(folder: Path) -> list[tuple[int, str]]:
    """Return the migrations of an engine as (version, statements), in order."""
    found = sorted(
        (int(match[1]), entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if (match := _NUMBERED.fullmatch(entry.name))
    )
    if len(dict(found)) != len(found):
        raise ValueError("two migrations have the same number")
    return found


def refuse_older(
    present: int, newest: int, place: str, *, fix: str = "Start the gateway once, then try again"
) -> None:
    """Raise StoreUnusable for a store whose schema is older than this version's."""
    if present < newest:
        reason = f"its schema has version {present}, and only the gateway can migrate it"
        raise StoreUnusable(place, reason, fix)


def query(name: str) -> str:
    return QUERIES[name]


@cache
def rows_of(name: str, count: int) -> str:
    """Return the statement with this name, with its VALUES row repeated `count` times."""
    statement, found = _ROW.subn(
        lambda match: "VALUES " + ", ".join([match[1]] * count), QUERIES[name]
    )
    if found != 1:
        raise ValueError(f"{name} has no VALUES row to repeat")
    return statement


def as_json(values: Iterable[int | str]) -> str:
    """Return ids or names as a JSON array, for use in statements."""
    return msgspec.json.encode(list(values)).decode()


def record_of(kind: type[T], row: Sequence[object]) -> T:
    """Build a record whose fields are the columns of a row, in the same order."""
    return kind(**dict(zip(kind.__struct_fields__, row, strict=True)))


def slices(count: int) -> list[tuple[int, int]]:
    """Split rows into a few slices (start, size); statements of these sizes are cached."""
    cut = []
    start = 0
    while start < count:
        left = count - start
        size = left if left <= _ANY_SIZE else min(MOST_ROWS, 1 << (left.bit_length() - 1))
        cut.append((start, size))
        start += size
    return cut


def _bare(body: str) -> str:
    """Remove the comment above the statement and the semicolon below it.

    The module sqlite3 compares the first word with "insert" in the process's locale. In a Turkish
    one, "I" is not the capital of "i", and the `rowcount` of an INSERT would be -1.
    """
    lines = [line for line in body.strip().splitlines() if not line.startswith("--")]
    return re.sub("^INSERT", "insert", "\n".join(lines).rstrip(";"))


QUERIES: Final = named(
    Path(__file__)
    .with_name("queries.sql")
    .read_text("utf-8")
    .replace("outbox.shown_state", SHOWN_STATE)
)
