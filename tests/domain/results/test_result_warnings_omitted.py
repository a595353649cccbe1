"""Warnings while X's answers omit a campaign: only those that it could refute are silent."""

import pytest
from msgspec.structs import replace
from test_result_warnings import ACCOUNT, NOW, a_basis, a_day, kinds, settled, usual

from twite.domain.alert import AlertKind
from twite.domain.results.account import AdLineItem
from twite.domain.results.figures import EventFigure, FigureGroup, ResultCell

BOTH = frozenset(FigureGroup)
CONVERSIONS = frozenset({FigureGroup.CONVERSIONS})
NONE_ATTRIBUTED = AlertKind.RESULTS_NONE_ATTRIBUTED


def omitting(days, *, groups=BOTH, campaign="c2", **known):
    """Add a campaign whose last figures X omitted; `known` are those of its other cells."""
    added = tuple(
        ResultCell(
            campaign=campaign,
            placement="TREND",
            group=group,
            fetched_at=NOW,
            is_omitted=group in groups,
            **{name: value for name, value in known.items() if (name == "events") is of_events},
        )
        for group, of_events in ((FigureGroup.CONVERSIONS, True), (FigureGroup.SPEND, False))
    )
    return [replace(day, cells=(*day.cells, *added)) for day in days]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),  # X may have attributed all conversions to it
        ({"groups": CONVERSIONS}, [NONE_ATTRIBUTED]),  # it has spent nothing
        ({"groups": CONVERSIONS, "spend_micro": 0}, [NONE_ATTRIBUTED]),
        ({"groups": CONVERSIONS, "spend_micro": 1}, []),
        ({"groups": {FigureGroup.SPEND}}, [NONE_ATTRIBUTED]),  # X attributes nothing to it
        ({"groups": CONVERSIONS, "events": {"PURCHASE": EventFigure(count=1)}}, []),
    ],
)
def test_none_attributed_is_silent_only_if_x_may_attribute_to_the_omitted_campaign(changes, found):
    assert kinds(a_basis(*omitting(settled(attributed=0), **changes))) == found


def test_none_attributed_is_silent_if_the_omitted_campaign_has_spent_in_the_weeks_before():
    before = omitting([a_day(5)], groups=(), spend_micro=1)
    days = omitting(settled(attributed=0), groups=CONVERSIONS)

    assert kinds(a_basis(*before, *days)) == []
    assert kinds(a_basis(a_day(5), *days)) == [NONE_ATTRIBUTED]


def test_null_for_all_others_is_warned_of_beside_an_omitted_campaign():
    days = omitting(settled(attributed=None))
    earlier = omitting(settled(attributed=None), events={"PURCHASE": EventFigure(count=0)})

    assert kinds(a_basis(*days)) == [AlertKind.RESULTS_NOT_SERVED]
    assert kinds(a_basis(*earlier)) == []  # X has served figures


@pytest.mark.parametrize(("event", "is_counted"), [("o8z6l", True), ("o8z6k", False)])
def test_omitted_campaign_may_count_an_event(event, is_counted):
    item = AdLineItem(id="l2", campaign="c2", event=event)
    account = replace(ACCOUNT, line_items=(*ACCOUNT.line_items, item))
    days = omitting(settled(event="o8z6l"))

    found = kinds(a_basis(*days, account=account))
    assert found == ([] if is_counted else [AlertKind.RESULTS_EVENT_UNCOUNTED])


def test_unit_of_sale_amounts_is_that_of_the_other_campaigns():
    right = {"PURCHASE": EventFigure(count=90, sale_amount=70_000_000 * 90)}
    days = omitting(settled(amount=70 * 3), events=right)

    assert kinds(a_basis(*days, usual_amounts=usual(70))) == [AlertKind.RESULTS_AMOUNT_UNIT]
