"""Source keys that admins create on the page of a source."""

import asyncio
import html
import re

import aiohttp
import pytest
import pytest_asyncio
from console_stage import PASSWORD, SETTINGS, ConsoleStage

from twite.app.store_access import open_records

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/console/sources/shop"
IN_FILE = "a-source-key-of-some-length"
MANY = 5  # clients at once


@pytest_asyncio.fixture(loop_scope="module")
async def stage(tmp_path):
    stage = ConsoleStage(tmp_path)
    await stage.start()
    yield stage
    await stage.stop()


def key_on(page):
    return html.unescape(re.search(r'<pre id="text"[^>]*>([^<]+)</pre>', page)[1])


async def created(browser):
    answer = await browser.post(f"{PATH}/keys", {"own": PASSWORD})
    assert answer.status == 200
    return key_on(answer.text)


async def send(stage, key, order, **more):
    body = {"event": "purchase", "conversion_id": order, "email": "a@shop.example", **more}
    url, headers = f"{stage.gateway.url}/v1/conversions", {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(url, json=body) as answer,
    ):
        return answer.status


class Clients:
    """Clients that send conversions without a pause, on connections that stay open."""

    def __init__(self, stage, key):
        self.key, self.statuses = key, []
        self._url = f"{stage.gateway.url}/v1/conversions"
        self._stops = False
        self._target, self._reached = 0, asyncio.Event()
        self._tasks = [asyncio.create_task(self._send(number)) for number in range(MANY)]

    async def _send(self, client):
        async with aiohttp.ClientSession() as http:
            number = 0
            while not self._stops:
                number += 1
                body = {
                    "event": "purchase",
                    "conversion_id": f"order-{client}-{number}",
                    "email": "a@shop.example",
                }
                headers = {"Authorization": f"Bearer {self.key}"}
                async with http.post(self._url, json=body, headers=headers) as answer:
                    self.statuses.append(answer.status)
                if len(self.statuses) >= self._target:
                    self._reached.set()

    async def send_some(self):
        """Wait until each request that has begun has an answer, and more have followed."""
        self._target = len(self.statuses) + 4 * MANY
        self._reached.clear()
        await self._reached.wait()

    async def stop(self):
        self._stops = True
        await asyncio.gather(*self._tasks)


async def test_key_is_rotated_without_a_lost_request(stage):
    ada = await stage.signed_in("ada")
    clients = Clients(stage, IN_FILE)
    await clients.send_some()

    clients.key = await created(ada)
    await clients.send_some()
    revoked = await ada.post(f"{PATH}/keys/file/revoke", {"own": PASSWORD})
    page = (await ada.get(revoked.location)).text
    await clients.send_some()
    await clients.stop()

    assert set(clients.statuses) == {202}
    assert "The key was revoked" in page
    assert "in twite.toml</div>" not in page
    assert await send(stage, IN_FILE, "order-late") == 401
    async with open_records(stage.settings) as records:
        (shop,) = [row for row in await records.balance() if row.source == "shop"]
    assert shop.received == len(clients.statuses)


async def test_new_key_and_revocation_outlive_a_restart(stage):
    ada = await stage.signed_in("ada")
    first, second = await created(ada), await created(ada)
    await ada.post(f"{PATH}/keys/file/revoke", {"own": PASSWORD})
    id_ = first.split("_")[1]
    await ada.post(f"{PATH}/keys/{id_}/revoke", {"own": PASSWORD})

    await stage.stop()
    await stage.start(people={})

    assert [await send(stage, key, "order-1") for key in (IN_FILE, first, second)] == [
        401,
        401,
        202,
    ]


async def test_page_shows_which_keys_are_still_used(stage):
    ada = await stage.signed_in("ada")
    used, unused = await created(ada), await created(ada)
    await send(stage, used, "order-1")
    before = (await ada.get(PATH)).text

    await stage.stop()  # otherwise, uses are stored once a minute
    await stage.start(people={})

    ada = await stage.signed_in("ada")
    last_used = {
        row[1]: "<time" in row[2]
        for row in re.finditer(
            r"<div>(in twite.toml|<code>tws_\w+_…</code>)</div>.*?Last used[^>]*>(.*?)</td>",
            (await ada.get(PATH)).text,
            re.DOTALL,
        )
    }
    assert before.count("not yet") == 3
    assert "A use of a key appears here within a minute." in before
    assert last_used == {
        "in twite.toml": False,
        f"<code>tws_{used.split('_')[1]}_…</code>": True,
        f"<code>tws_{unused.split('_')[1]}_…</code>": False,
    }


async def test_another_key_in_the_settings_is_accepted_after_a_revocation(stage):
    ada = await stage.signed_in("ada")
    await ada.post(f"{PATH}/keys/file/revoke", {"own": PASSWORD})
    file = stage.settings.path
    file.write_text(file.read_text().replace(IN_FILE, "the-next-key-of-some-length"))

    report = await stage.gateway.reload_alone()

    assert report.changes == ("source shop changed: key",)
    assert await send(stage, "the-next-key-of-some-length", "order-1") == 202


async def test_keys_need_an_admin_with_the_password(stage):
    ada, olga, client = [await stage.signed_in(name) for name in ("ada", "olga", "client")]

    wrong = await ada.post(f"{PATH}/keys", {"own": "wrong"})
    refused = (await ada.get(wrong.location)).text
    others = [
        await olga.post(f"{PATH}/keys", {"own": PASSWORD}),
        await olga.post(f"{PATH}/keys/file/revoke", {"own": PASSWORD}),
        await client.get(PATH),
        await client.get("/console/sources"),
    ]

    assert "Nothing was changed" in refused
    assert [answer.status for answer in others] == [403, 403, 404, 200]
    assert "/console/sources/shop" not in others[3].text
    assert "/console/sources/client" in others[3].text
    assert await send(stage, IN_FILE, "order-1") == 202


async def test_key_is_audited_and_never_shown_again_or_stored_in_plain_text(stage):
    ada = await stage.signed_in("ada")

    key = await created(ada)
    await ada.post(f"{PATH}/keys/{key.split('_')[1]}/revoke", {"own": PASSWORD})
    second = await created(ada)
    await send(stage, second, "order-1", description=f"sent with {second}")
    pages = [(await ada.get(path)).text for path in (PATH, "/console/people/audit")]
    async with open_records(stage.settings) as records:
        entries = [entry.audit_event for entry in await records.people.audit(limit=10)]

    assert [(entry.what, entry.subject) for entry in reversed(entries)][-3:] == [
        ("source_key.add", "shop"),
        ("source_key.revoke", "shop"),
        ("source_key.add", "shop"),
    ]
    await stage.stop()
    stored = b"".join(file.read_bytes() for file in stage.folder.glob("twite.db*"))
    await stage.start(people={})
    for text in (key, second):
        assert not any(text in page for page in pages)
        assert text.encode() not in stored


async def test_source_without_a_secret_key_says_how_to_create_keys(tmp_path):
    without = SETTINGS.replace('secret_key = "{secret}"\n', "").replace(
        'id = "o9a7k"', 'id = "o9a7k"\nauth = {{ pixel_token = "token" }}'
    )
    stage = ConsoleStage(tmp_path, without)
    await stage.start()
    try:
        page = (await (await stage.signed_in("ada")).get(PATH)).text
    finally:
        await stage.stop()

    assert "server.secret_key" in page
    assert "Create key" not in page
