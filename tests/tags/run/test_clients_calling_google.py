"""Client templates that call Google's services with the gateway's credentials."""

import msgspec
import pytest
from scripted_tags import ScriptedAccount

from fakes import MovingClock, ScriptedWeb
from twite.gateway.ports.transport import Response as HttpAnswer
from twite.tags.clients.effects import ClientOutbound
from twite.tags.google.requests import GoogleClient
from twite.tags.ports.google import NoGoogleToken
from twite.tags.template.response import ClientResponse


def googles(*answers, account=None):
    web = ScriptedWeb(answers)
    return web, ClientOutbound(web, NotForX(), GoogleClient(account, clock=MovingClock()))


class NotForX:
    async def take(self, _request, **_said):
        return None


async def test_client_reads_firestore_with_the_gateways_credentials(staged):
    found = {"name": "x/documents/users/1", "fields": {"seen": {"integerValue": "5"}}}
    answer = HttpAnswer(status=200, headers={}, body=msgspec.json.encode([{"found": found}]))
    web, outbound = googles(answer, account=ScriptedAccount())
    stage = staged(
        "claim(); require('Firestore').read('users/1').then((one) => {"
        "  body(one.id + ' ' + one.data.seen); respond(); });",
        outbound=outbound,
    )

    assert await stage.ask() == ClientResponse(body=b"1 5")
    [asked] = web.asked
    assert asked.url.startswith("https://firestore.googleapis.com/v1/projects/shop-1/")
    assert asked.headers["authorization"] == "Bearer token-1"


async def test_google_service_without_settings_reports_missing_credentials(staged):
    web, outbound = googles()
    stage = staged(
        "claim(); require('Firestore').read('users/1').catch((why) => {"
        "  body(why.reason); respond(); });",
        outbound=outbound,
    )

    assert await stage.ask() == ClientResponse(body=b"not_configured")
    assert web.asked == []
    assert [notice.reason for notice in stage.notices.seen] == [
        "Firestore.read: [google] is not set in the settings"
    ]


async def test_missing_google_token_is_reported_to_the_client(staged):
    account = ScriptedAccount([NoGoogleToken(reason="invalid_grant", refused=True)])
    _, outbound = googles(account=account)
    stage = staged(
        "claim(); require('Firestore').read('users/1').catch((why) => {"
        "  body(why.reason); respond(); });",
        outbound=outbound,
    )

    assert await stage.ask() == ClientResponse(body=b"failed")
    assert [notice.reason for notice in stage.notices.seen] == [
        "no answer from Google: no token from Google: invalid_grant"
    ]


ASKS = (
    "claim(); const authorization = require('getGoogleAuth')({scopes: ['s']});"
    "require('sendHttpRequest')('https://%s/', {authorization: authorization})"
    ".then((told) => { body('sent'); respond(); }, (why) => { body(why.reason); respond(); });"
)


@pytest.mark.parametrize(
    ("account", "why"),
    [
        (None, "[google] is not set in the settings"),
        (ScriptedAccount(), "a Google token is sent only to https://*.googleapis.com"),
    ],
)
async def test_request_without_its_google_token_is_not_sent(staged, account, why):
    web, outbound = googles(account=account)
    stage = staged(ASKS % "a.example", outbound=outbound)

    assert await stage.ask() == ClientResponse(body=b"failed")
    assert web.asked == []
    assert [notice.reason for notice in stage.notices.seen] == [f"getGoogleAuth: {why}"]


async def test_request_of_a_client_to_google_has_a_token(staged):
    web, outbound = googles(account=ScriptedAccount())
    stage = staged(ASKS % "sheets.googleapis.com", outbound=outbound)

    assert await stage.ask() == ClientResponse(body=b"sent")
    assert [request.headers for request in web.asked] == [{"authorization": "Bearer token-1"}]
