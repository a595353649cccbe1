"""GA4 format (`/g/collect`): GA4 hits to event data.

The URL's query is shared by all events of a request. A body has one event per line: a query string
that overrides the URL's. Each line is read separately. Without a body, the query is the only event.
[seen D8A, GA4ADV]
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, unquote

from twite.domain.errors import MalformedRequest
from twite.domain.fault import Fault
from twite.formats.event_data.consent import is_signal, merged, stricter_at
from twite.formats.event_data.conversions import Tagged
from twite.formats.event_data.dotted_keys import expanded
from twite.formats.strict_json import each_by_itself, refuse_more, wrong_shape

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

_OWN_PART: Final = re.compile(r"([kv])([0-9]{1,3})", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?", re.ASCII)
MAX_EVENTS: Final = 50  # Google accepts 25 in the Measurement Protocol [doc]; its tags send fewer
MAX_PARAMETERS: Final = 500  # 200 items [doc] and all other parameters
# Parameters that have another name in event data. [doc GDOC, seen D8A]
NAMED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "v": "x-ga-protocol_version",
        "tid": "x-ga-measurement_id",
        "gtm": "x-ga-gtm_version",
        "_p": "x-ga-page_id",
        "_s": "x-ga-request_count",
        "en": "event_name",
        "cid": "client_id",
        "uid": "user_id",
        "sid": "ga_session_id",
        "sct": "ga_session_number",
        "seg": "x-ga-mp2-seg",
        "_et": "engagement_time_msec",
        "dl": "page_location",
        "dr": "page_referrer",
        "dt": "page_title",
        "ul": "language",
        "sr": "screen_resolution",
        "cu": "currency",
        # A server that forwards hits sends the visitor's data under these names.
        "uip": "ip_override",
        "_uip": "ip_override",
        "ua": "user_agent",
    }
)
_NUMBERS: Final = frozenset({"_p", "_s", "_et", "sct"})
SAME: Final = frozenset(
    {
        "gcs", "gcd", "gcu", "npa", "dma", "dma_cps", "did", "gdid", "edid", "ecid", "em", "tfd",
        "lps", "are", "pscdl", "ur",
    }
)  # fmt: skip
SYSTEM: Final = frozenset({"_c", "_dbg", "_ss", "_fv", "_ee", "_eu", "_z", "_tu"})
HINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "uaa": "architecture",
        "uab": "bitness",
        "uafvl": "full_version_list",
        "uamb": "mobile",
        "uam": "model",
        "uap": "platform",
        "uapv": "platform_version",
        "uaw": "wow64",
    }
)
_OWN: Final = "the tag's own"
_GOOGLES: Final = "Google's"
_USER_PROPERTIES: Final = "x-ga-mp2-user_properties"
_USER_DATA: Final = "user_data"
_PREFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ep": _OWN,
        "epn": _OWN,
        "up": _USER_PROPERTIES,
        "upn": _USER_PROPERTIES,
        "sst": "x-sst-system_properties",
    }
)
_ITEM: Final = re.compile(r"pr([1-9][0-9]{0,2})", re.ASCII)
# Hashed personal data in base64, `tv.1~em.<43 letters>~pn.<43 letters>` [guess]; other forms are
# not read.
_HASHED: Final = re.compile(r"(?:^|~)(em|pn)[0-9]*\.([A-Za-z0-9_-]{43})=?(?=~|$)", re.ASCII)
_REPEATED: Final = ("tid", "cid", "sid", "_p", "_s")


def item_of(text: str) -> dict[str, object]:
    """Read one item. Parts without a known code are ignored."""
    item: dict[str, object] = {}
    names: dict[str, str] = {}
    values: dict[str, str] = {}
    for part in text.split("~"):
        key = CODES.get(part[:2])
        if key is not None:
            item[key] = number_of(part[2:]) if key in NUMBERS else part[2:]
            continue
        own = _OWN_PART.match(part)
        if own is not None:
            (names if own[1] == "k" else values)[own[2]] = part[own.end() :]
    for place, name in names.items():
        if name and place in values:
            item.setdefault(name, values[place])
    return item


def number_of(text: str) -> int | float | str:
    """Return the text as a number, if possible, else unchanged."""
    plain = text.strip()
    if not _NUMBER.fullmatch(plain):
        return text
    return float(plain) if "." in plain else int(plain)


def read(query: str, body: bytes) -> Tagged:
    """Read the hits of one request. Raises MalformedRequest, also for too many hits."""
    hits, unread = hits_of(query, body)
    return Tagged(
        events=tuple([event_of(hit) for hit in hits]),  # an empty hit is an empty event
        repeated=tuple([_repeated(hit, place) for place, hit in enumerate(hits)]),
        unread=unread,
    )


def hits_of(query: str, body: bytes) -> tuple[list[dict[str, str]], Mapping[int, Fault]]:
    """Return the parameters of each hit, and the errors by index. Raises MalformedRequest.

    If a parameter occurs twice in one query string, the first counts; a line overrides the URL. For
    a consent signal, the strictest value anywhere counts.
    """
    shared = _parameters(query)
    # Split as bytes, because in text other characters, such as U+2028, also end a line.
    lines = [line.decode("utf-8", "replace") for line in body.splitlines() if line.strip()]
    refuse_more(len(lines), MAX_EVENTS, "events", path="")
    # Items belong to one event, so items in the query are not copied to every event.
    for_lines = {key: text for key, text in shared.items() if _ITEM.fullmatch(key) is None}

    def read_one(line: str) -> dict[str, str]:
        return _claimed(_merged(_parameters(line.strip()), for_lines.items()))

    return each_by_itself(lines, read_one, within="") if lines else ([_claimed(shared)], {})


def _claimed(hit: dict[str, str]) -> dict[str, str]:
    """Return a hit if Google's own client would claim it [seen]. Raises MalformedRequest."""
    if hit.get("v") != "2" or not hit.get("tid"):
        raise wrong_shape("v", "a GA4 hit needs v=2 and a measurement id (tid)")
    return hit


