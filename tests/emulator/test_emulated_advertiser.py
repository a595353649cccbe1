"""Campaigns and statistics of an emulator in its own process: plant, read, compare."""

import gzip
import json
import time
from email.utils import formatdate
from urllib.parse import urlencode, urlsplit

import pytest
from ads_requests import a_query, a_world
from emulator_client import send
from oauthlib.oauth1 import Client
from x_requests import ACCOUNT, CONSUMER, TOKEN, a_conversion

from twite_emulator.analytics.jobs import FOLDER
from twite_emulator.process import EmulatorError

DAY = 86_400
STATS = f"/12/stats/accounts/{ACCOUNT}"
JOBS = f"/12/stats/jobs/accounts/{ACCOUNT}"


def read(emulator, path, *, method="GET", **pairs):
    """(status, headers, document) of a request, signed at X's time."""
    path += f"?{urlencode(pairs)}" if pairs else ""
    stamp = str(int(emulator.clock()["now"]))
    client = Client(CONSUMER[0], CONSUMER[1], TOKEN[0], TOKEN[1], timestamp=stamp)
    _, headers, _ = client.sign(emulator.url + path, method)
    status, headers, body = send(emulator, None, method=method, path=path, headers=headers)
    return status, headers, json.loads(body) if body else None


def convert(emulator, number, when):
    """Send an order of 10 EUR by the person of a click."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(when))
    sent = a_conversion(
        conversion_time=moment,
        conversion_id=f"order-{number}",
        identifiers=[{"twclid": f"2-{number}"}],
        value="10.00",
        price_currency="EUR",
    )
    assert send(emulator, json.dumps({"conversions": [sent]}).encode())[0] == 200


@pytest.fixture
def advertiser(x_emulator):
    x_emulator.add(**a_world(timezone="UTC"))
    return x_emulator


def test_thirty_days_pass_and_the_statistics_equal_the_truth(advertiser):
    """Each day, one conversion more than the day before is attributed; then a job reads all."""
    start = int(advertiser.clock()["now"]) // DAY * DAY
    days = [time.strftime("%Y-%m-%d", time.gmtime(start + DAY * day)) for day in range(30)]
    number = 0
    for day in range(30):
        advertiser.clock(now=start + DAY * day + 3600)
        for _ in range(day % 3 + 1):
            number += 1
            moment = start + DAY * day + 1800
            advertiser.plant(clicks=[{"line_item": "li1", "twclid": f"2-{number}", "at": moment}])
            convert(advertiser, number, moment + 60)
        advertiser.plant(spend=[{"line_item": "li1", "day": days[day], "micros": 1_000 + day}])
    advertiser.clock(now=start + DAY * 31)
    wanted = a_query(
        granularity="DAY",
        metric_groups="WEB_CONVERSION,BILLING",
        start_time=days[0],
        end_time=time.strftime("%Y-%m-%d", time.gmtime(start + DAY * 30)),
    )
    _, _, created = read(advertiser, JOBS, method="POST", **wanted)
    advertiser.clock(2)

    _, _, polled = read(advertiser, JOBS, job_ids=created["data"]["id_str"])

    url = urlsplit(polled["data"][0]["url"])
    assert f"http://{url.netloc}" == advertiser.url
    _, _, body = send(advertiser, None, method="GET", path=url.path, headers={})
    found = json.loads(gzip.decompress(body))["data"][0]["id_data"][0]["metrics"]
    rows = advertiser.truth()["rows"]
    purchases = [row["events"]["PURCHASE"] for row in rows]
    assert [row["day"] for row in rows] == days
    assert found["conversion_purchases"]["metric"] == [day % 3 + 1 for day in range(30)]
    assert [entry["attributed"] for entry in purchases] == [day % 3 + 1 for day in range(30)]
    assert found["conversion_purchases"]["sale_amount"] == [
        entry["sale_amount_micro"] for entry in purchases
    ]
    assert found["billed_charge_local_micro"] == [row["spend_micro"] for row in rows]
    assert found["billed_charge_local_micro"] == [1_000 + day for day in range(30)]


def test_outage_of_analytics_spares_conversions(advertiser):
    advertiser.fault("status", on="analytics", count=0, headers={"retry-after": "60"})

    status, headers, document = read(advertiser, STATS, **a_query())

    assert (status, headers["retry-after"]) == (503, "60")
    assert document["errors"][0]["code"] == "OVER_CAPACITY"
    convert(advertiser, 1, advertiser.clock()["now"])


def test_requests_before_the_announced_time_are_counted(advertiser):
    advertiser.fault("status", on="analytics", headers={"retry-after": "60"})
    for seconds in (0, 59, 1):
        advertiser.clock(seconds)
        read(advertiser, STATS, **a_query())

    asked = advertiser.asked()

    assert (asked["requests"], asked["early"], asked["answers"]) == (3, 1, {"503": 1, "200": 2})
    assert [entry["early"] for entry in asked["entries"]] == [False, True, False]


def test_requests_before_the_reset_of_a_limit_are_counted(advertiser):
    advertiser.switch(stats_limit=1)
    for _ in range(3):
        read(advertiser, STATS, **a_query())
    advertiser.clock(901)
    read(advertiser, STATS, **a_query())

    asked = advertiser.asked()

    assert (asked["early"], asked["answers"]) == (1, {"200": 2, "429": 2})


def a_date(at):
    return formatdate(at, usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("spelled", [lambda _: "60", lambda now: a_date(now + 60)])
def test_requests_before_each_form_of_retry_after_are_counted(advertiser, status, spelled):
    now = int(advertiser.clock()["now"]) // 60 * 60
    advertiser.clock(now=now)
    headers = {"retry-after": spelled(now)}
    advertiser.fault("status", on="analytics", status=status, headers=headers)
    for seconds in (0, 1, 3_600):
        advertiser.clock(seconds)
        read(advertiser, STATS, **a_query())

    assert [entry["early"] for entry in advertiser.asked()["entries"]] == [False, True, False]


@pytest.mark.parametrize(
    ("status", "headers"),
    [(429, {}), (429, {"x-rate-limit-reset": "soon"}), (503, {"retry-after": "soon"})],
)
def test_requests_after_an_answer_that_names_no_time_are_not_early(advertiser, status, headers):
    advertiser.fault("status", on="analytics", status=status, headers=headers)
    for _ in range(2):
        read(advertiser, STATS, **a_query())

    assert advertiser.asked()["early"] == 0


def test_wait_that_a_file_of_a_job_asks_for_counts_for_all_files(advertiser):
    advertiser.fault("status", on="analytics", headers={"retry-after": "60"})
    for name in ("stats_job_1.json.gz", "stats_job_2.json.gz"):
        send(advertiser, None, method="GET", path=f"{FOLDER}{name}", headers={})

    assert [entry["early"] for entry in advertiser.asked()["entries"]] == [False, True]


def test_requests_for_conversions_are_not_listed_as_analytics(advertiser):
    convert(advertiser, 1, advertiser.clock()["now"])

    assert advertiser.asked()["requests"] == 0


def test_partial_reset_keeps_what_was_planted(advertiser):
    now = advertiser.clock()["now"]
    advertiser.plant(clicks=[{"line_item": "li1", "twclid": "2-1"}])
    convert(advertiser, 1, now + 1)

    before = advertiser.truth()["rows"]
    advertiser.reset("received")
    after = advertiser.truth()["rows"]
    advertiser.reset()

    assert (before[0]["events"]["PURCHASE"]["attributed"], before[0]["clicks"]) == (1, 1)
    assert (after[0]["events"], after[0]["clicks"]) == ({}, 1)
    assert advertiser.truth()["rows"] == []


@pytest.mark.parametrize(
    ("ads", "words"),
    [
        ({"clicks": [{"line_item": "zzz"}]}, "no line item 'zzz'"),
        ({"clicks": [{"line_item": "li1", "at": "now"}]}, "at"),
        ({"views": [{"line_item": "li1", "hashed_email": "abc"}]}, "SHA-256"),
        ({"spend": [{"line_item": "li1", "day": "today", "micros": 1}]}, "day"),
        ({"spend": [{"line_item": "li1", "day": "2026-11-20", "micros": -1}]}, "micros"),
        ({"likes": []}, "likes"),
    ],
)
def test_invalid_ads_are_refused_as_a_whole(advertiser, ads, words):
    good = {"line_item": "li1", "day": "2026-11-20", "micros": 1}
    with pytest.raises(EmulatorError, match=words):
        advertiser.plant(**ads | {"spend": [good, *ads.get("spend", [])]})

    assert advertiser.truth()["rows"] == []


@pytest.mark.parametrize(
    ("world", "words"),
    [
        ({"accounts": [{"id": ACCOUNT, "timezone": "Europe/Atlantis"}]}, "time zone"),
        ({"campaigns": [{"id": "c3", "funding_instrument": "zzz"}]}, "funding_instrument"),
        ({"line_items": [{"id": "li3", "campaign": "zzz"}]}, "campaign"),
        ({"line_items": [{"id": "li3", "campaign": "c1", "placements": ["MOON"]}]}, "placements"),
    ],
)
def test_invalid_campaigns_and_time_zones_are_refused(advertiser, world, words):
    with pytest.raises(EmulatorError, match=words):
        advertiser.add(**world)


@pytest.mark.parametrize("only", [{"account": "zzz"}, {"since": "soon"}])
def test_truth_needs_a_known_account_and_dates(advertiser, only):
    with pytest.raises(EmulatorError):
        advertiser.truth(**only)


def test_truth_can_be_limited_to_days(advertiser):
    spend = [{"line_item": "li1", "day": f"2026-11-{day}", "micros": 1} for day in (19, 20, 21)]
    advertiser.plant(spend=spend)

    rows = advertiser.truth(since="2026-11-20", until="2026-11-20")["rows"]

    assert [row["day"] for row in rows] == ["2026-11-20"]
