"""The report of an account whose campaigns have several currencies: no sum across them."""

from collections import Counter
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from any_results import in_two_currencies, some_days
from twite.domain.results.account import AdCampaign
from twite.domain.results.csv_rows import csv_rows
from twite.domain.results.report import ReportBasis, account_results
from twite.domain.results.sale_amounts import SaleAmountUnit

NOW = 1_795_953_600_000  # 2026-11-29T12:00Z
AMOUNTS = ("sale_amount", "cost_per_conversion", "return_on_ad_spend")


def report(days=None, account=None):
    basis = ReportBasis(
        account=account or in_two_currencies(NOW),
        unit=SaleAmountUnit.MICRO,
        cut_over="2026-11-20",
    )
    return account_results(basis, some_days(NOW) if days is None else days)


def parts_of(found):
    yield from (found.total, found.total_before_cut_over, found.total_after_cut_over)
    yield from found.days


def test_each_currency_has_its_own_total():
    total = report().total

    assert [(each.currency, each.spend) for each in total.by_currency] == [
        ("EUR", "120.00"),
        ("JPY", "60"),
    ]
    [bought] = total.by_currency[0].events
    assert (bought.attributed, bought.sale_amount) == (24, "960.00")
    assert (bought.cost_per_conversion, bought.return_on_ad_spend) == ("5.00", 8.0)


def test_no_amount_is_added_up_across_currencies_but_counts_are():
    found = report()

    for part in parts_of(found):
        assert part.spend is None
        assert [getattr(event, name) for event in part.events for name in AMOUNTS] == [None] * 3
    assert [(event.delivered, event.attributed) for event in found.total.events] == [(240, 24)]


def test_campaign_has_its_currency_and_its_decimals():
    assert [(each.currency, each.spend) for each in report().campaigns] == [
        ("EUR", "120.00"),
        ("JPY", "60"),
    ]


def test_campaign_without_a_known_currency_is_no_part_of_a_total_in_another():
    account = in_two_currencies(NOW)
    euros, unknown = account.campaigns
    account = replace(account, campaigns=(euros, replace(unknown, currency="")))
    found = report(account=account)

    assert (found.currency, found.total.spend) == ("", None)
    assert [(each.currency, each.spend) for each in found.total.by_currency] == [
        ("", "60.00"),
        ("EUR", "120.00"),
    ]
    silent = [replace(day, cells=day.cells[:1]) for day in some_days(NOW)]
    assert report(silent, account).currency == "EUR"  # without figures, it does not count


def test_account_of_one_currency_has_no_second_total():
    account = in_two_currencies(NOW)
    euros = tuple(replace(each, currency="EUR") for each in account.campaigns)
    found = report(account=replace(account, campaigns=euros))

    assert (found.currency, found.total.spend) == ("EUR", "180.00")
    assert {part.by_currency for part in parts_of(found)} == {()}


def test_campaign_without_figures_makes_no_second_currency():
    account = in_two_currencies(NOW)
    euros = replace(account.campaigns[1], currency="EUR")
    old = AdCampaign(id="c3", name="Old", currency="USD")
    found = report(account=replace(account, campaigns=(account.campaigns[0], euros, old)))

    assert (found.currency, found.total.spend, found.total.by_currency) == ("EUR", "180.00", ())


def test_campaign_that_is_gone_is_of_an_unknown_currency():
    account = in_two_currencies(NOW)
    others = (account.campaigns[0], AdCampaign(id="c9", name="Yen", currency="JPY"))
    found = report(account=replace(account, campaigns=others))

    assert [(each.currency, each.spend) for each in found.total.by_currency] == [
        ("", "60.00"),
        ("EUR", "120.00"),
    ]


def test_csv_has_a_total_for_each_currency_and_counts_nothing_twice():
    found = report()
    heading, *rows = csv_rows([found])
    table = [dict(zip(heading, row, strict=True)) for row in rows]
    whole = [row for row in table if not row["campaign"]]

    spend = Counter()
    for row in whole:
        spend[row["currency"]] += Decimal(row["spend"] or 0)
    assert spend == {"": 0, "EUR": 120, "JPY": 60}
    assert sum(row["delivered"] or 0 for row in whole) == 240
    assert sum(row["attributed"] or 0 for row in whole) == 24
    assert {row["currency"] for row in table if row["campaign"]} == {"EUR", "JPY"}


@given(
    currencies=st.lists(st.sampled_from(["EUR", "JPY", "KWD"]), min_size=2, max_size=2),
    spend=st.lists(st.none() | st.integers(0, 10**12), min_size=24, max_size=24),
)
def test_totals_of_currencies_are_the_sums_of_their_campaigns(currencies, spend):
    account = in_two_currencies(NOW)
    campaigns = zip(account.campaigns, currencies, strict=True)
    account = replace(
        account, campaigns=tuple(replace(each, currency=currency) for each, currency in campaigns)
    )
    amounts = iter(spend)
    days = [
        replace(
            day,
            cells=tuple(
                cell if cell.spend_micro is None else replace(cell, spend_micro=next(amounts))
                for cell in day.cells
            ),
        )
        for day in some_days(NOW)
    ]
    found = report(days, account)

    for part in (found, *found.days):
        total = found.total if part is found else part
        sums = Counter()
        for campaign in part.campaigns:
            sums[campaign.currency] += Decimal(campaign.spend or 0)
        if found.currency:
            assert set(+sums) <= {found.currency}
            assert Decimal(total.spend or 0) == sums[found.currency]
        else:
            assert {each.currency: Decimal(each.spend or 0) for each in total.by_currency} == sums


@pytest.mark.parametrize("key", ["total", "days"])
def test_json_names_the_totals(key):
    part = msgspec.to_builtins(getattr(report(), key))
    part = part[0] if key == "days" else part

    assert part["spend"] is None
    assert [each["currency"] for each in part["by_currency"]] == ["EUR", "JPY"]
