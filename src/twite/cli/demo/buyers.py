"""The buyers of the demo: what their browsers request, as the first-party script would have it.

No browser is started: each request is made here. With --stay a person's own browser makes them.
"""

import csv
import http.client
import json
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from twite.cli.demo.processes import DemoProcesses

BUYERS: Final = 40
# A blocker keeps X's script from some of them, and some saw a page that made up an id of its own.
BLOCKED: Final = 4
RENAMED: Final = 2
_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    """Conversion ids: those that X's pixel fired, those of the shop's orders, and the made up."""

    fired: tuple[str, ...]
    orders: tuple[str, ...]
    renamed: tuple[str, ...]


def buy(cast: DemoProcesses, orders: Path) -> Purchase:
    """Let the first buyers' pages fire X's pixel and send their beacons."""
    fired: list[str] = []
    named: list[str] = []
    renamed: list[str] = []
    for place, row in enumerate(_rows(orders)):
        conversion_id, twin = row["order_id"], "loaded"
        if place < BLOCKED:
            twin = "blocked"
        elif place < BLOCKED + RENAMED:
            conversion_id = f"page-{place}"
            renamed.append(conversion_id)
        if twin == "loaded":
            fired.append(conversion_id)
        if conversion_id == row["order_id"]:
            named.append(conversion_id)
        _send_beacon(cast, row, conversion_id, twin)
    cast.fire_pixel("o8z6k", fired)
    return Purchase(fired=tuple(fired), orders=tuple(named), renamed=tuple(renamed))


def _rows(orders: Path) -> list[dict[str, str]]:
    """Return orders that will surely be accepted, each once: purchases with a click id."""
    with orders.open(encoding="utf-8-sig", newline="") as file:
        found = {
            row["order_id"]: row
            for row in csv.DictReader(file)
            if "order_id" in row
            and row.get("event") == "purchase"
            and row.get("twclid", "").startswith("2-")
            and row.get("currency") in {"EUR", "USD"}
            and row.get("total", "").replace(".", "", 1).isdigit()
        }
    return list(found.values())[:BUYERS]


def _send_beacon(
    cast: DemoProcesses, row: Mapping[str, str], conversion_id: str, twin: str
) -> None:
    now = int(time.time() * 1_000)
    conversion = {
        "event": "purchase",
        "conversion_id": conversion_id,
        "at": now,
        "twin": twin,
        "value": row["total"],
        "currency": row["currency"],
        "twclid": row["twclid"],
        "url": f"{cast.shop.url}/thanks",
    }
    message = json.dumps({"v": 1, "sent": now, "conversions": [conversion]})
    headers = {
        "Content-Type": "text/plain;charset=UTF-8",
        "Origin": cast.shop.url,
        "User-Agent": _AGENT,
    }
    address = urlsplit(cast.gateway_url).netloc
    with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        connection.request("POST", "/t?s=shop", message, headers)
        connection.getresponse().read()
