"""What happens in the demo, in order."""

import json
import time
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from twite.cli import printing
from twite.cli.demo.buyers import BUYERS, Purchase, buy
from twite.cli.demo.processes import PIXEL, TOKEN, DemoProcesses

LIMITED_FOR: Final = 3  # seconds
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


class DemoStory(msgspec.Struct, frozen=True, kw_only=True):
    """What the end refers to: what was bought, and whether the outbox was drained."""

    bought: Purchase
    drained: bool
    report: Path


def play(cast: DemoProcesses, orders: Path) -> DemoStory:
    """Play it; return what the end is to tell of."""
    _step("X", f"emulated on {cast.x.url}: checks what it is sent, counts, and will misbehave")
    _step("gateway", f"twite serve on {cast.gateway_url}, with SQLite in {cast.folder}")
    bought = buy(cast, orders)
    _step(
        "browsers",
        f"{BUYERS} buyers: their pages send beacons, and {len(bought.fired)} fire X's pixel",
    )
    _watch(cast)
    _arm(cast)
    _step("X", "told to refuse one batch, to lose one answer, to limit the rate once")
    report = cast.folder / "report.csv"
    _step("shop", f"twite send {orders.name}")
    printing.say("")
    cast.twite("send", str(orders), "--report", str(report), "--yes")
    printing.say("")
    _send_as_to_x(cast)
    _step("a script", "posts 3 sign-ups as it always did to X: only the host has changed")
    _send_twice(cast)
    _step("shop", "posts one more order twice, as a client does that lost an answer")
    drained = _watch(cast)
    if drained:
        _step("gateway", "nothing is pending")
    return DemoStory(bought=bought, drained=drained, report=report)


def _arm(cast: DemoProcesses) -> None:
    cast.x.fault("status", status=400, body=json.dumps(_BAD), after=1)
    cast.x.fault("drop_answer", after=4)
    cast.x.fault("rate_limit", seconds=LIMITED_FOR, after=6)


def _send_as_to_x(cast: DemoProcesses) -> None:
    conversions = [
        {
            "conversion_time": "2026-11-24T10:00:00.000Z",
            "event_id": "tw-o8z6j-o8z6m",
            "identifiers": [{"twclid": f"2-demoscript{number}"}],
            "conversion_id": f"script-{number}",
        }
        for number in range(3)
    ]
    cast.ask_gateway(
        "POST",
        f"/12/measurement/conversions/{PIXEL}",
        {"conversions": conversions},
        {"X-Pixel-Token": TOKEN},
    )


def _send_twice(cast: DemoProcesses) -> None:
    order = {
        "event": "purchase",
        "conversion_id": "order-1001",
        "value": "49.90",
        "currency": "EUR",
        "email": "Shopper@Mail.Internal ",
        "phone": "+44 20 7946 0958",
    }
    for _ in range(2):
        cast.ask_gateway("POST", "/v1/conversions", order)


def _watch(cast: DemoProcesses) -> bool:
    """Wait until nothing is pending, and say how it goes."""
    end = time.monotonic() + _DRAINED_WITHIN
    console = Console()
    with console.status("waiting for X") as status:
        while (balance := cast.balance())["pending"]:
            status.update(f"waiting for X: {balance['pending']} pending")
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
    return True


def _step(who: str, what: str) -> None:
    printing.say(printing.styled(f"{who:>10}  ", "bold cyan"), what)
