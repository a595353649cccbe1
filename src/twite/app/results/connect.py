"""Connect the results to the settings, for the gateway, commands and checks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from twite.app.results.masked import masked
from twite.config.settings import Settings
from twite.domain.destination import Destination
from twite.gateway.ports.machine import Clock
from twite.gateway.results.read import (
    ResultsOptions,
    ResultsReader,
    ResultsRecords,
    ResultsReport,
    fully_seen,
)


def results_options(settings: Settings) -> ResultsOptions:
    return ResultsOptions(
        unit=settings.results.sale_amount_unit, cut_over=settings.results.cut_over
    )


def results_reader(
    records: ResultsRecords, settings: Settings, destinations: Sequence[Destination]
) -> ResultsReader:
    return ResultsReader(records, destinations, results_options(settings))


def reads_results(
    settings: Settings,
    records: ResultsRecords,
    clock: Clock,
    destinations: Mapping[str, Destination],
) -> Callable[[Callable[[str], bool], int], Awaitable[ResultsReport]]:
    """Return a function that reads the results of some days, of accounts that are seen as a whole.

    Its texts name no person. It raises LedgerUnavailable.
    """

    async def read(sees: Callable[[str], bool], days: int) -> ResultsReport:
        reader = results_reader(records, settings, fully_seen(destinations.values(), sees))
        return masked(await reader.report(now=clock.now(), days=days))

    return read
