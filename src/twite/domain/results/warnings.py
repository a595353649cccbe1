"""Warnings about results: each compares what Twite delivered with what X attributes and counts.

X does not say how many conversions it received, so a small share is no warning. Only figures that
X no longer changes count. A campaign that X's answer omitted is unknown: a warning that it could
refute does not hold, and the others do.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from twite.domain.alert import AlertKind
from twite.domain.plural import plural
from twite.domain.results.account import ResultsAccount
from twite.domain.results.figures import AttributedSum, EventFigure, FigureGroup, ResultDay
from twite.domain.results.sale_amounts import SaleAmountUnit, unit_fault
from twite.domain.stats.match_keys import Matched, Matching, added
from twite.domain.stats.value_guard import UsualAmount
from twite.domain.times import DAY

WARNINGS: Final = (
    AlertKind.RESULTS_NONE_ATTRIBUTED,
    AlertKind.RESULTS_EVENT_UNCOUNTED,
    AlertKind.RESULTS_AMOUNT_UNIT,
    AlertKind.RESULTS_NOT_SERVED,
    AlertKind.CLICK_IDS_STOPPED,
)
# How many settled days in a row a warning needs.
_DAYS: Final = 3
# Click ids count as stopped after this many days (UTC) without any, though the days before let
# expect at least so many. A small shop needs more days for that, up to a limit.
_CLICK_DAYS: Final = 2
_MOST_CLICK_DAYS: Final = 14
_CLICK_DAYS_BEFORE: Final = 14
_LEAST_CLICKS: Final = 5
# Of so many days before today, warnings read match keys.
MATCHED_DAYS: Final = _MOST_CLICK_DAYS + _CLICK_DAYS_BEFORE
# So many of the latest conversions show the unit of sale amounts.
_ENOUGH_AMOUNTS: Final = 20


class ResultsWarning(msgspec.Struct, frozen=True, kw_only=True):
    """A warning about an account: `fact` is what was found, `effect` what follows, `fix` advice."""

    kind: AlertKind
    account: str
    fact: str
    effect: str
    fix: str


class WarningBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What warnings are found in.

    `days` are the latest days of the account, `matched` the match keys of its pixels by day (UTC),
    `event_names` the name of each event (X's id) in the settings. `now` is in milliseconds.
    """

    account: ResultsAccount
    days: Sequence[ResultDay]
    matched: Sequence[Matched]
    usual_amounts: Sequence[UsualAmount]
    event_names: Mapping[str, str]
    unit: SaleAmountUnit
    now: int


def warnings_of(basis: WarningBasis) -> list[ResultsWarning]:
    """Return the warnings that hold, at most one of each kind."""
    settled = _settled(basis)
    found: list[ResultsWarning] = []
    if settled:
        found += _of_attribution(basis, settled)
        found += _of_events(basis, settled)
    found += _of_amounts(basis)
    found += _of_click_ids(basis)
    return found


def usually_uncounted(basis: WarningBasis) -> str:
    """Name the delivered events that no campaign counts, and no warning names; "" if none.

    This is usual: X reports them, and optimizes for others.
    """
    events = _uncounted(basis, _settled(basis))
    return _named(basis, events.usual)


def _settled(basis: WarningBasis) -> Sequence[ResultDay]:
    """Return the days that a warning needs; none if they are too few, old, or not in a row."""
    days = [day for day in basis.days if day.is_settled][-_DAYS:]
    in_a_row = all(day.end == after.start for day, after in pairwise(days))
    is_late = len(days) == _DAYS and days[-1].end > basis.now - _DAYS * DAY
    return days if is_late and in_a_row else ()


