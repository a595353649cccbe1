"""Password strength: refuse passwords near the top of lists of common ones.

Long common passwords are short ones put together: a word that everybody takes (guessable.txt), a
row of the keyboard, a run of digits, a year, the same again. Each counts as two characters here.
"""

import re
from importlib.resources import files
from typing import Final

# Below this weight, a password is guessed early.
LEAST: Final = 8
_PIECE: Final = 2
_SHORTEST_RUN: Final = 3
# Longest first, so that a prefix does not match before the whole word.
_WORDS: Final = tuple(
    sorted(
        files("twite.gateway.identity").joinpath("common_passwords.txt").read_text("utf-8").split(),
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
# How letters are often disguised.
_PLAIN: Final = str.maketrans("@4031$5!7", "aaoeissit")


def weight(password: str) -> int:
    """Return the strength of a password, roughly in random characters."""
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
    """Return the length of a common piece that begins here; 1 if there is none."""
    word = next((word for word in _WORDS if text.startswith(word, at)), "")
    year = _YEAR.match(text, at)
    same = len(text) - at - len(text[at:].lstrip(text[at]))
    run = 1
    while at + run < len(text) and any(text[at : at + run + 1] in alphabet for alphabet in _RUNS):
        run += 1
    longest = max(len(word), len(year[0]) if year else 0, same, run)
    return longest if longest >= _SHORTEST_RUN else 1


def _repeated(text: str) -> str:
    """Return the unit that a text repeats."""
    at = (text + text).find(text, 1)
    return text[:at] if 0 < at < len(text) else text
