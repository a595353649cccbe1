"""One person in every spelling on every route: no stored copy and no page contains the person."""

import asyncio
import contextlib
import io
import json
import os
import re
import shutil
from itertools import islice
from pathlib import Path
from urllib.parse import quote, urlencode

import aiohttp
import pytest
from aiohttp import web
from console_stage import PEOPLE, SETTINGS, ConsoleStage
from test_hostile_fields import TAG, _command

from canaries import NAME, PHONE, ROWS, SPELLINGS, found_in

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.journey]

LONG = os.environ.get("TWITE_TRIAL") == "1"
KEY = "a-source-key-of-some-length"
TEMPLATE = Path(__file__).parents[2] / "tags/templates/crm_post.tpl"
CLICK = "23opevjt88psuo13lu8d020qkn"
PAGE = "https://shop.example/u/{0}/thanks?q={0}&utm_term={0}#{0}"
# Console pages that list received conversions.
SHOWN = ("", "/conversions", "/conversions?state=dead", "/match-keys", "/people/audit",
         "/problems", "/problems/amounts", "/deduplication",
         "/pixels", "/pixels/o8z6j")  # fmt: skip


def _native(name, number):
    """Conversions with the person in their text fields; the last one has an unknown field."""
    texts = {
        "description": f"for {name}",
        "search": name,
        "url": PAGE.format(quote(name, safe="%")),
    }
    line = {"id": name, "name": f"gift for {name}", "group": name, "type": name}
    order = {"event": "purchase", "conversion_id": f"native-{number}", "twclid": CLICK}
    order |= texts | {"user_agent": f"robot ({name})", "ip": "203.0.113.7", "contents": [line]}
    return [
        order,
        order | {"conversion_id": name},
        order | {"conversion_id": f"wrong-{number}", "currency": name, "value": name},
        order | {"event": name},
        order | {name: name},
    ]


def _x_shaped(name, number):
    line = {"content_id": name, "content_name": f"gift for {name}", "content_type": name}
    return {
        "conversion_time": "2026-11-25T09:00:00.000Z",
        "event_id": "o8z6k",
        "conversion_id": f"x-{number}",
        "description": f"*** {name}",
        "search_string": name,
        "event_source_url": PAGE.format(quote(name, safe="%")),
        "contents": [line],
        "identifiers": [{"twclid": CLICK, "ip_address": "203.0.113.7", "user_agent": name}],
    }


def _event(name, number):
    return {
        "event_name": "purchase", "transaction_id": f"tag-{number}", "twclid": CLICK,
        "note": f"for {name}", name: "x", "custom": {"deep": [name]},
        "packed": json.dumps({"a": name}),
        "page_location": PAGE.format(quote(name, safe="%")), "description": name,
        "note_attributes": ROWS, "fields_in_text": json.dumps({"fields": ROWS}),
        "custom_fields": {"deep": ROWS}, "landline": "02079460016", "purchaser_name": NAME,
        "cust_phone": PHONE, "tel_nr": PHONE, "vorname": NAME, "items": [{"item_name": name}],
    }  # fmt: skip


def _text(value):
    return json.dumps(value) if isinstance(value, list | tuple | dict) else f"{value}"


def _submissions():
    """Yield (path, headers, body) of the requests.

    In the short form, each spelling is in every third request, and each request has every third
    spelling.
    """
    for number, spelling in enumerate(SPELLINGS.values()):
        first, step = (0, 1) if LONG else (-number % 3, 3)
        yield from islice(_requests_with(spelling, number), first, None, step)


