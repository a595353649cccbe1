"""Segment's and RudderStack's consent, and `integrations`, as signals of Google's Consent Mode.

| in the call | denies | grants |
|---|---|---|
| `context.consent.categoryPreferences` | a named category is not true | all named are true |
| `context.consentManagement` | a named id is not allowed | all named are allowed |
| `integrations` | X is false, or `All` is, and X is not named | |

The first and last are Segment's [doc SG], the second is RudderStack's [seen RS]. `named` are the
categories that mean advertising, from the source's settings. Without them, every category counts,
and an empty object denies.
"""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from twite.formats.event_data.consent import strictest
from twite.formats.parsed_request import UNREADABLE, Event

# Names of this destination in `integrations`, which Segment compares case-sensitively. [doc SG]
OWN_NAMES: Final = ("Twite", "X", "Twitter Ads")
_GRANTED: Final = MappingProxyType({"ad_storage": "granted", "ad_user_data": "granted"})
_DENIED: Final = MappingProxyType({"ad_storage": "denied", "ad_user_data": "denied"})
_UNCLEAR: Final = MappingProxyType({"consent": UNREADABLE})


def signals_of_call(
    contexts: Collection[Event], integrations: object, *, named: Collection[str]
) -> dict[str, str | bool]:
    """Return the signals. If two contexts (the batch's and the event's) differ, a denial counts."""
    return strictest(*_stated(contexts, integrations, named))


def is_denied(signals: Mapping[str, str | bool]) -> bool:
    """Return whether the signals are anything but a grant."""
    return any(word != "granted" for word in signals.values())


def _stated(
    contexts: Collection[Event], integrations: object, named: Collection[str]
) -> Iterator[Mapping[str, str]]:
    for context in contexts:
        consent = context.get("consent")
        if isinstance(consent, Mapping):
            if "categoryPreferences" in consent:
                yield _of_categories(consent["categoryPreferences"], named)
            elif consent:
                yield _UNCLEAR
        elif consent is not None:
            yield _UNCLEAR
        managed = context.get("consentManagement")
        if managed is not None:
            yield _of_rudder(managed, named)
    if integrations is not None:
        yield _of_integrations(integrations)


def _of_categories(preferences: object, named: Collection[str]) -> Mapping[str, str]:
    if not isinstance(preferences, Mapping):
        return _UNCLEAR
    # A category that the person was not asked about is not granted.
    choices = [preferences.get(name, False) for name in named or preferences]
    if not choices or any(choice is False for choice in choices):
        return _DENIED
    return _GRANTED if all(choice is True for choice in choices) else _UNCLEAR


def _of_rudder(managed: object, named: Collection[str]) -> Mapping[str, str]:
    if not isinstance(managed, Mapping):
        return _UNCLEAR
    denied, allowed = managed.get("deniedConsentIds"), managed.get("allowedConsentIds")
    if not isinstance(denied, list | None) or not isinstance(allowed, list | None):
        return _UNCLEAR
    denied, allowed = denied or [], allowed or []
    if not named:
        return _DENIED if denied else _GRANTED if allowed else {}
    if any(name in denied or (allowed and name not in allowed) for name in named):
        return _DENIED
    return _GRANTED if allowed else {}


def _of_integrations(integrations: object) -> Mapping[str, str]:
    if not isinstance(integrations, Mapping):
        return _UNCLEAR
    own = [integrations[name] for name in OWN_NAMES if name in integrations]
    if False in own or (integrations.get("All") is False and not any(own)):
        return _DENIED
    return {}
