"""`twite show`: the history of a conversion."""

import asyncio
import re
from typing import Annotated, Final

import msgspec
import typer

from twite.app.store_access import open_records
from twite.cli import printing
from twite.cli.history import print_history, told
from twite.cli.options import DEFAULT_CONFIG, Config, Json, Pixel, known_pixel, load, text
from twite.cli.rejected import print_rejection, read_rejections
from twite.config.settings import Settings
from twite.domain.history import History
from twite.domain.submission import KEPT_FOR, Rejection, RejectionQuery
from twite.gateway.ports.queries import ByConversionId, ByReceipt
from twite.gateway.ports.tags import PREFIX
from twite.http.routes.reports import told_rejection
from twite.machine.system import SystemClock

EXAMPLE: Final = "Example: `twite show order-1001 --pixel o8z6j`"
_RECEIPT: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show", help=text("show", show, EXAMPLE))(show)


def show(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="A conversion id, or the receipt of a request")
    ],
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    as_json: Json = False,
) -> None:
    """Searches all pixels and the rejected conversions. Exits with 1 if it finds nothing."""
    found = load(config, credentials=False)
    known_pixel(found, pixel)
    histories = asyncio.run(_histories(found, name, pixel))
    now = SystemClock().now()
    since = now - KEPT_FOR
    pixels = None if pixel is None else frozenset({pixel})
    wanted = RejectionQuery(name=name, pixels=pixels, since=since)
    refused = asyncio.run(read_rejections(found, wanted))
    if as_json:
        rejections = [_told_rejection(rejection) for rejection in refused]
        printing.print_json([*(told(history, now=now) for history in histories), *rejections])
    for index, history in enumerate(histories if not as_json else ()):
        if index:
            printing.say("")
        print_history(history, now=now)
    for index, rejection in enumerate(refused if not as_json else (), len(histories)):
        if index:
            printing.say("")
        print_rejection(rejection)
    if refused:
        return
    if not histories and pixel is not None and pixel.startswith(PREFIX):
        for why in asyncio.run(_not_fired(found, name, pixel)):
            printing.complain(f"{pixel} did not fire for {name}: {printing.safe(why)}")
            raise typer.Exit(1)
    if not histories:
        printing.complain(
            f"Found nothing for {name}. Rejected conversions are kept for seven days: "
            "twite rejected lists them."
        )
        raise typer.Exit(1)


def _told_rejection(rejection: Rejection) -> dict[str, object]:
    return {"state": "rejected", **msgspec.to_builtins(told_rejection(rejection))}


async def _not_fired(settings: Settings, name: str, tag: str) -> list[str]:
    """Return why a tag was not told of a conversion that others were told of."""
    histories = await _histories(settings, name, None)
    return [
        not_fired.why
        for history in histories
        for not_fired in history.not_fired
        if not_fired.tag == tag
    ]


async def _histories(settings: Settings, name: str, pixel: str | None) -> list[History]:
    """Return all lives under a conversion id, and those of a receipt, the latest first."""
    histories: dict[int, History] = {}
    async with open_records(settings) as records:
        own = [destination.pixel for destination in settings.destinations()]
        # Tags, and pixels that are configured no more.
        others = {account.pixel for account in await records.balance()}.difference(own)
        for lane in (*own, *sorted(others)):
            if pixel in {None, lane}:
                # Under all that it ever had: what `events` maps may have changed since.
                for history in await records.find(
                    ByConversionId(pixel=lane, events=None, conversion_id=name)
                ):
                    histories[history.delivery] = history
        if _RECEIPT.fullmatch(name):
            for history in await records.find(ByReceipt(receipt=name.lower())):
                if pixel in {None, history.pixel}:
                    histories[history.delivery] = history
    return sorted(histories.values(), key=lambda history: history.received_at, reverse=True)
