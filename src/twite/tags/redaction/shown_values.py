"""What a comparison shows of values and their paths."""

import re
from hashlib import sha256
from typing import Final

# Fields of a request whose values identify nobody.
_HARMLESS: Final = frozenset(
    [
        "action_source",
        "content-type",
        "content_type",
        "currency",
        "event",
        "event_id",
        "event_name",
        "event_type",
        "method",
        "price_currency",
        "type",
        "value",
        "version",
    ]
)
_ODD: Final = re.compile(r"@|\d{7}|[^ -~]|.{41}")
_SMALL_NUMBER: Final = re.compile(r"-?\d{1,6}(?:\.\d{1,4})?", re.ASCII)
_LONGEST_VALUE: Final = 60


def masked_value(path: str, value: object, *, shown: frozenset[str], salt: bytes) -> str:
    """Return what a comparison shows of a value; `shown` lists fields that the user allows.

    Numbers of up to six digits, and texts of fields without personal data, are shown. Other texts
    are replaced by their length and a few digits of a hash, so that equal texts look the same.
    """
    if value is None or isinstance(value, bool):
        return "null" if value is None else f"{value}".lower()
    if isinstance(value, dict | list):
        kind = "object" if isinstance(value, dict) else "list"
        return f"<{kind} of {len(value)}>"
    name = next((step for step in reversed(path.split(".")) if not step.isdigit()), path)
    text = value if isinstance(value, str) else repr(value)
    quoted = f'"{value}"' if isinstance(value, str) else text
    if name in _HARMLESS | shown and len(text) <= _LONGEST_VALUE:
        return quoted
    if _SMALL_NUMBER.fullmatch(text):
        return quoted
    digest = sha256(salt + text.encode("utf-8", "surrogatepass")).hexdigest()[:4]
    return f"<{len(text)} characters, {digest}>"


def shown_path(path: str) -> str:
    """Return a path with `***` for keys that may be personal data."""
    return ".".join("***" if _ODD.search(step) else step for step in path.split("."))
