"""Accounts, permissions and web event tags."""

from urllib.parse import urlencode

import msgspec
import pytest
from x_requests import (
    ACCOUNT,
    ADS,
    NOW,
    Time,
    a_conversion,
    a_judge,
    answer_of,
    reply,
    signed,
    signed_conversions,
)

TAGS = f"/12/accounts/{ACCOUNT}/web_event_tags"
NEW = {
    "name": "Trial",
    "type": "START_TRIAL",
    "click_window": "7",
    "view_through_window": "1",
    "retargeting_enabled": "true",
}


def ask(judge, method, path, at=NOW, **query):
    address = ADS + path + (f"?{urlencode(query)}" if query else "")
    return reply(judge.answer(signed(method, address, at=at)).answer)


def names(judge, **query):
    status, document = ask(judge, "GET", TAGS, **query)
    assert status == 200
    return [tag["name"] for tag in document["data"]]


def test_accounts_of_a_user_are_listed():
    status, document = ask(a_judge(), "GET", "/12/accounts")

    assert (status, [account["id"] for account in document["data"]]) == (200, [ACCOUNT])


def test_account_is_returned_by_its_id():
    status, document = ask(a_judge(), "GET", f"/12/accounts/{ACCOUNT}")

    reported = (document["data"]["name"], document["data"]["approval_status"], document["request"])
    assert (status, reported) == (
        200,
        ("Example Shop", "ACCEPTED", {"params": {"account_id": ACCOUNT}}),
    )


def test_permissions_of_a_user_have_the_documented_format():
    answer = ask(a_judge(), "GET", f"/12/accounts/{ACCOUNT}/authenticated_user_access")

    data = {"user_id": "370773112", "permissions": ["ACCOUNT_ADMIN", "TWEET_COMPOSER"]}
    assert answer == (200, {"data": data, "request": {"params": {"account_id": ACCOUNT}}})


@pytest.mark.parametrize("rest", ["", "/authenticated_user_access", "/web_event_tags"])
@pytest.mark.parametrize("account", ["18ce552mlaq", "nobody"])
def test_account_of_another_user_is_not_found(account, rest):
    status, document = ask(a_judge(), "GET", f"/12/accounts/{account}{rest}")

    assert (status, document["errors"][0]["code"]) == (404, "NOT_FOUND")


def test_analyst_can_read_the_account_but_not_its_event_tags():
    judge = a_judge()
    judge.world.merge({"users": [{"id": "370773112", "roles": {ACCOUNT: ["ANALYST"]}}]})

    statuses = [ask(judge, "GET", path)[0] for path in (f"/12/accounts/{ACCOUNT}", TAGS)]

    assert statuses == [200, 404]


def test_unsigned_request_gets_a_401():
    request = signed("GET", ADS + TAGS)

    answer = a_judge().answer(msgspec.structs.replace(request, headers={})).answer

    assert answer.status == 401


def test_event_tags_of_the_account_are_listed():
    status, document = ask(a_judge(), "GET", TAGS)

    assert (status, document["next_cursor"], document["request"]) == (
        200,
        None,
        {"params": {"account_id": ACCOUNT}},
    )
    assert [tag["id"] for tag in document["data"]] == ["o8z6k", "o8z6m", "o8z6n", "o8z6p", "o8z6q"]


def test_event_tag_has_the_documented_fields():
    _, document = ask(a_judge(), "GET", f"{TAGS}/o8z6k")

    tag = document["data"]
    embed_code = tag.pop("embed_code")
    assert "twttr.conversion.trackPid('o8z6k'" in embed_code
    assert tag == {
        "name": "purchase",
        "view_through_window": 1,
        "click_window": 30,
        "id": "o8z6k",
        "retargeting_enabled": True,
        "last_tracked_at": None,
        "status": "UNVERIFIED",
        "type": "PURCHASE",
        "website_tag_id": "o8z6k",
        "deleted": False,
    }


def test_cursor_returns_the_next_page_of_event_tags():
    judge = a_judge()

    pages, query = [], {"count": 2}
    while True:
        _, document = ask(judge, "GET", TAGS, **query)
        pages.append([tag["id"] for tag in document["data"]])
        if document["next_cursor"] is None:
            break
        query["cursor"] = document["next_cursor"]

    assert pages == [["o8z6k", "o8z6m"], ["o8z6n", "o8z6p"], ["o8z6q"]]


def test_list_of_event_tags_can_be_sorted_and_filtered():
    judge = a_judge()

    found = (names(judge, sort_by="name-desc")[:2], names(judge, web_event_tag_ids="o8z6m,zzz"))

    assert found == (["sign_up", "purchase"], ["sign_up"])


def test_response_repeats_the_parameters_with_their_types():
    _, document = ask(
        a_judge(), "GET", TAGS, count="5", with_deleted="true", web_event_tag_ids="o8z6m"
    )

    assert document["request"]["params"] == {
        "count": 5,
        "with_deleted": True,
        "web_event_tag_ids": ["o8z6m"],
        "account_id": ACCOUNT,
    }


