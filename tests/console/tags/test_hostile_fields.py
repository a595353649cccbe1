"""Each field that the console shows, with each kind of hostile text: escaped, bounded, on one line.

Fields of servers, tag routes and tags, and the responses of X and a vendor. If a route refuses the
text, the test checks the refusal.
"""

import asyncio
import contextlib
import csv
import io
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from console_stage import PEOPLE, SETTINGS, ConsoleStage

import fork_server
from gateway_process import environment

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.journey]

KEY = "a-source-key-of-some-length"
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
TEMPLATE = Path(__file__).parents[2] / "tags/templates/crm_post.tpl"
KINDS = {
    "script": "<script>alert(1)</script>",
    "markup": '"><img src=x onerror=alert(1)>',
    "formula": '=HYPERLINK("https://evil.example","click")',
    "turned": "a\u202eeldnah\u202cb",
    "control": "\x1b[31mred\x07\r\nlevel=info forged=yes",
    "mebibyte": "Z" * (2**20 - 2_000),
}
NEVER = ("<script>alert", "<img src=x", "\u202e", "\u202c", "\x1b", "\x07", "Z" * 20_000)
# The maximum size of a page, whatever its content.
HEAVIEST = 400_000
NATIVE = (
    "event", "conversion_id", "time", "value", "currency", "email", "phone", "email_sha256",
    "twclid", "ip", "user_agent", "url", "description", "search", "pixel",
)  # fmt: skip
NESTED = ("contents.id", "contents.name", "contents.group", "contents.type", "consent.ad_storage")
TAGGED = (
    "name", "transaction_id", "currency", "page_location", "page_referrer", "description",
    "search_term", "custom", "items", "user_data", "user_properties", "a name",
)  # fmt: skip
FIELDS = [f"native {field}" for field in (*NATIVE, *NESTED)] + [f"mp {field}" for field in TAGGED]
PAGES = (
    "", "/conversions", "/conversions?state=dead", "/conversions?state=held", "/problems",
    "/match-keys", "/problems/amounts", "/deduplication", "/people/audit", "/pixels",
    "/pixels/o8z6j", "/system", "/sources", "/sources/shop",
)  # fmt: skip
TAG = """
[[tag]]
name = "crm"
template = "crm.tpl"
allow_hosts = ["127.0.0.1"]
fields = {{ endpoint = "{x}/in", key = "a-key-of-the-vendor" }}
"""