def _requests_with(spelling, number):
    bearer = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    token = {"X-Pixel-Token": "emulator-pixel-token-o6dkt", "Content-Type": "application/json"}
    page = {"Origin": "https://shop.example", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"}
    orders = _native(spelling, number)
    for order in orders:
        yield "/v1/conversions", bearer, order
    yield "/v1/conversions", bearer, {"conversions": orders}
    of_x = _x_shaped(spelling, number)
    ours = of_x | {"event_id": "o6dkv"}
    for said in (ours, ours | {"conversion_id": spelling}, ours | {"event_id": spelling}):
        yield "/12/measurement/conversions/o6dkt", token, {"conversions": [said]}
    for said in (of_x, of_x | {"conversion_id": spelling}):
        proxied = {"pixel_id": "o8z6j", "conversions": [said]}
        yield f"/stape-api/{KEY}/v1/twitter/auth-proxy", {}, proxied
    event = _event(spelling, number)
    for said in (event, event | {"transaction_id": spelling}, event | {"event_name": spelling}):
        yield f"/data?v=2&api_secret={KEY}&x={quote(spelling)}", bearer, said
        yield "/v1/sgtm", bearer, {"event": said}
        params = {key: value for key, value in said.items() if key != "event_name"}
        measured = {"client_id": "1.2", "events": [{"name": "purchase", "params": params}]}
        yield f"/mp/collect?measurement_id=G-1&api_secret={KEY}", {}, measured
        hit = {f"ep.{key}": _text(value) for key, value in params.items()}
        hit |= {"v": "2", "tid": "G-1", "en": said["event_name"], "cid": "1.2"}
        hit |= {"dl": said["page_location"], "api_secret": KEY, "pr1": f"idA~nm{spelling}~qt1"}
        yield f"/g/collect?{urlencode(hit)}", page, None
    beacon = {"v": 1, "sent": 1, "conversions": orders}
    yield "/t?s=shop", page, beacon


async def test_no_stored_copy_and_no_page_contains_the_person(tmp_path):
    log = io.StringIO()
    shutil.copy(TEMPLATE, tmp_path / "crm.tpl")
    settings = SETTINGS.replace('level = "error"', 'level = "debug"').replace(
        'key = "a-source-key', 'origins = ["https://shop.example"]\nkey = "a-source-key', 1
    )
    hashed = TAG.replace('name = "crm"', 'name = "crm"\npersons = "hashed"')
    sent: list[bytes] = []
    async with _refusing(sent) as x:
        with contextlib.redirect_stderr(log):
            stage = ConsoleStage(tmp_path, settings + hashed, x=x)
            await stage.start(people={"ada": PEOPLE["ada"]})
        said, statuses = await _submitted(stage.gateway.url)
        kept = {"answers": "\n".join(said), "metrics": await _metrics(stage)}
        admin = await stage.signed_in("ada")
        for path in SHOWN:
            kept[f"page {path}"] = (await admin.get(f"/console{path}")).text
        numbers = set(re.findall(r'href="/console/conversions/(\d+)"', "".join(kept.values())))
        for number in sorted(numbers)[:60]:
            kept[f"life {number}"] = (await admin.get(f"/console/conversions/{number}")).text
        kept["export"] = (await admin.post("/console/conversions/export", {})).text
        for args in (["dead", "list", "--json"], ["show", "native-0", "--json"], ["rejected"]):
            kept[f"twite {args}"] = await asyncio.to_thread(
                _command, tmp_path / "twite.toml", *args
            )
        # The write-ahead log still exists at this point.
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        disk = {path.name: path.read_bytes() for path in files if path.name != "twite.toml"}
        await stage.stop()

    everything = {where: text.encode() for where, text in kept.items()} | disk
    everything |= {"log": log.getvalue().encode(), "sent to X and the vendor": b"\n".join(sent)}
    assert "twite.db-wal" in disk
    assert statuses >= {200, 202, 400, 422}
    assert numbers
    assert {where: found for where, held in everything.items() if (found := found_in(held))} == {}


async def _submitted(url):
    said, statuses = [], set()
    async with aiohttp.ClientSession() as http:
        for path, headers, body in _submissions():
            async with http.post(f"{url}{path}", json=body, headers=headers) as answer:
                said.append(await answer.text())
                statuses.add(answer.status)
                assert answer.status < 500, (path, said[-1])
    return said, statuses


async def _metrics(stage):
    async with aiohttp.ClientSession() as http, http.get(f"{stage.gateway.url}/metrics") as answer:
        return await answer.text()


@contextlib.asynccontextmanager
async def _refusing(sent):
    """X and a vendor, which refuse everything and record the requests."""

    async def refuse(request):
        came = await request.read()
        sent.append(came)
        return web.json_response(
            {"errors": [{"code": "INVALID_PARAMETER", "message": "no", "parameter": "x"}]},
            status=400,
        )

    application = web.Application()
    application.router.add_route("*", "/{any:.*}", refuse)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
