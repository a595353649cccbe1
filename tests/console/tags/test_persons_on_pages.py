"""A visitor's identifiers arrive on every route. No page, log or command shows them."""

import asyncio
import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from console_stage import PEOPLE, SETTINGS, ConsoleStage
from test_hostile_fields import TAG, _command

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.journey]

KEY = "a-source-key-of-some-length"
TEMPLATE = Path(__file__).parents[2] / "tags/templates/crm_post.tpl"
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PHONE_HASH = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
# Each occurs at least once in the submissions below.
KNOWN = {
    "email": "shopper.one@mail.example", "phone": "+442079460958", "hash": HASH,
    "hash of a phone": PHONE_HASH, "click id": "23opevjt88psuo13lu8d020qkn",
    "address": "203.0.113.77", "agent": "Mozilla/5.0 (X11; Linux x86_64) Grizelda/1",
    "client id": "1187329187.1764063980", "user id": "member-grizelda",
    "fbp": "fb.1.1764063980123.1098115397", "gclid": "CjwKgrizelda", "first name": "Grizelda",
    "token": "EAABsbCS1iHgBAOZCx8rT0kenZBzZCq", "cookie": "kept-by-a-cookie",
    "key": KEY, "key of the vendor": "a-key-of-the-vendor",
}  # fmt: skip
EVENT = {
    "event_name": "purchase",
    "currency": "EUR",
    "value": 49.9,
    "client_id": KNOWN["client id"],
    "user_id": KNOWN["user id"],
    "ip_override": KNOWN["address"],
    "user_agent": KNOWN["agent"],
    "fbp": KNOWN["fbp"],
    "gclid": KNOWN["gclid"],
    "twclid": KNOWN["click id"],
    "note": f"call {KNOWN['phone']} or {KNOWN['email']}, {HASH}",
    "page_location": f"https://shop.example/of/{KNOWN['token']}?key={KNOWN['token']}&utm_source=x",
    "user_data": {
        "email_address": KNOWN["email"],
        "sha256_phone_number": PHONE_HASH,
        "address": {"first_name": KNOWN["first name"]},
    },
}
NATIVE = {
    "event": "purchase", "conversion_id": "by-native", "value": "9.90", "currency": "EUR",
    "email": KNOWN["email"], "phone": KNOWN["phone"], "twclid": KNOWN["click id"],
    "ip": KNOWN["address"], "user_agent": KNOWN["agent"],
    "url": f"https://shop.example/?who={KNOWN['email']}&t={KNOWN['token']}",
    "description": f"for {KNOWN['email']}, {HASH}",
}  # fmt: skip
HASHED = {
    "event": "purchase", "conversion_id": "by-hash", "email_sha256": HASH,
    "phone_sha256": PHONE_HASH,
}  # fmt: skip
HIT = (
    "/g/collect?v=2&tid=G-1&_p=77&_s=1&en=purchase&ep.transaction_id=by-ga4&cid="
    f"{KNOWN['client id']}&uid={KNOWN['user id']}&uip={KNOWN['address']}&ep.gclid={KNOWN['gclid']}"
    f"&ep.twclid={KNOWN['click id']}&ep.user_data.sha256_email_address={HASH}"
    f"&dl=https%3A%2F%2Fshop.example%2F%3Ft%3D{KNOWN['token']}&api_secret={KEY}"
)
X_SHAPED = {
    "conversions": [
        {
            "conversion_time": "2026-11-25T09:00:00.000Z",
            "event_id": "o6dkv",
            "conversion_id": "by-x",
            "identifiers": [{"twclid": KNOWN["click id"]}, {"hashed_email": HASH}],
        }
    ]
}


