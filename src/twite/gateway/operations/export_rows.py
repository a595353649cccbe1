"""Rows of exports: a conversion with its state, as columns without personal data.

The console, `twite export` and `[[export]]` write the same columns. `SCHEMA_VERSION` rises when a
column is removed, renamed, or changes its meaning; a new column at the end keeps it.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.fault import Fault
from twite.domain.normalize import visible
from twite.domain.test_mode import is_test, real_name
from twite.domain.times import LATEST, moment, spelled
from twite.gateway.ports.exports import Cell, ExportRow, StoredConversion
from twite.gateway.ports.listing import ConversionSummary, ListedState
from twite.redaction.identifiers import has_identifier, names_an_identifier
from twite.redaction.mask_tree import masked_words
from twite.redaction.shapes import MASK

SCHEMA_VERSION: Final = 1
# States that never change again.
FINAL_STATES: Final = frozenset(
    {ListedState.DELIVERED, ListedState.SUPPRESSED, ListedState.REJECTED}
)
# Columns that are unknown once Twite has pruned the body.
OF_BODY: Final = frozenset({"occurred_at", "value", "currency", "identifiers"})
# The one of these that is never unknown otherwise.
BODY_KNOWN: Final = "identifiers"
# As long as the amounts that Twite accepts.
DIGITS: Final = 36
DECIMALS: Final = 18
_ENCODER: Final = msgspec.json.Encoder()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# X's name of an identifier → ours, in the order of the column.
_IDENTIFIERS: Final[Mapping[str, str]] = {
    "twclid": "click_id",
    "hashed_email": "email",
    "hashed_phone_number": "phone",
    "ip_address": "ip",
    "user_agent": "user_agent",
    "twpid": "browser_id",
}

# Returns X's ids of a pixel's events, by their names in the settings.
EventNamesOf = Callable[[str], Mapping[str, str]]


class ColumnKind(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    TIME = "time"
    BOOLEAN = "boolean"


class ExportColumn(msgspec.Struct, frozen=True):
    """A column of an export."""

    name: str
    kind: ColumnKind
    meaning: str


COLUMNS: Final = (
    ExportColumn("key", ColumnKind.TEXT, "Unique and stable: the receipt, and the place in it"),
    ExportColumn(
        "number", ColumnKind.INTEGER, "The conversion's number in Twite; none if it was rejected"
    ),
    ExportColumn("received_at", ColumnKind.TIME, "When Twite received it"),
    ExportColumn("occurred_at", ColumnKind.TIME, "When it happened, as X receives it"),
    ExportColumn(
        "state",
        ColumnKind.TEXT,
        "`queued`, `sending`, `delivered`, `held`, `dead`, `suppressed` or `rejected`",
    ),
    ExportColumn("reason", ColumnKind.TEXT, "Why it is held, dead, suppressed or rejected; masked"),
    ExportColumn(
        "cause", ColumnKind.TEXT, "The same as a code, such as `consent_denied` or `refused`"
    ),
    ExportColumn("attempts", ColumnKind.INTEGER, "How often Twite tried to send it"),
    ExportColumn("last_attempt_at", ColumnKind.TIME, "When Twite last tried"),
    ExportColumn("last_status", ColumnKind.INTEGER, "The HTTP status of the last response"),
    ExportColumn("pixel", ColumnKind.TEXT, "The id of the pixel, or the name of the tag"),
    ExportColumn(
        "event",
        ColumnKind.TEXT,
        "X's id of the event; none if it was rejected under a name that the settings do not have",
    ),
    ExportColumn("event_name", ColumnKind.TEXT, "Your name of the event, from the settings"),
    ExportColumn(
        "conversion_id",
        ColumnKind.TEXT,
        "The conversion id; `***` if it contains a person's data or an identifier",
    ),
    ExportColumn("receipt", ColumnKind.TEXT, "The id of the request"),
    ExportColumn("source", ColumnKind.TEXT, "The source that sent the request"),
    ExportColumn("endpoint", ColumnKind.TEXT, "How it arrived, such as `native` or `webhook`"),
    ExportColumn("test", ColumnKind.BOOLEAN, "Whether the source was in test mode"),
    ExportColumn("value", ColumnKind.DECIMAL, "The amount"),
    ExportColumn("currency", ColumnKind.TEXT, "The amount's ISO 4217 currency"),
    ExportColumn(
        "identifiers",
        ColumnKind.TEXT,
        "Which identifiers it has, never their values: some of `click_id`, `email`, `phone`, `ip`, "
        "`user_agent` and `browser_id`, joined by commas",
    ),
    ExportColumn("flag", ColumnKind.TEXT, "What is unusual about the amount, such as `outlier`"),
    ExportColumn("schema_version", ColumnKind.INTEGER, "The version of these columns"),
    ExportColumn("updated_at", ColumnKind.TIME, "When the export last changed the row"),
)
NAMES: Final = tuple(column.name for column in COLUMNS)


class _Body(msgspec.Struct, frozen=True):
    """What an export reads of a conversion for X."""

    conversion_time: str | None = None
    value: str | None = None
    price_currency: str | None = None
    identifiers: Sequence[Mapping[str, object]] = ()


_DECODER: Final = msgspec.json.Decoder(_Body)


def store_id(salt: bytes) -> str:
    """Return the id of a store, made of its salt. A copy of the store has the same one."""
    return hashlib.blake2b(salt, digest_size=8, person=b"twite store").hexdigest()


def row_of(conversion: StoredConversion, names_of: EventNamesOf, *, at: int) -> ExportRow:
    """Return the row of a conversion; `at` (ms) is the value of `updated_at`."""
    body = _body_of(conversion.body)
    occurred = moment(body.conversion_time or "", now=LATEST, path="")
    present = {name for element in body.identifiers for name in element}
    found = [ours for theirs, ours in _IDENTIFIERS.items() if theirs in present]
    return _visible(
        f"{conversion.receipt}-{conversion.place}",
        conversion.delivery,
        time_of(conversion.received_at),
        None if isinstance(occurred, Fault) else time_of(occurred),
        conversion.state.value,
        None if conversion.reason is None else masked_words(conversion.reason),
        conversion.cause,
        conversion.attempts,
        None if conversion.last_attempt_at is None else time_of(conversion.last_attempt_at),
        conversion.last_status,
        real_name(conversion.pixel),
        _shown(conversion.event),
        _name_of(conversion.event, names_of(conversion.pixel)),
        _shown_id(conversion.conversion_id, body),
        conversion.receipt,
        real_name(conversion.source),
        conversion.endpoint,
        is_test(conversion.source),
        _decimal(body.value),
        body.price_currency,
        None if body.conversion_time is None else ",".join(found),
        conversion.flag,
        SCHEMA_VERSION,
        time_of(at),
    )


def rejected_rows(
    summaries: Sequence[ConversionSummary], names_of: EventNamesOf, *, at: int
) -> list[ExportRow]:
    """Return the rows of rejected conversions, of which Twite stores no body."""
    return [_rejected_row(summary, names_of, at) for summary in summaries]


def _rejected_row(summary: ConversionSummary, names_of: EventNamesOf, at: int) -> ExportRow:
    # The sender wrote the event. What the settings do not know may be anything, even a person.
    names = names_of(summary.pixel)
    event = names.get(summary.event) or names.get(summary.event.strip().lower(), summary.event)
    event_name = _name_of(event, names)
    return _visible(
        f"{summary.receipt}-{summary.key}",
        None,
        time_of(summary.received_at),
        None,
        summary.state.value,
        masked_words(summary.reason or "") or None,
        None,
        0,
        None,
        None,
        real_name(summary.pixel) or None,
        None if event_name is None else event,
        event_name,
        _shown(summary.conversion_id),
        summary.receipt,
        real_name(summary.source),
        summary.endpoint,
        is_test(summary.source),
        None,
        None,
        None,
        None,
        SCHEMA_VERSION,
        time_of(at),
    )


def _name_of(event: str, names: Mapping[str, str]) -> str | None:
    return next((name for name, id_ in names.items() if id_ == event), None)


def _visible(*cells: Cell) -> ExportRow:
    """Return a row without invisible characters. PostgreSQL stores no NUL, so one would end it."""
    return tuple(visible(cell) if isinstance(cell, str) else cell for cell in cells)


def digest_of(row: ExportRow) -> int:
    """Return 63 bits that differ if a row differs in another column than `updated_at`."""
    encoded = _ENCODER.encode(row[:-1])
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest()) >> 1


def cells_of(row: ExportRow) -> list[str]:
    """Return a row as texts for a CSV file: times as ISO 8601, "" for what is unknown."""
    return [cell if isinstance(cell, str) else _text(cell) for cell in row]


def time_of(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, datetime):
        return spelled((cell - _EPOCH) // timedelta(milliseconds=1))
    return format(cell, "f") if isinstance(cell, Decimal) else str(cell)


def _body_of(body: bytes) -> _Body:
    """Read a body. One that is no JSON, such as a sealed one, has nothing."""
    try:
        return _DECODER.decode(body) if body else _Body()
    except msgspec.DecodeError:
        return _Body()


def _shown(text: str) -> str:
    return MASK if names_an_identifier(text) else text


def _shown_id(id_: str, body: _Body) -> str:
    """Mask an id that contains one of the conversion's identifiers, such as a hashed email."""
    values = (str(value) for element in body.identifiers for value in element.values())
    return MASK if has_identifier(id_, values) else _shown(id_)


def _decimal(value: str | None) -> Decimal | None:
    try:
        return None if value is None else Decimal(value)
    except InvalidOperation:
        return None
