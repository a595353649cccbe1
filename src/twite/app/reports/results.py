"""X's results beside what was delivered, with the names of campaigns masked."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from twite.app.reports.text import own_words, shown, shown_name
from twite.app.results.connect import results_reader
from twite.app.store_access import open_records
from twite.config.settings import Settings
from twite.domain.destination import Destination
from twite.domain.errors import UnknownName
from twite.domain.results.account_results import AccountResults, CampaignResult, DayResult
from twite.domain.results.warnings import ResultsWarning
from twite.gateway.ports.machine import Clock
from twite.gateway.results.read import DEFAULT_DAYS, ResultsRecords, ResultsReport, fully_seen
from twite.machine.system import SystemClock


async def read_results(
    settings: Settings, *, account: str | None = None, days: int = DEFAULT_DAYS
) -> ResultsReport:
    """Return the results of the last `days` days, of all accounts or one.

    Raises StoreUnusable, and UnknownName for an account that no pixel has.
    """
    own = [each for each in settings.destinations() if account in {None, each.account}]
    if account is not None and not own:
        known = {each.account for each in settings.destinations() if each.account is not None}
        raise UnknownName("no pixel has this ads account", available=sorted(known))
    async with open_records(settings) as reader:
        report = await results_reader(reader, settings, own).report(
            now=SystemClock().now(), days=days
        )
    return masked(report)


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


def without_campaigns(report: ResultsReport) -> ResultsReport:
    """Return the sums of the accounts, which are short however many campaigns there are."""
    return msgspec.structs.replace(
        report,
        accounts=tuple(
            msgspec.structs.replace(
                account,
                campaigns=(),
                days=tuple(msgspec.structs.replace(day, campaigns=()) for day in account.days),
            )
            for account in report.accounts
        ),
    )


def masked(report: ResultsReport) -> ResultsReport:
    """Return a report whose texts of users and of X name no person."""
    return ResultsReport(
        accounts=tuple(map(_masked_account, report.accounts)),
        warnings=tuple(map(_masked_warning, report.warnings)),
    )


def _masked_account(account: AccountResults) -> AccountResults:
    return msgspec.structs.replace(
        account,
        problem=shown(account.problem),
        campaigns=_masked_campaigns(account.campaigns),
        days=tuple(map(_masked_day, account.days)),
    )


def _masked_day(day: DayResult) -> DayResult:
    return msgspec.structs.replace(day, campaigns=_masked_campaigns(day.campaigns))


def _masked_campaigns(campaigns: Iterable[CampaignResult]) -> tuple[CampaignResult, ...]:
    return tuple(
        msgspec.structs.replace(campaign, name=shown_name(campaign.name)) for campaign in campaigns
    )


def _masked_warning(warning: ResultsWarning) -> ResultsWarning:
    return msgspec.structs.replace(
        warning,
        fact=own_words(warning.fact),
        effect=own_words(warning.effect),
        fix=own_words(warning.fix),
    )
