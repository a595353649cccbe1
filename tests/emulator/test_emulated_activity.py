"""Active entities, and the lists of campaigns, line items and funding instruments."""

import pytest
from ads_requests import an_advertiser, ask, at, click, convert, errors, plant
from x_requests import ACCOUNT

HOUR = 3600


def active(judge, entity="LINE_ITEM", since="2026-11-20T00:00", until="2026-11-21T00:00", **more):
    status, document = activity(judge, entity, since, until, **more)
    assert status == 200, document
    return document["data"]


def activity(judge, entity, since, until, **more):
    path = f"stats/accounts/{ACCOUNT}/active_entities"
    return ask(
        judge, path, entity=entity, start_time=f"{since}:00Z", end_time=f"{until}:00Z", **more
    )


def listed(judge, kind, **pairs):
    status, document = ask(judge, f"accounts/{ACCOUNT}/{kind}", **pairs)
    assert status == 200, document
    return document


def test_active_entity_has_the_times_and_placements_of_its_changes():
    judge = an_advertiser()
    plant(
        judge,
        clicks=[click(when="2026-11-20T10:05")],
        views=[click(when="2026-11-20T14:40", placement="TREND")],
    )

    assert active(judge) == [
        {
            "entity_id": "li1",
            "activity_start_time": "2026-11-20T10:05:00Z",
            "activity_end_time": "2026-11-20T14:40:00Z",
            "placements": ["ALL_ON_TWITTER", "TREND"],
        }
    ]


def test_active_campaigns_are_those_of_active_line_items():
    judge = an_advertiser()
    plant(judge, clicks=[click("li2")])

    found = [entry["entity_id"] for entry in active(judge, "CAMPAIGN")]

    assert found == ["c2"]


def test_late_conversion_is_a_change_now_of_an_earlier_hour():
    judge = an_advertiser(now=at("2026-11-24T09:30"))
    plant(judge, clicks=[click()])
    convert(judge)

    (found,) = active(judge, since="2026-11-24T09:00", until="2026-11-24T10:00")

    assert found["activity_start_time"] == "2026-11-20T12:00:00Z"


def test_corrected_spend_is_a_change_when_it_was_corrected():
    judge = an_advertiser(now=at("2026-11-24T09:30"))
    for micros in (24, 20):
        plant(judge, spend=[{"line_item": "li1", "day": "2026-11-20", "micros": micros}])

    (found,) = active(judge, since="2026-11-24T09:00", until="2026-11-24T10:00")

    assert found["activity_end_time"] == "2026-11-20T23:00:00Z"


def test_settled_estimate_is_a_change():
    judge = an_advertiser("estimate_share=0", now=at("2026-11-20T12:00"))
    plant(judge, clicks=[click()])
    convert(judge)
    judge.shift = 24 * HOUR

    found = active(judge, since="2026-11-21T12:00", until="2026-11-21T13:00")

    assert [entry["entity_id"] for entry in found] == ["li1"]


def test_final_spend_is_a_change_after_three_days():
    judge = an_advertiser("spend_excess=0.1", now=at("2026-11-24T00:30"))
    plant(judge, spend=[{"line_item": "li1", "day": "2026-11-20", "micros": 24}])

    (found,) = active(judge, since="2026-11-24T00:00", until="2026-11-24T01:00")

    assert (found["activity_start_time"], found["activity_end_time"]) == (
        "2026-11-20T00:00:00Z",
        "2026-11-20T23:00:00Z",
    )


def test_exact_figures_do_not_change_when_they_settle():
    judge = an_advertiser(now=at("2026-11-20T12:00"))
    spend = [{"line_item": "li1", "day": "2026-11-20", "micros": 24}]
    plant(judge, clicks=[click()], spend=spend)
    convert(judge)
    judge.shift = 9 * 24 * HOUR

    assert active(judge, since="2026-11-21T00:00", until="2026-11-29T12:00") == []


def test_delayed_changes_are_known_later():
    judge = an_advertiser("stats_delay=7200", now=at("2026-11-20T12:00"))
    spend = [{"line_item": "li2", "day": "2026-11-20", "micros": 24}]
    plant(judge, clicks=[click(when="2026-11-20T11:00")], spend=spend)
    convert(judge)
    judge.shift = 3 * HOUR

    clicked = active(judge, since="2026-11-20T13:00", until="2026-11-20T14:00")
    converted = active(judge, since="2026-11-20T14:00", until="2026-11-20T15:00")

    times = [entry["activity_start_time"] for entry in (*clicked, *converted)]
    assert [entry["entity_id"] for entry in clicked] == ["li1", "li2"]
    assert times == [f"2026-11-20T{hour}:00:00Z" for hour in (11, 11, 12, 12)]


def test_conversion_that_never_counts_is_no_change():
    judge = an_advertiser("late_conversions=dropped", now=at("2026-11-24T09:30"))
    plant(judge, clicks=[click()])
    convert(judge)

    assert active(judge, since="2026-11-24T09:00", until="2026-11-24T10:00") == []


def test_future_changes_are_not_known():
    judge = an_advertiser(now=at("2026-11-20T09:00"))
    plant(judge, clicks=[click(when="2026-11-20T10:00")])

    assert active(judge) == []


def test_quarters_of_an_hour_select_the_whole_bucket():
    judge = an_advertiser()
    plant(judge, clicks=[click(when="2026-11-20T10:05")])

    assert active(judge, since="2026-11-20T10:15", until="2026-11-20T10:30")


