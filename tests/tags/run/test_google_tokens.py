"""Google tokens are cached while valid, requested once at a time, and sent only to Google."""

import asyncio

import pytest
from scripted_tags import ScriptedAccount

from fakes import MovingClock, ScriptedWeb
from twite.domain.secret import Secret
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.ports.transport import NoResponse, Response
from twite.tags.google.requests import (
    AHEAD,
    MOST_SCOPES,
    REFUSED_FOR,
    GoogleClient,
    GoogleEndpoints,
    GoogleRequestDenied,
    TokenCache,
    may_carry,
)
from twite.tags.ports.google import GoogleToken, NoGoogleToken
from twite.tags.ports.web import WebRequest

SCOPES = ("a",)
OK = Response(status=200, headers={}, body=b"{}")
STALE = Response(status=401, headers={}, body=b"{}")
URL = "https://pubsub.googleapis.com/v1/x"


def request_to(url=URL, **said):
    return WebRequest(url=url, method="POST", timeout=1_000, **said)


def bearer(web):
    return [request.headers.get("authorization") for request in web.asked]


async def test_google_token_is_cached_until_shortly_before_it_expires():
    account, clock = ScriptedAccount(), MovingClock()
    tokens = TokenCache(account, clock=clock)

    first = await tokens.of(SCOPES)
    await clock.advance(HOUR - AHEAD - 1)
    same = await tokens.of(SCOPES)
    await clock.advance(1)
    next_one = await tokens.of(SCOPES)

    assert first == same == Secret("token-1")
    assert next_one == Secret("token-2")


async def test_google_token_with_a_short_life_is_used_for_half_of_it():
    short = GoogleToken(text=Secret("short"), lifetime=MINUTE)
    account, clock = ScriptedAccount([short]), MovingClock()
    tokens = TokenCache(account, clock=clock)

    await tokens.of(SCOPES)
    await clock.advance(MINUTE // 2 - 1)
    assert await tokens.of(SCOPES) == Secret("short")
    await clock.advance(1)
    assert await tokens.of(SCOPES) == Secret("token-2")


class Slow(ScriptedAccount):
    def __init__(self):
        super().__init__()
        self.until = {}

    async def token(self, scopes):
        gate = self.until.get(scopes)
        if gate is not None:
            await gate.wait()
        return await super().token(scopes)


async def test_only_one_token_is_requested_at_a_time_for_each_scope():
    account = Slow()
    account.until[SCOPES] = asyncio.Event()
    tokens = TokenCache(account, clock=MovingClock())

    waiting = [asyncio.create_task(tokens.of(SCOPES)) for _ in range(5)]
    other = await tokens.of(("b",))
    waiting[0].cancel()
    await asyncio.sleep(0)
    account.until[SCOPES].set()
    found = await asyncio.gather(*waiting[1:])

    assert other == Secret("token-1")
    assert found == [Secret("token-2")] * 4
    assert account.asked == [("b",), SCOPES]


async def test_order_of_scopes_does_not_make_another_token():
    account = ScriptedAccount()
    tokens = TokenCache(account, clock=MovingClock())

    assert await tokens.of(("a", "b")) == await tokens.of(("b", "a", "a"))


async def test_refusal_of_a_token_is_cached_and_a_failure_is_not():
    refused = NoGoogleToken(reason="invalid_grant", refused=True)
    account, clock = ScriptedAccount([NoGoogleToken(reason="down"), refused]), MovingClock()
    tokens = TokenCache(account, clock=clock)

    assert await tokens.of(SCOPES) == NoGoogleToken(reason="down")
    assert await tokens.of(SCOPES) == refused
    await clock.advance(REFUSED_FOR - SECOND)
    assert await tokens.of(SCOPES) == refused
    await clock.advance(SECOND)
    assert await tokens.of(SCOPES) == Secret("token-3")


async def test_number_of_cached_tokens_is_limited():
    account = ScriptedAccount()
    tokens = TokenCache(account, clock=MovingClock())

    for number in range(MOST_SCOPES + 1):
        await tokens.of((f"s{number}",))
    await tokens.of((f"s{MOST_SCOPES}",))
    await tokens.of(("s0",))

    assert len(account.asked) == MOST_SCOPES + 2


async def test_google_token_that_is_refused_is_renewed_once():
    account, web = ScriptedAccount(), ScriptedWeb([STALE, OK])
    google = GoogleClient(account, clock=MovingClock())

    came = await google.send(request_to(), scopes=SCOPES, by=web.ask)

    assert came == OK
    assert bearer(web) == ["Bearer token-1", "Bearer token-2"]


async def test_second_refusal_by_google_is_returned():
    account, web = ScriptedAccount(), ScriptedWeb([STALE, STALE, STALE])
    google = GoogleClient(account, clock=MovingClock())

    came = await google.send(request_to(), scopes=SCOPES, by=web.ask)

    assert came == STALE
    assert bearer(web) == ["Bearer token-1", "Bearer token-2"]


async def test_renewed_token_is_used_by_concurrent_requests():
    account = ScriptedAccount()
    tokens = TokenCache(account, clock=MovingClock())
    old = await tokens.of(SCOPES)

    tokens.forget(SCOPES, old)
    new = await tokens.of(SCOPES)
    tokens.forget(SCOPES, old)

    assert await tokens.of(SCOPES) == new
    assert len(account.asked) == 2


async def test_request_without_its_google_token_is_not_sent():
    web = ScriptedWeb()
    google = GoogleClient(ScriptedAccount([NoGoogleToken(reason="down")]), clock=MovingClock())

    came = await google.send(request_to(), scopes=SCOPES, by=web.ask)

    assert came == NoResponse(reason="no token from Google: down", left=False)
    assert web.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://pubsub.googleapis.com/",
        "http://pubsub.googleapis.com:443/",
        "https://evil.example/",
        "https://googleapis.com.evil.example/",
        "https://evilgoogleapis.com/",
        "https://pubsub.googleapis.com@evil.example/",
        "https://someone@pubsub.googleapis.com/",
        "https://pubsub.googleapis.com:8443/",
        "https://evil.example/#.googleapis.com",
        "https://evil.example/?https://www.googleapis.com",
        "https://evil.example\\@www.googleapis.com/",
        "https://metadata.google.internal/",
        "https://googleapis.com./",
        "ftp://pubsub.googleapis.com/",
        "",
    ],
)
async def test_google_token_is_sent_only_to_google(url):
    account, web = ScriptedAccount(), ScriptedWeb()
    google = GoogleClient(account, clock=MovingClock())

    came = await google.send(request_to(url), scopes=SCOPES, by=web.ask)

    assert isinstance(came, GoogleRequestDenied)
    assert web.asked == []
    assert account.asked == []


