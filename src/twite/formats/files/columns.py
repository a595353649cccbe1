"""Map the columns of a file to fields of a conversion."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

import msgspec

# Field to the column names in exports, the surest first. Case, spaces and punctuation are ignored.
NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "conversion_id": (
            "conversion_id", "order_id", "order_number", "order_no", "order", "transaction_id",
            "transaction", "invoice_number", "lead_id", "event_id", "reference", "id",
        ),
        "event": ("event", "event_name", "conversion_event", "conversion_name"),
        "time": (
            "time", "conversion_time", "event_time", "created_at", "created", "order_date",
            "ordered_at", "processed_at", "paid_at", "occurred_at", "purchased_at", "timestamp",
            "datetime", "date",
        ),
        "value": (
            "value", "conversion_value", "order_value", "total", "order_total", "grand_total",
            "total_price", "total_amount", "amount", "revenue", "price",
        ),
        "currency": ("currency", "currency_code", "order_currency", "price_currency"),
        "email": (
            "email", "email_address", "customer_email", "user_email", "contact_email",
            "billing_email", "mail",
        ),
        "email_sha256": ("email_sha256", "sha256_email", "hashed_email", "email_hash"),
        "phone": (
            "phone", "phone_number", "customer_phone", "billing_phone", "telephone", "tel",
            "mobile", "mobile_phone",
        ),
        "phone_sha256": ("phone_sha256", "sha256_phone", "hashed_phone", "phone_hash"),
        "twclid": ("twclid", "x_click_id", "twitter_click_id", "click_id"),
        "ip": ("ip", "ip_address", "client_ip", "customer_ip", "browser_ip", "remote_ip"),
        "user_agent": ("user_agent", "browser_user_agent", "client_user_agent", "ua"),
        "contents": ("contents", "items", "line_items", "products", "basket", "cart"),
        "url": ("url", "page", "page_url", "page_location", "event_source_url"),
        "description": ("description",),
        "search": ("search", "search_string", "search_term"),
        "consent": ("consent", "ad_storage", "ad_consent", "marketing_consent"),
        "pixel": ("pixel", "pixel_id"),
    }
)  # fmt: skip

_REST: Final = re.compile(r"[\W_]+")


class UnknownColumn(Exception):
    """A `--map` that names an unknown field or column; `message` lists the known ones."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ColumnMapping(msgspec.Struct, frozen=True, kw_only=True):
    """`taken` maps a field to the column's index; `ignored` are other columns' names."""

    header: tuple[str, ...]
    taken: Mapping[str, int]
    ignored: tuple[str, ...]

    def named(self) -> tuple[tuple[str, str], ...]:
        """Return (field, column name) pairs, in the file's order."""
        places = sorted(self.taken.items(), key=lambda item: item[1])
        return tuple((field, self.header[place]) for field, place in places)


def recognise(header: Sequence[str], chosen: Mapping[str, str]) -> ColumnMapping:
    """Map columns to fields.

    `chosen` maps a field to a column name, or "" for none; it wins over recognised names. A column
    chosen for one field is not used for another. Raises UnknownColumn.
    """
    names = tuple(cell.strip().lstrip("\ufeff") for cell in header)
    taken: dict[str, int] = {}
    for field, name in chosen.items():
        _known_field(field)
        if name:
            taken[field] = _place(name, names)
    by_name: dict[str, int] = {}
    for place, name in enumerate(names):
        by_name.setdefault(_plain(name), place)
    for field, known in NAMES.items():
        if field in chosen:
            continue
        places = (by_name.get(_plain(name)) for name in known)
        found = next((p for p in places if p is not None and p not in taken.values()), None)
        if found is not None:
            taken[field] = found
    ignored = tuple(name for place, name in enumerate(names) if place not in taken.values())
    return ColumnMapping(header=names, taken=MappingProxyType(taken), ignored=ignored)


def _known_field(field: str) -> None:
    if field not in NAMES:
        raise UnknownColumn(f'"{field}" is not a field of a conversion. {_nearest(field, NAMES)}')


def _place(name: str, names: Sequence[str]) -> int:
    if name in names:
        return names.index(name)
    plain = [_plain(known) for known in names]
    if _plain(name) in plain:
        return plain.index(_plain(name))
    raise UnknownColumn(f'the file has no column "{name}". {_nearest(name, names)}')


def _nearest(name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(known)}"


def _plain(name: str) -> str:
    return _REST.sub("", name.casefold())
