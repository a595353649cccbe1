"""GET stats: attribution, placements, metric groups, and the parameters."""

import pytest
from ads_requests import (
    CLICK,
    EMAIL,
    a_query,
    an_advertiser,
    ask,
    at,
    click,
    convert,
    errors,
    metrics,
    plant,
    purchases,
    rows_of,
    stats,
)
from x_requests import ACCOUNT, a_hit


def test_conversion_with_the_click_id_of_a_click_is_attributed():
    judge = an_advertiser()
    plant(judge, clicks=[click()])
    convert(judge, number_items=3)

    assert purchases(judge) == {
        "metric": [1],
        "sale_amount": [20_000_000],
        "order_quantity": [3],
    }


def test_conversion_with_the_hashed_email_of_a_click_is_attributed():
    judge = an_advertiser()
    plant(judge, clicks=[click(twclid=None, email=" User@Example.com ")])
    convert(judge, identifiers=[{"hashed_email": EMAIL}])

    assert purchases(judge)["metric"] == [1]


def test_conversion_of_a_stranger_is_not_attributed():
    judge = an_advertiser()
    plant(judge, clicks=[click()])
    convert(judge, identifiers=[{"twclid": "2-someoneelse"}])

    assert (purchases(judge), rows_of(judge)[0]["events"]) == (None, {})


@pytest.mark.parametrize(
    ("listed", "days", "attributed"),
    [("clicks", 30, 1), ("clicks", 31, 0), ("views", 1, 1), ("views", 2, 0)],
)
def test_attribution_windows_end_after_the_days_of_the_event(listed, days, attributed):
    judge = an_advertiser()
    judge.world.merge({"events": [{"id": "o8z6k", "click_window": 30, "view_through_window": 1}]})
    when = at("2026-11-20T12:00") - days * 86_400
    plant(judge, **{listed: [click(at=when)]})
    convert(judge)

    found = purchases(judge)

    assert (found or {"metric": [0]})["metric"] == [attributed]


def test_conversion_before_the_click_is_not_attributed():
    judge = an_advertiser()
    plant(judge, clicks=[click(when="2026-11-20T12:01")])
    convert(judge)

    assert purchases(judge) is None


def test_newest_click_precedes_older_clicks_and_newer_views():
    judge = an_advertiser()
    plant(
        judge,
        clicks=[click("li1", "2026-11-19T10:00"), click("li2", "2026-11-20T10:00")],
        views=[click("li1", "2026-11-20T11:00")],
    )
    convert(judge)

    counted = (purchases(judge), purchases(judge, entity_ids="li2")["metric"])
    assert counted == (None, [1])


def test_click_of_another_account_attributes_nothing():
    judge = an_advertiser()
    judge.world.merge(
        {
            "funding_instruments": [{"id": "other", "account": "18ce552mlaq"}],
            "campaigns": [{"id": "c9", "funding_instrument": "other"}],
            "line_items": [{"id": "li9", "campaign": "c9"}],
        }
    )
    plant(judge, clicks=[click("li9")])
    convert(judge)

    assert rows_of(judge, account="18ce552mlaq")[0]["events"] == {}


def test_campaign_adds_up_its_line_items():
    judge = an_advertiser()
    judge.world.merge({"line_items": [{"id": "li3", "campaign": "c1"}]})
    plant(judge, clicks=[click("li1"), click("li3", twclid="2-other")])
    convert(judge)
    convert(judge, conversion_id="b", identifiers=[{"twclid": "2-other"}])

    found = purchases(judge, entity="CAMPAIGN", entity_ids="c1")

    assert (found["metric"], found["sale_amount"]) == ([2], [40_000_000])


def test_placements_are_counted_apart():
    judge = an_advertiser()
    plant(judge, clicks=[click(placement="SPOTLIGHT")])
    convert(judge)

    found = {
        placement: purchases(judge, placement=placement)
        for placement in ("ALL_ON_TWITTER", "SPOTLIGHT", "TREND", "PUBLISHER_NETWORK")
    }

    assert [name for name, value in found.items() if value] == ["SPOTLIGHT"]


def test_copy_of_the_pixel_and_copy_of_the_api_are_attributed_once():
    judge = an_advertiser()
    plant(judge, clicks=[click()])
    convert(judge, conversion_id="order-1")
    judge.answer(a_hit("order-1"))

    assert purchases(judge)["metric"] == [1]


