"""Each warning about results: what shows it, and what silences it."""

import math

import pytest
from msgspec.structs import replace

from twite.domain.alert import RULES, AlertKind
from twite.domain.results.account import AdCampaign, AdLineItem, ResultsAccount
from twite.domain.results.figures import (
    DeliveredEvent,
    EventFigure,
    FigureGroup,
    ResultCell,
    ResultDay,
)
from twite.domain.results.sale_amounts import SaleAmountUnit
from twite.domain.results.warnings import (
    WARNINGS,
    WarningBasis,
    usually_uncounted,
    warnings_of,
)
from twite.domain.stats.match_keys import Matched, Matching
from twite.domain.stats.value_guard import UsualAmount
from twite.domain.times import DAY

TODAY = 20_000
NOW = TODAY * DAY + DAY // 2
ACCOUNT = ResultsAccount(
    account="18ce54d4x5t",
    campaigns=(AdCampaign(id="c1", name="Autumn", currency="EUR"),),
    line_items=(AdLineItem(id="l1", campaign="c1", event="o8z6k"),),
    event_types={"o8z6k": "PURCHASE", "o8z6l": "PURCHASE", "o8z6m": "ADD_TO_CART"},
)


def a_day(ago, *, attributed=3, spend=5_000_000, delivered=10, event="o8z6k", amount=None, **more):
    start = (TODAY - ago) * DAY
    figure = EventFigure(count=attributed, sale_amount=amount)
    cells = (
        ResultCell(
            campaign="c1",
            placement="TREND",
            group=FigureGroup.CONVERSIONS,
            fetched_at=NOW,
            events={} if attributed is None else {"PURCHASE": figure},
        ),
        ResultCell(
            campaign="c1",
            placement="TREND",
            group=FigureGroup.SPEND,
            fetched_at=NOW,
            spend_micro=spend,
        ),
    )
    day = ResultDay(
        day=f"day {ago:02}",
        start=start,
        end=start + DAY,
        fetched_at=NOW,
        cells=cells,
        delivered=(DeliveredEvent(pixel="o8z6j", event=event, count=delivered),),
    )
    return replace(day, **more)


def a_basis(*days, **changes):
    """Four settled days by default, and today, which is an estimate."""
    basis = WarningBasis(
        account=ACCOUNT,
        days=[*(days or [a_day(ago) for ago in (5, 4, 3, 2)]), a_day(0, attributed=None)],
        matched=[],
        usual_amounts=[],
        event_names={"o8z6k": "purchase", "o8z6l": "old purchase", "o8z6m": "cart"},
        unit=SaleAmountUnit.MICRO,
        now=NOW,
    )
    return replace(basis, **changes)


def settled(**changes):
    return [a_day(ago, **changes) for ago in (4, 3, 2)]


def kinds(basis):
    return [warning.kind for warning in warnings_of(basis)]


def test_all_is_well_without_a_warning():
    assert kinds(a_basis()) == []
    assert kinds(replace(a_basis(), days=[])) == []


def test_each_kind_of_warning_has_a_rule():
    assert set(WARNINGS) <= RULES.keys()


def test_none_attributed_for_three_days_with_spend():
    (warning,) = warnings_of(a_basis(*settled(attributed=0)))

    assert warning.kind == AlertKind.RESULTS_NONE_ATTRIBUTED
    assert warning.fact.startswith("30 conversions were delivered in 3 days, and X attributed none")


@pytest.mark.parametrize(
    "days",
    [
        settled(attributed=0, spend=0),  # no ad ran
        settled(attributed=0, delivered=0),
        [a_day(4, attributed=1), a_day(3, attributed=0), a_day(2, attributed=0)],
        settled(attributed=0, fetched_at=0),
        [a_day(ago, attributed=0) for ago in (9, 8, 7)],  # old figures say nothing of today
        settled(attributed=0)[1:],
        [a_day(ago, attributed=0) for ago in (5, 4, 2)],  # the day between was not settled
        [
            a_day(5, attributed=0),
            a_day(4, attributed=0),
            a_day(3, fetched_at=0),
            a_day(2, attributed=0),
        ],
    ],
)
def test_none_attributed_is_silent_without_spend_deliveries_or_settled_days(days):
    assert kinds(a_basis(*days)) == []


