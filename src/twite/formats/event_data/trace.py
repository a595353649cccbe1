"""The stored trace of an event as it arrived, to explain later how it was read.

Works by an allow-list: any other field may hold personal data, and only its name is kept.
"""

import re
from collections.abc import Mapping
from itertools import islice
from typing import Final

from twite.formats.event_data.items import items_of
from twite.formats.event_data.values import text_of
from twite.formats.page_address import scrubbed_url
from twite.formats.parsed_request import Event

_LONGEST: Final = 256
_MOST_NAMES: Final = 64
# Further fields are not looked at: a stranger's request may hold any number of them.
_MOST_LOOKED_AT: Final = 256
_MOST_ITEMS: Final = 20
_KEPT: Final = (
    "event_name", "conversion_id", "transaction_id", "order_id", "event_id", "unique_event_id",
    "value", "currency", "conversion_time", "conversion_timestamp", "timestamp_micros",
    "page_hostname", "engagement_time_msec",
    "x-ga-protocol_version", "x-ga-measurement_id", "x-ga-gtm_version", "x-ga-page_id",
    "x-ga-request_count", "x-ga-gcs", "x-ga-gcd", "x-ga-npa", "x-ga-dma", "x-ga-dma_cps",
    "x-ga-mp1-pa", "x-ga-mp1-tr", "x-ga-mp1-ev",
)  # fmt: skip
_PAGES: Final = ("page_location", "page_referrer")
_ITEM: Final = (
    "item_id", "id", "item_name", "name", "price", "quantity", "currency", "item_brand",
    "item_category", "item_variant", "coupon", "discount", "index",
)  # fmt: skip
_CONSENT: Final = ("consent_state", "consent")
# No name, phone number or address of a person looks like a field name.
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z_.-]{0,39}[0-9]{0,3}", re.ASCII)


def trace_of(event: Event) -> dict[str, object]:
    """Return the trace, ready for JSON; emails in it are redacted when it is stored."""
    kept: dict[str, object] = {
        name: text[:_LONGEST] for name in _KEPT if (text := text_of(event.get(name)))
    }
    for name in _PAGES:
        page = scrubbed_url(text_of(event.get(name)) or "")
        if page is not None:
            kept[name] = page[:_LONGEST]
    for name in _CONSENT:
        stated = event.get(name)
        if isinstance(stated, Mapping):
            kept[name] = {_word(signal): _word(word) for signal, word in list(stated.items())[:16]}
    items = [_item(item) for item in items_of(event)[:_MOST_ITEMS]]
    if items:
        kept["items"] = items
    others = sorted(
        name
        for name in islice(event, _MOST_LOOKED_AT)
        if name not in kept and name != "items" and _FIELD.fullmatch(name)
    )
    if others:
        kept["also"] = others[:_MOST_NAMES]
    return kept


def _word(word: object) -> str:
    return str(word) if isinstance(word, bool) else (text_of(word) or "")[:40]


def _item(item: Event) -> dict[str, str]:
    return {name: text[:_LONGEST] for name in _ITEM if (text := text_of(item.get(name)))}