def _of_attribution(basis: WarningBasis, settled: Sequence[ResultDay]) -> Iterator[ResultsWarning]:
    sums = [AttributedSum.of(day.cells) for day in settled]
    delivered = [_delivered_on(day) for day in settled]
    spent = all(whole.spend_micro for whole in sums)
    # Of paused campaigns, X serves null as well, but does not list them as active.
    hidden = all(
        day.is_active and whole.spend_micro is None
        for day, whole in zip(settled, sums, strict=True)
    )
    if not (spent or hidden):
        return
    asked = {
        cell.campaign
        for day in settled
        for cell in day.cells
        if cell.group is FigureGroup.CONVERSIONS
    }
    if asked and not any(whole.events for whole in sums):
        if any(delivered):
            yield _not_served(basis, campaigns=len(asked), spent=spent, delivered=sum(delivered))
        return
    attributed = sum(figure.count or 0 for whole in sums for figure in whole.events.values())
    is_known = not (_omitted(settled, FigureGroup.CONVERSIONS) & _advertised(basis.days))
    if spent and all(delivered) and not attributed and is_known:
        yield ResultsWarning(
            kind=AlertKind.RESULTS_NONE_ATTRIBUTED,
            account=basis.account.account,
            fact=(
                f"{sum(delivered):,} conversions were delivered in {_DAYS} days, and X attributed "
                "none to an ad, though the account spent on each day"
            ),
            effect="X optimizes and reports without these conversions.",
            fix="Compare the event ids with Events Manager, and check that conversions have click "
            "ids or emails (twite results, Match keys).",
        )


def _omitted(days: Iterable[ResultDay], group: FigureGroup) -> set[str]:
    """Return the campaigns of which an answer had no figures of a group."""
    cells = (cell for day in days for cell in day.cells)
    return {cell.campaign for cell in cells if cell.is_omitted and cell.group is group}


def _advertised(days: Sequence[ResultDay]) -> set[str]:
    """Return the campaigns that spent, or may have: X attributes only to these."""
    spent = {cell.campaign for day in days for cell in day.cells if cell.spend_micro}
    return spent | _omitted(days, FigureGroup.SPEND)


def _not_served(
    basis: WarningBasis, *, campaigns: int, spent: bool, delivered: int
) -> ResultsWarning:
    """Warn about null for all: X may hide its figures from the user, or attribute nothing."""
    fact = (
        f"for {_DAYS} days, X served no figures of conversions for any of "
        f"{plural(campaigns, 'campaign')} that spent"
        if spent
        else f"for {_DAYS} days, X served neither spend nor conversions of "
        f"{plural(campaigns, 'campaign')}, though it lists them as active"
    )
    return ResultsWarning(
        kind=AlertKind.RESULTS_NOT_SERVED,
        account=basis.account.account,
        fact=f"{fact}. Of these days, Twite delivered {plural(delivered, 'conversion')}",
        effect="Twite cannot show what the ads brought, or X attributed nothing to them.",
        fix="Compare with Ads Manager. If it shows conversions, check that the signed-in user may "
        "see them. If it shows none, X attributed none of the delivered conversions: compare the "
        "event ids with Events Manager, and check that conversions have click ids or emails "
        "(twite results, Match keys).",
    )


