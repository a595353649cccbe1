"""The report of results as rows of CSV."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from twite.domain.results.account_results import (
    AccountResults,
    CampaignResult,
    CurrencyResult,
    DayResult,
    EventResult,
)

_COLUMNS: Final = (
    "account", "timezone", "currency", "day", "fetched", "estimate", "spend_final",
    "after_cut_over", "campaign", "campaign_name", "spend",
)  # fmt: skip


def csv_rows(results: Iterable[AccountResults]) -> list[Sequence[object]]:
    """Return a heading and a row for each day, campaign and event type.

    Rows without a campaign are the whole account, and have what was delivered; the others are its
    campaigns. Spend stands only in rows without an event type. If an account has several
    currencies, X's figures of the whole account are in a row for each, and what was delivered in
    rows without a currency.
    """
    rows: list[Sequence[object]] = [(*_COLUMNS, *EventResult.__struct_fields__)]
    for account in results:
        for day in account.days:
            after = None if account.cut_over is None else day.day >= account.cut_over
            for part in _csv_parts(account, day):
                states = (day.fetched, day.estimate, day.spend_final, after)
                start = (account.account, account.timezone, part.currency, day.day, *states,
                         part.campaign, part.name)  # fmt: skip
                rows.append((*start, part.spend, *_values(EventResult(event_type=""))))
                rows += [(*start, None, *_values(event)) for event in part.events]
    return rows


def _csv_parts(account: AccountResults, day: DayResult) -> Iterator[CampaignResult]:
    """Yield the whole account, as campaigns without an id, and its campaigns."""
    events = day.events
    if day.by_currency:
        events = tuple(msgspec.structs.replace(event, attributed=None) for event in events)
    whole = CurrencyResult(currency=account.currency, spend=day.spend, events=events)
    for part in (whole, *day.by_currency):
        yield CampaignResult(
            campaign="", name="", currency=part.currency, spend=part.spend, events=part.events
        )
    yield from day.campaigns


def _values(event: EventResult) -> tuple[object, ...]:
    return msgspec.structs.astuple(event)
