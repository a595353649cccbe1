"""Items, value and currency of an event."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from twite.domain.errors import MalformedRequest
from twite.domain.money import amount
from twite.formats.event_data.values import NULL, amount_at, first_text, value_at
from twite.formats.native.amounts import is_more
from twite.formats.native_shape import NativeContent
from twite.formats.parsed_request import Event

MAX_ITEMS: Final = 200  # as many as Google takes in one event [doc]
MAX_ITEMS_IN_ALL: Final = 2_000  # of one request: a stranger's request must be read quickly

_LISTS: Final = ("items", "ecommerce.items", "contents")
_VALUES: Final = (
    # Universal Analytics' event value and revenue come first, as in Stape's tag [seen TW].
    "x-ga-mp1-ev", "x-ga-mp1-tr", "value", "ecommerce.value", "revenue", "e_v",
)  # fmt: skip
_CURRENCIES: Final = ("currency", "currencyCode", "ecommerce.currency", "price_currency")
_PRICES: Final = ("price", "content_price")
_PRICE: Final = re.compile(rb'"([0-9]{1,18}(?:\.[0-9]{1,18})?)"')
_COUNT: Final = re.compile(r"[0-9]{1,9}(?:\.0+)?", re.ASCII)


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


def refuse_too_many(items: int, *, path: str) -> None:
    """Raise MalformedRequest if the events of one request have too many items."""
    if items > MAX_ITEMS_IN_ALL:
        raise MalformedRequest(
            code="too_many",
            path=path,
            message=f"{items} items in one request; at most {MAX_ITEMS_IN_ALL}",
        )


def worth_of(event: Event, items: Sequence[Event]) -> tuple[msgspec.Raw, str | None]:
    """Return value and currency: as stated, else the sum of the items' prices.

    A value without a currency is left out, as Google leaves it out of revenue [doc]: X would count
    it in US dollars.
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
    """Return whether its stated value, or the sum of its items, exceeds a limit."""
    value, _ = worth_of(event, items_of(event))
    return is_more(value, limit)


def content_of(item: Event) -> NativeContent:
    """Return an item as one line of a basket; all its fields may be empty."""
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
    """Return the quantity; None if it is not a whole number above zero."""
    text = first_text(item, ("quantity", "num_items", "item_quantity"))
    if text is None or not _COUNT.fullmatch(text):
        return None
    return int(text.partition(".")[0]) or None
