"""The X pixel's hits: GET adsct, answered with a one-pixel GIF. [seen 3P; the GIF is a guess]

X's script sends each hit twice, to t.co and to analytics.twitter.com, under one `event_id`.
"""

from base64 import b64decode
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from twite.emulator.counting import ConversionCounter
from twite.emulator.examine import tag_by_id
from twite.emulator.exchange import XAnswer, XRequestReceived
from twite.emulator.switches import Switches
from twite.emulator.world import World

GIF: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
PAGE_VIEW: Final = "page_view"  # how a hit of the base code is counted: its txn_id is the pixel
MAX_HITS: Final = 10_000


class Hit(Struct, kw_only=True):
    """One hit, and how often it was received. `parameters` are those of its first copy."""

    at: float
    parameters: Mapping[str, str]
    copies: int = 1


class Hits:
    """The latest hits, oldest first."""

    def __init__(self) -> None:
        self._hits: dict[str | int, Hit] = {}
        self._received = 0

    @property
    def entries(self) -> list[Hit]:
        return list(self._hits.values())

    def is_new(self, parameters: Mapping[str, str], *, at: float) -> bool:
        """Record a hit; return False if it is another copy of an earlier one."""
        self._received += 1
        name = parameters.get("event_id") or self._received
        hit = self._hits.get(name)
        if hit is not None:
            hit.copies += 1
            return False
        self._hits[name] = Hit(at=at, parameters=parameters)
        if len(self._hits) > MAX_HITS:
            del self._hits[next(iter(self._hits))]
        return True


def take_hit(
    request: XRequestReceived,
    *,
    world: World,
    ledger: ConversionCounter,
    hits: Hits,
    switches: Switches,
    at: float,
) -> XAnswer:
    """Count a hit under (pixel, event, conversion id); the response is always the GIF."""
    pairs = dict(request.query_pairs())
    where = _where(pairs.get("txn_id", ""), world, switches)
    if hits.is_new(pairs, at=at) and where is not None:
        ledger.receive(
            "pixel", event=where, conversion_id=_conversion_id(pairs), at=at, switches=switches
        )
    return XAnswer(
        status=200,
        body=GIF,
        headers=(("content-type", "image/gif"), ("cache-control", "no-cache, no-store")),
    )


def _where(txn_id: str, world: World, switches: Switches) -> tuple[str, str] | None:
    """Return (home pixel, event) of a txn_id; None if it is unknown."""
    if txn_id in world.pixels:
        return txn_id, PAGE_VIEW
    bare = txn_id
    if txn_id.startswith("tw-") and switches.pixel_txn != "event":
        bare = txn_id.rpartition("-")[2]
    elif switches.pixel_txn == "tw":
        return None
    tag = tag_by_id(bare, world, switches)
    return (tag.pixel, tag.id) if tag is not None and not tag.deleted else None


def _conversion_id(pairs: dict[str, str]) -> str | None:
    """`conversion_id` of the `event` parameter, which is JSON; or as a parameter of its own."""
    try:
        event = msgspec.json.decode(pairs.get("event") or "{}")
    except (msgspec.MsgspecError, RecursionError):
        event = {}
    found = event.get("conversion_id") if isinstance(event, dict) else None
    found = found or pairs.get("conversion_id")
    return str(found) if found else None