def test_number_of_event_tags_is_returned_on_request():
    _, document = ask(a_judge(), "GET", TAGS, with_total_count="true", count="1")

    assert document["total_count"] == 5


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"count": "0"}, "INVALID_PARAMETER"),
        ({"count": "1001"}, "INVALID_PARAMETER"),
        ({"count": "x"}, "INVALID_PARAMETER"),
        ({"cursor": "x"}, "INVALID_PARAMETER"),
        ({"sort_by": "type-asc"}, "INVALID_PARAMETER"),
        ({"with_deleted": "yes"}, "INVALID_PARAMETER"),
        ({"web_event_tag_ids": ",".join(["a"] * 201)}, "INVALID_PARAMETER"),
        ({"cursor": "c-1", "with_total_count": "true"}, "EXCLUSIVE_PARAMETERS"),
    ],
)
def test_invalid_parameter_of_the_list_is_refused(query, code):
    status, document = ask(a_judge(), "GET", TAGS, **query)

    assert (status, document["errors"][0]["code"]) == (400, code)


def test_created_event_tag_is_unverified_and_accepts_conversions():
    judge = a_judge()

    status, document = ask(judge, "POST", TAGS, **NEW)
    tag = document["data"]
    taken = answer_of(judge, a_conversion(event_id=tag["id"]))[0]

    assert (status, tag["status"], tag["type"], tag["click_window"], taken) == (
        200,
        "UNVERIFIED",
        "START_TRIAL",
        7,
        200,
    )
    assert document["request"]["params"] == {
        "name": "Trial",
        "type": "START_TRIAL",
        "click_window": 7,
        "view_through_window": 1,
        "retargeting_enabled": True,
        "account_id": ACCOUNT,
    }


def test_switch_tag_id_mode_decides_which_id_is_the_event_id():
    found = []
    for mode in ("both", "id", "website_tag_id"):
        judge = a_judge(f"tag_id_mode={mode}")
        tag = ask(judge, "POST", TAGS, **NEW)[1]["data"]
        found.append(
            [
                answer_of(judge, a_conversion(event_id=tag[name]))[0]
                for name in ("id", "website_tag_id")
            ]
        )

    assert found == [[200, 200], [200, 404], [404, 200]]


@pytest.mark.parametrize("name", list(NEW))
def test_event_tag_is_not_created_without_a_required_parameter(name):
    query = {key: value for key, value in NEW.items() if key != name}

    status, document = ask(a_judge(), "POST", TAGS, **query)

    errors = [(error["code"], error["parameter"]) for error in document["errors"]]
    assert (status, errors) == (400, [("MISSING_PARAMETER", name)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "PURCHASES"},
        {"click_window": "2"},
        {"view_through_window": "-1"},
        {"retargeting_enabled": "yes"},
        {"click_window": "1", "view_through_window": "7"},
    ],
)
def test_parameter_outside_its_choices_is_refused(wrong):
    status, document = ask(a_judge(), "POST", TAGS, **(NEW | wrong))

    assert (status, document["errors"][0]["code"]) == (400, "INVALID_PARAMETER")


def test_single_fields_of_an_event_tag_can_be_changed():
    judge = a_judge()

    _, document = ask(judge, "PUT", f"{TAGS}/o8z6k", name="Order", click_window="14")

    tag = document["data"]
    assert (tag["name"], tag["click_window"], tag["type"]) == ("Order", 14, "PURCHASE")


def test_change_of_an_event_tag_must_keep_valid_windows():
    judge = a_judge()

    status, _ = ask(judge, "PUT", f"{TAGS}/o8z6k", view_through_window="30", click_window="1")

    assert status == 400


def test_deleted_event_tag_is_listed_on_request_and_accepts_no_conversions():
    judge = a_judge()

    _, document = ask(judge, "DELETE", f"{TAGS}/o8z6k")

    seen = (len(names(judge)), len(names(judge, with_deleted="true")))
    taken = answer_of(judge, a_conversion())[0]
    assert (document["data"]["deleted"], seen, taken) == (True, (4, 5), 404)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("tag_id", ["zzz", "o6dkv"])
def test_unknown_event_tag_or_one_of_another_account_is_not_found(method, tag_id):
    status, document = ask(a_judge(), method, f"{TAGS}/{tag_id}")

    assert (status, document["errors"][0]["code"]) == (404, "WEB_EVENT_TAG_NOT_FOUND")


@pytest.mark.parametrize(("method", "path"), [("PATCH", TAGS), ("POST", f"{TAGS}/o8z6k")])
def test_wrong_method_on_event_tags_is_not_allowed(method, path):
    assert ask(a_judge(), method, path)[0] == 405


def test_event_tag_becomes_active_some_time_after_its_first_conversion():
    clock = Time()
    judge = a_judge("tracking_delay=3600", clock=clock)
    judge.answer(signed_conversions(a_conversion()))

    states = []
    for clock.now in (NOW + 3599, NOW + 3600):
        _, document = ask(judge, "GET", f"{TAGS}/o8z6k", at=clock.now)
        states.append((document["data"]["status"], document["data"]["last_tracked_at"]))

    assert states == [("UNVERIFIED", None), ("TRACKING", "2026-11-25T09:46:40Z")]
