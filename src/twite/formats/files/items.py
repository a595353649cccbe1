"""Parse a basket in one cell to contents of our own format.

CAP-7 x2 @18.00 | PRINT-A2 x1 @120.00      also 2 x CAP-7, CAP-7; `;` as separator
[{"sku": "CAP-7", "quantity": 2, "price": "18.00"}]
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from twite.formats.files.amounts import Amount, Decimal, read_amount

Content = dict[str, str | int]

_SEPARATOR: Final = re.compile(r"\s*[|;\n]\s*")
_AFTER: Final = re.compile(r"(.+?)\s+[x\u00d7]\s?(\d{1,9})(?:\s*@\s*(\S.*))?", re.ASCII)
_BEFORE: Final = re.compile(r"(\d{1,9})\s?[x\u00d7]\s+(.+?)(?:\s*@\s*(\S.*))?", re.ASCII)
_ALONE: Final = re.compile(r"([^@{}\[\]]+?)(?:\s*@\s*(\S.*))?")
# Field names of other systems for a basket line, ours first.
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "id": ("id", "sku", "item_id", "product_id", "variant_id"),
        "name": ("name", "item_name", "title", "product_name"),
        "price": ("price", "item_price", "unit_price"),
        "quantity": ("quantity", "qty", "count"),
        "group": ("group", "group_id", "item_group_id"),
        "type": ("type", "item_category", "category", "product_type"),
    }
)
_LINES: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def read_items(cell: str, *, currency: str | None, decimal: Decimal | None) -> list[Content] | None:
    """Read a cell that is not empty; None if it is ambiguous."""
    text = cell.strip()
    if text.startswith("["):
        return _read_json(text, currency, decimal)
    lines = [_line(line, currency, decimal) for line in _SEPARATOR.split(text) if line]
    found = [line for line in lines if line is not None]
    return found if found and len(found) == len(lines) else None


def _line(text: str, currency: str | None, decimal: Decimal | None) -> Content | None:
    if (parts := _AFTER.fullmatch(text)) is not None:
        name, quantity, price = parts.groups()
    elif (parts := _BEFORE.fullmatch(text)) is not None:
        quantity, name, price = parts.groups()
    elif (parts := _ALONE.fullmatch(text)) is not None:
        (name, price), quantity = parts.groups(), None
    else:
        return None
    if quantity is not None and int(quantity) == 0:
        return None
    content: Content = {"id": name.strip()}
    if quantity is not None:
        content["quantity"] = int(quantity)
    return _priced(content, price, currency, decimal)


def _priced(
    content: Content, price: str | None, currency: str | None, decimal: Decimal | None
) -> Content | None:
    if price is None:
        return content
    amount = read_amount(price, currency=currency, decimal=decimal)
    if not isinstance(amount, Amount):
        return None
    return content | {"price": amount.text}


def _read_json(text: str, currency: str | None, decimal: Decimal | None) -> list[Content] | None:
    try:
        lines = _LINES.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    contents = [_mapped(line, currency, decimal) for line in lines]
    found = [content for content in contents if content]
    return found if found and len(found) == len(contents) else None


def _mapped(
    line: Mapping[str, msgspec.Raw], currency: str | None, decimal: Decimal | None
) -> Content | None:
    content: Content = {}
    price = None
    for field, names in _FIELDS.items():
        raw = next((line[name] for name in names if name in line), None)
        text = _text(raw)
        if text is None:
            continue
        if field == "price":
            price = text
        elif field == "quantity":
            if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
                return None
            content[field] = int(text)
        else:
            content[field] = text
    return _priced(content, price, currency, decimal)


def _text(raw: msgspec.Raw | None) -> str | None:
    """Return a JSON text or number as written; None for anything else, or nothing."""
    if raw is None:
        return None
    written = bytes(raw).decode()
    if written.startswith('"'):
        return msgspec.json.decode(written, type=str).strip() or None
    return written if re.fullmatch(r"-?\d+(\.\d+)?", written, re.ASCII) else None
