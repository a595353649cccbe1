"""Results: what X attributes to the ads of each account, beside what Twite delivered."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
from starlette.responses import Response

from twite.console.account_health import listing_path
from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.render import spaced
from twite.console.scope import EventNames
from twite.console.table_view import table_view
from twite.console.time_chart import (
    ChartKind,
    ChartSeries,
    ChartStep,
    TimeChart,
    Unit,
    time_chart,
)
from twite.domain.plural import plural
from twite.domain.results.account_days import account_day
from twite.domain.results.account_results import (
    AccountResults,
    CampaignResult,
    CurrencyResult,
    DayResult,
    EventDeliveries,
    EventResult,
    PeriodTotal,
)
from twite.domain.results.report import day_marks, period_mark, rounded
from twite.domain.times import SECOND
from twite.gateway.ports.listing import ListedState
from twite.gateway.results.read import ResultsReport

PATH: Final = "/console/results"
DAYS: Final = (14, 30, 90)
# Filters: each value keeps only the accounts that have it.
_PARTS: Final[Sequence[tuple[str, str, Callable[[AccountResults], Mapping[str, str]]]]] = (
    ("account", "Ads account", lambda account: {account.account: account.account}),
    ("campaign", "Campaign", lambda account: {it.campaign: it.name for it in account.campaigns}),
    ("day", "Day", lambda account: {it.day: it.day for it in account.days}),
)


class DeliveredLink(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries of one event of a pixel, and the URL of their list."""

    name: str
    delivered: int
    path: str


class ResultRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a table: an event type of a day, a campaign or a period. `marks` are words.

    Only the first row of several has a `name` and its spend. `links` are the parts of what was
    delivered: a list of conversions has one pixel and event. Amounts are rounded. If an account has
    several currencies, each has rows of its own below those of the whole. `path` leads to the parts
    of the row.
    """

    name: str
    spend: str | None
    event: EventResult
    links: Sequence[DeliveredLink] = ()
    marks: str = ""
    path: str = ""


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """An account's figures as tables and a chart of attributed conversions by day.

    Of one campaign or one day there is neither a chart nor a period, and the days of a campaign
    have no deliveries.
    """

    account: AccountResults
    fetched_at: int | None
    chart: TimeChart | None
    periods: Sequence[ResultRow]
    campaigns: Sequence[ResultRow]
    days: Sequence[ResultRow]


class ResultsPart(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows: the last `span` days, or one account, campaign or day of them."""

    span: int
    account: str = ""
    campaign: str = ""
    day: str = ""

    @property
    def is_whole(self) -> bool:
        return not (self.campaign or self.day)

    def path_to(self, account: str, **part: str) -> str:
        """Return the URL of a part of an account."""
        return f"{PATH}?{urlencode({'days': self.span, 'account': account, **part})}"


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ResultsPage:
    """The page of results. X's figures are those of whole accounts, so all pixels must be seen."""

    read_results: Callable[[Callable[[str], bool], int], Awaitable[ResultsReport]]
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        location = PageLocation("Results", NavigationGroup.QUALITY)
        return (PageRoute("GET", PATH, self._show, location=location),)

    async def _show(self, request: PageRequest) -> Response:
        asked = request.query.number("days")
        days = asked if asked in DAYS else DAYS[0]
        report = await self.read_results(request.viewer.sees, days)
        shown: Sequence[AccountResults] = report.accounts
        known: dict[str, Mapping[str, str]] = {}
        chosen: dict[str, str] = {}
        for name, _, names_in in _PARTS:
            known[name] = {key: of for each in shown for key, of in names_in(each).items()}
            value = request.query.first(name)
            if value in known[name]:
                chosen[name] = value
                shown = [each for each in shown if value in names_in(each)]
        part = ResultsPart(span=days, **chosen)
        view = table_view(
            request,
            filters=[
                ("days", "Days", "" if days == DAYS[0] else str(days)),
                *(
                    (name, title, known[name].get(chosen.get(name, ""), ""))
                    for name, title, _ in _PARTS
                ),
            ],
            known={"days": [str(each) for each in DAYS], **known},
        )
        return request.page(
            "quality/results.html",
            title="Results",
            accounts=[_view(account, part, self.names) for account in shown],
            warnings=report.warnings,
            is_campaign=bool(part.campaign),
            view=view,
            days=days,
            spans=[(choice, view.url("days", added=[("days", str(choice))])) for choice in DAYS],
        )


