"""A server with a memory store, and pages that post to it."""

from decimal import Decimal
from typing import Any

import msgspec
from http_stage import Stage, StoppedClock

from builders import NOW, a_destination, a_source
from fakes import SeededRandomness
from memory_store.store import MemoryStore
from twite.domain.destination import ClickCookie, Source
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.dedup_rows import DedupRowBuilder
from twite.stores.sqlite import SQLiteStore

SHOP = "https://shop.example"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0.0.0 Safari/537.36"
CLICK = "2-3k9x0abcd1efgh2ijkl3mnop4q"
OTHER_CLICK = "2-9z8y0abcd1efgh2ijkl3mnop4q"
PAGE = {"Origin": SHOP, "User-Agent": AGENT, "Content-Type": "text/plain;charset=UTF-8"}


def a_shop(**said: Any) -> Source:
    return msgspec.structs.replace(
        a_source(), **({"origins": (SHOP,), "cookie": ClickCookie()} | said)
    )


def a_stage(store: MemoryStore | SQLiteStore, *sources: Source, **said: Any) -> dict[str, Any]:
    """Return the arguments of a stage."""
    destinations = {"o8z6j": a_destination()}
    accept = Accept(
        intake=store,
        clock=StoppedClock(),
        randomness=SeededRandomness(),
        destinations=destinations,
        salt=b"salt",
        wake=lambda _pixel: None,
        dedup_rows=DedupRowBuilder(
            pixels=frozenset({"o8z6j"}), destinations=destinations, salt=b"salt"
        ),
    )
    return {
        "accept": accept,
        "records": store,
        "moves": store,
        "sources": sources or (a_shop(),),
        "public_url": "https://t.shop.example",
    } | said


def a_message(*conversions: dict[str, object], **said: object) -> bytes:
    purchases = [{"event": "purchase", "twclid": CLICK} | conversion for conversion in conversions]
    return msgspec.json.encode({"v": 1, "sent": NOW, "conversions": purchases} | said)


async def beacon(stage: Stage, body: bytes, *, path: str = "/t?s=shop", **headers: str) -> Any:
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    return await stage.ask("POST", path, body, key=None, headers=PAGE | said)


LIMIT = Decimal("500.00")
