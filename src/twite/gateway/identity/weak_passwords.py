"""Refuse passwords that are short, common, or contain the name."""

import re
from pathlib import Path
from typing import Final

from twite.domain.errors import InvalidAccountChange

SHORTEST: Final = 12
LONGEST: Final = 1_024
# A password with a lower weight is easy to guess.
LEAST: Final = 8
_PIECE: Final = 2
_SHORTEST_RUN: Final = 3
# Longest first, so that a prefix does not match before the whole word.
_COMMON: Final = tuple(
    sorted(
        Path(__file__).with_name("common_passwords.txt").read_text("utf-8").split(),
        key=len,
        reverse=True,
    )
)
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop[]",
    "qwertzuiopü",
    "azertyuiop",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "yxcvbnm",
    "!@#$%^&*()",
)
_RUNS: Final = tuple(row + "\n" + row[::-1] for row in _ROWS)
_YEAR: Final = re.compile(r"(?:19|20)\d\d")
# Common substitutions of letters.
_PLAIN: Final = str.maketrans("@4031$5!7", "aaoeissit")


def refuse_weak(password: str, *, name: str) -> None:
    """Raise InvalidAccountChange for a password that is short, common, or contains the name.

    Length counts, but the kinds of characters do not. [ASVS 5.0 6.2.1, 6.2.4,
    6.2.5]
    """
    if len(password) < SHORTEST:
        raise InvalidAccountChange(
            f"a password needs at least {SHORTEST} characters; 15 or more are better, and a "
            "sentence works well"
        )
    if len(password) > LONGEST:
        raise InvalidAccountChange(f"a password may have at most {LONGEST:,} characters")
    plain = password.lower()
    if name.lower() in plain and len(plain) - len(name) < SHORTEST:
        raise InvalidAccountChange(
            "the password is little more than the user's name: choose another"
        )
    if "twite" in plain and len(plain.replace("twite", "")) < SHORTEST:
        raise InvalidAccountChange(
            "the password is little more than the product's name: choose another"
        )
    if weight(password) < LEAST:
        raise InvalidAccountChange(
            "the password is made of common words and keyboard rows: choose another"
        )


def weight(password: str) -> int:
    """Return the strength of a password, as an approximate number of random characters."""
    plain = password.lower()
    return min(_weight(plain), _weight(plain.translate(_PLAIN)))


def _weight(text: str) -> int:
    unit = _repeated(text)
    if unit != text:
        return _weight(unit) + 1
    counted = at = 0
    while at < len(text):
        length = _known(text, at)
        counted += min(_PIECE, length)
        at += length
    return counted


def _known(text: str, at: int) -> int:
    """Return the length of the common word or sequence at a position; 1 if there is none."""
    word = next((word for word in _COMMON if text.startswith(word, at)), "")
    year = _YEAR.match(text, at)
    same = len(text) - at - len(text[at:].lstrip(text[at]))
    run = 1
    while at + run < len(text) and any(text[at : at + run + 1] in alphabet for alphabet in _RUNS):
        run += 1
    longest = max(len(word), len(year[0]) if year else 0, same, run)
    return longest if longest >= _SHORTEST_RUN else 1


def _repeated(text: str) -> str:
    at = (text + text).find(text, 1)
    return text[:at] if 0 < at < len(text) else text