def test_null_for_all_entities_is_not_taken_for_none_attributed():
    (warning,) = warnings_of(a_basis(*settled(attributed=None)))

    assert warning.kind is AlertKind.RESULTS_NOT_SERVED
    assert warning.fact == (
        "for 3 days, X served no figures of conversions for any of 1 campaign that spent. Of "
        "these days, Twite delivered 30 conversions"
    )
    assert "the signed-in user may see them" in warning.fix
    assert "X attributed none of the delivered conversions" in warning.fix


@pytest.mark.parametrize("changes", [{"spend": 5_000_000}, {"spend": None, "is_active": True}])
def test_null_is_silent_for_an_account_that_delivers_nothing(changes):
    assert kinds(a_basis(*settled(attributed=None, delivered=0, **changes))) == []
    few = [
        *settled(attributed=None, delivered=0, **changes)[:2],
        a_day(2, attributed=None, **changes),
    ]
    assert kinds(a_basis(*few)) == [AlertKind.RESULTS_NOT_SERVED]


def test_null_is_silent_if_nothing_was_spent_or_one_day_was_served():
    assert kinds(a_basis(*settled(attributed=None, spend=0))) == []
    assert kinds(a_basis(*settled(attributed=None)[1:], a_day(1, attributed=1))) == []


def test_null_for_spend_as_well_is_warned_of_if_x_lists_campaigns_as_active():
    (warning,) = warnings_of(a_basis(*settled(attributed=None, spend=None, is_active=True)))

    assert warning.kind is AlertKind.RESULTS_NOT_SERVED
    assert "neither spend nor conversions" in warning.fact
    assert "though it lists them as active" in warning.fact


@pytest.mark.parametrize(
    "days",
    [
        settled(attributed=None, spend=None),  # asked for, but paused on these days
        [
            *settled(attributed=None, spend=None, is_active=True)[:2],
            a_day(2, attributed=None, spend=None),
        ],
        settled(attributed=None, spend=0, is_active=True),
        settled(attributed=1, spend=None, is_active=True),
        settled(attributed=0, spend=None, is_active=True),
    ],
)
def test_null_for_spend_is_silent_for_paused_campaigns_and_served_figures(days):
    assert kinds(a_basis(*days)) == []


def test_event_that_no_campaign_counts():
    (warning,) = warnings_of(a_basis(*settled(event="o8z6l")))

    assert warning.kind == AlertKind.RESULTS_EVENT_UNCOUNTED
    assert "counts old purchase (o8z6l). They count o8z6k" in warning.fact


def test_event_of_another_type_beside_a_counted_one_is_usual():
    also = DeliveredEvent(pixel="o8z6j", event="o8z6m", count=90)
    days = [replace(day, delivered=(*day.delivered, also)) for day in settled()]

    assert kinds(a_basis(*days)) == []
    assert usually_uncounted(a_basis(*days)) == "cart (o8z6m)"
    assert usually_uncounted(a_basis(*settled())) == ""


def test_event_of_a_warning_is_not_named_as_usual():
    also = DeliveredEvent(pixel="o8z6j", event="o8z6m", count=90)
    days = [replace(day, delivered=(*day.delivered, also)) for day in settled(event="o8z6l")]
    cart = AdLineItem(id="l2", campaign="c1", event="o8z6m")
    account = replace(ACCOUNT, line_items=(*ACCOUNT.line_items, cart))

    (warning,) = warnings_of(a_basis(*days, account=account))
    assert "counts old purchase (o8z6l)." in warning.fact
    assert usually_uncounted(a_basis(*days, account=account)) == ""
    (warning,) = warnings_of(a_basis(*days))
    assert "counts old purchase (o8z6l), cart (o8z6m)." in warning.fact
    assert usually_uncounted(a_basis(*days)) == ""