class _UncountedEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Delivered events that no campaign counts. `counted` are those that they count instead."""

    wrong: Sequence[str]
    usual: Sequence[str]
    counted: Sequence[str]


def _of_events(basis: WarningBasis, settled: Sequence[ResultDay]) -> Iterator[ResultsWarning]:
    events = _uncounted(basis, settled)
    if events.wrong:
        yield ResultsWarning(
            kind=AlertKind.RESULTS_EVENT_UNCOUNTED,
            account=basis.account.account,
            fact=f"no campaign that spends counts {_named(basis, events.wrong)}. They count "
            f"{', '.join(events.counted)}",
            effect="X's campaigns optimize for another event than the one that Twite delivers.",
            fix="Choose the delivered event in the ad groups, or change [pixel.events] to the id "
            "that they count, then run twite reload.",
        )


def _uncounted(basis: WarningBasis, settled: Sequence[ResultDay]) -> _UncountedEvents:
    """Find delivered events that no active line item of a campaign that spends counts.

    Most shops also send events that no campaign optimizes for. So an event is wrong only if a
    campaign counts another event of the same type, or none of the delivered events.
    """
    account = basis.account
    running = _advertised(settled)
    counted = {
        item.event
        for item in account.line_items
        if item.event and item.is_active and item.campaign in running
    }
    delivered = {each.event for day in settled for each in day.delivered or () if each.count}
    same = {alias: event for event in delivered for alias in _aliases(account, event)}
    known = {same.get(event, event) for event in counted}
    others = {account.event_types.get(event) for event in known - delivered} - {None}
    uncounted = delivered - known if counted else set[str]()
    wrong = {
        event
        for event in uncounted
        if not known & delivered or account.event_types.get(event) in others
    }
    return _UncountedEvents(
        wrong=sorted(wrong), usual=sorted(uncounted - wrong), counted=sorted(counted)
    )


def _named(basis: WarningBasis, events: Iterable[str]) -> str:
    return ", ".join(f"{basis.event_names.get(event, '')} ({event})".strip() for event in events)


def _aliases(account: ResultsAccount, event: str) -> tuple[str, ...]:
    """Return an event's two ids, which X's list names: which one a line item has is unknown."""
    return (event, account.other_ids.get(event, event))


def _of_amounts(basis: WarningBasis) -> Iterator[ResultsWarning]:
    """Compare amounts in each currency of campaigns: an account may have several."""
    account = basis.account
    currencies = {each.id: each.currency or account.currency for each in account.campaigns}
    usual: dict[tuple[str, str], list[UsualAmount]] = {}
    for amount in basis.usual_amounts:
        event_type = account.event_types.get(amount.event)
        if event_type is not None:
            usual.setdefault((event_type, amount.currency), []).append(amount)
    for (event_type, currency), own in sorted(usual.items()):
        by_day = (
            [
                cell.events[event_type]
                for cell in day.cells
                if event_type in cell.events
                and not cell.is_omitted
                and currencies.get(cell.campaign, account.currency) == currency
            ]
            for day in reversed(basis.days)
            if day.is_settled
        )
        latest = _latest_amounts(by_day)
        fault = unit_fault(event_type, latest, own, basis.unit)
        if fault is not None:
            yield ResultsWarning(
                kind=AlertKind.RESULTS_AMOUNT_UNIT,
                account=account.account,
                fact=(
                    f"X's average sale amount of {event_type} is about {fault.words}, compared "
                    "with the usual amount"
                ),
                effect="The return on ad spend is wrong by the same factor.",
                fix=(
                    "If Ads Manager shows correct amounts, change results.sale_amount_unit. If "
                    "not, check the value that the source sends."
                ),
            )
            return


def _latest_amounts(by_day: Iterable[Sequence[EventFigure]]) -> EventFigure:
    """Add up the latest days, which come first, until there are enough conversions.

    Correct amounts of the weeks before would hide for long that amounts are now too low.
    """
    whole = EventFigure()
    for figures in by_day:
        known = [figure for figure in figures if figure.sale_amount is not None]
        whole = EventFigure.of([whole, *known])
        if (whole.count or 0) >= _ENOUGH_AMOUNTS:
            break
    return whole


def _of_click_ids(basis: WarningBasis) -> Iterator[ResultsWarning]:
    today = basis.now // DAY
    for days in range(_CLICK_DAYS, _MOST_CLICK_DAYS + 1):
        late = _matching(basis, today - days, today)
        if late.click:
            return
        before = _matching(basis, today - days - _CLICK_DAYS_BEFORE, today - days)
        share = before.click / before.conversions if before.conversions else 0.0
        if share * late.conversions < _LEAST_CLICKS:
            continue
        yield ResultsWarning(
            kind=AlertKind.CLICK_IDS_STOPPED,
            account=basis.account.account,
            fact=(
                f"none of {late.conversions:,} conversions of the last {days} days has a click "
                f"id. In the {_CLICK_DAYS_BEFORE} days before, {share:.0%} had one"
            ),
            effect="X attributes conversions without a click id only by email, or not at all.",
            fix="Check that landing pages keep twclid in the URL and still load the script.",
        )
        return


def _matching(basis: WarningBasis, since: int, until: int) -> Matching:
    return added(matched.matching for matched in basis.matched if since <= matched.day < until)


def _delivered_on(day: ResultDay) -> int:
    return sum(each.count for each in day.delivered or ())
