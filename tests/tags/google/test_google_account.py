"""Tokens of a service account, with a local fake of Google that verifies signatures."""

import asyncio
import json
import time

import pytest

from google_double import EMAIL, PROJECT, GoogleDouble, key_file
from twite.tags.google.google_account import GoogleAccount
from twite.tags.google.google_key import WrongKey, read_key
from twite.tags.ports.google import GoogleToken, NoGoogleToken

SCOPES = ("https://www.googleapis.com/auth/datastore",)


async def token_and_project(google, *, key=None, scopes=SCOPES, **said):
    account = GoogleAccount(key or read_key(key_file()), api_url=google.url, **said)
    try:
        return await account.token(scopes), await account.project()
    finally:
        await account.stop()


async def test_service_account_key_gets_a_token_and_names_its_project():
    with GoogleDouble() as google:
        token, project = await token_and_project(google, scopes=("b", "a"))

    assert isinstance(token, GoogleToken)
    assert google.granted == {token.text.reveal(): "b a"}
    assert 3_500_000 < token.lifetime <= 3_600_000
    assert project == PROJECT


async def test_repr_of_a_google_token_hides_it():
    with GoogleDouble() as google:
        token, _ = await token_and_project(google)

    assert token.text.reveal() not in repr(token)


async def test_project_of_the_settings_overrides_that_of_the_key():
    with GoogleDouble() as google:
        _, project = await token_and_project(google, project="shop-2")

    assert project == "shop-2"


async def test_key_that_google_refuses_is_reported_with_googles_message():
    with GoogleDouble() as google:
        token, _ = await token_and_project(
            google, key=read_key(key_file(client_email="x@other.example"))
        )

    assert token == NoGoogleToken(reason="invalid_grant: AssertionError", refused=True)


async def test_outage_of_google_is_not_a_refusal():
    with GoogleDouble(lambda _path, _before: 503) as google:
        token, _ = await token_and_project(google)

    assert isinstance(token, NoGoogleToken)
    assert token.refused is False
    assert google.asked == []


async def test_short_outage_of_google_is_retried():
    with GoogleDouble(lambda _path, before: 503 if before == 0 else None) as google:
        token, _ = await token_and_project(google)

    assert isinstance(token, GoogleToken)


async def test_unreachable_google_is_reported_without_an_exception():
    with GoogleDouble() as google:
        pass
    account = GoogleAccount(read_key(key_file()), api_url=google.url)

    token = await account.token(SCOPES)
    await account.stop()

    assert token == NoGoogleToken(reason="no answer (ClientConnectorError)")


async def test_machine_at_google_provides_tokens_and_project():
    with GoogleDouble() as google:
        account = GoogleAccount(None, api_url=google.url)
        token, project = await account.token(SCOPES), await account.project()
        await account.stop()

    assert isinstance(token, GoogleToken)
    assert google.granted == {token.text.reveal(): "of the machine"}
    assert project == PROJECT


async def test_simultaneous_token_requests_do_not_block_the_event_loop():
    with GoogleDouble() as google:
        account = GoogleAccount(read_key(key_file()), api_url=google.url)
        tokens = await asyncio.gather(*(account.token((f"s{n}",)) for n in range(20)))
        await account.stop()

    assert sorted(google.granted.values()) == sorted(f"s{n}" for n in range(20))
    assert all(isinstance(token, GoogleToken) for token in tokens)


async def test_token_request_is_not_retried_after_a_stop():
    with GoogleDouble() as google:
        google.before_answer = lambda _path: time.sleep(1)
        account = GoogleAccount(None, api_url=google.url)
        asking = asyncio.create_task(account.token(SCOPES))
        await asyncio.to_thread(google.began.wait)
        await account.stop()
        google.before_answer = lambda _path: None
        token = await asking

    assert token == NoGoogleToken(reason="RuntimeError")
    assert google.granted == {}


def test_service_account_key_is_read_completely_and_hidden_in_its_repr():
    key = read_key(key_file())

    assert (key.email, key.project) == (EMAIL, PROJECT)
    assert "PRIVATE KEY" not in repr(key)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no json", "is not JSON"),
        ("[]", "is not a service account key"),
        (json.dumps({"type": "authorized_user"}), "is not a service account key"),
        (key_file(client_email=""), 'has no "client_email"'),
        (key_file(private_key=1), 'has no "private_key"'),
        (key_file(private_key="-----BEGIN-----"), 'has a "private_key" that cannot be used'),
    ],
)
def test_invalid_service_account_key_is_refused_and_not_shown(text, why):
    with pytest.raises(WrongKey) as caught:
        read_key(text)

    assert str(caught.value).startswith(why)
    assert "BEGIN" not in str(caught.value)
