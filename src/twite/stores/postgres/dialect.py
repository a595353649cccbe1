"""Statements in PostgreSQL's dialect: those of statements.sql, and translated shared ones."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from twite.stores.sql.statements import QUERIES, SHOWN_STATE, named

# SQLite syntax in the shared statements, and its equivalent in PostgreSQL.
_TRANSLATIONS: Final = (
    (re.escape(SHOWN_STATE), "outbox.state"),
    (r" INDEXED BY \w+", ""),
    (r"CROSS JOIN (\w+(?: AS \w+)?)\s+ON ", r"JOIN \1 ON "),
    (
        r"NOT IN \(SELECT value FROM json_each\(:(passing|deliveries)\)\)",
        r"<> ALL (translate(:\1, '[]', '{}')::bigint[])",
    ),
    (
        r"IN \(SELECT value FROM json_each\(:(deliveries|submissions|sure)\)\)",
        r"= ANY (translate(:\1, '[]', '{}')::bigint[])",
    ),
    (
        r"IN \(SELECT value FROM json_each\(:(\w+)\)\)",
        r"IN (SELECT json_array_elements_text(:\1::json))",
    ),
    # These columns hold bytes.
    (r"CAST\(((?:\w+\.)?(?:body|refusals|unfired|told)) AS BLOB\)", r"\1"),
    (r"CAST\((.+?) AS BLOB\)(?=[,\s])", r"convert_to(\1, 'UTF8')"),
    (r"CAST\(((?:\w+\.)?conversion_id) AS TEXT\)", r"\1"),
    (r"x''", "''::bytea"),
    # PostgreSQL infers the type of a parameter from its first use.
    (r":(\w+) IS NULL", r":\1::text IS NULL"),
    # The sum of integers is numeric.
    (r"\bsum\((?:[^()]|\([^()]*\))*\)", r"\g<0>::bigint"),
    (r"(?<![\"\w.:])user\b", '"user"'),
)
# The indexes of the outbox do not contain `state`, so that a claim changes none of them. They
# contain `resting`: the state of held and dead deliveries, and NULL for the others.
_INDEXED: Final = (
    (r"((?:\w+\.)?)state IN \('held', 'dead'\) AND \1state =", r"\1resting ="),
    (r"((?:\w+\.)?)state IN \('held', 'dead'\)", r"\g<0> AND \1resting IS NOT NULL"),
    (r"((?:\w+\.)?)state = 'queued'(?!,)", r"\g<0> AND \1resting IS NULL"),
)
_PARAMETER: Final = re.compile(r"(?<!:):([a-z_]+)")
_PLACE: Final = re.compile(r"\$(\d+)")
_MAIN: Final = re.compile(r"^(SELECT|insert|INSERT|UPDATE|DELETE)\b", re.MULTILINE)


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


@cache
def statement(name: str) -> PostgresStatement:
    own = _OWN.get(name)
    text = _translated(QUERIES[name], _TRANSLATIONS) if own is None else _with_begin(own)
    return _numbered(_translated(text, _INDEXED))


@cache
def shared(text: str) -> PostgresStatement:
    """Return the translation of a statement of stores/sql, or of a text without parameters."""
    name = _NAMES.get(text)
    return _numbered(text) if name is None else statement(name)


@cache
def at_once(names: tuple[str, ...]) -> str:
    """Return one statement for several insertions, with continuous numbering of `$n`."""
    parts = []
    before = 0
    for name in names:
        text = _OWN[name]
        count = max(int(place) for place in _PLACE.findall(text))
        shift = before
        parts.append(
            f"{name} AS ({_PLACE.sub(lambda found, by=shift: f'${int(found[1]) + by}', text)})"  # type: ignore[misc]  # a default
        )
        before += count
    return f"WITH {', '.join(parts)} SELECT 1"


def _with_begin(text: str) -> str:
    """Insert `begin` into a statement that can be the first of its transaction."""
    return text.replace("AS (begin)", f"AS ({_OWN['begin']})")


def _translated(text: str, translations: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in translations:
        text = re.sub(pattern, replacement, text)
    return text


def _numbered(text: str) -> PostgresStatement:
    names: dict[str, int] = {}

    def place(found: re.Match[str]) -> str:
        return f"${names.setdefault(found[1], len(names) + 1)}"

    numbered = _PARAMETER.sub(place, text)
    verbs = _MAIN.findall(numbered)
    main = "" if not verbs else verbs[-1 if numbered.startswith("WITH") else 0]
    has_rows = main == "SELECT" or "RETURNING" in numbered
    return PostgresStatement(numbered, tuple(names), has_rows)


_OWN: Final = named(Path(__file__).with_name("statements.sql").read_text("utf-8"))
_NAMES: Final = {text: name for name, text in QUERIES.items()}
