"""`twite value`: try rules for values, without sending or writing anything."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from twite.app.row_check import RowCheck
from twite.app.value_rules.trial import CurrencySum, TriedExample, ValueTrial
from twite.app.what_if.try_rules import FileTrial, try_on_store
from twite.cli import printing
from twite.cli.options import (
    DEFAULT_CONFIG,
    Config,
    Json,
    Since,
    Until,
    load,
    option,
    past_range,
    prints,
)
from twite.cli.send.inputs import open_files
from twite.cli.send.row_options import (
    DecimalSeparator,
    Delimiter,
    Mapped,
    RowCurrency,
    RowEvent,
    TimeZone,
    chosen_columns,
    input_options,
    require_currency,
    zone_of,
)
from twite.config.settings import Settings
from twite.domain.destination import X_SOURCE, Source
from twite.domain.errors import OperatorError
from twite.domain.plural import plural
from twite.formats.files.requests import batches
from twite.formats.files.rows import RowOptions
from twite.machine.system import SystemClock, yield_cpu
from twite.readers.files import read_rows

value = typer.Typer(
    help="Example: `twite value try orders.csv`, or `twite value try --since 7d`",
    no_args_is_help=True,
)


@value.command("try")
@prints(ValueTrial)
def try_rules(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE…]",
            help="Files as for `twite send`; without one, what the store received",
            show_default=False,
        ),
    ] = None,
    *,
    since: Since = None,
    until: Until = None,
    source: Annotated[
        str | None,
        option("--source", "NAME", "The source of the files, or only this one of the store"),
    ] = None,
    mapping: Mapped = None,
    event: RowEvent = None,
    currency: RowCurrency = None,
    decimal: DecimalSeparator = None,
    delimiter: Delimiter = None,
    timezone: TimeZone = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Show what rules for values make of amounts, by rule.

    Reads the store of `--config`, also beside a running gateway, with low priority. Exits with 1 if
    a rule fails.

    Example: `twite value try --since 7d --config changed.toml`
    """
    settings = load(config)
    if not settings.value_rules:
        raise OperatorError(f"{settings.path}: there is no [[value_rule]] to try. Add one")
    require_currency(currency)
    if files:
        if since is not None or until is not None:
            raise typer.BadParameter("is for the store, not for files", param_hint="--since")
        rows = RowOptions(
            event=event, currency=currency, decimal=decimal, zone=zone_of(timezone), age=None
        )
        inputs = input_options(chosen=chosen_columns(mapping), event=event, delimiter=delimiter)
        trial = FileTrial(settings, _check(settings, source))
        for opened in open_files(files, inputs):
            trial.add(opened.name, batches(read_rows(opened, rows)))
        found = trial.trial()
    else:
        if any((mapping, event, currency, decimal, delimiter, timezone)):
            raise typer.BadParameter("name a file for this option", param_hint="FILE")
        found = _of_store(settings, since=since, until=until, source=source)
    _print(found, as_json=as_json)
    if found.failed:
        raise typer.Exit(1)


def _print(trial: ValueTrial, *, as_json: bool) -> None:
    if as_json:
        printing.print_json(trial)
    if not trial.conversions and not trial.not_tried:
        where = ", ".join(trial.files) or f"the store from {trial.since} until {trial.until}"
        missing = "".join(f". Until {part.until}, {part.meaning}" for part in trial.missing)
        raise OperatorError(
            f"there is no conversion in {where}{missing}. Choose another file or range"
        )
    if not as_json:
        _show(trial)


def _of_store(
    settings: Settings, *, since: str | None, until: str | None, source: str | None
) -> ValueTrial:
    began, ended = past_range(since, until)
    known = {each.name for each in settings.sources()} | {X_SOURCE}
    if source is not None and source not in known:
        raise typer.BadParameter(_no_source(settings), param_hint="--source")
    yield_cpu()
    return asyncio.run(try_on_store(settings, since=began, until=ended, source=source))


def _check(settings: Settings, name: str | None) -> RowCheck:
    chosen = [each for each in settings.sources() if name in {None, each.name}]
    if len(chosen) != 1:
        raise typer.BadParameter(_no_source(settings), param_hint="--source")
    source: Source = chosen[0]
    return RowCheck(
        source=source,
        destinations={each.pixel: each for each in settings.destinations()},
        now=SystemClock().now(),
    )


def _no_source(settings: Settings) -> str:
    there = ", ".join(each.name for each in settings.sources()) or "none"
    return f"name a source of {settings.path}. Available: {there}"


def _show(trial: ValueTrial) -> None:
    files = ", ".join(trial.files)
    where = f"of {files}" if files else f"from {trial.since} until {trial.until}"
    printing.say(f"{plural(trial.conversions, 'conversion')} {where}: {_sums(trial.sums)}")
    for part in trial.missing:
        count = None if part.conversions is None else plural(part.conversions, "conversion")
        known = f", {count} without an amount" if count else ""
        printing.say(f"missing from {part.since} until {part.until}{known}: {part.meaning}")
    for problem in trial.unreadable_tables:
        printing.say(f"unreadable table: {problem}")
    printing.print_table(
        ["rule", "matched", "changed", "failed", "before", "after"],
        [
            [
                rule.rule,
                rule.matched,
                rule.changed,
                rule.failed,
                ", ".join(f"{each.before} {each.currency}" for each in rule.sums),
                ", ".join(f"{each.after} {each.currency}" for each in rule.sums),
            ]
            for rule in trial.rules
        ],
    )
    examples: list[list[str | int]] = [
        [rule.rule, str(each.place), _before(each), _after(each)]
        for rule in trial.rules
        for each in rule.examples
    ]
    if examples:
        printing.print_table(["rule", "conversion", "before", "after"], examples, title="Examples")
    failures: list[list[str | int]] = [
        [rule.rule, failure.conversions, failure.detail, str(failure.place)]
        for rule in trial.rules
        for failure in rule.failures
    ]
    if failures:
        printing.print_table(
            ["rule", "conversions", "reason", "for example"],
            failures,
            title="Failures, which keep their amount",
        )
    for rule in trial.rules:
        shown = sum(failure.conversions for failure in rule.failures)
        if shown < rule.failed:
            printing.say(f"{rule.rule}: {rule.failed - shown} failures with other reasons.")
    if trial.unmatched:
        example = trial.unmatched_examples[0]
        printing.say(
            f"{plural(trial.unmatched, 'conversion')} without a rule, for example "
            f"{example.place}: {_before(example)}."
        )
    for each in trial.not_tried:
        printing.say(
            f"{plural(each.conversions, 'conversion')} not tried ({each.reason}): {each.meaning}. "
            f"For example {each.place}."
        )


def _sums(sums: Sequence[CurrencySum]) -> str:
    found = [f"{each.before} → {each.after} {each.currency}" for each in sums]
    return ", ".join(found) or "no amounts"


def _before(example: TriedExample) -> str:
    return _money(example.before, example.currency_before)


def _after(example: TriedExample) -> str:
    return _money(example.after, example.currency)


def _money(amount: str | None, currency: str | None) -> str:
    return "no amount" if amount is None else f"{amount} {currency or ''}".rstrip()
