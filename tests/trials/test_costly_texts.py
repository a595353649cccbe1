"""Texts made to be costly: what a request that shows no key costs, for each kB of it."""

import base64
import contextlib
import json
import os
from itertools import count
from pathlib import Path
from random import Random
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from house import wait_for
from test_tag_destination import with_tag
from vendor import Vendor

LENGTH = 45_000
TIMES = 2
IDS = count()
CLICK = "23opevjt88psuo13lu8d020qkn"
PAGE = "https://shop.example"
BROWSER = {"Origin": PAGE, "Content-Type": "text/plain"} | {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"
}
# Milliseconds of CPU for each kB, with room for a busy machine.
MOST = 12.0
PIECES = {
    "numbers glued to letters": "a+123456789",
    "numbers that a country has given out": "a+442079460016",
    "numbers of the right length": "a+12005550123 ",
    "numbers after 00": "0012 3456789 ",
    "digits and separators": "+1 2-3",
    "tel": "tel:1 ",
    "base 64 of numbers": f"{base64.b64encode(b'a@a+123456789a+12').decode().rstrip('=')} ",
    "base 64 in parts": "YUBhK2FAYSs-",
    "percent-encoded": "a%2B123456789",
    "percent-encoded over and over": "%252525",
    "@": "@",
    "a@": "a@",
    "pairs": "a=b&",
    "addresses in addresses": "https://a.b/?x=https%3A%2F%2Fa.b%2F%3Fx%3D",
    "entities": "&#43;1&#64;",
}
TEXTS = {name: (piece * LENGTH)[:LENGTH] for name, piece in PIECES.items()} | {
    "base 64": base64.b64encode(Random(1).randbytes(LENGTH)).decode()[:LENGTH]
}

pytestmark = pytest.mark.journey


def test_no_text_costs_much_more_than_its_length(tmp_path, x_emulator, figure):
    vendor = Vendor()
    gateway = with_tag(tmp_path, x_emulator.url, vendor, events="[]")
    told = gateway.config.read_text()
    gateway.config.write_text(told.replace('name = "shop"', f'name = "shop"\norigins = ["{PAGE}"]'))
    costs = {}
    with vendor, gateway:
        for name, text in {"warm": TEXTS["numbers glued to letters"], **TEXTS}.items():
            several = {f"k{at}": text[at : at + 30] for at in range(0, LENGTH // 2, 30)}
            for shape, said in (
                ("one text", {"x": text}),
                ("texts of 30", several),
                ("an address", {"page_location": f"{PAGE}/?q={text}"}),
            ):
                size, cost = _cost(gateway, said)
                costs[name, shape] = cost * 1_000 / (size / 1_000)

        wait_for(lambda: vendor.count() > len(PIECES))
    told = {key: cost for key, cost in costs.items() if key[0] != "warm"}
    for (name, shape), cost in told.items():
        print(f"{name}, {shape}: {cost:.1f} ms")
    worst, plain = max(told, key=told.__getitem__), min(told.values())
    figure(
        "a costly text costs bounded CPU",
        f"{len(told)} texts: at worst {told[worst]:.1f} ms of CPU a kB ({', '.join(worst)}), "
        f"at best {plain:.1f}",
    )
    assert told[worst] < MOST


def _cost(gateway, event):
    """Return the size of the request and its seconds of CPU."""
    before = _burned(gateway)
    for _ in range(TIMES):
        order = {"event_name": "purchase", "transaction_id": f"W-{next(IDS)}", "twclid": CLICK}
        body = json.dumps(order | event).encode()
        # 413 where what is kept of it is longer than what came.
        with contextlib.suppress(HTTPError):
            urlopen(Request(f"{gateway.url}/data?v=2", body, BROWSER), timeout=60).close()
    return len(body), (_burned(gateway) - before) / TIMES


def _burned(gateway):
    fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
