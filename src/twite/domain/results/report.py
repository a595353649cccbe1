"""The report of results: what Twite delivered, what X attributed, and what the ads cost.

X attributes some of the conversions that it receives to ads. It does not say how many it received,
and a difference to what was delivered is no loss.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from twite.domain.conversion import DECIMALS
from twite.domain.plural import plural
from twite.domain.results.account import NO_CURRENCY, ResultsAccount
from twite.domain.results.account_results import (
    AccountResults,
    CampaignResult,
    CurrencyResult,
    DayResult,
    EventDeliveries,
    EventResult,
    PeriodTotal,
)
from twite.domain.results.figures import (
    AttributedSum,
    DeliveredEvent,
    EventFigure,
    ResultCell,
    ResultDay,
)
from twite.domain.results.sale_amounts import MICRO, SaleAmountUnit, in_micro
from twite.domain.times import spelled

# The type of events that the account's list does not contain.
UNKNOWN_TYPE: Final = "UNKNOWN"


class ReportBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What a report needs besides the days: the account, and settings.

    `cut_over` is the day from which the gateway sends, such as 2026-11-15.
    """

    account: ResultsAccount
    unit: SaleAmountUnit
    cut_over: str | None


def account_results(
    basis: ReportBasis, days: Sequence[ResultDay], compared: Sequence[ResultDay] = ()
) -> AccountResults:
    """Return the report of some days. The two halves of `compared` are compared, if any."""
    known, report = basis.account, _Report(basis, [*days, *compared])
    sums = {day.day: report.summed(day) for day in [*days, *compared]}
    summed = [sums[day.day] for day in days]
    halves = [sums[day.day] for day in compared]
    half = len(halves) // 2
    cut_over = basis.cut_over
    if cut_over is not None and not (days and days[0].day <= cut_over <= days[-1].day):
        cut_over = None
    before = [each for each in summed if cut_over is not None and each.day.day < cut_over]
    after = [each for each in summed if cut_over is not None and each.day.day >= cut_over]
    return AccountResults(
        account=known.account,
        timezone=known.zone,
        currency=report.currency,
        fetched_at=spelled(known.hourly_at) if known.hourly_at else None,
        problem=known.problem,
        cut_over=cut_over,
        total=report.period(summed),
        finished_total=report.period(halves[half:]),
        previous_total=report.period(halves[:half]),
        total_before_cut_over=report.period(before),
        total_after_cut_over=report.period(after),
        campaigns=report.campaigns(summed),
        days=tuple(map(report.day, summed)),
    )


