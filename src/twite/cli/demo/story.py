"""The steps of the demo, and the requests of its buyers' browsers.

This module sends the requests itself, without a browser. With --stay, you can use your own browser
as well.
"""

import csv
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import msgspec

from twite.cli.demo.campaigns import click_ads
from twite.cli.demo.processes import PIXEL, TOKEN, DemoProcesses, failed
from twite.cli.demo.shop import send

BUYERS: Final = 40
# Ad blockers block X's script for some buyers. Some pages use a generated conversion id.
BLOCKED: Final = 4
RENAMED: Final = 2
# Orders that X refuses however often they are sent: they become dead letters.
REFUSED: Final = 2
_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
LIMITED_FOR: Final = 3  # seconds
# The ids of the shop's order and of the script's sign-ups.
_ORDER: Final = "order-1001"
_SIGN_UP: Final = "script-"
_DRAINED_WITHIN: Final = 90  # seconds
_BAD: Final = {
    "errors": [
        {
            "code": "INVALID_PARAMETER",
            "message": "At least one user identifier must be provided",
            "parameter": "",
        }
    ],
    "request": {"params": {"account_id": "18ce54d4x5t"}},
}


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    """Conversion ids: those that X's pixel sent, those of the shop's orders, and generated ones."""

    fired: tuple[str, ...]
    orders: tuple[str, ...]
    renamed: tuple[str, ...]


def buy(demo: DemoProcesses, rows: Sequence[Mapping[str, str]]) -> Purchase:
    """Send the pixel hits and beacons of the first buyers' pages."""
    fired: list[str] = []
    named: list[str] = []
    renamed: list[str] = []
    for place, row in enumerate(rows):
        conversion_id, pixel_call = row["order_id"], "loaded"
        if place < BLOCKED:
            pixel_call = "blocked"
        elif place < BLOCKED + RENAMED:
            conversion_id = f"page-{place}"
            renamed.append(conversion_id)
        if pixel_call == "loaded":
            fired.append(conversion_id)
        if conversion_id == row["order_id"]:
            named.append(conversion_id)
        _send_beacon(demo, row, conversion_id, pixel_call)
    for conversion_id in fired:
        _fire_pixel(demo, conversion_id)
    return Purchase(fired=tuple(fired), orders=tuple(named), renamed=tuple(renamed))


def _rows(orders: Path) -> list[dict[str, str]]:
    """Return purchases with a click id, which the gateway accepts, each with a different id."""
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
    return list(found.values())


def _send_beacon(
    demo: DemoProcesses, row: Mapping[str, str], conversion_id: str, pixel_call: str
) -> None:
    now = int(time.time() * 1_000)
    conversion = {
        "event": "purchase",
        "conversion_id": conversion_id,
        "at": now,
        "pixel": pixel_call,
        "value": row["total"],
        "currency": row["currency"],
        "twclid": row["twclid"],
        "url": f"{demo.shop.url}/thanks",
    }
    message = {"v": 1, "sent": now, "conversions": [conversion]}
    headers = {
        "Content-Type": "text/plain;charset=UTF-8",
        "Origin": demo.shop.url,
        "User-Agent": _AGENT,
    }
    send(demo.gateway_url, "POST", "/t?s=shop", message, headers)


def _fire_pixel(demo: DemoProcesses, conversion_id: str) -> None:
    """Send the request that X's pixel sends from a browser. [seen 3P]"""
    parameters = {
        "txn_id": "o8z6k",
        "p_id": "Twitter",
        "p_user_id": 0,
        "event": json.dumps({"conversion_id": conversion_id}),
        "version": "2.4.11",
    }
    send(demo.emulator.url, "GET", f"/1/i/adsct?{urlencode(parameters)}")


class DemoStory(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the demo: the purchases, the ids that X refuses, and what became of the file.

    `drained`: the outbox is empty.
    """

    purchase: Purchase
    refused: tuple[str, ...]
    drained: bool
    report: Path


def play(demo: DemoProcesses, orders: Path, step: Callable[[str], None]) -> DemoStory:
    """Run the demo; return its result. `step` receives what happens. Raises DemoFailed."""
    step(f"The gateway is on {demo.gateway_url}, the emulator of X on {demo.emulator.url}")
    rows = _rows(orders)
    click_ads(demo.emulator, rows[:BUYERS], rows[BUYERS:])
    bought = buy(demo, rows[:BUYERS])
    step(
        f"{BUYERS} buyers' pages send beacons; X's pixel reports {len(bought.fired)} of the orders"
    )
    _watch(demo)
    refused = tuple(row["order_id"] for row in rows[BUYERS : BUYERS + REFUSED])
    _arm(demo, refused)
    step(f"X will refuse one batch and {len(refused)} orders, lose one response and limit the rate")
    report = demo.folder / "report.csv"
    step(f"twite send {orders.name} --older send")
    _send_file(demo, orders, report)
    step("A script posts 3 sign-ups in X's own format; only the host has changed")
    _send_as_to_x(demo)
    step("The shop posts one more order twice, like a client that lost the response")
    _send_twice(demo)
    step("The gateway sends what is pending")
    return DemoStory(purchase=bought, refused=refused, drained=_watch(demo), report=report)


def _send_file(demo: DemoProcesses, orders: Path, report: Path) -> None:
    command = ("send", str(orders), "--report", str(report), "--older", "send", "--yes", "--json")
    ran = demo.twite(*command, quiet=True)
    # The exit code is also 1 if rows were rejected, as some rows of the example are.
    try:
        (result,) = json.loads(ran.stdout)["files"]
    except (ValueError, KeyError):
        raise failed(command, ran) from None
    if result["not_sent"]:
        raise failed(command, ran)


def _arm(demo: DemoProcesses, refused: Iterable[str]) -> None:
    for conversion_id in refused:
        holding = f'"conversion_id":"{conversion_id}"'
        demo.emulator.fault("status", status=400, body=json.dumps(_BAD), count=0, holding=holding)
    demo.emulator.fault("status", status=400, body=json.dumps(_BAD), after=1)
    # Requests after the file's: in a bisect, they would make the rest of it wait for a minute.
    demo.emulator.fault("drop_answer", holding=f'"{_ORDER}"')
    demo.emulator.fault("rate_limit", seconds=LIMITED_FOR, holding=f'"{_SIGN_UP}0"')


def _send_as_to_x(demo: DemoProcesses) -> None:
    conversions = [
        {
            "conversion_time": "2026-11-24T10:00:00.000Z",
            "event_id": "tw-o8z6j-o8z6m",
            "identifiers": [{"twclid": f"2-demoscript{number}"}],
            "conversion_id": f"{_SIGN_UP}{number}",
        }
        for number in range(3)
    ]
    path, token = f"/12/measurement/conversions/{PIXEL}", {"X-Pixel-Token": TOKEN}
    send(demo.gateway_url, "POST", path, {"conversions": conversions}, token)


def _send_twice(demo: DemoProcesses) -> None:
    order = {
        "event": "purchase",
        "conversion_id": _ORDER,
        "value": "49.90",
        "currency": "EUR",
        "email": "Shopper@Mail.Internal ",
        "phone": "+44 20 7946 0958",
    }
    for _ in range(2):
        send(demo.gateway_url, "POST", "/v1/conversions", order, demo.shop.headers)


def _watch(demo: DemoProcesses) -> bool:
    """Wait until nothing is pending; return False after too long."""
    end = time.monotonic() + _DRAINED_WITHIN
    while demo.pending():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True
