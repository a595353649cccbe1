"""Parse `prN`, one item of a GA4 hit, to an item of event data.

    id123~nmShoe~brX~caA~c2B~pr9.99~qt2~k0colour~v0red

The two implementations of it that could be read agree on the codes [seen D8A].
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "id": "item_id",
        "nm": "item_name",
        "br": "item_brand",
        "ca": "item_category",
        "c2": "item_category2",
        "c3": "item_category3",
        "c4": "item_category4",
        "c5": "item_category5",
        "va": "item_variant",
        "lp": "index",
        "pr": "price",
        "qt": "quantity",
        "cp": "coupon",
        "ds": "discount",
        "af": "affiliation",
        "li": "item_list_id",
        "ln": "item_list_name",
        "lo": "location_id",
        "pi": "promotion_id",
        "pn": "promotion_name",
        "cn": "creative_name",
        "cs": "creative_slot",
    }
)
NUMBERS: Final = frozenset({"price", "quantity", "discount", "index"})

_OWN: Final = re.compile(r"([kv])([0-9]{1,3})", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?", re.ASCII)


def item_of(text: str) -> dict[str, object]:
    """Read one item. Parts with an unknown code or without one are ignored."""
    item: dict[str, object] = {}
    names: dict[str, str] = {}
    values: dict[str, str] = {}
    for part in text.split("~"):
        key = CODES.get(part[:2])
        if key is not None:
            item[key] = number_of(part[2:]) if key in NUMBERS else part[2:]
            continue
        own = _OWN.match(part)
        if own is not None:
            (names if own[1] == "k" else values)[own[2]] = part[own.end() :]
    for place, name in names.items():
        if name and place in values:
            item.setdefault(name, values[place])
    return item


def number_of(text: str) -> int | float | str:
    """Return a number if the text is one, else the text."""
    plain = text.strip()
    if not _NUMBER.fullmatch(plain):
        return text
    return float(plain) if "." in plain else int(plain)
