"""The report of results: sums, shares, ratios, marks, and its form as CSV."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from any_results import an_account, some_days
from twite.domain.results.csv_rows import csv_rows
from twite.domain.results.figures import DeliveredEvent, EventFigure, FigureGroup, ResultCell
from twite.domain.results.report import (
    ReportBasis,
    account_results,
    day_marks,
    period_mark,
    rounded,
)
from twite.domain.results.sale_amounts import SaleAmountUnit

NOW = 1_795_953_600_000  # 2026-11-29T12:00Z


def report(days=None, *, compared=(), **changes):
    fields = {
        "account": an_account(NOW),
        "unit": SaleAmountUnit.MICRO,
        "cut_over": None,
    }
    days = some_days(NOW) if days is None else days
    return account_results(ReportBasis(**fields | changes), days, compared)


def purchases(part):
    return next(event for event in part.events if event.event_type == "PURCHASE")


def test_sums_and_ratios_of_an_event_type():
    total = report().total

    assert (total.first, total.last, total.days, total.spend) == (
        "2026-11-18",
        "2026-11-29",
        12,
        "180.00",
    )
    bought = purchases(total)
    assert (bought.delivered, bought.attributed, bought.sale_amount) == (240, 24, "960.00")
    assert (bought.cost_per_conversion, bought.return_on_ad_spend) == ("7.50", 5.3333)


def test_campaigns_have_their_own_spend_and_no_deliveries():
    first, second = report().campaigns

    assert (first.name, first.spend, purchases(first).delivered) == ("Autumn", "120.00", None)
    assert (second.name, second.spend, second.events) == ("=Winter", "60.00", ())


def test_days_of_the_report_add_up_to_its_total():
    found = report()

    assert sum(purchases(day).attributed for day in found.days) == purchases(found.total).attributed
    assert sum(float(day.spend) for day in found.days) == float(found.total.spend)


def test_estimates_and_spend_that_is_not_final_are_marked():
    marks = [(day.day[8:], day.estimate, day.spend_final) for day in report().days[-6:]]

    assert marks == [
        ("24", False, True),
        ("25", False, True),
        ("26", False, False),
        ("27", False, False),
        ("28", True, False),
        ("29", True, False),
    ]


def test_day_that_was_never_fetched_says_so_and_is_no_fetched_day_of_the_total():
    days = list(some_days(NOW))
    days[3] = replace(days[3], fetched_at=0, cells=())
    found = report(days)
    day = found.days[3]

    assert (day.fetched, day.estimate, day.spend_final, day.fetched_at) == (
        False, False, False, None,
    )  # fmt: skip
    assert day_marks(day, None) == ["not fetched"]
    assert [each.fetched for each in found.days].count(True) == 11
    assert (found.total.days, found.total.fetched_days) == (12, 11)
    heading, *rows = csv_rows([found])
    fetched = {dict(zip(heading, row, strict=True))["day"]: row[4] for row in rows}
    assert (heading[4], fetched["2026-11-21"], fetched["2026-11-22"]) == ("fetched", False, True)


def test_total_says_how_many_of_its_days_are_estimates():
    found = report(some_days(NOW))
    estimates = [day.estimate for day in found.days].count(True)

    assert estimates > 0
    assert found.total.estimated_days == estimates
    assert period_mark(found.total) == f"{estimates} estimated"


def test_shares_of_match_keys_are_those_of_the_same_days():
    counts = {"count": 20, "known": 10, "click": 4, "email_only": 5}
    days = [
        *some_days(NOW)[:-2],
        *(
            replace(day, delivered=(DeliveredEvent(pixel="o8z6j", event="o8z6k", **counts),))
            for day, counts in zip(some_days(NOW)[-2:], (counts, {"count": 20}), strict=True)
        ),
    ]
    found = report(days)

    shares = [
        (purchases(day).click_id_share, purchases(day).email_only_share) for day in found.days[-2:]
    ]
    assert shares == [(0.4, 0.5), (None, None)]
    assert purchases(found.total).click_id_share == 0.4


def test_deliveries_are_listed_by_pixel_and_event_with_their_time():
    days = some_days(NOW)
    other = DeliveredEvent(pixel="o8z6x", event="o8z6m", count=3)
    days[-1] = replace(days[-1], delivered=(*days[-1].delivered, other))
    found = report(days)

    parts = [(part.event_type, part.pixel, part.delivered) for part in found.total.deliveries]
    assert parts == [("PURCHASE", "o8z6j", 240), ("SIGN_UP", "o8z6x", 3)]
    assert [len(day.deliveries) for day in found.days] == [1] * 11 + [2]
    whole, last = found.total.deliveries[0], found.days[-1].deliveries[0]
    assert (whole.since, whole.until) == (days[0].start, days[-1].end)
    assert (last.since, last.until) == (days[-1].start, days[-1].end)


@pytest.mark.parametrize(
    ("unit", "amount"),
    [
        (SaleAmountUnit.MICRO, "80.00"),
        (SaleAmountUnit.MINOR, "800000.00"),
        (SaleAmountUnit.MONEY, "80000000.00"),
    ],
)
def test_sale_amount_has_the_unit_of_the_settings(unit, amount):
    assert purchases(report(unit=unit).days[0]).sale_amount == amount


def test_money_has_the_decimals_of_its_currency():
    account = an_account(NOW)
    yen = replace(
        account, campaigns=tuple(replace(each, currency="JPY") for each in account.campaigns)
    )

    assert report(account=yen).days[0].spend == "15"


micros = st.none() | st.integers(min_value=0, max_value=10**12)
# Units by which X's amounts are served, and an amount in each: money has parts of a cent.
amounts = st.sampled_from(SaleAmountUnit).flatmap(
    lambda unit: st.tuples(
        st.just(unit),
        st.lists(
            st.floats(min_value=0, max_value=10**6)
            if unit is SaleAmountUnit.MONEY
            else st.integers(min_value=0, max_value=10**9),
            min_size=24,
            max_size=24,
        ),
    )
)


@given(
    spend=st.lists(micros, min_size=24, max_size=24),
    served=amounts,
    currency=st.sampled_from(["EUR", "JPY", "KWD", ""]),
    cut_over=st.sampled_from(["2026-11-20", "2026-11-25", None]),
)
def test_exact_amounts_of_days_campaigns_and_parts_add_up_to_the_totals(
    spend, served, currency, cut_over
):
    unit, sales = served
    days = [
        replace(
            day,
            cells=tuple(
                ResultCell(
                    campaign=f"c{place % 2}",
                    placement="TREND",
                    group=group,
                    fetched_at=NOW,
                    spend_micro=spend[place] if group is FigureGroup.SPEND else None,
                    events={"PURCHASE": EventFigure(count=1, sale_amount=sales[place])}
                    if group is FigureGroup.CONVERSIONS
                    else {},
                )
                for place in (2 * number, 2 * number + 1)
                for group in FigureGroup
            ),
        )
        for number, day in enumerate(some_days(NOW))
    ]
    account = an_account(NOW)
    account = replace(
        account, campaigns=tuple(replace(each, currency=currency) for each in account.campaigns)
    )
    found = report(days, unit=unit, account=account, cut_over=cut_over)
    whole = amounts_of([found.total])

    assert amounts_of(found.days) == whole
    assert amounts_of(found.campaigns) == whole
    assert amounts_of(part for day in found.days for part in day.campaigns) == whole
    if found.cut_over:
        assert amounts_of([found.total_before_cut_over, found.total_after_cut_over]) == whole
    assert whole[0] * 10**6 == sum(each or 0 for each in spend)
    heading, *rows = csv_rows([found])
    table = [dict(zip(heading, row, strict=True)) for row in rows]
    assert sum(Decimal(row["spend"] or 0) for row in table if row["campaign"]) == whole[0]
    assert sum(Decimal(row["sale_amount"] or 0) for row in table if row["campaign"]) == whole[1]


def amounts_of(parts):
    parts = list(parts)
    return (
        sum(Decimal(part.spend or 0) for part in parts),
        sum(Decimal(purchases(part).sale_amount) for part in parts),
    )


@pytest.mark.parametrize(
    ("currency", "exact", "shown"),
    [
        ("EUR", "3.333333", "3.33"),
        ("EUR", "10.00", "10.00"),
        ("EUR", "0.005", "0.00"),
        ("JPY", "15.5", "16"),
        ("KWD", "1.2345", "1.234"),
    ],
)
def test_shown_amount_has_the_decimals_of_its_currency(currency, exact, shown):
    assert str(rounded(exact, currency)) == shown


def test_cut_over_divides_the_report():
    found = report(cut_over="2026-11-20")

    assert (found.total_before_cut_over.days, found.total_after_cut_over.days) == (2, 10)
    assert found.total_after_cut_over.first == found.cut_over == "2026-11-20"


@pytest.mark.parametrize("day", ["2026-11-17", "2026-11-30", None])
def test_cut_over_outside_the_report_divides_nothing(day):
    found = report(cut_over=day)

    assert (found.cut_over, found.total_before_cut_over, found.total_after_cut_over) == (
        None,
        None,
        None,
    )


def test_two_periods_of_whole_days_are_compared():
    days = some_days(NOW)
    found = report(days[7:], compared=days[1:11])
    periods = [
        (each.first, each.last, each.spend) for each in (found.previous_total, found.finished_total)
    ]

    assert periods == [
        ("2026-11-19", "2026-11-23", "75.00"),
        ("2026-11-24", "2026-11-28", "75.00"),
    ]
    assert (found.total.first, found.total.last) == ("2026-11-25", "2026-11-29")
    alone = report(days)
    assert (alone.finished_total, alone.previous_total) == (None, None)


def test_figures_that_nobody_has_are_none_and_not_0():
    bare = [replace(day, cells=(), delivered=None) for day in some_days(NOW)]
    found = report(bare)

    assert (found.total.spend, found.total.events) == (None, ())
    undelivered = [replace(day, delivered=None) for day in some_days(NOW)]
    assert purchases(report(undelivered).total).delivered is None
    nothing = [replace(day, delivered=()) for day in some_days(NOW)]
    assert purchases(report(nothing).total).delivered == 0


def test_event_without_a_known_type_is_unknown():
    found = report(account=an_account(NOW, event_types={}))

    assert [event.event_type for event in found.total.events] == ["PURCHASE", "UNKNOWN"]


def test_report_without_days_has_no_total():
    assert report([]).total is None


def test_csv_has_spend_once_for_each_day_and_campaign():
    heading, *rows = csv_rows([report(cut_over="2026-11-20")])
    table = [dict(zip(heading, row, strict=True)) for row in rows]
    whole = [row for row in table if not row["campaign"]]
    parts = [row for row in table if row["campaign"]]

    assert sum(float(row["spend"] or 0) for row in whole) == 180
    assert sum(float(row["spend"] or 0) for row in parts) == 180
    assert sum(row["attributed"] or 0 for row in whole) == 24
    assert sum(row["attributed"] or 0 for row in parts) == 24
    assert sum(row["delivered"] or 0 for row in table) == 240
    assert {row["after_cut_over"] for row in table if row["day"] < "2026-11-20"} == {False}