def _view(account: AccountResults, part: ResultsPart, names: EventNames) -> AccountView:
    rows = _Rows(account.currency, names)
    shown_days = [day for day in reversed(account.days) if part.day in ("", day.day)]
    campaigns: list[ResultRow] = []
    for campaign in sorted(
        shown_days[0].campaigns if part.day and shown_days else account.campaigns,
        key=lambda each: (each.currency, -Decimal(each.spend or 0)),
    ):
        if part.campaign in ("", campaign.campaign):
            path = part.path_to(account.account, campaign=campaign.campaign)
            campaigns += rows.of_campaign(campaign.name, campaign, path=path)
    days: list[ResultRow] = []
    for day in shown_days:
        marks = ", ".join(day_marks(day, account.cut_over))
        path = part.path_to(account.account, day=day.day)
        if not part.campaign:
            days += rows.of(day.day, day, marks=marks, path=path)
        for campaign in day.campaigns:
            if part.campaign == campaign.campaign:
                days += rows.of_campaign(day.day, campaign, marks=marks, path=path)
    return AccountView(
        account=account,
        fetched_at=_read(account.fetched_at),
        chart=_chart(account, part) if part.is_whole else None,
        periods=[
            *rows.of_period("last {days}", account.total),
            *rows.of_period("{days} up to yesterday", account.finished_total),
            *rows.of_period("{days} before these", account.previous_total),
            *rows.of_period("{days} before the cut-over", account.total_before_cut_over),
            *rows.of_period("{days} from the cut-over on", account.total_after_cut_over),
        ]
        if part.is_whole
        else [],
        campaigns=campaigns,
        days=days,
    )


def _read(spelled: str | None) -> int | None:
    """Return a time of the report in milliseconds."""
    if spelled is None:
        return None
    return round(datetime.fromisoformat(spelled).timestamp() * SECOND)


def _links(
    deliveries: Sequence[EventDeliveries], names: EventNames
) -> Mapping[str, Sequence[DeliveredLink]]:
    """Return the lists of what was delivered, by event type."""
    found: dict[str, list[DeliveredLink]] = {}
    for part in deliveries:
        when = urlencode({"event": part.event, "since": part.since, "until": part.until})
        found.setdefault(part.event_type, []).append(
            DeliveredLink(
                name=names(part.pixel, part.event) or part.event,
                delivered=part.delivered,
                path=listing_path(ListedState.DELIVERED, pixel=part.pixel, when=when),
            )
        )
    return found


class _Rows:
    """Makes the rows of an account's tables."""

    def __init__(self, currency: str, names: EventNames) -> None:
        self._currency = currency
        self._names = names

    def of_period(self, title: str, total: PeriodTotal | None) -> list[ResultRow]:
        """Return the rows of a period; none if it has no figures. `{days}` is its length."""
        if total is None or (total.spend is None and not total.events):
            return []
        name = title.format(days=plural(total.days, "day"))
        return self.of(name, total, marks=period_mark(total))

    def of_campaign(
        self, name: str, campaign: CampaignResult, *, marks: str = "", path: str = ""
    ) -> list[ResultRow]:
        """Return the rows of a campaign, with its currency if the account has several."""
        own = "" if self._currency else f" ({campaign.currency or 'unknown currency'})"
        return self._of(f"{name}{own}", campaign, campaign.currency, marks=marks, path=path)

    def of(
        self, name: str, part: DayResult | PeriodTotal, *, marks: str = "", path: str = ""
    ) -> list[ResultRow]:
        """Return the rows of the whole account, and of each currency if there are several."""
        found = self._of(name, part, self._currency, part.deliveries, marks=marks, path=path)
        for own in part.by_currency:
            found += self._of(f"in {own.currency or 'an unknown currency'}", own, own.currency)
        return found

    def _of(
        self,
        name: str,
        part: CampaignResult | CurrencyResult | DayResult | PeriodTotal,
        currency: str,
        deliveries: Sequence[EventDeliveries] = (),
        *,
        marks: str = "",
        path: str = "",
    ) -> list[ResultRow]:
        links = _links(deliveries, self._names)
        return [
            ResultRow(
                name="" if place else name,
                spend=None if place else _money(part.spend, currency),
                event=msgspec.structs.replace(
                    event,
                    sale_amount=_money(event.sale_amount, currency),
                    cost_per_conversion=_money(event.cost_per_conversion, currency),
                ),
                links=links.get(event.event_type, ()),
                marks="" if place else marks,
                path="" if place else path,
            )
            for place, event in enumerate(part.events or (EventResult(event_type=""),))
        ]


def _money(amount: str | None, currency: str) -> str | None:
    return None if amount is None else spaced(f"{rounded(amount, currency):,}")


def _chart(account: AccountResults, part: ResultsPart) -> TimeChart:
    """Chart what X attributes by day: settled figures, estimates, and the cut-over.

    A day leads to its campaigns.
    """
    zone = ZoneInfo(account.timezone)
    steps = []
    for day in account.days:
        limits = account_day(date.fromisoformat(day.day), zone)
        counts = [event.attributed for event in day.events if event.attributed is not None]
        attributed = sum(counts) if counts else None
        values = (None, attributed) if day.estimate else (attributed, None)
        turn = "cut-over" if day.day == account.cut_over else ""
        steps.append(
            ChartStep(
                at=limits.start,
                until=limits.end,
                values=values,
                url=part.path_to(account.account, day=day.day),
                turn=turn,
            )
        )
    return time_chart(
        steps,
        series=[ChartSeries("attributed", "ok"), ChartSeries("estimate", "wait")],
        kind=ChartKind.COLUMNS,
        unit=Unit.COUNT,
        zone=zone,
    )
