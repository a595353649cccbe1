"""Write event data as a GA4 hit, for templates that send to Google Analytics.

The hit omits `user_data`, parameters that only Google's server sets (`sst.`, hashes of raw personal
data), and a tag's own lists and objects.
"""

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote, urlencode

from twite.formats.ga4 import read as ga4
from twite.formats.ga4.read import CODES

_SHARED: Final = ("v", "tid")
# If two parameters have one name in event data, the one that a server would send is used.
_BACK: Final = {name: key for key, name in ga4.NAMED.items() if key != "uip"}
_ITEM_BACK: Final = {name: code for code, name in CODES.items()}
_HINTS_BACK: Final = {name: key for key, name in ga4.HINTS.items()}
_PLAIN: Final = "x-ga-mp2-"
_GOOGLES: Final = "x-ga-"
# Google's client derives these parameters from the page's URL.
_MADE: Final = frozenset({"page_hostname", "page_path"})
_MOST_ITEMS: Final = 200


def hit_of(event: Mapping[str, object]) -> tuple[str, str]:
    """Return the query and the body of a hit.

    Raises ValueError for an event without a GA4 measurement id.
    """
    measurement = event.get("x-ga-measurement_id")
    if not isinstance(measurement, str) or not measurement.startswith("G-"):
        raise ValueError("x-ga-measurement_id is not a GA4 measurement id (G-…)")
    if not event.get("event_name"):
        raise ValueError("the event has no event_name")
    pairs = {"v": "2"} | dict(_pairs(event))
    shared = {key: pairs.pop(key) for key in _SHARED}
    return urlencode(shared), urlencode(pairs, quote_via=quote)


def _pairs(event: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in event.items():
        match name, value:
            case "items", list():
                yield from _items(value)
            case "client_hints", Mapping():
                yield from _hints(value)
            case "x-ga-mp2-user_properties", Mapping():
                yield from _own("up", value)
            case "x-ga-system_properties", Mapping():
                yield from ((f"_{k}", _text(v)) for k, v in value.items() if f"_{k}" in ga4.SYSTEM)
            case _, str() | int() | float():
                yield from _plain(name, value)


def _plain(name: str, value: str | float) -> Iterator[tuple[str, str]]:
    key = name.removeprefix(_GOOGLES)
    if name in _BACK:
        yield _BACK[name], _text(value)
    elif name.startswith(_PLAIN):
        yield name.removeprefix(_PLAIN), _text(value)
    elif key in ga4.SAME and key != name:
        yield key, _text(value)
    elif name not in _MADE and not name.startswith("x-"):
        yield from _own("ep", {name: value})


def _own(prefix: str, values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, str | bool):
            yield f"{prefix}.{name}", _text(value)
        elif isinstance(value, int | float):
            yield f"{prefix}n.{name}", _text(value)


def _hints(hints: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in hints.items():
        key = _HINTS_BACK.get(name)
        if key == "uafvl" and isinstance(value, list):
            pairs = [item for item in value if isinstance(item, Mapping)]
            yield key, "|".join(f"{_part(p.get('brand'))};{_part(p.get('version'))}" for p in pairs)
        elif key is not None and isinstance(value, str | int | float):
            yield key, _text(value)


def _items(items: list[object]) -> Iterator[tuple[str, str]]:
    for place, item in enumerate(items[:_MOST_ITEMS], 1):
        if not isinstance(item, Mapping):
            continue
        parts, own = [], 0
        for name, value in item.items():
            if not isinstance(value, str | int | float):
                continue
            text = _text(value).replace("~", " ")
            if name in _ITEM_BACK:
                parts.append(f"{_ITEM_BACK[name]}{text}")
            elif "~" not in name:
                parts.append(f"k{own}{name}~v{own}{text}")
                own += 1
        yield f"pr{place}", "~".join(parts)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))
    return str(value)


def _part(value: object) -> str:
    return quote(_text(value if value is not None else ""), safe="")
