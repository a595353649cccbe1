"""Values of an event: strings, amounts, items, and the trace that explains how it was read."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import msgspec

from twite.domain.conversion import amount
from twite.domain.normalize import PLACEHOLDERS
from twite.formats.native.values import amount_in, is_more, yes_or_no
from twite.formats.page_visit import scrubbed_url
from twite.formats.parsed_request import NO_AMOUNT_GIVEN, Event, NativeContent

NULL: Final = NO_AMOUNT_GIVEN
# Stands for an unreadable amount: the native format rejects it.
NO_AMOUNT: Final = msgspec.Raw(b"{}")

# Control characters, and lone surrogates, which cannot be encoded.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_NOTHING: Final = PLACEHOLDERS - {"0"}
MAX_ITEMS: Final = 200  # Google's limit for one event [doc]
MAX_ITEMS_IN_ALL: Final = 2_000  # per request, so that no request takes long to read
_LISTS: Final = ("items", "ecommerce.items", "contents")
_VALUES: Final = (
    # Universal Analytics' event value and revenue come first, as in Stape's tag [seen TW].
    "x-ga-mp1-ev", "x-ga-mp1-tr", "value", "ecommerce.value", "revenue", "e_v",
)  # fmt: skip
_CURRENCIES: Final = ("currency", "currencyCode", "ecommerce.currency", "price_currency")
_PRICES: Final = ("price", "content_price")
_PRICE: Final = re.compile(rb'"([0-9]{1,18}(?:\.[0-9]{1,18})?)"')
_COUNT: Final = re.compile(r"[0-9]{1,9}(?:\.0+)?", re.ASCII)
_TAXES: Final = ("tax", "ecommerce.tax")
_SHIPPINGS: Final = ("shipping", "ecommerce.shipping")
_LONGEST: Final = 256
_MOST_NAMES: Final = 64
# Only so many fields are searched, because a request may have any number of them.
_MOST_LOOKED_AT: Final = 256
_MOST_ITEMS: Final = 20
_KEPT: Final = (
    "event_name", "standard_event", "left_out",
    "conversion_id", "transaction_id", "order_id", "event_id", "unique_event_id",
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
# Field names that do not look like a person's name, phone number or address.
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z_.-]{0,39}[0-9]{0,3}", re.ASCII)


def value_at(event: Event, place: str) -> object:
    """Return the value at a dotted path; the path may also be a single key."""
    found = event.get(place)
    if found is not None or "." not in place:
        return found
    inside: object = event
    for key in _path(place):
        if isinstance(inside, list) and inside:
            inside = inside[0]
        if not isinstance(inside, Mapping):
            return None
        inside = inside.get(key)
    return inside


def first_text(event: Event, places: Iterable[str]) -> str | None:
    """Return the first text or number that is not empty. For a list, use its first element."""
    for place in places:
        value = event.get(place)
        if value is None and "." in place:
            value = value_at(event, place)
        text = None if value is None else text_of(value)
        if text is not None and text.lower() not in PLACEHOLDERS:
            return text
    return None


def text_of(value: object) -> str | None:
    """Return a string or number as a string; for a list, its first element; None for other values.

    Control characters become spaces, because web pages do send them. The native format refuses
    them, because there they are a programming error.
    """
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str):
        return (value if value.isprintable() else _CONTROL.sub(" ", value)).strip()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def amount_at(event: Event, places: Iterable[str]) -> msgspec.Raw:
    """Return the first amount that is not empty, as JSON text; null if there is none."""
    for place in places:
        value = value_at(event, place)
        if isinstance(value, Mapping | list):
            return NO_AMOUNT
        text = text_of(value)
        if text is not None and text.lower() not in _NOTHING:
            return msgspec.Raw(msgspec.json.encode(text))
    return NULL


@lru_cache(maxsize=256)
def _path(place: str) -> tuple[str, ...]:
    return tuple(place.split("."))


def items_of(event: Event) -> list[Event]:
    """Return the items, at most MAX_ITEMS."""
    for place in _LISTS:
        given = value_at(event, place)
        if isinstance(given, Mapping):
            # A list whose indexes became keys: "0", "1", … [seen DC]
            given = list(given.values())
        if isinstance(given, list) and given:
            return [item for item in given[:MAX_ITEMS] if isinstance(item, Mapping)]
    return []


def worth_of(event: Event, items: Sequence[Event]) -> tuple[msgspec.Raw, str | None]:
    """Return value and currency: the event's own, else the sum of the items' prices.

    A value without a currency is omitted, because X would count it in US dollars. Google omits it
    from revenue, too. [doc]
    """
    money = first_text(event, _CURRENCIES)
    if money is None:
        money = next((own for item in items if (own := first_text(item, ("currency",)))), None)
    if money is None:
        return NULL, None
    stated = amount_at(event, _VALUES)
    if stated == NULL and (total := total_of(items)) is not None:
        stated = msgspec.Raw(msgspec.json.encode(total))
    return stated, money


def worth_more(event: Event, limit: Decimal) -> bool:
    value, _ = worth_of(event, items_of(event))
    return is_more(value, limit)


def rule_fields_in(event: Event) -> dict[str, Any]:
    """Return the fields of a conversion that only value rules read. Unreadable ones are left out.

    Google's events have `tax` and `shipping` [doc], and `new_customer` or `customer_type` [guess].
    """
    is_new = yes_or_no(value_at(event, "new_customer"))
    return {
        "tax": usable_amount(event, _TAXES),
        "shipping": usable_amount(event, _SHIPPINGS),
        "new_customer": yes_or_no(event.get("customer_type")) if is_new is None else is_new,
    }


def usable_amount(event: Event, places: Iterable[str]) -> msgspec.Raw:
    """Return an amount as JSON text; null if there is none, or what is there is no amount."""
    found = amount_at(event, places)
    return found if isinstance(amount_in(found, path=""), str) else NULL


def content_of(item: Event) -> NativeContent:
    """Return an item as one line of `contents`. All fields may be empty."""
    return NativeContent(
        id=first_text(item, ("item_id", "id", "content_id", "sku")),
        name=first_text(item, ("item_name", "name", "content_name")),
        price=amount_at(item, _PRICES),
        quantity=_quantity(item),
        group=first_text(item, ("group_id", "group", "content_group_id", "item_group_id")),
        type=first_text(item, ("type", "content_type", "item_category")),
    )


def total_of(items: Sequence[Event]) -> str | None:
    """Return the sum of price times quantity (or 1) [seen TW]; None if an item has no price."""
    total = Decimal(0)
    for item in items:
        price = _PRICE.fullmatch(bytes(amount_at(item, _PRICES)))
        if price is None:
            return None
        total += Decimal(price.group(1).decode()) * (_quantity(item) or 1)
    read = amount(format(total, "f"), path="value") if items else None
    return read if isinstance(read, str) else None


def _quantity(item: Event) -> int | None:
    text = first_text(item, ("quantity", "num_items", "item_quantity"))
    if text is None or not _COUNT.fullmatch(text):
        return None
    return int(text.partition(".")[0]) or None


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
    items = [_item_trace(item) for item in items_of(event)[:_MOST_ITEMS]]
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


def _item_trace(item: Event) -> dict[str, str]:
    return {name: text[:_LONGEST] for name in _ITEM if (text := text_of(item.get(name)))}
