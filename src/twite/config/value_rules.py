"""`[[value_rule]]` and `[[value_table]]`: expressions that replace amounts, and what they read."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from twite.config import toml, values
from twite.config.collected_errors import CollectedErrors
from twite.config.kinds import REQUIRED, Kind, Text, setting
from twite.config.toml import Reader
from twite.domain.destination import X_SOURCE, Source
from twite.domain.errors import SettingsError
from twite.formats.expressions import ExpressionRefused
from twite.formats.value_rules import ValueRule, lookups_of, rule_expression

_TABLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)


class FilePath(Kind, frozen=True):
    """The path of a file, relative to the settings file."""

    is_text: ClassVar[bool] = True

    def read(self, value: object, place: str, reader: Reader) -> Path:
        return reader.folder / str(Text().read(value, place, reader))


def _table_name(text: str, place: str) -> str:
    if not _TABLE.fullmatch(text):
        raise SettingsError(
            place,
            f"{text[:64]!r} is not a name of a table. Write letters, digits, hyphens and "
            "underscores, such as costs",
        )
    return text


class ValueTableTable(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[[value_table]]`."""

    name: str = setting(REQUIRED, "name of the table in `lookup()`", Text(_table_name), "costs")
    file: Path = setting(
        REQUIRED,
        "a CSV file with the ids in the first column, relative to the settings file",
        FilePath(),
        "costs.csv",
    )


class ValueRuleTable(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[[value_rule]]`."""

    name: str = setting(
        REQUIRED,
        "name of the rule in histories and alerts",
        Text(partial(values.name, what="a value rule")),
        "profit",
    )
    value: str = setting(
        REQUIRED,
        "a JMESPath expression for the new amount",
        example="subtract(value, `4.90`)",
    )
    when: str | None = setting(
        None,
        "an expression that is true for the conversions of the rule",
        example="currency == 'EUR' && value > `100`",
    )
    events: tuple[str, ...] = setting(
        [], "your names of the events; all without names", example=["purchase"]
    )
    pixels: tuple[str, ...] = setting([], "the pixels; all without ids", example=["o8z6j"])
    sources: tuple[str, ...] = setting(
        [], "the sources; all without names. `x-api` is X's own format", example=["shop"]
    )
    currency: str | None = setting(
        None,
        "the currency of the result, for conversions without one",
        Text(values.currency_code),
        example="EUR",
    )


def value_tables(written: Sequence[ValueTableTable]) -> dict[str, Path]:
    """Return the file of each table."""
    values.differ([table.name for table in written], "value_table[{}].name", "value table")
    return {table.name: table.file for table in written}


def value_rules(
    written: Sequence[ValueRuleTable],
    *,
    tables: Collection[str],
    sources: Collection[Source],
    pixels: Mapping[str, Mapping[str, str]],
) -> tuple[ValueRule, ...]:
    """Check every rule against the pixels, events, sources and tables, and return the rules."""
    wrong = CollectedErrors()
    names = {source.name for source in sources} | {X_SOURCE}
    made = []
    for index, table in enumerate(written):
        place = f"value_rule[{index}]"
        events = {
            event
            for pixel, own in pixels.items()
            if not table.pixels or pixel in table.pixels
            for event in own
        }
        for key, given, known, what in (
            ("pixels", table.pixels, pixels, "the id of a [[pixel]]"),
            ("sources", table.sources, names, "the name of a [[source]]"),
            ("events", table.events, events, "an event of the rule's pixels"),
        ):
            for at, name in enumerate(given):
                with wrong.collect():
                    _require_known(name, f"{place}.{key}[{at}]", known, what)
        for key, text in (("when", table.when), ("value", table.value)):
            if text is not None:
                with wrong.collect():
                    _require_expression(text, f"{place}.{key}", tables)
        made.append(
            ValueRule(
                name=table.name,
                value=table.value,
                when=table.when,
                pixels=table.pixels,
                sources=table.sources,
                events=table.events,
                currency=table.currency,
            )
        )
    with wrong.collect():
        values.differ([table.name for table in written], "value_rule[{}].name", "value rule")
    wrong.raise_any()
    return tuple(made)


def _require_known(name: str, place: str, known: Collection[str], what: str) -> None:
    if name not in known:
        raise SettingsError(
            place, f"{name!r} is not {what}. {toml.nearest(name, known, none='There is none')}"
        )


def _require_expression(text: str, place: str, tables: Collection[str]) -> None:
    try:
        lookups = tuple(lookups_of(rule_expression(text)))
    except ExpressionRefused as refused:
        raise SettingsError(place, str(refused)) from None
    for table, _ in lookups:
        _require_known(table, place, tables, "the name of a [[value_table]]")
