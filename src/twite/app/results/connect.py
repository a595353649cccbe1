"""Connect the results to the settings, for the gateway, commands and checks."""

from collections.abc import Sequence

from twite.config.settings import Settings
from twite.domain.destination import Destination
from twite.gateway.results.read import (
    ResultsOptions,
    ResultsReader,
    ResultsRecords,
)


def results_options(settings: Settings) -> ResultsOptions:
    return ResultsOptions(
        unit=settings.results.sale_amount_unit, cut_over=settings.results.cut_over
    )


def results_reader(
    records: ResultsRecords, settings: Settings, destinations: Sequence[Destination]
) -> ResultsReader:
    return ResultsReader(records, destinations, results_options(settings))
