"""X's results beside what was delivered, with the names of campaigns masked."""

import msgspec

from twite.app.results.connect import results_reader
from twite.app.results.masked import masked
from twite.app.store_access import open_records
from twite.config.settings import Settings
from twite.domain.errors import UnknownName
from twite.gateway.results.read import DEFAULT_DAYS, ResultsReport
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
