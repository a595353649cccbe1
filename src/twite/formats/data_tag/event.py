"""Stape's Data Tag: convert its fields to common event data, as Stape's client does.

[seen DC] If several fields map to one name, the first that is not empty is used. The client id
comes from the event (client_id, data_client_id, _dcid), else from the cookie, else from the tag's
temporary id for this page (_dcid_temp); otherwise a new one is created. All events of a list have
one client id.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, unquote

from twite.formats.event_data.values import first_text, items_of, total_of
from twite.formats.parsed_request import Event

_NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "event_name": ("event_name", "eventName", "event", "e_n"),
        "ip_override": ("ip_override", "ip", "ipOverride"),
        "user_agent": ("user_agent", "userAgent"),
        "language": ("language",),
        "page_location": ("page_location", "pageLocation", "url", "href"),
        "page_referrer": ("page_referrer", "pageReferrer", "referrer", "urlref"),
        "page_hostname": ("page_hostname", "pageHostname", "hostname"),
        "page_path": ("page_path", "pagePath"),
        "page_title": ("page_title", "pageTitle"),
        "page_encoding": ("page_encoding", "pageEncoding"),
        "screen_resolution": ("screen_resolution", "screenResolution"),
        "viewport_size": ("viewport_size", "viewportSize"),
        "user_id": ("user_id", "userId"),
        "value": ("value", "e_v"),
        "currency": ("currency",),
    }
)
_PERSON: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "email_address": ("userEmail", "email_address", "email", "mail"),
        "phone_number": ("userPhoneNumber", "phone_number", "phoneNumber", "phone"),
    }
)
_ADDRESS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "first_name": ("userFirstName", "first_name", "firstName", "name"),
        "last_name": (
            "userLastName", "last_name", "lastName", "surname", "family_name", "familyName",
        ),
        "street": ("street",),
        "city": ("city",),
        "country": ("country",),
        "region": ("region", "state"),
        "postal_code": ("postal_code", "postalCode", "zip"),
    }
)  # fmt: skip
# If an event has a single item, its fields may be fields of the event itself.
_ONE_ITEM: Final = ("item_id", "item_name", "item_brand", "item_category")
_UNNAMED: Final = "Data"
# The enhanced e-commerce actions of Universal Analytics. The first one present is used.
_ACTIONS: Final = (
    "detail", "click", "add", "remove", "checkout", "checkout_option", "purchase", "refund",
)  # fmt: skip
CLIENT_COOKIE: Final = "_dcid"
CLIENT_COOKIE_SECONDS: Final = 63_072_000  # two years
_SAID: Final = ("client_id", "data_client_id", "_dcid")
_OF_THE_PAGE: Final = "_dcid_temp"
_LONGEST: Final = 256
# encodeURIComponent does not change these characters, nor letters, digits and `_.-~`.
_PLAIN: Final = "!'()*"


def event_of(given: Mapping[str, object], *, client: str = "") -> dict[str, object]:
    """Return a Data Tag event as event data; unknown fields are kept.

    `client` is the client id to use if the event has none.
    """
    event = {name: value for name, value in given.items() if name != "_dcid_temp"}
    _fill(event, given, _NAMES)
    own = first_text(given, ("client_id", "data_client_id", "_dcid")) or client
    if own:
        event["client_id"] = own
    event.setdefault("event_name", _UNNAMED)
    _fill_from_items(event)
    _fill_from_action(event)
    if "user_data" not in event:
        person: dict[str, object] = {}
        _fill(person, given, _PERSON)
        address: dict[str, object] = {}
        _fill(address, given, _ADDRESS)
        if address:
            person["address"] = address
        if person:
            event["user_data"] = person
    return event


def _fill(
    event: dict[str, object],
    given: Mapping[str, object],
    names: Mapping[str, Sequence[str]],
) -> None:
    for name, places in names.items():
        found = next((given[place] for place in places if first_text(given, (place,))), None)
        if found is not None:
            event[name] = found


def _fill_from_items(event: dict[str, object]) -> None:
    items = items_of(event)
    if not items:
        return
    if "value" not in event:
        total = total_of(items)
        if total is not None:
            event["value"] = total
    if "currency" not in event and (money := first_text(items[0], ("currency",))):
        event["currency"] = money
    if len(items) == 1:
        _fill(event, items[0], {name: (name,) for name in _ONE_ITEM})


def _fill_from_action(event: dict[str, object]) -> None:
    """Read `ecommerce.purchase.actionField`, which tags for Universal Analytics send."""
    commerce = event.get("ecommerce")
    if not isinstance(commerce, Mapping):
        return
    action = next((name for name in _ACTIONS if isinstance(commerce.get(name), Mapping)), None)
    if action is None:
        return
    event["x-ga-mp1-pa"] = action
    inside = commerce[action]
    field = inside.get("actionField") if isinstance(inside, Mapping) else None
    if action != "purchase" or not isinstance(field, Mapping):
        return
    for name, place in (
        ("x-ga-mp1-tr", "revenue"), ("revenue", "revenue"), ("affiliation", "affiliation"),
        ("tax", "tax"), ("shipping", "shipping"), ("coupon", "coupon"), ("transaction_id", "id"),
    ):  # fmt: skip
        if first_text(field, (place,)):
            event.setdefault(name, field[place])


def client_id_in(given: Sequence[Event], cookies: Mapping[str, str]) -> str:
    """Return the client id of a request, "" if there is none."""
    ids = [first_text(event, _SAID) for event in given]
    temporary = [first_text(event, (_OF_THE_PAGE,)) for event in given]
    named = (*ids, unquote(cookies.get(CLIENT_COOKIE, ""), errors="replace"), *temporary)
    return next((client_id for client_id in named if client_id), "")


def new_client_id(*, now: int, digits: int) -> str:
    """Return a new client id. `now` is in milliseconds, `digits` a random number of nine digits."""
    return f"dcid.1.{now}.{digits:09d}"


def client_cookie(client: str) -> str | None:
    """Return the cookie's value, None if it would be too long."""
    value = quote(client, safe=_PLAIN)
    return value if 0 < len(value) <= _LONGEST else None
