"""Decode `gcd`, the long form of Google's Consent Mode, which is undocumented. [seen V36]"""

import re
from enum import StrEnum
from typing import Final

from twite.consent.malformed import MalformedSignal

KINDS: Final = ("ad_storage", "analytics_storage", "ad_user_data", "ad_personalization")
_GCD: Final = re.compile(r"1.([a-zA-Z]).([a-zA-Z]).([a-zA-Z]).([a-zA-Z]).*", re.ASCII)


class GcdValue(StrEnum):
    """The state of one consent type. Only an update, by a person, is more than a default."""

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


def decode(text: str) -> tuple[GcdValue, GcdValue, GcdValue, GcdValue] | MalformedSignal:
    """Return the state of each of KINDS. One unknown letter invalidates the whole."""
    match = _GCD.fullmatch(text.strip())
    if match is None:
        return MalformedSignal(why="not of the form 11t1t1t1t5")
    words = [_WORDS.get(letter) for letter in match.groups()]
    storage, analytics, user_data, personalization = words
    if storage is None or analytics is None or user_data is None or personalization is None:
        return MalformedSignal(why="a letter that means nothing")
    return storage, analytics, user_data, personalization
