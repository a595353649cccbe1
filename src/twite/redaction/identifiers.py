"""Recognize identifiers of X in ids: hashed emails and phone numbers, and click ids."""

import re
from collections.abc import Iterable
from typing import Final

from twite.redaction.scrub_text import names_a_person

# A SHA-256; a click id, which is `2-` and 23 to 25 characters, or 26 that begin with a 2. Ids that
# Twite derives have 26, too, but no 0, 1, 8 or 9. Hexadecimal ids have no letter after f.
_IDENTIFIER: Final = re.compile(
    r"""
    (?<![0-9A-Za-z])(?:
        [0-9A-Fa-f]{64}
        | 2-(?=[0-9a-f]*[g-z])[0-9a-z]{23,25}
        | 2(?=[0-9a-f]*[g-z])(?=[a-z2-7]*[0189])[0-9a-z]{25}
    )(?![0-9A-Za-z])""",
    re.VERBOSE,
)
# Shorter ones may be in an id by chance.
_SHORTEST: Final = 7


def names_an_identifier(id_: str) -> bool:
    """Return whether an id contains personal data, or what has the form of an identifier."""
    return _IDENTIFIER.search(id_) is not None or names_a_person(id_)


def has_identifier(id_: str, identifiers: Iterable[str]) -> bool:
    """Return whether an id contains one of the identifiers."""
    text = id_.lower()
    return any(len(each) >= _SHORTEST and each.lower() in text for each in identifiers)
