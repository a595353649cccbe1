"""The accounting: the balance, a forecast of pending conversions, and ignored events."""

from typing import Final

import msgspec

from twite.app.reports.text import shown, shown_name
from twite.app.store_access import open_records, read_forecasts, read_ignored
from twite.config.settings import Settings
from twite.domain.history import ConversionCounts, total, without_tests
from twite.domain.stats.backlog import Forecast
from twite.domain.submission import IgnoredTally
from twite.domain.times import DAY, spelled
from twite.http.routes.reports import Balance, BalanceOf, IgnoredBy

# The rows of ignored events in a report.
MOST_IGNORED: Final = 1_000


class IgnoredOf(IgnoredBy, frozen=True, kw_only=True):
    """How often an endpoint of a source ignored an event on one day (UTC), and why."""

    source: str


class ForecastView(msgspec.Struct, frozen=True, kw_only=True):
    """When the pending conversions of a pixel will be sent. Times are RFC 3339 in UTC.

    `drained_at` is null if delivery has stopped; `late` have missed the deadline of 48 hours, and
    `misses` will.
    """

    pixel: str
    pending: int
    oldest_at: str | None
    rate_per_hour: int
    drained_at: str | None
    late: int
    misses: int
    next_deadline_at: str | None


class AccountingReport(Balance, frozen=True, kw_only=True):
    """The sums of all conversions but tests, and the counts by source and pixel.

    `pixel` is "" if unknown. `ignored` lists events of the last seven days that were no
    conversions.
    """

    by: tuple[BalanceOf, ...]
    forecast: tuple[ForecastView, ...]
    ignored: tuple[IgnoredOf, ...]


class AccountingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of an accounting report, as the store has them."""

    accounts: list[ConversionCounts]
    forecasts: list[Forecast]
    ignored: list[IgnoredTally]


async def read_figures(settings: Settings) -> AccountingFigures:
    """Read the figures. Raises StoreUnusable."""
    async with open_records(settings) as reader:
        return AccountingFigures(
            accounts=list(await reader.balance()),
            forecasts=await read_forecasts(settings, reader),
            ignored=await read_ignored(reader),
        )


async def read_accounting(
    settings: Settings, *, most_ignored: int = MOST_IGNORED
) -> AccountingReport:
    """Return the accounting. Raises StoreUnusable."""
    return accounting_report(await read_figures(settings), most_ignored=most_ignored)


def accounting_report(
    figures: AccountingFigures, *, most_ignored: int = MOST_IGNORED
) -> AccountingReport:
    return AccountingReport(
        **sums(total(without_tests(figures.accounts))),
        by=tuple(
            BalanceOf(source=account.source, pixel=account.pixel, **sums(account))
            for account in figures.accounts
        ),
        forecast=tuple(map(_forecast_view, figures.forecasts)),
        ignored=tuple(map(_ignored_of, figures.ignored[:most_ignored])),
    )


def sums(counts: ConversionCounts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in Balance.__struct_fields__}


def _forecast_view(forecast: Forecast) -> ForecastView:
    return ForecastView(
        pixel=forecast.pixel,
        pending=forecast.pending,
        oldest_at=moment(forecast.oldest),
        rate_per_hour=forecast.rate,
        drained_at=moment(forecast.drained_at),
        late=forecast.late,
        misses=forecast.misses,
        next_deadline_at=moment(forecast.next_deadline),
    )


def _ignored_of(tally: IgnoredTally) -> IgnoredOf:
    return IgnoredOf(
        day=spelled(tally.day * DAY)[:10],
        source=tally.source,
        endpoint=tally.endpoint,
        name=shown_name(tally.name),
        reason=shown(tally.reason),
        times=tally.times,
    )


def moment(ms: int | None) -> str | None:
    return None if ms is None else spelled(ms)
