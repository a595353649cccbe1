"""Every signal of consent that an event carries, raw, by its name."""

import re
from collections.abc import Mapping
from typing import Final

from twite.intake.event_reading import Event, text_of, value_at

# Google's Consent Mode in a hit [doc], and the strings of the IAB where tags hand them on.
_SIGNALS: Final = (
    ("x-ga-gcs", "gcs"),
    ("x-ga-gcd", "gcd"),
    ("x-ga-npa", "npa"),
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
# Where the person is, as Google and hosts of server containers tell it; ISO 3166.
_REGIONS: Final = ("x-ga-ur", "event_location.country", "user_location.country_id")
_REGION: Final = re.compile(r"[A-Za-z]{2}(?:-[A-Za-z0-9]{1,3})?", re.ASCII)
# Stands among Google's signals, and is none.
_NO_SIGNALS: Final = frozenset({"wait_for_update"})
_YES: Final = frozenset({"granted", "true", "1", "yes"})
_LONGEST: Final = 8_192


def signals_of(event: Event, *, opted_out: bool) -> dict[str, str | bool]:
    """Return them; `opted_out` is whether the browser said `Sec-GPC: 1`.

    Google's names come from the tables `consent_state` (Stape's Data Tag: true and false, or words)
    and `consent` (the Measurement Protocol: words).
    """
    found = strictest(event.get("consent_state"), event.get("consent"))
    for place, name in _SIGNALS:
        text = text_of(value_at(event, place))
        if text:
            found.setdefault(name, text[:_LONGEST])
    for place in _REGIONS:
        text = text_of(value_at(event, place))
        if text and _REGION.fullmatch(text):
            found.setdefault("region", text)
    if opted_out:
        found["gpc"] = "1"
    return found


def strictest(*tables: object) -> dict[str, str | bool]:
    """Lay tables of signals over each other; where two differ, the one that does not grant counts.

    What is neither true, false nor a text is passed on as a text that grants nothing.
    """
    found: dict[str, str | bool] = {}
    for table in tables:
        if not isinstance(table, Mapping):
            continue
        for name, value in table.items():
            signal = (text_of(name) or "").lower()
            said = _said(value)
            if said is None or signal in _NO_SIGNALS:
                continue
            if signal not in found or str(found[signal]).lower() in _YES:
                found[signal] = said
    return found


def _said(value: object) -> str | bool | None:
    if isinstance(value, bool | None):
        return value
    text = text_of(value)
    return "unreadable" if text is None else text[:_LONGEST] or None
