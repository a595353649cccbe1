"""Google Consent Mode's signals, as a submission states them, and the two that matter to X."""

from collections.abc import Mapping
from typing import Final

# Storage of the click id, and sending of user data to an ad platform.
DECIDING: Final = ("ad_storage", "ad_user_data")
KNOWN: Final = frozenset(
    {
        *DECIDING,
        "ad_personalization",
        "analytics_storage",
        "functionality_storage",
        "personalization_storage",
        "security_storage",
    }
)

_GRANTED: Final = frozenset({"granted", "true", "1", "yes"})
_DENIED: Final = frozenset({"denied", "false", "0", "no"})


def objection(signals: Mapping[str, str | bool] | None, *, required: bool) -> str | None:
    """Return why a conversion must not be sent, or None when it may.

    A denial by any deciding signal counts, in small letters or capitals, whatever the others say. A
    signal that is none, and a word that means neither, may be a misspelt denial: nothing is sent.
    Where consent is `required`, silence counts as denial.
    """
    granted = False
    for name, word in (signals or {}).items():
        signal, said = name.strip().lower(), str(word).strip().lower()
        if signal not in KNOWN:
            return "consent_unclear: a signal that is none"
        if signal not in DECIDING or not said:
            continue
        if said in _DENIED:
            return f"consent_denied: {signal}"
        if said not in _GRANTED:
            return f"consent_unclear: {signal}"
        granted = True
    return "consent_missing" if required and not granted else None
