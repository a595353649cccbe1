"""Values of a comparison as they may be shown: what may be a person or a key is a mark.

The mark of a text is its length and a few digits of a hash, so that two that are alike look alike.
Numbers of up to six digits are shown, and the texts of fields that name no person.
"""

import re
from hashlib import sha256
from typing import Final

from twite.redaction.words import HARMLESS_FIELDS


def masked(path: str, value: object, *, shown: frozenset[str], salt: bytes) -> str:
    """Return what may be shown of a value; `shown` are names of fields that a person trusts."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else f"{value}".lower()
    if isinstance(value, dict | list):
        kind = "object" if isinstance(value, dict) else "list"
        return f"<{kind} of {len(value)}>"
    name = next((step for step in reversed(path.split(".")) if not step.isdigit()), path)
    text = value if isinstance(value, str) else repr(value)
    quoted = f'"{value}"' if isinstance(value, str) else text
    if name in HARMLESS_FIELDS | shown and len(text) <= _LONGEST:
        return quoted
    if _NUMBER.fullmatch(text):
        return quoted
    digest = sha256(salt + text.encode("utf-8", "surrogatepass")).hexdigest()[:4]
    return f"<{len(text)} characters, {digest}>"


def shown_path(path: str) -> str:
    """Return a path with `***` for keys that may be persons."""
    return ".".join("***" if _ODD.search(step) else step for step in path.split("."))


_ODD: Final = re.compile(r"@|\d{7}|[^ -~]|.{41}")
_NUMBER: Final = re.compile(r"-?\d{1,6}(?:\.\d{1,4})?", re.ASCII)
_LONGEST: Final = 60
