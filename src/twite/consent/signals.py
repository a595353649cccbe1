"""Google Consent Mode's two signals that matter to X, as a submission states them."""

from collections.abc import Mapping
from typing import Final

# Storage of the click id, and sending of user data to an ad platform.
DECIDING: Final = ("ad_storage", "ad_user_data")

_GRANTED: Final = frozenset({"granted", "true", "1", "yes"})
_DENIED: Final = frozenset({"denied", "false", "0", "no"})


def objection(signals: Mapping[str, str | bool] | None, *, required: bool) -> str | None:
    """Return why a conversion must not be sent, or None when it may.

    A denial by any deciding signal counts, in small letters or capitals, whatever the others say.
    Where consent is `required`, silence and words that mean neither count as denial.
    """
    granted = False
    if signals:
        said = [(name.strip().lower(), str(word).strip().lower()) for name, word in signals.items()]
        for deciding in DECIDING:
            words = {word for name, word in said if name == deciding}
            if words & _DENIED:
                return f"consent_denied: {deciding}"
            granted = granted or bool(words & _GRANTED)
    return "consent_missing" if required and not granted else None
