"""Diagnostics that ask X, over real sockets, with the emulator."""

import json

import pytest

from twite.diagnostics import CheckStatus
from twite.diagnostics.access import access
from twite.diagnostics.endpoint import public_address
from twite.diagnostics.network import network
from written import GOOD, read
from x_page import CONSUMER_SECRET, OAUTH

TOKEN = 'auth = { pixel_token = "env:X_PIXEL_TOKEN" }'
USER = "370773112"
ACCOUNT = "18ce54d4x5t"


async def found(folder, url, text=GOOD, *, auth=OAUTH, environ=None):
    written = text.replace("https://ads-api.x.com", url).replace(TOKEN, auth)
    findings = [finding async for finding in access(read(folder, written, environ))]
    return [(finding.status, finding.topic, finding.found) for finding in findings]


async def test_roles_and_events_are_read_with_oauth(tmp_path, x_emulator):
    assert await found(tmp_path, x_emulator.url) == [
        (
            CheckStatus.PASSED,
            "credentials",
            (
                "pixel o8z6j: the OAuth credentials: the user is ACCOUNT_ADMIN, TWEET_COMPOSER on "
                "ads account 18ce54d4x5t"
            ),
        ),
        (
            CheckStatus.PASSED,
            "events",
            (
                "pixel o8z6j: purchase → o8z6k (tw-o8z6j-o8z6k): “purchase”, PURCHASE, 30 days "
                "after a click, 1 after a view; X has tracked no conversion of it yet"
            ),
        ),
        (
            CheckStatus.PASSED,
            "events",
            (
                "pixel o8z6j: sign_up → o8z6m (tw-o8z6j-o8z6m): “sign_up”, SIGN_UP, 30 days after "
                "a click, 1 after a view; X has tracked no conversion of it yet"
            ),
        ),
    ]


@pytest.mark.parametrize(
    ("world", "reported"),
    [
        (
            {"users": [{"id": USER, "roles": {ACCOUNT: ["ANALYST"]}}]},
            "the user's roles for ads account 18ce54d4x5t are not sufficient (ANALYST)",
        ),
        (
            {"apps": [{"id": "3213", "access": "none"}]},
            "X has not approved the app for its Ads API (403",
        ),
        (
            {
                "tokens": [
                    {
                        "token": OAUTH.split('token = "')[1].split('"', maxsplit=1)[0],
                        "revoked": True,
                    }
                ]
            },
            "X refused the credentials for ads account 18ce54d4x5t (401",
        ),
    ],
)
async def test_credentials_that_x_refuses_fail(tmp_path, x_emulator, world, reported):
    x_emulator.add(**world)

    findings = await found(tmp_path, x_emulator.url)

    assert [status for status, *_ in findings] == [CheckStatus.FAILED]
    assert reported in findings[0][2]


async def test_pixel_token_of_another_pixel_fails(tmp_path, x_emulator):
    environ = {"X_PIXEL_TOKEN": "emulator-pixel-token-o6dkt"}

    findings = await found(tmp_path, x_emulator.url, auth=TOKEN, environ=environ)

    assert findings[0][0] is CheckStatus.FAILED
    assert "X refused this pixel token for pixel o8z6j (401" in findings[0][2]


async def test_refused_pixel_token_beside_valid_oauth_credentials_is_a_warning(
    tmp_path, x_emulator
):
    both = OAUTH.replace("auth = {", 'auth = { pixel_token = "no-token-of-this-pixel",')

    findings = await found(tmp_path, x_emulator.url, auth=both)

    assert [status for status, topic, _ in findings if topic == "credentials"] == [
        CheckStatus.WARNING,
        CheckStatus.PASSED,
    ]


async def test_missing_account_at_x_lists_the_available_accounts(tmp_path, x_emulator):
    text = GOOD.replace('account = "18ce54d4x5t"\n', "")

    findings = await found(tmp_path, x_emulator.url, text)

    assert (
        CheckStatus.WARNING,
        "credentials",
        (
            "pixel o8z6j has no account in the settings; its user has access to 18ce54d4x5t "
            "(Example Shop)"
        ),
    ) in findings


async def test_event_that_is_not_in_the_account_fails(tmp_path, x_emulator):
    findings = await found(tmp_path, x_emulator.url, GOOD.replace('"o8z6k"', '"o6dkv"'))

    assert (
        CheckStatus.FAILED,
        "events",
        "pixel o8z6j: purchase → o6dkv (tw-o8z6j-o6dkv): ads account 18ce54d4x5t has no such event",
    ) in findings


async def test_deleted_event_fails_and_an_active_one_passes(tmp_path, x_emulator):
    x_emulator.add(events=[{"id": "o8z6k", "deleted": True}])
    x_emulator.switch(tracking_delay=0)
    text = GOOD.replace("sign_up =", 'lead = "o8z6m", sign_up =')

    findings = await found(tmp_path, x_emulator.url, text)

    reported = [finding[2] for finding in findings if finding[1] == "events"]
    assert reported[0] == "pixel o8z6j: lead and sign_up are the same event, o8z6m"
    assert reported[1].endswith("“purchase” was deleted at X")


async def test_secret_that_is_too_short_is_a_warning_and_not_shown(tmp_path, x_emulator):
    auth = OAUTH.replace(CONSUMER_SECRET, "cut-off")

    findings = await found(tmp_path, x_emulator.url, auth=auth)

    assert findings[0] == (
        CheckStatus.WARNING,
        "credentials",
        "pixel o8z6j: too short for one of X's keys: consumer_secret",
    )
    assert "cut-off" not in json.dumps(findings)


async def test_unknown_host_name_of_x_is_distinguished_from_an_outage(tmp_path):
    nowhere = read(tmp_path, GOOD.replace("https://ads-api.x.com", "https://ads-api.x.invalid"))

    findings = [finding async for finding in network(nowhere)]

    assert [(finding.topic, finding.status) for finding in findings] == [
        ("DNS", CheckStatus.FAILED)
    ]
    assert findings[0].found == "https://ads-api.x.invalid: the host name does not resolve"


async def test_address_of_x_without_tls_fails(tmp_path, x_emulator):
    plain = read(
        tmp_path,
        GOOD.replace("https://ads-api.x.com", x_emulator.url.replace("http:", "https:")),
    )

    findings = [finding async for finding in network(plain)]

    assert [(finding.topic, finding.status) for finding in findings] == [
        ("DNS", CheckStatus.PASSED),
        ("TLS", CheckStatus.FAILED),
    ]


async def test_public_address_that_does_not_serve_the_script_fails(tmp_path, x_emulator):
    text = GOOD.replace("https://t.shop.example", x_emulator.url)

    findings = [
        finding
        async for finding in public_address(read(tmp_path, text))
        if finding.topic == "script"
    ]

    assert [(finding.status, finding.found) for finding in findings] == [
        (CheckStatus.FAILED, f"{x_emulator.url}/twite.js?s=shop: the status is 404")
    ]