def test_campaigns_that_count_no_event_name_none_as_usual():
    silent = replace(ACCOUNT, line_items=())

    assert usually_uncounted(a_basis(*settled(), account=silent)) == ""
    assert usually_uncounted(a_basis(*settled(event="o8z6m")[1:])) == ""


def test_event_is_counted_under_either_of_its_ids():
    other = replace(ACCOUNT, other_ids={"o8z6l": "ny3od", "ny3od": "o8z6l"})
    other = replace(other, line_items=(AdLineItem(id="l1", campaign="c1", event="ny3od"),))

    assert kinds(a_basis(*settled(event="o8z6l"), account=other)) == []


def test_paused_line_item_counts_nothing():
    paused = AdLineItem(id="l2", campaign="c1", event="o8z6l", is_active=False)
    active = replace(paused, is_active=True)
    days = settled(event="o8z6l")

    def found(item):
        return kinds(
            a_basis(*days, account=replace(ACCOUNT, line_items=(*ACCOUNT.line_items, item)))
        )

    assert found(active) == []
    assert found(paused) == [AlertKind.RESULTS_EVENT_UNCOUNTED]


def test_line_items_without_an_event_and_campaigns_without_spend_count_nothing():
    silent = replace(ACCOUNT, line_items=(AdLineItem(id="l1", campaign="c1"),))

    assert kinds(a_basis(*settled(event="o8z6l"), account=silent)) == []
    assert kinds(a_basis(*settled(event="o8z6l", spend=0))) == []


def usual(amount, **changes):
    found = UsualAmount(
        pixel="o8z6j", event="o8z6k", currency="EUR", seen=500, center=math.log10(amount)
    )
    return [replace(found, **changes)]


@pytest.mark.parametrize(
    ("unit", "amount", "words"),
    [
        (SaleAmountUnit.MICRO, 50 * 3, "1,000,000 times too low"),  # X serves money
        (SaleAmountUnit.MONEY, 50_000_000 * 3, "1,000,000 times too high"),  # X serves micros
        (SaleAmountUnit.MICRO, 5_000_000_000 * 3, "100 times too high"),  # the shop sends cents
        (SaleAmountUnit.MINOR, 50 * 3, "100 times too low"),
    ],
)
def test_sale_amount_in_another_unit(unit, amount, words):
    days = settled(amount=amount)
    (warning,) = warnings_of(a_basis(*days, usual_amounts=usual(70), unit=unit))

    assert warning.kind == AlertKind.RESULTS_AMOUNT_UNIT
    assert words in warning.fact


@pytest.mark.parametrize(
    ("amount", "usual_amounts"),
    [
        (50_000_000 * 3, usual(50)),
        (50_000_000 * 3 * 12, usual(50)),  # ads bring large orders
        (50 * 3, usual(50, seen=2)),  # too little is known
        (50 * 3, usual(50, currency="USD")),
        (0, usual(50)),
        (None, usual(50)),
    ],
)
def test_sale_amount_is_silent_near_the_usual_one_or_without_knowledge(amount, usual_amounts):
    assert kinds(a_basis(*settled(amount=amount), usual_amounts=usual_amounts)) == []


@pytest.mark.parametrize("factor", [0.01, 100])
def test_sale_amount_in_another_unit_is_found_within_days(factor):
    def days(wrong):
        amounts = [70_000_000 * 10 * (factor if ago < 2 + wrong else 1) for ago in range(30, 1, -1)]
        return [
            a_day(ago, attributed=10, amount=amount)
            for ago, amount in zip(range(30, 1, -1), amounts, strict=True)
        ]

    found = {wrong: kinds(a_basis(*days(wrong), usual_amounts=usual(70))) for wrong in (0, 2, 28)}

    assert found == {
        0: [],
        2: [AlertKind.RESULTS_AMOUNT_UNIT],
        28: [AlertKind.RESULTS_AMOUNT_UNIT],
    }


