"""Collect the consent signals of an event (Consent Mode, IAB strings, GPC), raw, by name."""

import re
from collections.abc import Mapping
from typing import Final

from twite.formats.event_data.values import text_of, value_at
from twite.formats.parsed_request import Event

# The IAB's strings and their companions, as tags pass them on.
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
)
# Event data has this prefix for a parameter of the GA4 hit itself, not the event's own (`ep.`).
_OF_THE_HIT: Final = "x-ga-mp2-"
# Google's Consent Mode in a hit, and in the Measurement Protocol [doc].
_SIGNALS: Final = (
    ("x-ga-gcs", "gcs"),
    ("x-ga-gcd", "gcd"),
    ("x-ga-npa", "npa"),
    ("non_personalized_ads", "npa"),
    *_PASSED_ON,
    *((f"{_OF_THE_HIT}{place}", name) for place, name in _PASSED_ON),
)
_PLACES: Final = dict(_SIGNALS)
# Of two values of one signal, the one that matches counts: an opt-out, or a law that applies.
_FLAG: Final = re.compile("1|true|yes", re.IGNORECASE)
_STRICT: Final = {
    "usp": re.compile(r"1[YN-]Y[YN-]", re.IGNORECASE),
    "gpc": _FLAG,
    "npa": _FLAG,
    "gdpr_applies": _FLAG,
}
_GCS: Final = re.compile("G1[01-]{2}")
_OF_GCS: Final = "G0-1".index
# Two different strings of one signal become this: unreadable, and a possible denial.
_UNREADABLE: Final = "unreadable"
# The person's location, as Google and sGTM hosts tell it; ISO 3166.
_REGIONS: Final = ("x-ga-ur", "event_location.country", "user_location.country_id")
_REGION: Final = re.compile(r"[A-Za-z]{2}(?:-[A-Za-z0-9]{1,3})?", re.ASCII)
# Listed among Google's signals, but not one.
_NO_SIGNALS: Final = frozenset({"wait_for_update"})
_YES: Final = frozenset({"granted", "true", "1", "yes"})
_LONGEST: Final = 8_192


def signals_of(event: Event, *, opted_out: bool) -> dict[str, str | bool]:
    """Return the signals; `opted_out` says whether the browser sent `Sec-GPC: 1`.

    Google's signals come from the tables `consent_state` (Stape's Data Tag: true and false, or
    words) and `consent` (the Measurement Protocol: words).
    """
    found: dict[str, str | bool] = {}
    for place, name in _SIGNALS:
        word = _word(value_at(event, place))
        if word:
            found[name] = stricter(name, str(found[name]), word) if name in found else word
    for name, value in strictest(event.get("consent_state"), event.get("consent")).items():
        if name in found:
            found[name] = stricter(name, str(found[name]), str(value))
        else:
            found[name] = value
    for place in _REGIONS:
        text = text_of(value_at(event, place))
        if text and _REGION.fullmatch(text):
            found.setdefault("region", text)
    if opted_out:
        found["gpc"] = "1"
    return found


def strictest(*tables: object) -> dict[str, str | bool]:
    """Merge tables of signals; if two values differ, the one that does not grant consent counts.

    A value that is not true, false or text becomes a text that grants nothing.
    """
    found: dict[str, str | bool] = {}
    for table in tables:
        if not isinstance(table, Mapping):
            continue
        for name, value in table.items():
            signal = (text_of(name) or "").lower()
            decoded = _said(value)
            if decoded is None or signal in _NO_SIGNALS:
                continue
            if signal not in found or str(found[signal]).lower() in _YES:
                found[signal] = decoded
    return found


def _word(value: object) -> str | None:
    """Return a signal as text; None if it is empty."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if value is None:
        return None
    text = text_of(value)
    return _UNREADABLE if text is None else text[:_LONGEST]


def signal_at(place: str) -> str | None:
    """Return the name of the signal that event data have at a place, None where it is none."""
    return _PLACES.get(place)


def stricter(name: str, first: str, second: str) -> str:
    """Return the stricter of two values of one signal."""
    if first == second:
        return second
    if name == "gcs" and _GCS.fullmatch(first) and _GCS.fullmatch(second):
        # Each place by itself: denied, not said, granted.
        return "".join(min(pair, key=_OF_GCS) for pair in zip(first, second, strict=True))
    strict = _STRICT.get(name)
    if strict is not None:
        found = next((value for value in (first, second) if strict.fullmatch(value)), None)
        if found is not None:
            return found
    return _UNREADABLE


def _said(value: object) -> str | bool | None:
    if isinstance(value, bool | None):
        return value
    text = text_of(value)
    return _UNREADABLE if text is None else text[:_LONGEST] or None