class _SummedDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day, its sums by campaign, and their sum. Sale amounts are in millionths.

    If the account has several currencies, the sum has no amounts, and `currencies` has those of
    each.
    """

    day: ResultDay
    campaigns: Mapping[str, AttributedSum]
    day_sum: AttributedSum
    currencies: Mapping[str, AttributedSum]


class _Report:
    """Adds up days, and writes their sums: the parts of a report add up to its totals."""

    def __init__(self, basis: ReportBasis, days: Sequence[ResultDay]) -> None:
        self._basis = basis
        self._account = basis.account
        self._names = {campaign.id: campaign.name for campaign in basis.account.campaigns}
        self._currencies = {each.id: each.currency for each in basis.account.campaigns}
        currencies = self._in_use(days) or set(basis.account.currencies)
        self._is_mixed = len(currencies) > 1
        self.currency = NO_CURRENCY if len(currencies) != 1 else min(currencies)

    def _in_use(self, days: Sequence[ResultDay]) -> set[str]:
        """Return the currencies of campaigns with figures, NO_CURRENCY if X names none.

        A campaign that is gone had any of those of the account.
        """
        found: set[str] = set()
        for cell in (cell for day in days for cell in day.cells):
            if cell.spend_micro or cell.events:
                own = self._currencies.get(cell.campaign)
                found.update(self._account.currencies if own is None else [own])
        return found

    def summed(self, day: ResultDay) -> _SummedDay:
        cells: dict[str, list[ResultCell]] = {}
        for cell in day.cells:
            cells.setdefault(cell.campaign, []).append(cell)
        campaigns = {
            campaign: self._in_micro(AttributedSum.of(own)) for campaign, own in cells.items()
        }
        whole = AttributedSum.of(campaigns.values())
        if not self._is_mixed:
            return _SummedDay(day=day, campaigns=campaigns, day_sum=whole, currencies={})
        by_currency: dict[str, list[AttributedSum]] = {}
        for campaign, own in campaigns.items():
            by_currency.setdefault(self._currency_of(campaign), []).append(own)
        return _SummedDay(
            day=day,
            campaigns=campaigns,
            day_sum=_without_amounts(whole),
            currencies={each: AttributedSum.of(own) for each, own in by_currency.items()},
        )

    def day(self, summed_day: _SummedDay) -> DayResult:
        day = summed_day.day
        return DayResult(
            day=day.day,
            fetched=bool(day.fetched_at),
            estimate=bool(day.fetched_at) and day.is_estimate,
            spend_final=day.is_spend_final,
            fetched_at=spelled(day.fetched_at) if day.fetched_at else None,
            spend=_money(summed_day.day_sum.spend_micro, self.currency),
            events=self._events(summed_day.day_sum, [day]),
            by_currency=self._by_currency([summed_day]),
            deliveries=self._parts([day]),
            campaigns=self.campaigns([summed_day]),
        )

    def period(self, summed_days: Sequence[_SummedDay]) -> PeriodTotal | None:
        if not summed_days:
            return None
        whole = AttributedSum.of(each.day_sum for each in summed_days)
        days = [each.day for each in summed_days]
        return PeriodTotal(
            first=days[0].day,
            last=days[-1].day,
            days=len(days),
            fetched_days=sum(day.fetched_at > 0 for day in days),
            estimated_days=sum(day.fetched_at > 0 and day.is_estimate for day in days),
            spend=_money(whole.spend_micro, self.currency),
            events=self._events(whole, days),
            by_currency=self._by_currency(summed_days),
            deliveries=self._parts(days),
        )

    def campaigns(self, summed_days: Sequence[_SummedDay]) -> tuple[CampaignResult, ...]:
        sums: dict[str, list[AttributedSum]] = {}
        for each in summed_days:
            for campaign, own in each.campaigns.items():
                sums.setdefault(campaign, []).append(own)
        found = []
        for campaign, parts in sorted(sums.items()):
            result = _in_currency(self._currency_of(campaign), parts)
            found.append(
                CampaignResult(
                    campaign=campaign,
                    name=self._names.get(campaign) or campaign,
                    currency=result.currency,
                    spend=result.spend,
                    events=result.events,
                )
            )
        return tuple(found)

    def _by_currency(self, summed_days: Sequence[_SummedDay]) -> tuple[CurrencyResult, ...]:
        sums: dict[str, list[AttributedSum]] = {}
        for each in summed_days:
            for currency, own in each.currencies.items():
                sums.setdefault(currency, []).append(own)
        return tuple(_in_currency(currency, parts) for currency, parts in sorted(sums.items()))

    def _currency_of(self, campaign: str) -> str:
        return self._currencies.get(campaign, self.currency)

    def _in_micro(self, attributed_sum: AttributedSum) -> AttributedSum:
        events = {
            event_type: msgspec.structs.replace(
                figure, sale_amount=in_micro(figure.sale_amount, self._basis.unit)
            )
            for event_type, figure in attributed_sum.events.items()
        }
        return msgspec.structs.replace(attributed_sum, events=events)

    def _events(
        self, attributed_sum: AttributedSum, days: Sequence[ResultDay]
    ) -> tuple[EventResult, ...]:
        delivered: dict[str, list[DeliveredEvent]] = {}
        for each in _deliveries(days):
            delivered.setdefault(self._type_of(each.event), []).append(each)
        found = []
        for event_type in sorted(attributed_sum.events.keys() | delivered.keys()):
            own = delivered.get(event_type, ())
            known = sum(each.known for each in own)
            figure = attributed_sum.figure(event_type)
            result = _event(event_type, figure, attributed_sum.spend_micro, self.currency)
            found.append(
                msgspec.structs.replace(
                    result,
                    # Not 0, if the store no longer knows them.
                    delivered=None
                    if all(day.delivered is None for day in days)
                    else sum(each.count for each in own),
                    click_id_share=_share(sum(each.click for each in own), known),
                    email_only_share=_share(sum(each.email_only for each in own), known),
                )
            )
        return tuple(found)

    def _parts(self, days: Sequence[ResultDay]) -> tuple[EventDeliveries, ...]:
        return tuple(
            EventDeliveries(
                event_type=self._type_of(each.event),
                pixel=each.pixel,
                event=each.event,
                delivered=each.count,
                since=days[0].start,
                until=days[-1].end,
            )
            for each in _deliveries(days)
        )

    def _type_of(self, event: str) -> str:
        return self._account.event_types.get(event, UNKNOWN_TYPE)


def _without_amounts(attributed_sum: AttributedSum) -> AttributedSum:
    events = {
        event_type: msgspec.structs.replace(figure, sale_amount=None)
        for event_type, figure in attributed_sum.events.items()
    }
    return AttributedSum(events=events)


def _in_currency(currency: str, parts: Iterable[AttributedSum]) -> CurrencyResult:
    """Add up sums in one currency."""
    whole = AttributedSum.of(parts)
    return CurrencyResult(
        currency=currency,
        spend=_money(whole.spend_micro, currency),
        events=tuple(
            _event(event_type, figure, whole.spend_micro, currency)
            for event_type, figure in sorted(whole.events.items())
        ),
    )


def _event(event_type: str, figure: EventFigure, spend: int | None, currency: str) -> EventResult:
    cost = sale = None
    if spend is not None and figure.count:
        cost = f"{Decimal(spend) / MICRO / figure.count:.{DECIMALS.get(currency, 2)}f}"
    if figure.sale_amount is not None:
        sale = round(figure.sale_amount)
    return EventResult(
        event_type=event_type,
        attributed=figure.count,
        sale_amount=_money(sale, currency),
        cost_per_conversion=cost,
        return_on_ad_spend=round(sale / spend, 4) if sale is not None and spend else None,
    )


def _money(micro: int | None, currency: str) -> str | None:
    """Write an amount exactly, with the decimals of its currency at least."""
    if micro is None:
        return None
    whole, _, part = f"{Decimal(micro) / MICRO:.6f}".partition(".")
    part = part.rstrip("0").ljust(DECIMALS.get(currency, 2), "0")
    return f"{whole}.{part}" if part else whole


def _deliveries(days: Iterable[ResultDay]) -> tuple[DeliveredEvent, ...]:
    """Return the sums of what was delivered, by pixel and event."""
    found: dict[tuple[str, str], DeliveredEvent] = {}
    for each in (each for day in days for each in day.delivered or ()):
        key = each.pixel, each.event
        found[key] = each if key not in found else found[key].plus(each)
    return tuple(counted for _, counted in sorted(found.items()))


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def day_marks(day: DayResult, cut_over: str | None) -> list[str]:
    """Return the words that mark a day in a table."""
    marks = ["cut-over"] if day.day == cut_over else []
    if not day.fetched:
        return ["not fetched", *marks]
    if day.estimate:
        return ["estimate", *marks]
    return marks if day.spend_final else ["spend not final", *marks]


def period_mark(total: PeriodTotal) -> str:
    """Say how many days of a period were fetched, if not all were, and how many are estimates.

    Today is one of these, so that it does not look like a whole day.
    """
    marks = []
    if total.fetched_days != total.days:
        marks.append(f"{total.fetched_days} of {plural(total.days, 'day')} fetched")
    if total.estimated_days:
        marks.append(f"{total.estimated_days} estimated")
    return ", ".join(marks)


def rounded(amount: str, currency: str) -> Decimal:
    """Return an amount of a report with the decimals of its currency, to be shown.

    Each amount is rounded alone, so that shown parts may not add up to a shown total.
    """
    return Decimal(amount).quantize(Decimal(1).scaleb(-DECIMALS.get(currency, 2)))
