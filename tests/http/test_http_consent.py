import json

import pytest


def choice(**fields):
    return json.dumps(
        {"email": "shopper@example.com", "consent": {"ad_user_data": "denied"}} | fields
    ).encode()


@pytest.mark.parametrize(("word", "holds"), [("denied", "revoked"), ("granted", "granted")])
async def test_consent_choice_is_recorded(stage, word, holds):
    answer = await stage.ask("POST", "/v1/consent", choice(consent={"ad_user_data": word}))

    assert (answer.status, json.loads(answer.body)) == (200, {"consent": holds, "identifiers": 1})


async def test_consent_route_requires_a_source_key(stage):
    answer = await stage.ask("POST", "/v1/consent", choice(), key=None)

    assert answer.status == 401


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (choice(consent={"ad_user_data": "perhaps"}), 422, "consent_unclear"),
        (choice(email="nobody"), 422, "email_unusable"),
        (choice(email=None), 422, "identifier_missing"),
        (choice(colour="red"), 400, "unknown_field"),
        (b"{}", 400, "wrong_shape"),
        (b"no", 400, "not_json"),
    ],
)
async def test_invalid_consent_choice_is_refused_with_the_reason(stage, body, status, code):
    answer = await stage.ask("POST", "/v1/consent", body)

    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (status, code)
    assert b"shopper" not in answer.body
