"""Collect an event's consent signals (Consent Mode, IAB strings, GPC) by name, unchanged."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from twite.formats.event_data.values import text_of, value_at
from twite.formats.parsed_request import UNREADABLE, Event

# Signals as tags pass them on: Google's, the IAB's strings and their companions.
_PASSED_ON: Final = (
    ("gdpr_consent", "tcf"),
    ("tc_string", "tcf"),
    ("gpp", "gpp"),
    ("gpp_string", "gpp"),
    ("gpp_sid", "gpp_sid"),
    ("us_privacy", "usp"),
    ("gpc", "gpc"),
    ("gdpr", "gdpr_applies"),
    ("gdpr_applies", "gdpr_applies"),
    ("addtl_consent", "ac"),
    ("gcs", "gcs"),
    ("gcd", "gcd"),
    ("npa", "npa"),
    ("non_personalized_ads", "npa"),
    ("ad_storage", "ad_storage"),
    ("ad_user_data", "ad_user_data"),
    ("ad_personalization", "ad_personalization"),
    ("analytics_storage", "analytics_storage"),
)
# In event data, this prefix marks parameters of the GA4 hit itself, not of the event (`ep.`).
_OF_THE_HIT: Final = "x-ga-mp2-"
# Parameter → signal: the names above, and Google's Consent Mode in a hit [doc].
SIGNALS: Final = {
    f"{prefix}{place}": name for prefix in ("", _OF_THE_HIT) for place, name in _PASSED_ON
} | {"x-ga-gcs": "gcs", "x-ga-gcd": "gcd", "x-ga-npa": "npa"}
# Groups of a hit's parameters (`up.`, `sst.`) that may also contain signals.
_GROUPS: Final = ("x-ga-mp2-user_properties", "x-sst-system_properties")
# Tables of Google's signals: Stape's Data Tag (true and false, or words), and the Measurement
# Protocol (words). Each may be one object, its JSON, or dotted keys.
_TABLES: Final = tuple(
    prefix + name for prefix in ("", _OF_THE_HIT) for name in ("consent_state", "consent")
)
_DOTTED: Final = tuple(f"{table}." for table in _TABLES)
# If a signal has two values, the one that matches counts: an opt-out, or a law that applies.
_FLAG: Final = re.compile("1|true|yes", re.IGNORECASE)
_STRICT: Final = {
    "usp": re.compile(r"1[YN-]Y[YN-]", re.IGNORECASE),
    "gpc": _FLAG,
    "npa": _FLAG,
    "gdpr_applies": _FLAG,
    "gcs": re.compile("G10[01-]"),
}
_GCS: Final = re.compile("G1[01-]{2}")
_OF_GCS: Final = "G0-1".index
# The person's location, as Google and sGTM hosts report it; ISO 3166.
_REGIONS: Final = ("x-ga-ur", "event_location.country", "user_location.country_id")
_REGION: Final = re.compile(r"[A-Za-z]{2}(?:-[A-Za-z0-9]{1,3})?", re.ASCII)
# Google lists these among its signals, but they are not signals.
_NO_SIGNALS: Final = frozenset({"wait_for_update"})
# If one of these has two different values, it counts as unreadable. All other signals are words,
# which can be ranked.
_STRINGS: Final = frozenset({"tcf", "gpp", "gpp_sid", "gcd", "ac", "vendors"})
_YES: Final = frozenset({"granted", "true", "1", "yes"})
_NO: Final = frozenset({"denied", "false", "0", "no"})
_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_LONGEST: Final = 8_192
_EMPTY: Final = (None, "")
_DENIED, _UNCLEAR, _FREE = range(3)


def _spellings(name: str) -> set[str]:
    """Return the spellings of a name: `us_privacy`, `usPrivacy`, `usprivacy`, `US_PRIVACY`."""
    first, *rest = name.split("_")
    camel = first + "".join(map(str.capitalize, rest))
    return {name, name.upper(), camel, camel.lower(), camel.upper()}


_PLACES: Final = SIGNALS | {
    f"{prefix}{spelled}": name
    for prefix in ("", _OF_THE_HIT)
    for place, name in _PASSED_ON
    for spelled in _spellings(place)
}


def signals_of(event: Event, *, opted_out: bool) -> dict[str, str | bool]:
    """Return the signals; `opted_out` says whether the browser sent `Sec-GPC: 1`."""
    found: dict[str, str | bool] = {}
    tables = [event[table] for table in _TABLES if table in event]
    for part in (event, *map(event.get, _GROUPS)):
        if not isinstance(part, Mapping):
            continue
        for place, value in part.items():
            name = _PLACES.get(place)
            word = None if name is None else _word(value)
            if name is not None and word:
                found[name] = stricter(name, str(found[name]), word) if name in found else word
            elif part is event and place.startswith(_DOTTED):
                tables.append({place.rpartition(".")[2]: value})
    for name, value in strictest(*tables).items():
        if name in found:
            found[name] = stricter(name, str(found[name]), str(value))
        else:
            found[name] = value
    if region := _region(event):
        found.setdefault("region", region)
    if opted_out:
        found["gpc"] = "1"
    return found


def _region(event: Event) -> str | None:
    for place in _REGIONS:
        value = value_at(event, place)
        text = None if value is None else text_of(value)
        if text and _REGION.fullmatch(text):
            return text
    return None


def merged(*parts: Event) -> dict[str, object]:
    """Merge the parts of a request that describe one event.

    For a consent signal, the strictest value counts; for other fields, the last.
    """
    event: dict[str, object] = {}
    for part in parts:
        if not event:
            event.update(part)
            continue
        for name, value in part.items():
            known = name in event and is_signal(name)
            event[name] = stricter_at(name, event[name], value) if known else value
    return event


def said_in(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Return the consent signals among the parameters of a request. The strictest value counts."""
    return merged({}, *({name: value} for name, value in pairs if is_signal(name)))


