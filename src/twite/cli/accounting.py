"""`twite accounting`: the balance, and a forecast of the pending conversions."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

import typer

from twite.app.reports.accounting import (
    AccountingReport,
    accounting_report,
    moment,
    read_figures,
    sums,
)
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, prints
from twite.domain.history import ConversionCounts, tests_of, total, without_tests
from twite.domain.stats.backlog import Forecast
from twite.domain.submission import IgnoredTally

_COLUMNS: Final = (*ConversionCounts.__struct_fields__[2:], "balance")
_MOST_LINES: Final = 20
_IGNORED_COLUMNS: Final = ("source", "endpoint", "event", "reason", "times")


@prints(AccountingReport)
def accounting(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Received = delivered + duplicate + suppressed + rejected + dead + held + pending.

    Below the balance, the command shows for each pixel with pending conversions when all will be
    sent, and how many will miss the 48-hour deadline. At the end, it lists events that tag and page
    endpoints ignored in the last seven days. Exits with 1 if the two sides are not equal.

    Example: `twite accounting --json | jq .balance`
    """
    found = load(config)

    figures = asyncio.run(read_figures(found))
    if as_json:
        printing.print_json(accounting_report(figures))
    else:
        _print(figures.accounts)
        _print_forecasts([forecast for forecast in figures.forecasts if forecast.pending])
        print_ignored(figures.ignored)
    if any(account.balance for account in figures.accounts):
        printing.complain("The balance is not 0: conversions are unaccounted for. Run twite check.")
        raise typer.Exit(1)


def _print(accounts: list[ConversionCounts]) -> None:
    rows: list[list[str | int]] = [
        [account.source, account.pixel or "none", *sums(account).values()]
        for account in [*accounts, total(without_tests(accounts))]
    ]
    rows[-1][:2] = ["all but tests" if tests_of(accounts) else "all", ""]
    printing.print_table(["source", "pixel", *_COLUMNS], rows)


def _print_forecasts(expected: Sequence[Forecast]) -> None:
    if not expected:
        return
    printing.print_table(
        ["pixel", "pending", "since", "per hour", "all sent by", "late", "will be late"],
        [
            [
                forecast.pixel,
                forecast.pending,
                moment(forecast.oldest) or "",
                forecast.rate,
                moment(forecast.drained_at) or "never: delivery has stopped",
                forecast.late,
                forecast.misses,
            ]
            for forecast in expected
        ],
        title="Pending conversions",
    )


def print_ignored(counted: Sequence[IgnoredTally]) -> None:
    """Print the most frequent reasons, summed over all days, or nothing if there are none."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for tally in counted:
        counts[tally.source, tally.endpoint, tally.name, tally.reason] += tally.times
    if not counts:
        return
    shown = counts.most_common(_MOST_LINES)
    rows: list[list[str | int]] = [
        [source, endpoint, name or "(none)", reason, times]
        for (source, endpoint, name, reason), times in shown
    ]
    if len(counts) > len(shown):
        left = counts.total() - sum(times for _, times in shown)
        rows.append(["…", "", f"{len(counts) - len(shown)} more", "", left])
    printing.print_table(list(_IGNORED_COLUMNS), rows, title="Ignored in the last seven days")
