"""The options of commands that read rows: how columns and cells become conversions."""

import sys
from collections.abc import Sequence
from datetime import tzinfo
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer

from twite.cli.options import option
from twite.cli.send.inputs import InputOptions
from twite.domain.conversion import currency as known_currency
from twite.domain.fault import Fault
from twite.formats.files.cells import Decimal
from twite.formats.files.table import NAMES

Mapped = Annotated[
    list[str] | None,
    option(
        "--map", "OURS=COLUMN", "Read one of Twite's fields from a column; OURS= leaves it empty"
    ),
]
RowEvent = Annotated[str | None, option("--event", "NAME", "The event of rows that name no event")]
RowCurrency = Annotated[
    str | None, option("--currency", "CODE", "The currency of amounts without a currency")
]
DecimalSeparator = Annotated[
    Decimal | None,
    typer.Option(
        "--decimal",
        show_default=False,
        help="The decimal separator, for amounts such as 1,234",
    ),
]
Delimiter = Annotated[
    str | None,
    option("--delimiter", "CHAR", "The CSV separator, such as ';' or tab; default: detected"),
]
TimeZone = Annotated[
    str | None,
    option("--timezone", "ZONE", "The time zone of times without a zone, such as Europe/London"),
]
_TABS: Final = {"tab": "\t", "\\t": "\t"}


def chosen_columns(pairs: Sequence[str] | None) -> dict[str, str]:
    """Read `--map`: field → column. Raises BadParameter."""
    return dict(_mapped(pair) for pair in pairs or ())


def input_options(
    *, chosen: dict[str, str], event: str | None, delimiter: str | None, agreed: bool = False
) -> InputOptions:
    """Return how files are opened. If `agreed`, no question is asked. Raises BadParameter."""
    return InputOptions(
        chosen=chosen,
        event=event,
        delimiter=None if delimiter is None else _separator(delimiter),
        can_ask=not agreed and sys.stdin.isatty() and sys.stderr.isatty(),
    )


def require_currency(currency: str | None) -> None:
    """Raise BadParameter for a currency that does not exist."""
    if currency is not None and isinstance(known_currency(currency, path=""), Fault):
        raise typer.BadParameter(
            "not an ISO 4217 currency code, such as EUR", param_hint="--currency"
        )


def zone_of(name: str | None) -> tzinfo | None:
    """Read `--timezone`. Raises BadParameter."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise typer.BadParameter(
            "unknown time zone. Use a name such as Europe/London or UTC", param_hint="--timezone"
        ) from None


def _mapped(pair: str) -> tuple[str, str]:
    field, equals, column = pair.partition("=")
    if not equals or not field.strip():
        raise typer.BadParameter(
            f"must be FIELD=COLUMN, such as email=Contact. The fields: {', '.join(NAMES)}",
            param_hint="--map",
        )
    return field.strip(), column.strip()


def _separator(given: str) -> str:
    mark = _TABS.get(given.lower(), given)
    if len(mark) != 1 or mark in '"\r\n' or mark.isalnum():
        raise typer.BadParameter(
            "must be one character, such as ';' or '|', or the word tab",
            param_hint="--delimiter",
        )
    return mark