def test_sale_amount_of_few_conversions_a_day_is_the_average_of_more_days():
    large = a_day(2, attributed=5, amount=7_000_000_000 * 5)
    usual_days = [a_day(ago, attributed=15, amount=70_000_000 * 15) for ago in (4, 3)]

    assert kinds(a_basis(large, usual_amounts=usual(70))) == [AlertKind.RESULTS_AMOUNT_UNIT]
    small = a_day(2, attributed=5, amount=700_000 * 5)
    assert kinds(a_basis(*usual_days, small, usual_amounts=usual(70))) == []


def test_sale_amounts_are_compared_in_the_currency_of_their_campaigns():
    paused = AdCampaign(id="c2", name="Years ago", currency="USD")
    account = replace(ACCOUNT, campaigns=(*ACCOUNT.campaigns, paused))
    days = settled(amount=50 * 3)

    (warning,) = warnings_of(a_basis(*days, usual_amounts=usual(50), account=account))
    of_others = kinds(a_basis(*days, usual_amounts=usual(50, currency="USD"), account=account))

    assert warning.kind == AlertKind.RESULTS_AMOUNT_UNIT
    assert of_others == []


def matched(ago, conversions, click):
    keys = Matching(conversions=conversions, click=click)
    return Matched(source="shop", pixel="o8z6j", event="o8z6k", day=TODAY - ago, matching=keys)


def test_click_ids_that_stopped():
    before = [matched(ago, 50, 20) for ago in range(3, 17)]
    (warning,) = warnings_of(a_basis(matched=[*before, matched(2, 40, 0), matched(1, 40, 0)]))

    assert warning.kind == AlertKind.CLICK_IDS_STOPPED
    assert "none of 80 conversions of the last 2 days has a click id" in warning.fact
    assert "40% had one" in warning.fact


@pytest.mark.parametrize(
    "late",
    [
        [matched(2, 40, 0), matched(1, 40, 1)],
        [matched(1, 4, 0)],  # too few to say
        [],
    ],
)
def test_click_ids_are_silent_while_some_arrive_or_few_conversions(late):
    before = [matched(ago, 50, 20) for ago in range(3, 17)]

    assert kinds(a_basis(matched=[*before, *late])) == []


@pytest.mark.parametrize(("stopped", "days"), [(2, 0), (4, 0), (5, 5), (9, 7), (14, 9)])
def test_click_ids_of_a_small_shop_stopped_after_more_days(stopped, days):
    """Of 4 orders a day, 1 has a click id, until none has: five are expected in 5 days.

    Later, the days before have fewer, so that five are expected in more days.
    """
    each = [matched(ago, 4, 0 if ago <= stopped else 1) for ago in range(1, 29)]
    facts = [warning.fact for warning in warnings_of(a_basis(matched=each))]

    said = f"none of {4 * days} conversions of the last {days} days has a click id"
    assert [fact.partition(".")[0] for fact in facts] == ([said] if days else [])


@pytest.mark.parametrize("ago", [1, 7, 14, None])
def test_one_click_id_in_two_weeks_silences_a_very_small_shop(ago):
    """Five click ids are expected in 14 days, of one order each."""
    late = [matched(day, 1, int(day == ago)) for day in range(1, 15)]
    before = [matched(day, 100, 36) for day in range(15, 29)]

    found = kinds(a_basis(matched=[*late, *before]))
    assert found == ([] if ago else [AlertKind.CLICK_IDS_STOPPED])


def test_shop_that_never_had_click_ids_is_silent():
    assert kinds(a_basis(matched=[matched(ago, 500, 0) for ago in range(1, 17)])) == []
