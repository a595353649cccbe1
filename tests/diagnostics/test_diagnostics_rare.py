"""Diagnostics of rare problems: unusual responses of X, a lost key, an older copy, a bad disk."""

import asyncio
import contextlib
import json
from pathlib import Path

import msgspec
import pytest
from test_diagnostics_at_x import OAUTH, TOKEN
from test_rotation import FIRST, IN_A_FILE, settings_with_credentials

from builders import a_submission
from twite.diagnostics import CheckStatus
from twite.diagnostics.access import access
from twite.diagnostics.configuration import key, source_keys
from twite.diagnostics.endpoint import public_address
from twite.diagnostics.network import network
from twite.diagnostics.store import speed_of, store
from twite.domain.submission import Ignored
from twite.formats.event_data.conversions import KEY_IN_PAGE
from twite.machine.system import SystemClock
from twite.stores.sqlite import SQLiteStore
from written import GOOD, read

PROC = Path("/proc")
APP = (
    'oauth_url = "{oauth}"\nconsumer_key = "a-key-of-some-length"\n'
    'consumer_secret = "a-secret-of-some-length"'
)
ROLES = {"data": {"user_id": "1", "permissions": ["ACCOUNT_ADMIN"]}}
TAG = {
    "id": "o8z6k",
    "name": "Purchase",
    "type": "PURCHASE",
    "click_window": 30,
    "view_through_window": 1,
}
FORBIDDEN = {"errors": [{"code": "UNAUTHORIZED_CLIENT_APPLICATION", "message": "not approved"}]}