def event_of(hit: Mapping[str, str]) -> dict[str, object]:
    """Return a hit as event data. Google's own parameters override a tag's (`ep.`)."""
    groups: dict[str, dict[str, object]] = {}
    items: dict[int, dict[str, object]] = {}
    for key, text in hit.items():
        item = _ITEM.fullmatch(key)
        if item is not None:
            items[int(item[1])] = item_of(text)
            continue
        group, name, value = _placed(key, text)
        there = groups.setdefault(group, {})
        if name in there or value == "":
            value = _stricter(group, name, there.get(name), value, otherwise=value)
        there[name] = value
    for group in (_OWN, _USER_PROPERTIES):
        if group in groups:
            groups[group] = _with_nested_persons(groups[group])
    event = merged(groups.pop(_OWN, {}), groups.pop(_GOOGLES, {})) | groups
    if items:
        event["items"] = [items[place] for place in sorted(items)]
    persons = _persons(hit.get("em", ""))
    if persons:
        stated = event.get(_USER_DATA)
        event[_USER_DATA] = persons | (stated if isinstance(stated, dict) else {})
    return event


def _with_nested_persons(group: dict[str, object]) -> dict[str, object]:
    """Nest `user_data.address.city`, as in common event data [doc GDOC]; other names stay flat."""
    dotted = {name: value for name, value in group.items() if name.startswith(f"{_USER_DATA}.")}
    if not dotted:
        return group
    flat = {name: value for name, value in group.items() if name not in dotted}
    return flat | expanded(dotted.items())


def _placed(key: str, text: str) -> tuple[str, str, object]:
    if key in NAMED:
        return _GOOGLES, NAMED[key], number_of(text) if key in _NUMBERS else text
    if key in SAME:
        return _GOOGLES, f"x-ga-{key}", text
    if key in SYSTEM:
        return "x-ga-system_properties", key[1:], text
    if key in HINTS:
        return "client_hints", HINTS[key], _versions(text) if key == "uafvl" else text
    prefix, _, name = key.partition(".")
    if name and prefix in _PREFIXES:
        return _PREFIXES[prefix], name, number_of(text) if prefix.endswith("n") else text
    return _OWN, f"x-ga-mp2-{key}", text


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="replace", max_num_fields=MAX_PARAMETERS
        )
    except ValueError:
        raise MalformedRequest(
            code="too_many", path="", message=f"an event has at most {MAX_PARAMETERS} parameters"
        ) from None
    return _merged({}, pairs)


def _merged(hit: dict[str, str], others: Iterable[tuple[str, str]]) -> dict[str, str]:
    for key, text in others:
        before = hit.get(key)
        if before is None:
            hit[key] = text
        elif before != text:
            group, name, _ = _placed(key, "")
            hit[key] = str(_stricter(group, name, before, text, otherwise=before))
    return hit


def _stricter(group: str, name: str, first: object, second: object, *, otherwise: object) -> object:
    """Return the stricter of two values of a signal; for other parameters, `otherwise`."""
    if group not in {_OWN, _GOOGLES} or not is_signal(name):
        return otherwise
    return stricter_at(name, first, second)


def _versions(text: str) -> list[dict[str, str]]:
    """Read `brand;version|brand;version`, each part percent-encoded once more."""
    pairs = (part.partition(";") for part in text.split("|")[:16] if part)
    return [{"brand": unquote(brand), "version": unquote(version)} for brand, _, version in pairs]


def _persons(text: str) -> dict[str, str]:
    names = {"em": "sha256_email_address", "pn": "sha256_phone_number"}
    return {names[kind]: digest for kind, digest in reversed(_HASHED.findall(text))}


def _repeated(hit: Mapping[str, str], place: int) -> str | None:
    """Return the fields that a tag repeats on a retry: the page, and the hit's count on it."""
    tag, client, session, page, count = [hit.get(key, "") for key in _REPEATED]
    if not (client and page and count):
        return None
    return "\0".join(("GA4", tag, client, session, page, count, str(place)))
