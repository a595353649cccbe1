"""A tag that loops, exhausts memory or floods does not slow down a pixel and another tag.

The promise is a ratio: the speed of the pixel and the good tag next to the hostile one, relative to
a harmless one, as the median of rounds. It is asserted in the long form only. The speed relative to
no third tag is reported, too; it includes the cost of any third tag's rows.
"""

import asyncio
import os
import shutil
import statistics
import time
from pathlib import Path

import pytest

from gateway_process import GatewayProcess

LONG = os.environ.get("TWITE_TRIAL") == "1"
KEY = "a-key-of-sixteen-or-more"
CONVERSIONS = 2_000 if LONG else 100
EACH = 20
ROUNDS = 6 if LONG else 1
TEMPLATE = Path(__file__).parents[2] / "tags/templates/crm_post.tpl"
HOSTILE = {
    "loops": "while (true) {}",
    "bombs memory": "const all = []; while (true) all.push([all.length, 'xxxxxxxx']);",
    "floods requests": (
        "for (let i = 0; i < 10000; i++) "
        "sendHttpRequest(data.endpoint, {method: 'POST', timeout: 2000}, '{}');"
    ),
}
WATCHED = ("o8z6j", "tag:good")
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
    """Accepts any request with 200, in this loop."""

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


def took(folder: Path, x: str, vendor: str, third: str | None) -> dict[str, float]:
    """Return the seconds until the pixel and the good tag had received the whole load.

    `third` is the behavior of a third tag; None for no third tag.
    """
    folder.mkdir()
    shutil.copy(TEMPLATE, folder / "good.tpl")
    code = TEMPLATE.read_text().replace("const body =", f"{third}\nconst body =")
    (folder / "bad.tpl").write_text(code)
    bad = "" if third is None else BAD.format(vendor=vendor)
    config = folder / "twite.toml"
    config.write_text(SETTINGS.format(x=x, vendor=vendor, hostile=bad, key=KEY))
    gateway = GatewayProcess(config, note=folder / "twite.db.gateway", key=KEY)
    return _loaded(gateway)


def _loaded(gateway: GatewayProcess) -> dict[str, float]:
    done: dict[str, float] = {}
    with gateway:
        began = time.perf_counter()
        for first in range(0, CONVERSIONS, EACH):
            gateway.post({"conversions": [bought(first + number) for number in range(EACH)]})
        while len(done) < 2:
            assert time.perf_counter() - began < 240, "it took too long"
            for row in gateway.get("/v1/accounting")[1]["by"]:
                if row["pixel"] in WATCHED and row["delivered"] == CONVERSIONS:
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
async def test_hostile_tag_does_not_slow_down_the_pixel_and_other_tags(
    kind, tmp_path, x_emulator, figure
):
    x_emulator.switch(rate_limit=1_000_000_000)
    sink = Sink()
    await sink.start()
    kinds = {"without": None, "harmless": HARMLESS, "hostile": HOSTILE[kind]}
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    try:
        for number in range(ROUNDS):
            # In alternating order, so that other load on the machine affects all equally.
            for name, third in list(kinds.items())[:: -1 if number % 2 else 1]:
                folder = tmp_path / f"{number}.{name}"
                found = await asyncio.to_thread(took, folder, x_emulator.url, sink.url, third)
                seconds[name].append(found)
    finally:
        await sink.stop()

    pixel, tag = (pace(seconds["hostile"], seconds["harmless"], name) for name in WATCHED)
    pixel_more, tag_more = (pace(seconds["hostile"], seconds["without"], name) for name in WATCHED)
    figure(
        f"beside a tag that {kind}",
        f"{CONVERSIONS:,} conversions, {ROUNDS} rounds: the pixel keeps {pixel:.2f} of its pace "
        f"beside a harmless one, another tag {tag:.2f}; of that without a third tag "
        f"{pixel_more:.2f} and {tag_more:.2f}",
    )
    if LONG:
        assert pixel >= 0.95
        assert tag >= 0.95


def pace(hostile: list[dict[str, float]], other: list[dict[str, float]], pixel: str) -> float:
    """Return the speed of `pixel` beside a hostile tag, divided by that in the `other` runs.

    This is the median over the rounds.
    """
    return statistics.median(
        beside[pixel] / seconds[pixel] for seconds, beside in zip(hostile, other, strict=True)
    )