@contextlib.asynccontextmanager
async def odd_x_server(answers):
    """Listen, and answer paths by their suffix with (status, body), all others with 503.

    No Date.
    """

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split()[1].partition("?")[0]
                found = [reported for end, reported in answers.items() if path.endswith(end)]
                status, document = found[0] if found else (503, {})
                body = json.dumps(document).encode() if not head.startswith("HEAD") else b""
                line = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(line.encode() + body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def at(url, *, auth=OAUTH):
    return GOOD.replace("https://ads-api.x.com", url).replace(TOKEN, auth)


async def kind_of_name(look, settings, topic):
    found = [finding async for finding in look(settings) if finding.topic == topic]
    return [(finding.status, finding.found, finding.meaning) for finding in found]


async def test_response_of_x_without_a_date_header_is_a_warning(tmp_path):
    async with odd_x_server({}) as url:
        settings = read(tmp_path, at(url))

        assert await kind_of_name(network, settings, "clock") == [
            (
                CheckStatus.WARNING,
                "X's response had no Date header",
                "Twite could not compare this machine's clock with X's.",
            )
        ]


async def test_unavailable_x_makes_the_check_of_credentials_a_warning(tmp_path):
    async with odd_x_server({}) as url:
        ((status, found, meaning),) = await kind_of_name(
            access, read(tmp_path, at(url)), "credentials"
        )

    assert (status, meaning) == (
        CheckStatus.WARNING,
        "Twite does not know whether X accepts the credentials.",
    )
    assert found.startswith("pixel o8z6j: the OAuth credentials could not be checked: ")


@pytest.mark.parametrize(("status", "document"), [(403, FORBIDDEN), (503, {})])
async def test_unreadable_list_of_events_is_a_warning(tmp_path, status, document):
    answers = {"authenticated_user_access": (200, ROLES), "web_event_tags": (status, document)}
    async with odd_x_server(answers) as url:
        ((status, _, meaning),) = await kind_of_name(access, read(tmp_path, at(url)), "events")

    assert (status, meaning) == (
        CheckStatus.WARNING,
        "Twite does not know whether the pixel's events exist.",
    )


async def test_undocumented_event_status_of_x_is_a_warning(tmp_path):
    listed = {"data": [{**TAG, "status": "RESTING"}], "next_cursor": None}
    text = GOOD.replace(', sign_up = "tw-o8z6j-o8z6m"', "")
    answers = {"authenticated_user_access": (200, ROLES), "web_event_tags": (200, listed)}
    async with odd_x_server(answers) as url:
        settings = read(tmp_path, text.replace("https://ads-api.x.com", url).replace(TOKEN, OAUTH))

        ((status, found, meaning),) = await kind_of_name(access, settings, "events")

    assert (status, meaning) == (CheckStatus.WARNING, "X does not document this status.")
    assert found.endswith("its status is 'RESTING'")


async def test_last_conversion_of_an_event_at_x_is_shown(tmp_path):
    tag = {**TAG, "status": "TRACKING", "last_tracked_at": "2026-11-25T09:46:40Z"}
    text = GOOD.replace(', sign_up = "tw-o8z6j-o8z6m"', "")
    answers = {
        "authenticated_user_access": (200, ROLES),
        "web_event_tags": (200, {"data": [tag], "next_cursor": None}),
    }
    async with odd_x_server(answers) as url:
        settings = read(tmp_path, text.replace("https://ads-api.x.com", url).replace(TOKEN, OAUTH))

        ((status, found, _),) = await kind_of_name(access, settings, "events")

    assert status is CheckStatus.PASSED
    assert found.endswith("tracking, last conversion at 2026-11-25T09:46:40Z")


@pytest.mark.parametrize(
    ("oauth", "topic"), [("https://api.x.invalid", "DNS"), ("https://127.0.0.1:9", "TLS")]
)
async def test_unavailable_sign_in_host_of_x_is_a_warning(tmp_path, x_emulator, oauth, topic):
    text = at(x_emulator.url, auth=TOKEN).replace(
        'oauth_url = "https://api.x.com"', APP.format(oauth=oauth)
    )

    found = await kind_of_name(network, read(tmp_path, text), topic)

    status, words, meaning = found[-1]
    assert (status, meaning) == (CheckStatus.WARNING, "You cannot sign in to X.")
    assert words.startswith(f"{oauth}: ")


async def test_credentials_that_cannot_be_decrypted_fail(tmp_path):
    await settings_with_credentials(tmp_path)
    (tmp_path / "twite.secret").write_text("another-key-than-the-one-that-sealed\n")
    text = IN_A_FILE.replace(f"{TOKEN}\n", "")

    ((status, _, meaning),) = await kind_of_name(access, read(tmp_path, text), "credentials")

    assert (status, meaning) == (
        CheckStatus.FAILED,
        "Stored credentials cannot be decrypted: the gateway would not start.",
    )


async def test_old_secret_key_and_values_sealed_with_it_are_a_warning(tmp_path):
    await settings_with_credentials(tmp_path)
    former = '[server]\nformer_secret_keys = ["the-key-before-the-first-one"]'
    needless = await kind_of_name(key, read(tmp_path, IN_A_FILE.replace("[server]", former)), "key")
    (tmp_path / "twite.secret").write_text("another-key-than-the-one-that-sealed\n")
    former = f'[server]\nformer_secret_keys = ["{FIRST}"]'

    needed = await kind_of_name(key, read(tmp_path, IN_A_FILE.replace("[server]", former)), "key")

    assert needless == [
        (
            CheckStatus.WARNING,
            "former keys still accepted: 1; they no longer encrypt any data",
            "A leaked former key can decrypt data until you remove it.",
        )
    ]
    assert needed == [
        (
            CheckStatus.WARNING,
            "still encrypted with a former key: 1 secret",
            "Without the former key, Twite cannot decrypt this data.",
        )
    ]


async def test_interrupted_key_rotation_is_a_warning(tmp_path):
    await settings_with_credentials(tmp_path)
    (tmp_path / "twite.secret.former").write_text("the-key-before-the-first-one\n")

    ((status, found, _),) = await kind_of_name(key, read(tmp_path, IN_A_FILE), "key")

    assert status is CheckStatus.WARNING
    assert found == "a key rotation was interrupted: the former key still exists"


async def test_check_of_keys_without_sealed_values_has_no_findings(tmp_path):
    await settings_with_credentials(tmp_path)

    assert await kind_of_name(key, read(tmp_path, IN_A_FILE), "key") == []


async def test_store_that_may_be_an_older_copy_is_a_warning(tmp_path):
    settings = read(tmp_path)
    path = settings.store.path
    await (await SQLiteStore.open(str(path))).close()
    path.with_name(f"{path.name}.epoch").unlink()

    found = await kind_of_name(store, settings, "store")

    assert [meaning for status, _, meaning in found if status is CheckStatus.WARNING] == [
        "The next start holds all pending deliveries, because they may have been sent."
    ]


@pytest.mark.parametrize("reason", [KEY_IN_PAGE, "not_configured"])
async def test_secret_key_in_the_requests_of_pages_is_a_warning(tmp_path, reason):
    settings = read(tmp_path)
    submission = msgspec.structs.replace(
        a_submission(received_at=SystemClock().now()),
        ignored=(Ignored(name="source key", reason=reason),),
    )
    opened = await SQLiteStore.open(str(settings.store.path))
    await opened.record(submission)
    await opened.close()

    found = [finding.found async for finding in source_keys(settings)]

    warned = ["pages sent the secret key of the source shop within the last seven days"]
    assert found == (warned if reason == KEY_IN_PAGE else [])


async def test_key_in_pages_is_not_checked_without_a_store(tmp_path):
    assert [finding async for finding in source_keys(read(tmp_path))] == []


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="there is no /proc, which takes no file"
)
def test_unwritable_folder_of_the_store_fails():
    last = speed_of(PROC)

    assert (last.status, last.meaning) == (CheckStatus.FAILED, "Twite cannot write to the store.")


async def test_source_for_pages_without_a_public_url_is_a_warning(tmp_path):
    text = GOOD.replace('public_url = "https://t.shop.example"\n', "")

    assert await kind_of_name(public_address, read(tmp_path, text), "public address") == [
        (
            CheckStatus.WARNING,
            "server.public_url is not set, but a source accepts browsers",
            "Pages and servers have no URL to send conversions to.",
        )
    ]


async def test_public_url_that_reaches_another_server_is_a_warning(tmp_path):
    for_servers = GOOD.replace('origins = ["https://shop.example"]\n', "")
    async with odd_x_server({"": (200, {"hello": "world"})}) as url:
        text = for_servers.replace("https://t.shop.example", url)

        found = await kind_of_name(public_address, read(tmp_path, text), "public address")

    assert found[-1] == (
        CheckStatus.WARNING,
        f"{url}/v1/accounting does not require a key: the status is 200",
        "Servers reach a different host, or a proxy that refuses their requests.",
    )
