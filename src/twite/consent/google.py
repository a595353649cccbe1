"""Decode Google's Consent Mode: words, `gcs`, `gcd`, and yes/no flags."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from twite.consent.tcf import MalformedSignal

# Storing the click id; sending user data to an ad platform; personalized ads.
DECIDING: Final = ("ad_storage", "ad_user_data", "ad_personalization")
OTHERS: Final = (
    "analytics_storage",
    "functionality_storage",
    "personalization_storage",
    "security_storage",
)

_GRANTED: Final = frozenset({"granted", "true", "1", "yes"})
_DENIED: Final = frozenset({"denied", "false", "0", "no"})
_YES: Final = frozenset({"1", "true", "yes"})
_NO: Final = frozenset({"0", "false", "no"})
_GCS: Final = re.compile(r"G1([01-])[01-]", re.ASCII)
_NO_ANALYTICS: Final = re.compile(r"G1[01-]0", re.ASCII)
KINDS: Final = ("ad_storage", "analytics_storage", "ad_user_data", "ad_personalization")
_GCD: Final = re.compile(r"1.([a-zA-Z]).([a-zA-Z]).([a-zA-Z]).([a-zA-Z]).*", re.ASCII)


def decode_word(word: str | bool) -> bool | MalformedSignal:  # noqa: FBT001  the value of a submission
    text = str(word).strip().lower()
    if text in _GRANTED:
        return True
    return False if text in _DENIED else MalformedSignal(why="neither granted nor denied")


def decode_flag(word: str | bool) -> bool | MalformedSignal:  # noqa: FBT001  the value of a submission
    text = str(word).strip().lower()
    if text in _YES:
        return True
    return False if text in _NO else MalformedSignal(why="neither yes nor no")


def decode_gcs(text: str) -> MalformedSignal | bool | None:
    """Return whether ad_storage is granted; None if `gcs` does not say."""
    match = _GCS.fullmatch(text.strip())
    if match is None:
        return MalformedSignal(why="not of the form G111")
    return None if match[1] == "-" else match[1] == "1"


def denies_analytics(signals: Mapping[str, str | bool]) -> bool:
    """Return whether signals deny `analytics_storage`: as a word, in `gcs`, or in `gcd`."""
    word = signals.get("analytics_storage")
    if word is not None and decode_word(word) is not True:
        return True
    if _NO_ANALYTICS.fullmatch(str(signals.get("gcs", "")).strip()):
        return True
    states = decode_gcd(str(signals.get("gcd", "")))
    return not isinstance(states, MalformedSignal) and states[1] is GcdValue.DENIED


class GcdValue(StrEnum):
    """The state of one consent type.

    Only an update is a person's choice; otherwise the value is a default.
    """

    UNSET = "unset"
    DENIED = "denied"
    GRANTED = "granted"
    GRANTED_BY_DEFAULT = "granted_by_default"


_WORDS: Final = {
    "l": GcdValue.UNSET,
    "m": GcdValue.DENIED,  # by an update
    "n": GcdValue.GRANTED,  # by an update
    "p": GcdValue.DENIED,  # by default
    "q": GcdValue.DENIED,  # by both
    "r": GcdValue.GRANTED,  # by an update, after a denial by default
    "t": GcdValue.GRANTED_BY_DEFAULT,
    "u": GcdValue.DENIED,  # by an update, after a grant by default
    "v": GcdValue.GRANTED,  # by both
}


def decode_gcd(text: str) -> tuple[GcdValue, GcdValue, GcdValue, GcdValue] | MalformedSignal:
    """Return the state of each of KINDS. One unknown letter invalidates the whole string."""
    match = _GCD.fullmatch(text.strip())
    if match is None:
        return MalformedSignal(why="not of the form 11t1t1t1t5")
    words = [_WORDS.get(letter) for letter in match.groups()]
    storage, analytics, user_data, personalization = words
    if storage is None or analytics is None or user_data is None or personalization is None:
        return MalformedSignal(why="an undefined letter")
    return storage, analytics, user_data, personalization
