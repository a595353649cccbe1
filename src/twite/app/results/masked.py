"""Hide persons in the names of campaigns and in X's words."""

from collections.abc import Iterable

import msgspec

from twite.app.reports.text import own_words, shown, shown_name
from twite.domain.results.account_results import AccountResults, CampaignResult, DayResult
from twite.domain.results.warnings import ResultsWarning
from twite.gateway.results.read import ResultsReport


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