async def test_no_page_log_or_command_shows_the_visitors_identifiers(tmp_path):
    log = io.StringIO()
    shutil.copy(TEMPLATE, tmp_path / "crm.tpl")
    settings = SETTINGS.replace('level = "error"', 'level = "debug"') + TAG
    async with _echoing() as x:
        with contextlib.redirect_stderr(log):
            stage = ConsoleStage(tmp_path, settings, x=x)
            await stage.start(people={"ada": PEOPLE["ada"]})
        await _submitted(stage.gateway.url)
        await _refused(stage.gateway.url)
        admin = await stage.signed_in("ada")
        listed = [
            await admin.get(f"/console/conversions{query}") for query in ("", "?pixel=tag:crm")
        ]
        numbers = set(
            re.findall(r'href="/console/conversions/(\d+)"', "".join(page.text for page in listed))
        )
        histories = [
            await admin.get(f"/console/conversions/{number}") for number in sorted(numbers)
        ]
        others = [
            await admin.get(f"/console{path}")
            for path in ("", "/problems", "/match-keys", "/problems/amounts", "/people/audit")
        ]
        error_groups = [
            await admin.get(f"/console/problems/{key}")
            for key in set(re.findall(r"/console/problems/([0-9a-f]{12})", others[1].text))
        ]
        export = await admin.post("/console/conversions/export", {})
        ids = ("by-native", "by-hash", "by-ga4", "by-mp", "by-data-tag", "by-x")
        reported = [
            await asyncio.to_thread(_command, tmp_path / "twite.toml", "show", id_) for id_ in ids
        ]
        reported.append(
            await asyncio.to_thread(_command, tmp_path / "twite.toml", "dead", "list", "--json")
        )
        await stage.stop()

    shown = {
        f"page {number}": page.text for number, page in enumerate((*listed, *histories, *others))
    }
    shown |= {f"heap {number}": page.text for number, page in enumerate(error_groups)}
    shown |= {f"command {number}": text for number, text in enumerate(reported)}
    shown |= {"export": export.text, "log": log.getvalue()}
    assert len(histories) >= 11
    assert [(where, what) for where, text in shown.items() for what in _found(text)] == []
    assert all(f"{id_}  event" in text for id_, text in zip(ids, reported, strict=False))


def _found(text):
    return [what for what, secret in KNOWN.items() if secret in text]


async def _submitted(url):
    cookies = {"Cookie": f"session={KNOWN['cookie']}; _fbp={KNOWN['fbp']}"}
    bearer = {"Authorization": f"Bearer {KEY}"}
    token = {"X-Pixel-Token": "emulator-pixel-token-o6dkt"}
    measured = {
        "client_id": KNOWN["client id"],
        "user_id": KNOWN["user id"],
        "events": [{"name": "purchase", "params": EVENT | {"transaction_id": "by-mp"}}],
        "user_data": {"sha256_email_address": [HASH]},
    }
    said = (
        ("/v1/conversions", {"conversions": [NATIVE, HASHED]}, bearer),
        (HIT, None, {}),
        (f"/mp/collect?measurement_id=G-1&api_secret={KEY}", measured, {}),
        (f"/data?v=2&api_secret={KEY}", EVENT | {"transaction_id": "by-data-tag"}, bearer),
        ("/12/measurement/conversions/o6dkt", X_SHAPED, token),
    )
    async with aiohttp.ClientSession(headers=cookies) as http:
        for path, body, headers in said:
            async with http.post(f"{url}{path}", json=body, headers=headers) as answer:
                assert answer.status < 300, (path, await answer.text())


async def _refused(url):
    """Wait until X and the vendor have refused a few requests."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        for _ in range(300):
            async with http.get(f"{url}/v1/conversions/o8z6j/by-native") as answer:
                sent = (await answer.json())["attempts"]
            async with http.get(f"{url}/v1/conversions/tag:crm/by-native") as answer:
                ran = (await answer.json())["attempts"]
            if sent and ran:
                return
            await asyncio.sleep(0.1)
    raise AssertionError("nobody answers")


@contextlib.asynccontextmanager
async def _echoing():
    """X and a vendor, which refuse and report the requests."""

    async def refuse(request):
        came = (await request.read()).decode()
        if request.path == "/in":
            return web.Response(status=422, text=came)
        said = f"bad: {came}"[:400]
        errors = [{"code": "INVALID_PARAMETER", "message": said, "parameter": "identifiers"}]
        return web.Response(status=400, text=json.dumps({"errors": errors, "came": came}))

    application = web.Application()
    application.router.add_route("*", "/{any:.*}", refuse)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
