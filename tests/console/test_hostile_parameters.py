"""Request parameters never reach the log unmasked."""

import io

import aiohttp
import pytest
from console_stage import PEOPLE, SETTINGS, ConsoleStage

from twite.observers.log import LineLogger

pytestmark = pytest.mark.asyncio

SIGNED_IN = (
    "/console/conversions",
    "/console/problems",
    "/console/problems/x",
    "/console/people/audit",
)
ASKED = ("id", "pixel", "event", "state", "reason", "before", "at")
HOSTILE = (
    "<script>alert(1)</script>",
    "\u202eeldnah\u202c",
    "\x1b[31mred\x07\r\nlevel=info forged=yes",
    "Z" * 4_000,
)
NEVER = ("<script>alert", "\u202e", "\x1b[31mred", "\x07", "\nlevel=info forged", "Z" * 300)


async def test_query_parameters_are_not_logged(tmp_path, capsys, caplog):
    settings = SETTINGS.replace('level = "error"', 'level = "debug"')
    stage = ConsoleStage(tmp_path, settings)
    await stage.start(people={"ada": PEOPLE["ada"]})
    admin = await stage.signed_in("ada")

    for hostile in HOSTILE:
        for path in SIGNED_IN:
            await _ask(admin, path, dict.fromkeys(ASKED, hostile))
            await _ask(admin, f"{path}/x", {"q": hostile})
        await admin.post("/console/problems/replays", {"state": "dead", "reason": hostile})
    await admin.ask("POST", "/console/problems/replays", body=io.BytesIO(b"reason=" + b"Z" * 2**20))
    for hostile in HOSTILE:
        await admin.sign_in(hostile, hostile)
    await stage.stop()
    LineLogger(level="debug", as_json=False).write("info", "said last")

    logged = capsys.readouterr().err + caplog.text
    assert "said last" in logged
    assert [text for text in NEVER if text in logged] == []


async def _ask(visitor, path, query):
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    async with (
        aiohttp.ClientSession(headers={"Cookie": cookie}) as http,
        http.get(visitor.url + path, params=query, allow_redirects=False) as answer,
    ):
        assert answer.status < 500
