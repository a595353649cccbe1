"""What is the same in every database: pages of a query, the write-back table, errors.

All calls block. Queries run in read-only transactions, except on databases that have none.
"""

import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Protocol
from urllib.parse import unquote

import msgspec

from twite.domain.errors import OperatorError
from twite.domain.secret import Secret
from twite.redaction.mask_text import masked_text

FETCHED_AT_ONCE: Final = 500  # rows
_KNOWN: Final[Mapping[type[Exception], str]] = {
    ConnectionRefusedError: "the server refuses connections",
    TimeoutError: "the server does not answer",
    socket.gaierror: "the host name does not resolve",
    OverflowError: "a number is too large, or a time is outside the years 1 to 9999: leave such "
    "rows out of the query",
}
# An option of the URL.
_PASSWORD: Final = re.compile(r"[?&]password=([^&]+)")
# The value of a row in an error of a driver, to the end.
_VALUE: Final = re.compile(
    r"(\b(?:value|entry|text|token)\b:?|:)\s*['\"].*", re.DOTALL | re.IGNORECASE
)
_QUOTED: Final = re.compile(r"\s*[:\"'(\d].*", re.DOTALL)
# Classes of PostgreSQL's errors that name tables, columns and roles, but no values of rows:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_OF_THE_QUERY: Final = (
    "08", "0A", "25", "26", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58",
)  # fmt: skip
# What a password must not contain: one driver ends it there, and its error shows the rest.
_RESERVED: Final = frozenset("/?#[]@ ")
# The columns of a write-back table.
WRITTEN: Final = ("sync", "conversion_id", "verdict", "code", "message", "at")


class DatabaseUnusable(OperatorError):
    """A database cannot be read, or refuses a query. The message has no values and no password."""


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a query's rows, ordered by the columns `cursor` and `key`.

    `after` holds the values of the last row before the page; None for the first page. With
    `includes_after`, the page begins with the rows that the database considers equal to it. With
    `newest`, the page has the last rows, in the reverse order.
    """

    sql: str
    cursor: str
    key: str
    after: tuple[object, object] | None
    limit: int
    includes_after: bool = False
    newest: bool = False


class QueryPage(msgspec.Struct, frozen=True, kw_only=True):
    header: tuple[str, ...]
    rows: Sequence[Sequence[object]]


class WrittenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a write-back table. `at` is UTC in ISO 8601.

    With `is_kept`, a row that the table already has for the conversion stays.
    """

    sync: str
    conversion_id: str
    verdict: str
    code: str
    message: str
    at: str
    is_kept: bool = False


class RowDatabase(Protocol):
    """A connection to a database. Every method raises DatabaseUnusable."""

    def stream(self, sql: str) -> tuple[tuple[str, ...], Iterator[Sequence[object]]]:
        """Return the names of the columns, and the rows, of which few are in memory."""

    def page(self, query: PageQuery) -> QueryPage:
        """Return a page of rows."""

    def write(self, table: str, rows: Sequence[WrittenRow]) -> None:
        """Write rows into a write-back table, in one transaction."""

    def interrupt(self) -> None:
        """End the running call soon, from another thread. Later calls may fail."""

    def close(self) -> None: ...


def without_end(sql: str) -> str:
    """Return a query without the semicolon that ends it."""
    return sql.strip().rstrip(";").rstrip()


def page_sql(query: PageQuery, quote: Callable[[str], str], mark: Callable[[int], str]) -> str:
    """Return the statement for a page. `mark` returns the placeholder of a parameter, from 1.

    A row whose cursor is NULL is left out: it has no place in the order.
    """
    cursor, key = f"q.{quote(query.cursor)}", f"q.{quote(query.key)}"
    down = " DESC" if query.newest else ""
    more = ">=" if query.includes_after else ">"
    after = "" if query.after is None else f" AND ({cursor}, {key}) {more} ({mark(1)}, {mark(2)})"
    return (
        f"SELECT q.* FROM (\n{without_end(query.sql)}\n) AS q WHERE {cursor} IS NOT NULL{after} "  # noqa: S608  # the operator's query
        f"ORDER BY {cursor}{down}, {key}{down} LIMIT {query.limit}"
    )


def double_quoted(name: str) -> str:
    """Quote a name as in standard SQL; of `schema.table`, each part."""
    return '"{}"'.format(name.replace('"', '""'))


def lookup(table: str, mark: Callable[[int], str]) -> str:
    """Return the statement that finds a conversion in a write-back table."""
    return f"SELECT verdict FROM {table}{_of(mark)}"  # noqa: S608  # a quoted name


def replacement(
    row: WrittenRow, table: str, mark: Callable[[int], str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the statements that write a row, with their parameters."""
    columns = ", ".join(WRITTEN)
    marks = ", ".join(mark(place) for place in range(1, len(WRITTEN) + 1))
    return (
        (f"DELETE FROM {table}{_of(mark)}", (row.sync, row.conversion_id)),  # noqa: S608  # as above
        (
            f"INSERT INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608  # as above
            tuple(getattr(row, name) for name in WRITTEN),
        ),
    )


def _of(mark: Callable[[int], str]) -> str:
    return f" WHERE sync = {mark(1)} AND conversion_id = {mark(2)}"


def require_escaped(secret_url: Secret) -> None:
    """Raise DatabaseUnusable if drivers could take a part of the password for something else."""
    found = sorted(_RESERVED & set(_password(secret_url.reveal().partition("://")[2])))
    if found:
        raise DatabaseUnusable(
            f"the password in the URL has {' '.join(found)!r}: percent-encode the password, such "
            "as %2F for / and %40 for @"
        )


@contextmanager
def explained(
    place: str, kinds: tuple[type[BaseException], ...], secret_url: Secret
) -> Iterator[None]:
    """Turn a driver's errors into DatabaseUnusable, without values of rows and the password."""
    try:
        yield
    except kinds as error:
        said = next(
            (reason for kind, reason in _KNOWN.items() if isinstance(error, kind)),
            _reason(error),
        )
        for secret in _secrets(secret_url.reveal()):
            said = said.replace(secret, "***")
        raise DatabaseUnusable(f"{place}: {masked_text(said)}") from None


def _reason(error: BaseException) -> str:
    """Return the first line of an error, without the values that it quotes."""
    text = str(error).strip()
    code = str(getattr(error, "sqlstate", None) or "")
    if not code:
        said = _VALUE.sub(r"\1 …", text)
    elif code.startswith("P0"):  # a text of a function of the database
        said = f"a function of the query fails (SQLSTATE {code})"
    else:
        said = text if code.startswith(_OF_THE_QUERY) else _QUOTED.sub(" …", text)
        said = f"{said} (SQLSTATE {code})"
    return (said or type(error).__name__).splitlines()[0]


def shown_place(url: str) -> str:
    """Return the address of a database for messages: without the password and the options."""
    scheme, mark, rest = url.partition("://")
    # A password may contain each of these characters, so the last "@" ends it.
    person, at, hosts = rest.rpartition("@")
    name = re.split(r"[:/?]", person)[0]
    return f"{scheme}{mark}{name}{at}{hosts.partition('?')[0]}"


def _secrets(url: str) -> list[str]:
    """Return the spellings of the URL's passwords, the longest first."""
    rest = url.partition("://")[2]
    raw = [_password(rest), *_PASSWORD.findall(rest)]
    spellings = {text for password in raw for text in (password, unquote(password)) if text}
    return sorted(spellings, key=len, reverse=True)


def _password(rest: str) -> str:
    """Return the password before the hosts of a URL."""
    return rest.rpartition("@")[0].partition(":")[2]
