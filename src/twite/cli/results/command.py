"""`twite results`: what X attributes to the ads, beside what Twite delivered."""

import asyncio
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import typer

from twite.app.reports.results import read_results
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, option, prints
from twite.domain.errors import UnknownName
from twite.domain.plural import plural
from twite.domain.results.account_results import AccountResults, DayResult, EventResult, PeriodTotal
from twite.domain.results.csv_rows import csv_rows
from twite.domain.results.report import day_marks, period_mark, rounded
from twite.formats.files.csv_text import csv_text
from twite.gateway.results.read import DEFAULT_DAYS, MOST_DAYS, ResultsReport

_NONE = "\N{EN DASH}"

Days = Annotated[
    int, typer.Option("--days", min=1, max=MOST_DAYS, help="Number of days, including today")
]
Account = Annotated[str | None, option("--account", "ID", "Only this ads account")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV by day, campaign and event type")]


class _By(StrEnum):
    DAY = "day"
    CAMPAIGN = "campaign"


By = Annotated[_By, typer.Option("--by", help="Show days, or campaigns")]


@prints(ResultsReport)
def results(
    *,
    config: Config = DEFAULT_CONFIG,
    days: Days = DEFAULT_DAYS,
    account: Account = None,
    by: By = _By.DAY,
    as_json: Json = False,
    as_csv: AsCsv = False,
) -> None:
    """Shows what X attributes to the ads of each account, beside what Twite delivered.

    A running gateway fetches X's figures every hour. X attributes only conversions that its ads
    led to, so it counts fewer than Twite delivers. The table rounds each amount, so days may not
    add up to the last digit of a sum. --csv and --json have exact amounts.

    Example: `twite results --days 14 --by campaign`
    """
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --csv and --json", param_hint="--csv")
    found = load(config)
    try:
        report = asyncio.run(read_results(found, account=account, days=days))
    except UnknownName as unknown:
        raise typer.BadParameter(str(unknown), param_hint="--account") from None
    if as_json:
        printing.print_json(report)
    elif as_csv:
        sys.stdout.write(csv_text(csv_rows(report.accounts)))
    else:
        print_report(report, by=by)


def print_report(report: ResultsReport, *, by: _By = _By.DAY) -> None:
    """Print a table for each account, and the warnings."""
    if not report.accounts:
        printing.say(
            "No pixel has an ads account. Set pixel.account, and sign in with twite login."
        )
    for account in report.accounts:
        _print_account(account, by=by)
    for warning in report.warnings:
        printing.say(printing.styled(f"Warning, {warning.account}: ", "bold"), warning.fact, ".")
        printing.say(f"{warning.effect} {warning.fix}")


def _print_account(account: AccountResults, *, by: _By) -> None:
    if account.problem:
        printing.say(f"{account.account}: {account.problem}")
    if account.total is None:
        printing.say(
            f"{account.account}: no results yet. X shows them only to a user who has signed in "
            "with OAuth (twite login), and a running gateway fetches them every hour."
        )
        return
    rows: list[list[str | int]] = []
    if by is _By.DAY:
        for day in account.days:
            marks = ", ".join(day_marks(day, account.cut_over))
            rows += _rows_of(day.day, day, marks, account.currency)
        rows += _of_period("all", account.total, account.currency)
        for name, period in (
            ("before the cut-over", account.total_before_cut_over),
            ("from the cut-over on", account.total_after_cut_over),
            ("{days} up to yesterday", account.finished_total),
            ("{days} before these", account.previous_total),
        ):
            rows += _of_period(name, period, account.currency)
    else:
        for campaign in account.campaigns:
            name = f"{campaign.name} ({campaign.campaign})"
            if not account.currency:
                name = f"{name}, {campaign.currency or 'unknown currency'}"
            rows += _rows(name, campaign.spend, campaign.events, "", campaign.currency)
    printing.print_table(
        [by.value, "spend", "event type", "delivered", "with click id", "email only", "attributed",
         "sale amount", "cost each", "return", ""],
        rows,
        title=f"Ads account {account.account}, days in {account.timezone}, "
        f"{account.currency or 'several currencies'}",
    )  # fmt: skip


def _of_period(name: str, period: PeriodTotal | None, currency: str) -> list[list[str | int]]:
    if period is None:
        return []
    name = name.format(days=plural(period.days, "day"))
    return _rows_of(name, period, period_mark(period), currency)


def _rows_of(
    name: str, part: DayResult | PeriodTotal, mark: str, currency: str
) -> list[list[str | int]]:
    """Return the rows of the whole account, and of each currency if there are several."""
    rows = _rows(name, part.spend, part.events, mark, currency)
    for own in part.by_currency:
        rows += _rows(
            f"in {own.currency or 'an unknown currency'}", own.spend, own.events, "", own.currency
        )
    return rows


def _rows(
    name: str, spend: str | None, events: Iterable[EventResult], mark: str, currency: str
) -> list[list[str | int]]:
    """Return a row for each event type; only the first names the day and its spend.

    Amounts are rounded; --csv and --json have them exactly.
    """
    rows: list[list[str | int]] = []
    for event in events or (EventResult(event_type=""),):
        first = not rows
        rows.append(
            [
                name if first else "",
                _money(spend, currency) if first else "",
                event.event_type,
                _shown(event.delivered),
                _percent(event.click_id_share),
                _percent(event.email_only_share),
                _shown(event.attributed),
                _money(event.sale_amount, currency),
                _shown(event.cost_per_conversion),
                _shown(event.return_on_ad_spend),
                mark if first else "",
            ]
        )
    return rows


def _money(amount: str | None, currency: str) -> str:
    return _shown(None if amount is None else rounded(amount, currency))


def _shown(value: object) -> str:
    return _NONE if value is None else str(value)


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{share:.0%}"