def is_signal(place: str) -> bool:
    """Return whether a path in event data is a consent signal, or a table of signals."""
    return place in _PLACES or place in _TABLES or place.startswith(_DOTTED)


def stricter_at(place: str, first: object, second: object) -> object:
    """Return the stricter of two values of a signal in event data."""
    if first == second or second in _EMPTY:
        return first
    if first in _EMPTY:
        return second
    if place in _TABLES:
        return strictest(first, second)
    name = _PLACES.get(place) or place.rpartition(".")[2]
    words = _word(first) or "", _word(second) or ""
    word = stricter(name, *words)
    return next(
        (value for value, text in zip((first, second), words, strict=True) if text == word), word
    )


def strictest(*tables: object) -> dict[str, str | bool]:
    """Merge tables of signals; the stricter of two values counts.

    A value other than true, false or text becomes text that grants nothing.
    """
    found: dict[str, str | bool] = {}
    for table in tables:
        for name, value in _table(table).items():
            signal = (text_of(name) or "").lower()
            decoded = _said(value)
            if decoded is None or signal in _NO_SIGNALS:
                continue
            before = found.setdefault(signal, decoded)
            word = stricter(signal, str(before), str(decoded))
            if word != str(before):
                found[signal] = word
    return found


def _table(given: object) -> Mapping[str, object]:
    """Return a table of signals, which may be given as JSON.

    Instead of a table, a plain no denies, a plain yes grants nothing, and any other value may be a
    denial.
    """
    if isinstance(given, str) and given.lstrip().startswith("{"):
        try:
            given = msgspec.json.decode(given)
        except (msgspec.DecodeError, RecursionError):
            return {"consent": UNREADABLE}
    if isinstance(given, Mapping):
        return given
    word = _said(given)
    freedom = _freedom(str(word))
    if word is None or freedom == _FREE:
        return _NOTHING
    return {"ad_storage": "denied"} if freedom == _DENIED else {"consent": UNREADABLE}


def _word(value: object) -> str | None:
    if isinstance(value, bool):
        return "1" if value else "0"
    if value is None:
        return None
    text = text_of(value)
    return UNREADABLE if text is None else text[:_LONGEST]


def stricter(name: str, first: str, second: str) -> str:
    if first == second:
        return second
    if name == "gcs" and _GCS.fullmatch(first) and _GCS.fullmatch(second):
        # Each position is ranked separately: denied, then not stated, then granted.
        return "".join(min(pair, key=_OF_GCS) for pair in zip(first, second, strict=True))
    strict = _STRICT.get(name)
    if strict is not None:
        found = next((value for value in (first, second) if strict.fullmatch(value)), None)
        if found is not None:
            return found
    if strict is not None or name in _STRINGS:
        return UNREADABLE
    return min((first, second), key=_freedom)


def _freedom(word: str) -> int:
    """Rank a word: a denial comes first, then an unreadable value, then a grant."""
    plain = word.strip().lower()
    return _DENIED if plain in _NO else _FREE if plain in _YES else _UNCLEAR


def _said(value: object) -> str | bool | None:
    if isinstance(value, bool | None):
        return value
    text = text_of(value)
    return UNREADABLE if text is None else text[:_LONGEST] or None
