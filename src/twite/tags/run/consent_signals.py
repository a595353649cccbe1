"""The consent signals that tags see."""

from collections.abc import Mapping

from twite.consent.google import DECIDING, OTHERS, decode_word


def granted(signals: Mapping[str, str | bool] | None) -> dict[str, bool]:
    names = (*DECIDING, *OTHERS)
    return {
        name: decode_word(word) is True for name, word in (signals or {}).items() if name in names
    }
