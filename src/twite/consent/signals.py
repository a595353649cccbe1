"""Google Consent Mode's signals as words (`granted`, `denied`), as a request states them."""

from collections.abc import Mapping
from typing import Final

from twite.consent.malformed import MalformedSignal

# Storage of the click id, and sending of user data to an ad platform; and personalized ads.
DECIDING: Final = ("ad_storage", "ad_user_data", "ad_personalization")
OTHERS: Final = (
    "analytics_storage",
    "functionality_storage",
    "personalization_storage",
    "security_storage",
)

_GRANTED: Final = frozenset({"granted", "true", "1", "yes"})
_DENIED: Final = frozenset({"denied", "false", "0", "no"})


def decode(word: str | bool) -> bool | MalformedSignal:  # noqa: FBT001  as a submission states it
    """Return whether it is granted, in small letters or capitals."""
    text = str(word).strip().lower()
    if text in _GRANTED:
        return True
    return False if text in _DENIED else MalformedSignal(why="neither granted nor denied")


def granted(signals: Mapping[str, str | bool] | None) -> dict[str, bool]:
    """Return the Google signals that were given, and whether each is granted."""
    names = (*DECIDING, *OTHERS)
    return {name: decode(word) is True for name, word in (signals or {}).items() if name in names}
