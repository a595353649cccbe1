"""Who may send to a pixel: pixel tokens, apps and roles."""

import msgspec
import pytest
from x_requests import (
    ACCOUNT,
    NOW,
    Time,
    a_conversion,
    a_judge,
    a_request,
    answer_of,
    reply,
    signed_conversions,
)

GENERIC = {
    "errors": [
        {"code": "UNAUTHORIZED_ACCESS", "message": "This request is not properly authenticated"}
    ],
    "request": {"params": {}},
}
SECOND = {"pixels": [{"id": "o8z70", "account": ACCOUNT, "token": "second"}]}


@pytest.mark.parametrize("token", ["wrong", "", "emulator-pixel-token-o6dkt"])
def test_wrong_pixel_token_gets_the_generic_401(token):
    assert answer_of(a_judge(), a_conversion(), token=token) == (401, GENERIC)


def test_missing_credentials_get_a_401():
    request = a_request(a_conversion())
    bare = msgspec.structs.replace(request, headers={})

    assert reply(a_judge().answer(bare).answer) == (401, GENERIC)


def test_pixel_token_is_valid_only_for_its_own_pixel():
    judge = a_judge()
    judge.world.merge(SECOND)

    assert answer_of(judge, a_conversion(), token="second")[0] == 401


def test_pixel_token_of_an_account_is_valid_for_the_account():
    judge = a_judge("pixel_token_scope=account")
    judge.world.merge(SECOND)

    statuses = [
        answer_of(judge, a_conversion(), token=token)[0]
        for token in ("second", "emulator-pixel-token-o6dkt")
    ]

    assert statuses == [200, 401]


def test_pixel_without_a_pixel_token_accepts_none():
    judge = a_judge()
    judge.world.merge({"pixels": [{"id": "o8z6j", "token": None}]})

    assert answer_of(judge, a_conversion(), token="")[0] == 401


def test_pixel_token_expires_after_the_time_of_the_switch():
    clock = Time()
    judge = a_judge("pixel_token_ttl=60", clock=clock)

    before = answer_of(judge, a_conversion())[0]
    clock.now = NOW + 61
    after = answer_of(judge, a_conversion())[0]

    assert (before, after) == (200, 401)


def test_pixel_tokens_can_be_switched_off():
    assert answer_of(a_judge("pixel_token_enabled=off"), a_conversion()) == (401, GENERIC)


def test_refusal_of_a_pixel_token_has_three_forms():
    bodies = [
        a_judge(f"pixel_token_error={form}").answer(a_request(token="wrong")).answer.body[:6]
        for form in ("generic", "empty", "html")
    ]

    assert bodies == [b'{"erro', b"", b"<html>"]


def test_app_without_access_is_refused_like_at_x():
    judge = a_judge()
    judge.world.merge({"apps": [{"id": "3213", "access": "none"}]})

    answer = reply(judge.answer(signed_conversions(a_conversion())).answer)

    message = (
        "The client application with id 3213 making this request does not have access to X Ads "
        "API. Ensure your application has advertiser-api access. Use 'twurl accounts' and "
        "'twurl set default <username> <key>' to change the application you're using."
    )
    error = {"code": "UNAUTHORIZED_CLIENT_APPLICATION", "message": message}
    assert answer == (403, {"errors": [error], "request": {"params": {}}})


@pytest.mark.parametrize("roles", [{}, {ACCOUNT: ["ANALYST"]}, {"18ce552mlaq": ["ACCOUNT_ADMIN"]}])
def test_user_without_a_managing_role_has_no_access(roles):
    judge = a_judge()
    judge.world.merge({"users": [{"id": "370773112", "roles": roles}]})

    answer = reply(judge.answer(signed_conversions(a_conversion())).answer)

    message = (
        f"User 370773112 does not have access to account {ACCOUNT}. Type 'sn 370773112' to get "
        "the handle of the user. Use 'twurl accounts' and 'twurl set default <username>' to "
        "change the user you're using."
    )
    error = {"code": "NOT_FOUND", "message": message}
    params = {"params": {"account_id": ACCOUNT}}
    assert answer == (404, {"errors": [error], "request": params})


@pytest.mark.parametrize("role", ["ACCOUNT_ADMIN", "AD_MANAGER"])
def test_each_managing_role_may_send_conversions(role):
    judge = a_judge()
    judge.world.merge({"users": [{"id": "370773112", "roles": {ACCOUNT: [role]}}]})

    assert judge.answer(signed_conversions(a_conversion())).answer.status == 200


def test_revoked_token_gets_a_401():
    judge = a_judge()
    token = next(iter(judge.world.tokens))
    judge.world.merge({"tokens": [{"token": token, "revoked": True}]})

    assert reply(judge.answer(signed_conversions(a_conversion())).answer) == (401, GENERIC)


def test_switch_refuses_event_names_without_a_pixel_token():
    judge = a_judge("event_name_mode=gtm_token")
    named = a_conversion(event_id=None, event_name="gtm_purchase")

    by_token = answer_of(judge, named)[0]
    by_oauth = judge.answer(signed_conversions(named)).answer.status

    assert (by_token, by_oauth) == (200, 400)
