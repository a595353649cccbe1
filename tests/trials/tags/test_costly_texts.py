"""Texts that are slow to search: the CPU time per kB of a request without a key."""

import base64
import contextlib
import json
import os
from functools import cache
from itertools import count, product
from pathlib import Path
from random import Random
from string import ascii_letters
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from gateway_processes import wait_for
from test_tag_destination import with_tag
from vendor import Vendor

LENGTH = 45_000
SEARCHED = 15_000  # longer texts are not searched
LONGEST = 58_000  # more than 8,192 names; a page sends 64 kB
TIMES = 2 if os.environ.get("TWITE_TRIAL") else 1
IDS = count()
CLICK = "23opevjt88psuo13lu8d020qkn"
PAGE = "https://shop.example"
BROWSER = {"Origin": PAGE, "Content-Type": "text/plain"} | {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"
}
# CPU milliseconds per kB, with a margin for a busy machine.
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
    "words for phone": "0call 555]011",
    "area codes": "(415) 555-01 ",
    "escapes in escapes": "&#37;25&#37;252541",
}


@cache
def _names():
    return ["".join(letters) for letters in product(ascii_letters, repeat=3)]


def _pairs(begin="", end=""):
    pairs = "&".join(f"{begin}{name}{end}=x" for name in _names())
    return f"{pairs[:LONGEST]}&z=%25252541&%25252574el=5"


def _texts():
    return {name: (piece * LENGTH)[:LENGTH] for name, piece in PIECES.items()} | {
        "base 64": base64.b64encode(Random(1).randbytes(LENGTH)).decode()[:LENGTH],
        # More names than any cache holds, in an order without cache hits.
        "distinct names": _pairs(),
        "distinct names that end like a phone's": _pairs(end="no"),
        "distinct names behind an owner": _pairs("work"),
        "names in JSON": ",".join(f'"{name}":1' for name in _names())[:LENGTH],
        "letters that stand for many": "\ufdfa" * (LENGTH // 3),
        "no-break blanks": "\u00a0" * (LENGTH // 2),
        "backslashes": "\\" * LENGTH,
    }


pytestmark = pytest.mark.journey


def test_cost_of_any_text_is_proportional_to_its_length(tmp_path, x_emulator, figure):
    vendor = Vendor()
    gateway = with_tag(tmp_path, x_emulator.url, vendor, events="[]")
    reported = gateway.config.read_text()
    gateway.config.write_text(
        reported.replace('name = "shop"', f'name = "shop"\norigins = ["{PAGE}"]')
    )
    costs = {}
    texts = _texts()
    with vendor, gateway:
        for name, text in {"warm": texts["numbers glued to letters"], **texts}.items():
            parts = [text[at : at + SEARCHED] for at in range(0, len(text), SEARCHED)]
            short = {f"k{at}": text[at : at + 30] for at in range(0, len(text) // 2, 30)}
            address = f"{PAGE}/?q={text[:SEARCHED]}"
            for shape, said in (
                ("one text", {"x": text}),
                ("three texts", {f"x{at}": part for at, part in enumerate(parts)}),
                ("texts of 30", short),
                ("an address", {"page_location": address}),
            ):
                costs[name, shape] = _cost(gateway, lambda said=said: _event(said))
            # A beacon holds 64 kB.
            conversions = [{"description": parts[0]}, {"url": address}, {"search": parts[-1]}]
            if not text.isascii():
                conversions = conversions[:1]
            costs[name, "the script's"] = _cost(gateway, lambda given=conversions: _beacon(given))

        wait_for(lambda: vendor.count() > len(PIECES))
    reported = {key: cost for key, cost in costs.items() if key[0] != "warm"}
    for (name, shape), cost in reported.items():
        print(f"{name}, {shape}: {cost:.1f} ms")
    worst, plain = max(reported, key=reported.__getitem__), min(reported.values())
    figure(
        "a costly text costs bounded CPU",
        f"{len(reported)} texts: at most {reported[worst]:.1f} ms CPU a kB ({', '.join(worst)}), "
        f"at best {plain:.1f}",
    )
    assert reported[worst] < MOST


def _event(said):
    order = {"event_name": "purchase", "transaction_id": f"W-{next(IDS)}", "twclid": CLICK}
    return "/data?v=2", order | said


def _beacon(conversions):
    given = [
        {"event": "purchase", "conversion_id": f"W-{next(IDS)}", "twclid": CLICK} | said
        for said in conversions
    ]
    return "/t?s=shop", {"v": 1, "sent": 1, "conversions": given}


def _cost(gateway, request):
    """Return the milliseconds of CPU for each kB of a request."""
    before = _burned(gateway)
    for _ in range(TIMES):
        path, said = request()
        body = json.dumps(said, ensure_ascii=False).encode()
        # The answer is 413 if the stored form, which may be longer than the request, is too long.
        with contextlib.suppress(HTTPError):
            urlopen(Request(f"{gateway.url}{path}", body, BROWSER), timeout=60).close()
    return (_burned(gateway) - before) / TIMES * 1_000 / (len(body) / 1_000)


def _burned(gateway):
    fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
