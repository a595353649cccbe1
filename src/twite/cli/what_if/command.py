"""`twite what-if`: what changed settings would have done with past conversions."""

import asyncio
import gc
from pathlib import Path
from typing import Annotated, Final

import typer

from twite.app.what_if.compare import what_if as compare
from twite.app.what_if.compare import with_events
from twite.cli import printing
from twite.cli.options import (
    DEFAULT_CONFIG,
    Config,
    EventPairs,
    Json,
    Pixel,
    Since,
    Until,
    event_pairs,
    load,
    one_pixel,
    option,
    past_range,
    prints,
)
from twite.domain.errors import OperatorError
from twite.domain.plural import plural
from twite.domain.times import spelled
from twite.gateway.what_if.report import WhatIfDifference, WhatIfExample, WhatIfReport
from twite.gateway.what_if.verdict import IntakeVerdict
from twite.machine.system import yield_cpu

_MOST_LINES: Final = 40

NewSettings = Annotated[Path | None, option("--settings", "PATH", "The changed settings file")]
Most = Annotated[int | None, typer.Option("--most", min=1, help="Stop after this many conversions")]

Within = Annotated[float | None, typer.Option("--within", min=0, help="Stop after so many seconds")]


@prints(WhatIfReport)
def what_if(
    *,
    new_settings: NewSettings = None,
    pixel: Pixel = None,
    event: EventPairs = None,
    since: Since = None,
    until: Until = None,
    most: Most = None,
    within: Within = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Show what changed settings would have done with past conversions, without sending anything.

    Reads the store of `--config`, also beside a running gateway, with low priority.

    Example: `twite what-if --settings changed.toml --since 7d`, or `--event purchase=o8z6k`
    """
    yield_cpu()
    current = load(config)
    if new_settings is None and not event:
        raise typer.BadParameter(
            "name a changed settings file, or pass --event", param_hint="--settings"
        )
    changed = current if new_settings is None else load(new_settings)
    if event:
        changed = with_events(changed, one_pixel(changed, pixel), event_pairs(event))
    began, ended = past_range(since, until)
    # Nothing here is cyclic garbage, and searching for it among a million keys takes long.
    gc.disable()
    try:
        report = asyncio.run(
            compare(current, changed, since=began, until=ended, most=most, within=within)
        )
    finally:
        gc.enable()
    if not report.conversions and report.is_cut:
        raise OperatorError(
            f"no conversion was compared within {within:g} seconds. Choose a larger --within"
        )
    if not report.conversions and not report.ignored:
        raise OperatorError(
            f"no stored conversion was received from {spelled(began)} until {spelled(ended)}. "
            "Choose another --since or --until"
        )
    if as_json:
        printing.print_json(report)
    else:
        _show(report)


def _show(report: WhatIfReport) -> None:
    printing.say(
        f"{plural(report.conversions, 'conversion')} from {report.since} until {report.until}: "
        f"{report.unchanged} unchanged."
    )
    if report.is_cut:
        printing.say(f"Later ones, from {report.until} on, were not read: a limit ended the run.")
    if report.skipped_from is not None:
        printing.say(
            f"Half of the time was over before the range: what was received from "
            f"{report.skipped_from} until {report.since} was not read, so its copies are unknown."
        )
    outcomes = sorted({*report.before, *report.after})
    printing.print_table(
        ["outcome", "before", "after"],
        [[each, report.before.get(each, 0), report.after.get(each, 0)] for each in outcomes],
    )
    if report.differences:
        printing.print_table(
            ["source", "before", "after", "conversions", "for example"],
            [_row(each) for each in report.differences[:_MOST_LINES]],
            title="Differences",
        )
    _show_examples(report)
    for reason, meaning in report.unknown.items():
        printing.say(f"unknown ({reason}): {meaning}.")
    for event in report.ignored:
        printing.say(
            f"{event.source}: {plural(event.times, 'event')} {event.name!r} ({event.reason}) would "
            f"now be conversions ({event.event}). They are counted by day, and not stored."
        )
    if report.incomplete:
        printing.say(
            f"{plural(report.incomplete, 'conversion')} would have more identifiers. They were not "
            "stored, because consent did not allow it."
        )
    if report.tag_runs:
        printing.say(f"{plural(report.tag_runs, 'delivery')} of tags: tags are not run again.")
    for setting in report.not_applied:
        printing.say(f"not applied: {setting.setting}: {setting.reason}.")


def _show_examples(report: WhatIfReport) -> None:
    rows: list[list[str | int]] = [
        [example.conversion_id or example.receipt, change.field, change.before, change.after]
        for difference in report.differences[:_MOST_LINES]
        for example in difference.examples
        for change in example.changes
    ]
    if rows:
        printing.print_table(
            ["conversion", "field for X", "before", "after"], rows, title="Examples"
        )


def _row(difference: WhatIfDifference) -> list[str | int]:
    after = _words(difference.verdict_after)
    if difference.fields:
        after = f"{after}, other {', '.join(difference.fields)}"
    return [
        difference.source,
        _words(difference.verdict_before),
        after,
        difference.conversions,
        _example(difference.examples[0]),
    ]


def _words(verdict: IntakeVerdict) -> str:
    return f"{verdict.outcome} ({verdict.reason})" if verdict.reason else str(verdict.outcome)


def _example(example: WhatIfExample) -> str:
    named = f" ({example.conversion_id})" if example.conversion_id else ""
    return f"{example.receipt}{named}"