@pytest.mark.parametrize(
    ("filtered", "found"),
    [
        ({"campaign_ids": "c1"}, ["li1"]),
        ({"line_item_ids": "li2"}, ["li2"]),
        ({"funding_instrument_ids": "lygyi"}, ["li1", "li2"]),
        ({"campaign_ids": "other"}, []),
    ],
)
def test_active_entities_can_be_filtered(filtered, found):
    judge = an_advertiser()
    plant(judge, clicks=[click("li1"), click("li2")])

    assert [entry["entity_id"] for entry in active(judge, **filtered)] == found


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ({"entity": "ACCOUNT"}, ("INVALID_PARAMETER", "entity")),
        ({"until": "2027-02-19T00:00"}, ("INVALID_TIME_WINDOW", "end_time")),
        ({"until": "2026-11-20T00:00"}, ("INVALID_TIME_WINDOW", "end_time")),
        ({"since": "soon"}, ("INVALID_PARAMETER", "start_time")),
        ({"campaign_ids": ",".join(["c1"] * 201)}, ("INVALID_PARAMETER", "campaign_ids")),
        (
            {"campaign_ids": "c1", "line_item_ids": "li1"},
            ("EXCLUSIVE_PARAMETERS", "campaign_ids, line_item_ids"),
        ),
    ],
)
def test_invalid_request_for_active_entities_is_refused(pairs, expected):
    asked = {"entity": "LINE_ITEM", "since": "2026-11-20T00:00", "until": "2026-11-21T00:00"}

    found = errors(activity(an_advertiser(), **asked | pairs))

    assert found == (400, [expected])


def test_active_entities_of_90_days_can_be_requested():
    found = activity(an_advertiser(), "LINE_ITEM", "2026-08-23T00:00", "2026-11-21T00:00")

    assert found[0] == 200


def test_times_of_active_entities_are_required():
    found = errors(ask(an_advertiser(), f"stats/accounts/{ACCOUNT}/active_entities"))

    assert [name for _, name in found[1]] == ["entity", "start_time", "end_time"]


def test_campaigns_have_the_currency_of_their_funding_instrument():
    judge = an_advertiser()
    judge.world.merge({"funding_instruments": [{"id": "lygyi", "currency": "JPY"}]})

    found = listed(judge, "campaigns")["data"]

    assert [(entry["id"], entry["name"], entry["currency"]) for entry in found] == [
        ("c1", "Autumn", "JPY"),
        ("c2", "Winter", "JPY"),
    ]


def test_line_items_name_their_campaign_and_event():
    judge = an_advertiser(primary_web_event_tag="o8z6k")

    found = listed(judge, "line_items", line_item_ids="li1")["data"][0]

    names = ("campaign_id", "primary_web_event_tag", "placements", "currency")
    assert [found[name] for name in names] == ["c1", "o8z6k", ["ALL_ON_TWITTER"], "EUR"]


@pytest.mark.parametrize("kind", ["campaigns", "line_items", "funding_instruments"])
def test_lists_are_read_page_by_page(kind):
    judge = an_advertiser()
    judge.world.merge(
        {
            "funding_instruments": [{"id": f"f{n:04}", "account": ACCOUNT} for n in range(1500)],
            "campaigns": [{"id": f"c{n:04}", "funding_instrument": "lygyi"} for n in range(1500)],
            "line_items": [{"id": f"l{n:04}", "campaign": "c1"} for n in range(1500)],
        }
    )

    found, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        document = listed(judge, kind, count=1000, cursor=cursor)
        found += [entry["id"] for entry in document["data"]]
        cursor, pages = document["next_cursor"], pages + 1

    assert (pages, len(found)) == (2, len(set(found)))
    assert len(found) == 1500 + {"campaigns": 2, "line_items": 2, "funding_instruments": 1}[kind]


@pytest.mark.parametrize("count", ["0", "1001", "many"])
def test_page_has_one_to_a_thousand_entries(count):
    found = ask(an_advertiser(), f"accounts/{ACCOUNT}/campaigns", count=count)

    assert errors(found) == (400, [("INVALID_PARAMETER", "count")])


def test_deleted_and_draft_campaigns_are_listed_on_request():
    judge = an_advertiser()
    judge.world.merge(
        {"campaigns": [{"id": "c1", "deleted": True}, {"id": "c2", "entity_status": "DRAFT"}]}
    )

    short = listed(judge, "campaigns")["data"]
    long = listed(judge, "campaigns", with_deleted="true", with_draft="true")["data"]

    assert (short, [entry["id"] for entry in long]) == ([], ["c1", "c2"])


def test_line_items_can_be_selected_by_campaign():
    found = listed(an_advertiser(), "line_items", campaign_ids="c2")["data"]

    assert [entry["id"] for entry in found] == ["li2"]


def test_one_campaign_is_read_by_its_id():
    judge = an_advertiser()

    status, document = ask(judge, f"accounts/{ACCOUNT}/campaigns/c2")

    assert (status, document["data"]["name"]) == (200, "Winter")
    assert errors(ask(judge, f"accounts/{ACCOUNT}/campaigns/zzz")) == (
        404,
        [("CAMPAIGN_NOT_FOUND", None)],
    )


def test_campaigns_of_other_accounts_are_not_listed():
    judge = an_advertiser()
    judge.world.merge(
        {
            "funding_instruments": [{"id": "other", "account": "18ce552mlaq"}],
            "campaigns": [{"id": "c9", "funding_instrument": "other"}],
        }
    )

    assert [entry["id"] for entry in listed(judge, "campaigns")["data"]] == ["c1", "c2"]
