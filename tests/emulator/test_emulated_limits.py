"""Credentials, limits and methods of analytics, and the shapes that switches choose."""

import pytest
from ads_requests import (
    a_query,
    an_advertiser,
    answer_to,
    ask,
    click,
    convert,
    errors,
    metrics,
    plant,
    purchases,
    rows_of,
    stats,
)
from x_requests import ACCOUNT, ADS, PIXEL_TOKEN, reply

from twite_emulator.exchange import XRequestReceived

STATS = f"stats/accounts/{ACCOUNT}"
ACTIVE = f"{STATS}/active_entities"
LISTS = ["campaigns", "line_items", "funding_instruments"]
PATHS = [*(f"accounts/{ACCOUNT}/{kind}" for kind in LISTS), STATS, ACTIVE]
PATHS.append(f"stats/jobs/accounts/{ACCOUNT}")


def unsigned(judge, path, **headers):
    path = f"/12/{path}"
    request = XRequestReceived(method="GET", url=ADS + path, path=path, headers=headers)
    return reply(judge.answer(request).answer)


@pytest.mark.parametrize("path", PATHS)
def test_request_needs_a_signature(path):
    found = errors(unsigned(an_advertiser(), path))

    assert found == (401, [("UNAUTHORIZED_ACCESS", None)])


@pytest.mark.parametrize("path", PATHS)
def test_pixel_token_gives_no_access(path):
    found = unsigned(an_advertiser(), path, **{"x-pixel-token": PIXEL_TOKEN})

    assert errors(found) == (401, [("UNAUTHORIZED_ACCESS", None)])


@pytest.mark.parametrize(
    ("token", "account", "status"),
    [
        (PIXEL_TOKEN, ACCOUNT, 200),
        ("wrong", ACCOUNT, 401),
        (PIXEL_TOKEN, "18ce552mlaq", 401),
    ],
)
def test_pixel_token_may_give_access_to_its_account(token, account, status):
    judge = an_advertiser("pixel_token_analytics=on")

    found = unsigned(judge, f"accounts/{account}/campaigns", **{"x-pixel-token": token})

    assert found[0] == status


@pytest.mark.parametrize(("switch", "status"), [("standard", 403), ("any", 200)])
def test_app_for_conversions_only_may_have_no_access(switch, status):
    judge = an_advertiser(f"analytics_access={switch}")
    judge.world.merge({"apps": [{"id": "3213", "access": "conversion_only"}]})

    assert ask(judge, f"accounts/{ACCOUNT}/campaigns")[0] == status
    assert ask(judge, f"accounts/{ACCOUNT}/web_event_tags")[0] == 200


@pytest.mark.parametrize(("role", "status"), [(["ANALYST"], 200), ([], 404)])
def test_user_needs_any_role_on_the_account(role, status):
    judge = an_advertiser()
    judge.world.merge({"users": [{"id": "370773112", "roles": {ACCOUNT: role}}]})

    assert stats(judge)[0] == status


@pytest.mark.parametrize("path", PATHS)
def test_other_methods_are_refused(path):
    found = ask(an_advertiser(), path, method="DELETE")

    assert errors(found) == (405, [("METHOD_NOT_ALLOWED", None)])


def test_unknown_statistics_are_no_route():
    assert errors(ask(an_advertiser(), f"{STATS}/reach"))[0] == 404


def test_statistics_are_limited_by_user():
    judge = an_advertiser("stats_limit=3")

    answers = [answer_to(judge, STATS, **a_query(entity_ids=id_)) for id_ in ("li1", "li2", "x")]
    limited = answer_to(judge, STATS, **a_query())
    judge.shift = 900
    later = answer_to(judge, STATS, **a_query())

    remaining = [dict(answer.headers)["x-rate-limit-remaining"] for answer in answers]
    headers = dict(limited.headers)
    assert ([answer.status for answer in answers], remaining) == ([200, 200, 404], ["2", "1", "0"])
    assert errors(reply(limited)) == (429, [("TOO_MANY_REQUESTS", None)])
    assert headers["x-rate-limit-limit"] == "3"
    assert float(headers["x-rate-limit-reset"]) == judge.now()
    assert later.status == 200