@pytest.mark.parametrize(("kept", "amount"), [("first", 20_000_000), ("last", 30_000_000)])
def test_sale_amount_is_that_of_the_copy_that_survives(kept, amount):
    judge = an_advertiser("dedup_scope=all", f"dedup_keep={kept}")
    plant(judge, clicks=[click()])
    convert(judge, conversion_id="order-1")
    convert(judge, conversion_id="order-1", value="30.00")

    assert purchases(judge)["sale_amount"] == [amount]


def test_refused_conversion_is_not_attributed():
    judge = an_advertiser()
    plant(judge, clicks=[click()])
    convert(judge, value=20)

    assert purchases(judge) is None


def test_sale_amount_of_another_currency_is_left_out():
    judge = an_advertiser()
    plant(judge, clicks=[click()])
    convert(judge, price_currency="USD")

    assert (purchases(judge)["metric"], purchases(judge)["sale_amount"]) == ([1], [0])


def test_each_type_of_event_has_its_metric():
    judge = an_advertiser()
    plant(judge, clicks=[click()])
    convert(judge, event_id="o8z6m")

    found = metrics(judge)

    assert found["conversion_sign_ups"]["metric"] == [1]
    assert [name for name, value in found.items() if value] == ["conversion_sign_ups"]


def test_billing_and_engagement_are_arrays():
    judge = an_advertiser()
    plant(
        judge,
        clicks=[click()],
        views=[click(), click(twclid=None)],
        spend=[{"line_item": "li1", "day": "2026-11-20", "micros": 24_000_000}],
    )

    found = metrics(judge, metric_groups="BILLING,ENGAGEMENT")

    assert found["billed_charge_local_micro"] == [24_000_000]
    assert (found["impressions"], found["clicks"], found["likes"]) == ([3], [1], None)


def test_hours_are_a_series():
    judge = an_advertiser()
    plant(judge, clicks=[click()])
    convert(judge)

    _, document = stats(judge, granularity="HOUR")

    series = document["data"][0]["id_data"][0]["metrics"]["conversion_purchases"]["metric"]
    assert (document["time_series_length"], len(series), series[12]) == (24, 24, 1)


def test_answer_echoes_the_request():
    _, document = stats(an_advertiser(), end_time="2026-11-21T01:00:00%2B0100")

    assert document["request"]["params"] == {
        "start_time": "2026-11-20T00:00:00Z",
        "segmentation_type": None,
        "entity_ids": ["li1"],
        "end_time": "2026-11-21T00:00:00Z",
        "country": None,
        "placement": "ALL_ON_TWITTER",
        "granularity": "TOTAL",
        "entity": "LINE_ITEM",
        "platform": None,
        "metric_groups": ["WEB_CONVERSION"],
    }


@pytest.mark.parametrize("name", a_query())
def test_each_parameter_is_required(name):
    found = errors(stats(an_advertiser(), **{name: None}))

    assert found == (400, [("MISSING_PARAMETER", name)])


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"entity": "AD"}, "entity"),
        ({"granularity": "WEEK"}, "granularity"),
        ({"placement": "ALL_ON_TWITTER,TREND"}, "placement"),
        ({"metric_groups": "WEB_CONVERSION,MONEY"}, "metric_groups"),
        ({"entity": "ACCOUNT", "entity_ids": ACCOUNT}, "metric_groups"),
        ({"entity": "FUNDING_INSTRUMENT", "entity_ids": "lygyi"}, "metric_groups"),
        ({"entity_ids": ",".join(["li1"] * 21)}, "entity_ids"),
        ({"start_time": "2026-11-20T00:30:00Z"}, "start_time"),
        ({"start_time": "2026-11-20T00:00:01Z"}, "start_time"),
        ({"start_time": "yesterday"}, "start_time"),
        ({"end_time": "2026-02-30"}, "end_time"),
        ({"granularity": "DAY", "start_time": "2026-11-20T01:00:00Z"}, "start_time"),
        ({"segmentation_type": "PLATFORMS"}, "segmentation_type"),
    ],
)
def test_invalid_parameter_is_refused(changes, parameter):
    found = errors(stats(an_advertiser(), **changes))

    assert found == (400, [("INVALID_PARAMETER", parameter)])


@pytest.mark.parametrize(
    "changes",
    [
        {"end_time": "2026-11-20T00:00:00Z"},
        {"start_time": "2026-11-13T23:00:00Z"},
    ],
)
def test_range_must_be_positive_and_within_seven_days(changes):
    found = errors(stats(an_advertiser(), **changes))

    assert found == (400, [("INVALID_TIME_WINDOW", "end_time")])


