"""The named statements in PostgreSQL's dialect, which `make generate` writes."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from twite.stores.sql.statements import QUERIES

GENERATED: Final = Path(__file__).with_name("generated_statements.sql")


class PostgresStatement(msgspec.Struct, frozen=True):
    """A statement with `$n`, and the names of its values in order.

    `has_rows` is whether it returns rows. If not, its result is the number of rows it changed.
    """

    text: str
    names: tuple[str, ...] = ()
    has_rows: bool = True

    def values(self, values: Mapping[str, object] | Sequence[object]) -> Sequence[object]:
        if isinstance(values, Mapping):
            return [values[name] for name in self.names]
        return values


def shared(text: str) -> PostgresStatement:
    """Return the translation of a statement of stores/sql, or of a text without names."""
    name = _NAMES.get(text)
    if name is not None:
        return STATEMENTS[name]
    return PostgresStatement(text, has_rows=text.startswith(("SELECT", "WITH")))


@cache
def at_once(names: tuple[str, ...]) -> str:
    """Return one statement for several insertions, with continuous numbering of `$n`."""
    parts = ", ".join([f"{name} AS ({STATEMENTS[name].text})" for name in names])
    first, *rest = f"WITH {parts} SELECT 1".split("$")
    return first + "".join([f"${number}{piece}" for number, piece in enumerate(rest, 1)])


def _read(text: str) -> dict[str, PostgresStatement]:
    """Read sections with a head such as `-- rows: name(first, second)`."""
    found = {}
    for section in text.split("\n\n-- ")[1:]:
        head, _, body = section.partition("\n")
        result, _, signature = head.partition(": ")
        name, _, names = signature.removesuffix(")").partition("(")
        values = tuple(names.split(", ")) if names else ()
        found[name] = PostgresStatement(body.strip(), values, result == "rows")
    return found


STATEMENTS: Final = _read(GENERATED.read_text("utf-8"))
_NAMES: Final = {text: name for name, text in QUERIES.items()}
