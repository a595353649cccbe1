"""A tag that loops, bombs or floods, beside a pixel and another tag: those keep their pace.

The promise is a ratio: the time that a load takes for the pixel and the good tag beside the hostile
one, over that beside a harmless one, in one run. It is asserted in the long form only.
"""

import asyncio
import os
import shutil
import statistics
import time
from pathlib import Path

import pytest

from twite.testing.gateway import GatewayProcess

LONG = os.environ.get("TWITE_TRIAL") == "1"
KEY = "a-key-of-sixteen-or-more"
CONVERSIONS = 2_000 if LONG else 100
EACH = 20
ROUNDS = 5 if LONG else 1
TEMPLATE = Path(__file__).parents[1] / "templates/crm_post.tpl"
HOSTILE = {
    "loops": "while (true) {}",
    "bombs memory": "const all = []; while (true) all.push([all.length, 'xxxxxxxx']);",
    "floods requests": (
        "for (let i = 0; i < 10000; i++) "
        "sendHttpRequest(data.endpoint, {method: 'POST', timeout: 2000}, '{}');"
    ),
}
HARMLESS = "return data.gtmOnSuccess();"
SETTINGS = """
[server]
listen = "127.0.0.1:0"
[x]
api_url = "{x}"
rate = 10000000
[log]
level = "error"
[[pixel]]
id = "o8z6j"
auth = {{ pixel_token = "emulator-pixel-token-o8z6j" }}
events = {{ purchase = "o8z6k" }}
[[source]]
name = "shop"
key = "{key}"
pixel = "o8z6j"
[[tag]]
name = "good"
template = "good.tpl"
in_flight = 16
rate = 10000000
allow_hosts = ["127.0.0.1"]
fields = {{ endpoint = "{vendor}" }}
{hostile}
"""
BAD = """
[[tag]]
name = "bad"
template = "bad.tpl"
rate = 10000000
allow_hosts = ["127.0.0.1"]
fields = {{ endpoint = "{vendor}" }}
"""


class Sink:
    """Takes any request and says 200, in this loop."""

    def __init__(self) -> None:
        self.url = ""
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/in"

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                await reader.readexactly(length)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def took(folder: Path, x: str, vendor: str, hostile: str | None) -> dict[str, float]:
    """Return the seconds until the pixel, and the good tag, had all of the load."""
    folder.mkdir()
    shutil.copy(TEMPLATE, folder / "good.tpl")
    code = TEMPLATE.read_text().replace("const body =", f"{hostile or HARMLESS}\nconst body =")
    (folder / "bad.tpl").write_text(code)
    bad = BAD.format(vendor=vendor)
    config = folder / "twite.toml"
    config.write_text(SETTINGS.format(x=x, vendor=vendor, hostile=bad, key=KEY))
    gateway = GatewayProcess(config, note=folder / "twite.db.gateway", key=KEY)
    return _loaded(gateway)


def _loaded(gateway: GatewayProcess) -> dict[str, float]:
    done: dict[str, float] = {}
    with gateway:
        began = time.perf_counter()
        for first in range(0, CONVERSIONS, EACH):
            gateway.post({"conversions": [bought(first + one) for one in range(EACH)]})
        while len(done) < 2:
            assert time.perf_counter() - began < 240, "it took too long"
            for row in gateway.get("/v1/accounting")[1]["by"]:
                if row["pixel"] in {"o8z6j", "tag:good"} and row["delivered"] == CONVERSIONS:
                    done.setdefault(row["pixel"], time.perf_counter() - began)
            time.sleep(0.02)
    return done


def bought(number: int) -> dict[str, object]:
    return {
        "event": "purchase",
        "conversion_id": f"order-{number}",
        "value": "49.90",
        "currency": "EUR",
        "email": f"s{number}@mail.example",
    }


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("kind", HOSTILE if LONG else ["loops"])
async def test_a_hostile_tag_costs_its_own_runs_alone(kind, tmp_path, x_emulator, figure):
    x_emulator.switch(rate_limit=1_000_000_000)
    sink = Sink()
    await sink.start()
    ratios: dict[str, list[float]] = {"o8z6j": [], "tag:good": []}
    try:
        for number in range(ROUNDS):
            # Side by side, in turn: what else the machine does meets both alike.
            folder = tmp_path / f"{number}"
            alone = await asyncio.to_thread(
                took, folder.with_suffix(".alone"), x_emulator.url, sink.url, None
            )
            beside = await asyncio.to_thread(
                took, folder.with_suffix(".beside"), x_emulator.url, sink.url, HOSTILE[kind]
            )
            for pixel, found in ratios.items():
                found.append(beside[pixel] / alone[pixel])
    finally:
        await sink.stop()

    pixel, tag = (statistics.median(found) for found in ratios.values())
    figure(
        f"beside a tag that {kind}",
        f"{CONVERSIONS:,} conversions, {ROUNDS} rounds: the pixel takes {pixel:.2f} of its time "
        f"beside a harmless one, another tag {tag:.2f}",
    )
    if LONG:
        assert pixel <= 1.1
        assert tag <= 1.1
