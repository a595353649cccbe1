"""The X pixel's hits: GET adsct, answered with a one-pixel GIF. [seen 3P; the GIF is a guess]

X's script sends each hit twice, to t.co and to analytics.twitter.com, under one `event_id`.
"""

from base64 import b64decode
from typing import Final

import msgspec

from twite_emulator import spec
from twite_emulator.ads import CountedConversion, amount_of, items_of, keys_of
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
        event = _event(pairs)
        found = event.get("conversion_id") or pairs.get("conversion_id")
        conversion_id = str(found) if found else None
        counts = state.counter.receive(
            "pixel",
            event=where,
            conversion_id=conversion_id,
            at=state.at,
            switches=state.switches,
        )
        tag = state.world.events.get(where[1])
        if tag is not None:
            conversion = CountedConversion(
                tag=tag,
                at=state.at,
                received_at=state.at,
                keys=_keys(pairs, event),
                value=amount_of(event.get("value")),
                currency=str(event.get("currency") or spec.DEFAULT_CURRENCY),
                items=items_of(event.get("num_items")),
            )
            state.attribute(conversion, conversion_id, counts=counts)
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


def _event(pairs: dict[str, str]) -> dict[str, object]:
    """Return the `event` parameter, which is JSON."""
    try:
        event = msgspec.json.decode(pairs.get("event") or "{}")
    except (msgspec.MsgspecError, RecursionError):
        event = {}
    return event if isinstance(event, dict) else {}


def _keys(pairs: dict[str, str], event: dict[str, object]) -> frozenset[tuple[str, str]]:
    """Return the click id, and the email, which the pixel hashes. [doc PIX]"""
    given = {"twclid": pairs.get("twclid"), "hashed_email": event.get("email_address")}
    return keys_of([given])
