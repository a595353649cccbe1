"""An amount of the native format, from its JSON text: a number keeps its digits."""

from decimal import Decimal

import msgspec

from twite.domain.fault import Fault, fault
from twite.domain.money import amount


def amount_in(raw: msgspec.Raw, *, path: str) -> str | Fault | None:
    """Return it as a decimal string; None if absent."""
    text = bytes(raw).decode()
    if text == "null":
        return None
    if text[0] == '"':
        text = msgspec.json.decode(text, type=str) if "\\" in text else text[1:-1]
    elif text[0] in "{[tf":
        return fault(path, "not_an_amount")
    return amount(text, path=path)


def is_more(raw: msgspec.Raw, limit: Decimal) -> bool:
    """Return whether it exceeds a limit. An invalid amount is rejected later, with an error."""
    read = amount_in(raw, path="value")
    return isinstance(read, str) and Decimal(read) > limit
