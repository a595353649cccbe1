"""The X pixel's hits: GET adsct, answered with a one-pixel GIF. [seen 3P; the GIF is a guess]

X's script sends each hit twice, to t.co and to analytics.twitter.com, under one `event_id`.
"""

from base64 import b64decode
from typing import Final

import msgspec

from twite_emulator.examine import tag_by_id
from twite_emulator.exchange import XAnswer, XRequestReceived
from twite_emulator.state import EmulatedState

GIF: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
PAGE_VIEW: Final = "page_view"  # the event of base code hits, whose txn_id is the pixel


def take_hit(request: XRequestReceived, state: EmulatedState) -> XAnswer:
    """Count a hit under (pixel, event, conversion id); the response is always the GIF."""
    pairs = dict(request.query_pairs())
    where = _where(pairs.get("txn_id", ""), state)
    if state.hits.is_new(pairs, at=state.at) and where is not None:
        state.counter.receive(
            "pixel",
            event=where,
            conversion_id=_conversion_id(pairs),
            at=state.at,
            switches=state.switches,
        )
    return XAnswer(
        status=200,
        body=GIF,
        headers=(("content-type", "image/gif"), ("cache-control", "no-cache, no-store")),
    )


def _where(txn_id: str, state: EmulatedState) -> tuple[str, str] | None:
    """Return (home pixel, event) of a txn_id; None if it is unknown."""
    if txn_id in state.world.pixels:
        return txn_id, PAGE_VIEW
    bare = txn_id
    if txn_id.startswith("tw-") and state.switches.pixel_txn != "event":
        bare = txn_id.rpartition("-")[2]
    elif state.switches.pixel_txn == "tw":
        return None
    tag = tag_by_id(bare, state)
    return (tag.pixel, tag.id) if tag is not None and not tag.deleted else None


def _conversion_id(pairs: dict[str, str]) -> str | None:
    """`conversion_id` of the `event` parameter, which is JSON; or a separate parameter."""
    try:
        event = msgspec.json.decode(pairs.get("event") or "{}")
    except (msgspec.MsgspecError, RecursionError):
        event = {}
    found = event.get("conversion_id") if isinstance(event, dict) else None
    found = found or pairs.get("conversion_id")
    return str(found) if found else None