def test_range_of_seven_days_and_twenty_ids_are_accepted():
    judge = an_advertiser()
    items = [{"id": f"x{number}", "campaign": "c1"} for number in range(20)]
    judge.world.merge({"line_items": items})

    status, document = stats(
        judge,
        start_time="2026-11-14T00:00:00Z",
        entity_ids=",".join(item["id"] for item in items),
    )

    assert (status, len(document["data"])) == (200, 20)


@pytest.mark.parametrize(
    ("entity", "code"),
    [
        ("LINE_ITEM", "LINE_ITEM_NOT_FOUND"),
        ("CAMPAIGN", "CAMPAIGN_NOT_FOUND"),
        ("PROMOTED_TWEET", "PROMOTED_TWEET_NOT_FOUND"),
    ],
)
def test_unknown_entity_is_refused(entity, code):
    found = errors(stats(an_advertiser(), entity=entity, entity_ids="zzz"))

    assert found == (404, [(code, "entity_ids")])


def test_foreign_account_is_refused():
    assert ask(an_advertiser(), "stats/accounts/18ce552mlaq", **a_query())[0] == 404


def test_spend_and_clicks_belong_to_one_line_item():
    judge = an_advertiser()
    plant(
        judge,
        clicks=[click("li2"), click("li2")],
        spend=[{"line_item": "li2", "day": "2026-11-20", "micros": 24}],
    )
    asked = {"metric_groups": "BILLING,ENGAGEMENT"}

    other, own = metrics(judge, **asked), metrics(judge, entity_ids="li2", **asked)

    assert set(other.values()) == {None}
    assert (own["clicks"], own["billed_charge_local_micro"]) == ([2], [24])
    assert [row["line_item"] for row in rows_of(judge)] == ["li2"]


def test_conversions_without_an_id_are_attributed_each():
    judge = an_advertiser()
    plant(judge, clicks=[click()])
    for _ in range(2):
        convert(judge, conversion_id="")

    assert purchases(judge)["metric"] == [2]


def test_conversion_that_counts_again_is_attributed_again():
    judge = an_advertiser("dedup_scope=all")
    plant(judge, clicks=[click()])
    for _ in range(2):
        convert(judge, conversion_id="order-1")
        judge.shift += 49 * 3600

    assert purchases(judge)["metric"] == [2]


def test_last_copy_without_a_click_takes_the_attribution_away():
    judge = an_advertiser("dedup_scope=all", "dedup_keep=last")
    plant(judge, clicks=[click()])
    convert(judge, conversion_id="order-1")
    convert(judge, conversion_id="order-1", identifiers=[{"twclid": "2-other"}])

    assert purchases(judge) is None


def test_partial_reset_forgets_attributed_conversions():
    judge = an_advertiser()
    plant(judge, clicks=[click()])
    convert(judge)

    judge.forget()

    assert purchases(judge) is None
    assert convert(judge) == 200
    assert purchases(judge)["metric"] == [1]


def test_case_matters_in_click_ids_and_not_in_hashes():
    judge = an_advertiser("hash_case=any")
    plant(judge, clicks=[click(twclid="2-Abc", hashed_email=EMAIL.upper())])

    convert(judge, identifiers=[{"twclid": "2-abc"}], conversion_id="a")
    convert(judge, identifiers=[{"twclid": " 2-Abc "}], conversion_id="b")
    convert(judge, identifiers=[{"hashed_email": EMAIL.upper()}], conversion_id="c")

    assert purchases(judge)["metric"] == [2]


def test_hit_of_the_pixel_is_attributed_by_its_click_id_or_email():
    judge = an_advertiser()
    plant(judge, clicks=[click(), click(twclid=None, hashed_email=EMAIL)])
    judge.shift = at("2026-11-20T12:00") - judge.now()

    judge.answer(a_hit("a", twclid=CLICK, value=7.5, currency="EUR", num_items=2))
    judge.answer(a_hit("b", email_address=EMAIL, value="2", currency="EUR"))
    judge.answer(a_hit("c", email_address=[], value=True))

    assert purchases(judge) == {
        "metric": [2],
        "sale_amount": [9_500_000],
        "order_quantity": [3],
    }


def test_errors_and_planted_ads_do_not_show_persons():
    judge = an_advertiser()
    plant(judge, clicks=[click(email="shopper@mail.internal")])
    convert(judge)
    [touch] = judge.ads.touches["li1"]
    [conversion] = judge.ads.attributed_to("li1")

    assert CLICK not in f"{touch!r} {conversion!r}"
    assert "li1" in repr(touch)
