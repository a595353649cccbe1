"""An amount of our own format, from its JSON text: a number keeps the digits it came with."""

from decimal import Decimal

import msgspec

from twite.domain.fault import Fault, fault
from twite.domain.money import amount


def amount_in(raw: msgspec.Raw, *, path: str) -> str | Fault | None:
    """Return it as a decimal string; None where there is none."""
    text = bytes(raw).decode()
    if text == "null":
        return None
    if text[0] == '"':
        text = msgspec.json.decode(text, type=str) if "\\" in text else text[1:-1]
    elif text[0] in "{[tf":
        return fault(path, "not_an_amount")
    return amount(text, path=path)


def is_more(raw: msgspec.Raw, limit: Decimal) -> bool:
    """Return whether it is more than a limit. What is no amount is refused later, with words."""
    read = amount_in(raw, path="value")
    return isinstance(read, str) and Decimal(read) > limit