class Day:
    """The submissions and results: status and response by field and kind."""

    def __init__(self, stage, log):
        self.stage = stage
        self.log = log
        self.said = {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def day(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copy(TEMPLATE, folder / "crm.tpl")
    log = io.StringIO()
    settings = SETTINGS.replace('level = "error"', 'level = "debug"') + TAG
    async with _hostile_outside() as x:
        with contextlib.redirect_stderr(log):
            # A logger writes to the stderr that existed when the gateway was started.
            stage = ConsoleStage(folder, settings, x=x)
            await stage.start(people={"ada": PEOPLE["ada"]})
        day = Day(stage, log)
        async with aiohttp.ClientSession(headers=HEADERS) as http:
            for field in FIELDS:
                for kind, text in KINDS.items():
                    day.said[field, kind] = await _submitted(http, stage.gateway.url, field, text)
            await _answered(http, stage.gateway.url)
        yield day
        await stage.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(day):
    return await day.stage.signed_in("ada")


@pytest.mark.parametrize("field", FIELDS)
async def test_hostile_field_is_escaped_in_every_history(day, admin, field):
    shown = []
    for kind in KINDS:
        status, answer, conversion_id = day.said[field, kind]
        # The text is refused with a message of bounded size, or accepted and found.
        assert len(answer) < 20_000
        if status < 300:
            found = await admin.get(f"/console/conversions?{urlencode({'id': conversion_id})}")
            shown += [await admin.get(found.location)] if "/conversions/" in found.location else []
        else:
            assert status in {400, 413, 422}

    taken = [kind for kind in KINDS if day.said[field, kind][0] < 300]
    # A tag event that the pixel does not have is ignored, and has no history.
    assert shown or not taken or field == "mp name"
    assert [_faults(page.text) for page in shown] == [[]] * len(shown)


@pytest.mark.parametrize("path", PAGES)
async def test_page_with_all_hostile_fields_is_escaped_and_bounded(day, admin, path):
    page = await admin.get(f"/console{path}")

    assert page.status == 200
    # A stream is JSON, which pages insert as text, not as markup.
    is_markup = page.headers["content-type"].startswith("text/html")
    assert [fault for fault in _faults(page.text) if is_markup or "<" not in fault] == []


async def test_tag_histories_and_responses_are_escaped_and_bounded(day, admin):
    listed = (await admin.get("/console/conversions?pixel=tag:crm")).text
    numbers = re.findall(r'href="/console/conversions/(\d+)"', listed)

    histories = [await admin.get(f"/console/conversions/{number}") for number in numbers]

    assert len(histories) > 10
    assert [_faults(history.text) for history in histories] == [[]] * len(histories)


async def test_problems_and_plans_of_replays_are_escaped_and_bounded(day, admin):
    listed = (await admin.get("/console/problems")).text
    keys = sorted(set(re.findall(r"/console/problems/([0-9a-f]{12})", listed)))

    problems = [await admin.get(f"/console/problems/{key}") for key in keys]
    plans = [
        await admin.post("/console/problems/plan", {"problem": key, "which": "all"}) for key in keys
    ]

    assert problems
    assert [_faults(page.text) for page in (*problems, *plans)] == [[]] * 2 * len(problems)


async def test_export_of_hostile_fields_contains_no_formula(day, admin):
    export = await admin.post("/console/conversions/export", {})

    rows = list(csv.reader(io.StringIO(export.text, newline="")))
    assert len(rows) > 50
    assert {len(row) for row in rows} == {len(rows[0])}
    assert [cell for row in rows for cell in row if cell[:1] in set("=+-@\t\r\n")] == []
    assert "\x1b" not in export.text


async def test_commands_escape_hostile_text(day):
    config = day.stage.folder / "twite.toml"
    reported = [
        await asyncio.to_thread(_command, config, *args)
        for args in (["dead", "list"], ["dead", "list", "--json"], ["show", "field-url-script"])
    ]

    for text in reported:
        assert all(c.isprintable() or c == "\n" for c in text)
        assert len(text) < 2_000_000


async def test_hostile_fields_do_not_add_lines_to_the_log(day):
    text = day.log.getvalue()

    assert "not delivered" in text
    # Terminals do not interpret markup.
    assert [bad for bad in NEVER if bad in _plain(text) and "<" not in bad] == []
    assert [line for line in text.splitlines() if line.startswith("level=info")] == []
    assert max(map(len, text.splitlines())) < 5_000


def _faults(page):
    weight = [] if len(page) <= HEAVIEST else [f"{len(page)} characters"]
    return weight + [ascii(bad[:20]) for bad in NEVER if bad in page]


def _plain(log):
    """Return the log without color codes."""
    return re.sub(r"\x1b\[\d+m", "", log)


def _pairs(query):
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        yield name, _unquoted(value)


def _unquoted(text):
    return aiohttp.helpers.URL(f"http://x/?v={text}").query["v"]


async def _submitted(http, url, field, text):
    """Return the status, the answer, and the conversion id."""
    endpoint, _, name = field.partition(" ")
    conversion_id = f"field-{name}-{next(k for k, held in KINDS.items() if held == text)}"
    if endpoint == "mp":
        return await _measured(http, url, name, text, conversion_id)
    order = {
        "event": "purchase", "conversion_id": conversion_id, "value": "9.90", "currency": "EUR",
        "twclid": "23opevjt88psuo13lu8d020qkn",
    }  # fmt: skip
    above, _, below = name.partition(".")
    if above == "contents":
        order["contents"] = [{"id": "SKU-1", "price": "9.90", "quantity": 1, below: text}]
    elif below:
        order[above] = {below: text}
    else:
        order[above] = text
    async with http.post(
        f"{url}/v1/conversions", data=io.BytesIO(msgspec.json.encode(order))
    ) as answer:
        said = await answer.text()
        return answer.status, said, order["conversion_id"]


async def _measured(http, url, name, text, conversion_id):
    event = {"name": "purchase", "params": {"transaction_id": conversion_id, "value": 9.9}}
    event["params"] |= {"currency": "EUR", "twclid": "23opevjt88psuo13lu8d020qkn"}
    body = {"client_id": "1.2", "events": [event]}
    match name:
        case "name":
            event["name"] = text
        case "items":
            event["params"]["items"] = [{"item_id": "SKU-1", "item_name": text, "price": 1}]
        case "user_data" | "user_properties":
            body[name] = {text[:200]: {"value": text}}
        case "a name":
            event["params"][text] = "x"
        case _:
            event["params"][name] = text
    at = f"{url}/mp/collect?measurement_id=G-1&api_secret={quote(KEY)}"
    async with http.post(at, data=io.BytesIO(msgspec.json.encode(body))) as answer:
        said = await answer.text()
        # An unknown event name or an id that is too long for X is not found.
        return answer.status, said, event["params"]["transaction_id"]


@contextlib.asynccontextmanager
async def _hostile_outside():
    """X and a vendor that refuse everything, with hostile messages of each kind in turn."""
    turns = iter(range(1_000_000))

    async def refuse(request):
        await request.read()
        text = list(KINDS.values())[next(turns) % len(KINDS)]
        said = {"errors": [{"code": "INVALID_PARAMETER", "message": text, "parameter": text[:60]}]}
        if request.path == "/in":
            return web.Response(status=422, text=text)
        return web.json_response(said, status=400)

    application = web.Application(client_max_size=2**24)
    application.router.add_route("*", "/{any:.*}", refuse)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def _answered(http, url):
    """Wait until X and the vendor have answered a few requests."""
    for _ in range(300):
        async with http.get(f"{url}/v1/accounting") as answer:
            rows = (await answer.json())["by"]
        rest = {row["pixel"]: row["dead"] + row["held"] for row in rows}
        if rest.get("o8z6j", 0) > 5 and rest.get("tag:crm", -1) >= 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"nothing is answered: {rows}")


def _command(config, *args):
    done = fork_server.run(
        [sys.executable, "-m", "twite", *args, "--config", str(config)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        timeout=120,
    )
    return done.stdout + done.stderr