@pytest.mark.parametrize(
    "url", ["https://www.googleapis.com/x", "https://googleapis.com/", "https://A.GoogleAPIs.com/"]
)
def test_requests_to_all_google_apis_can_have_a_token(url):
    assert may_carry(url)


async def test_request_without_scopes_is_denied():
    google = GoogleClient(ScriptedAccount(), clock=MovingClock())

    assert isinstance(
        await google.send(request_to(), scopes=(), by=ScriptedWeb().ask), GoogleRequestDenied
    )


async def test_only_requests_with_credentials_are_denied_without_settings():
    web = ScriptedWeb()
    google = GoogleClient(clock=MovingClock())

    denied = await google.send(request_to(), scopes=SCOPES, by=web.ask)
    came = await google.send(request_to("https://a.example/"), scopes=None, by=web.ask)

    assert denied == GoogleRequestDenied(why="[google] is not set in the settings")
    assert came == Response(status=200, headers={}, body=b"{}")


async def test_authorization_header_of_a_template_is_replaced():
    web = ScriptedWeb()
    google = GoogleClient(ScriptedAccount(), clock=MovingClock())

    await google.send(request_to(headers={"AUTHORIZATION": "mine"}), scopes=SCOPES, by=web.ask)

    assert web.asked[0].headers == {"authorization": "Bearer token-1"}


async def test_google_token_in_a_response_is_masked():
    echo = Response(
        status=200, headers={"x-echo": "token-1"}, cookies=("a=token-1",), body=b'{"is": "token-1"}'
    )
    google = GoogleClient(ScriptedAccount(), clock=MovingClock())

    came = await google.send(request_to(), scopes=SCOPES, by=ScriptedWeb([echo]).ask)

    assert came == Response(
        status=200, headers={"x-echo": "***"}, cookies=("a=***",), body=b'{"is": "***"}'
    )


@pytest.mark.parametrize(
    ("url", "own", "there"),
    [
        ("https://bigquery.googleapis.com/v2/a%2Fb?c=1", False, "/v2/a%2Fb?c=1"),
        ("https://a.example/x", True, None),
        ("https://www.google-analytics.com/g/collect?v=2", True, "/g/collect?v=2"),
        ("https://www.google-analytics.com/g/collect?v=2", False, None),
    ],
)
@pytest.mark.parametrize("base", ["", "/emulated"])
def test_endpoint_of_the_settings_replaces_the_google_apis(url, own, there, base):
    place = GoogleEndpoints(f"http://127.0.0.1:9000{base}").redirected(request_to(url), own=own)

    assert place.url == (url if there is None else f"http://127.0.0.1:9000{base}{there}")
    assert place.allow_hosts == (frozenset() if there is None else {"127.0.0.1"})


async def test_stop_cancels_pending_token_requests():
    account = Slow()
    account.until[SCOPES] = asyncio.Event()
    google = GoogleClient(account, clock=MovingClock())
    waiting = asyncio.create_task(google.send(request_to(), scopes=SCOPES, by=ScriptedWeb().ask))
    await asyncio.sleep(0)

    await google.stop()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert account.stopped