@pytest.mark.parametrize(("scope", "status"), [("category", 429), ("endpoint", 400)])
def test_active_entities_may_share_the_limit_of_statistics(scope, status):
    judge = an_advertiser("stats_limit=1", f"stats_limit_scope={scope}")
    stats(judge)

    assert ask(judge, ACTIVE)[0] == status


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        (f"accounts/{ACCOUNT}/campaigns", "10000"),
        (f"accounts/{ACCOUNT}/campaigns?with_total_count=true", "200"),
        (f"accounts/{ACCOUNT}/funding_instruments", "2000"),
        (f"stats/jobs/accounts/{ACCOUNT}", "2000"),
    ],
)
def test_lists_and_jobs_are_limited_by_account(path, limit):
    headers = dict(answer_to(an_advertiser(), path).headers)

    assert headers["x-account-rate-limit-limit"] == limit
    assert "x-rate-limit-limit" not in headers


def test_new_jobs_are_limited_by_user_and_minute():
    judge = an_advertiser()
    answer = answer_to(judge, PATHS[-1], method="POST", **a_query())

    headers = dict(answer.headers)

    assert headers["x-rate-limit-limit"] == "450"
    assert float(headers["x-rate-limit-reset"]) == judge.now() + 60


def test_conversions_have_a_limit_of_their_own():
    judge = an_advertiser("stats_limit=0")

    assert (stats(judge)[0], convert(judge)) == (429, 200)


def with_a_purchase(*switches):
    judge = an_advertiser(*switches)
    plant(judge, clicks=[click()], spend=[{"line_item": "li1", "day": "2026-11-20", "micros": 24}])
    convert(judge)
    return judge


@pytest.mark.parametrize(
    ("unit", "amount"), [("micro", 20_000_000), ("money", 20.0), ("minor", 2_000)]
)
def test_unit_of_the_sale_amount_is_a_choice(unit, amount):
    judge = with_a_purchase(f"sale_amount_unit={unit}")

    assert purchases(judge)["sale_amount"] == [amount]
    assert rows_of(judge)[0]["events"]["PURCHASE"]["sale_amount_micro"] == 20_000_000


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ("array", [1]),
        (
            "split",
            {
                "post_view": [0],
                "post_engagement": [1],
                "assisted": [0],
                "sale_amount": [20_000_000],
                "order_quantity": [1],
            },
        ),
    ],
)
def test_shape_of_conversions_is_a_choice(shape, value):
    assert purchases(with_a_purchase(f"conversion_shape={shape}")) == value


def test_split_conversions_are_counted_by_view_and_click():
    judge = an_advertiser("conversion_shape=split")
    plant(judge, views=[click()])
    convert(judge)

    found = purchases(judge)

    assert (found["post_view"], found["post_engagement"]) == ([1], [0])


@pytest.mark.parametrize(
    ("choice", "value"),
    [
        ("null", None),
        ("object", {}),
        ("zeros", {"metric": [0], "sale_amount": [0], "order_quantity": [0]}),
    ],
)
def test_metric_without_conversions_is_a_choice(choice, value):
    judge = with_a_purchase(f"empty_conversions={choice}")

    assert metrics(judge)["conversion_sign_ups"] == value


def test_all_metrics_may_be_null():
    judge = with_a_purchase("stats_nulls=on")

    found = metrics(judge, metric_groups="WEB_CONVERSION,BILLING,ENGAGEMENT")

    assert set(found.values()) == {None}
    assert rows_of(judge)[0]["spend_micro"] == 24


def test_unknown_entities_may_be_null():
    found = metrics(an_advertiser("unknown_entities=null"), entity_ids="zzz")

    assert set(found.values()) == {None}


@pytest.mark.parametrize(
    ("choice", "primary", "counted"),
    [("all", "o8z6m", True), ("primary", "o8z6m", False), ("primary", "o8z6k", True)],
)
def test_line_item_may_count_only_its_own_event(choice, primary, counted):
    judge = an_advertiser(f"counted_events={choice}", primary_web_event_tag=primary)
    plant(judge, clicks=[click()])
    convert(judge)

    assert bool(purchases(judge)) == counted
    assert bool(rows_of(judge)[0]["events"]) == counted
