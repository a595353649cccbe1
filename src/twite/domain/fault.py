"""Fault of one conversion: a stable code, a path, a message."""

from typing import Final

import msgspec

# All fault codes. A test compares them with the reference page.
CODES: Final[dict[str, str]] = {
    "amount_negative": "the amount is negative",
    "amount_too_large": "the amount has too many digits",
    "control_character": "the text contains a control character, such as NUL or a line break",
    "currency_missing": "the value has no currency, and X would assume US dollars",
    "currency_unknown": "not a currency code of ISO 4217",
    "duplicate_key": "an object contains a key twice",
    "email_unusable": "not a valid email address",
    "event_missing": "the conversion has no event",
    "event_unknown": "the event is not one of the pixel's events in the configuration",
    "hash_of_nothing": "the hash of an empty text matches nobody",
    "id_is_a_person": (
        "an email or a phone number is not allowed as an id, because ids are stored in plain text"
    ),
    "identifier_missing": "no identifier that X accepts",
    "ip_private": "the IP address is private",
    "ip_unusable": "not an IP address",
    "not_a_count": "not a whole number above zero",
    "not_a_time": "not a time with a zone, such as 2026-11-24T10:00:00.000Z",
    "not_an_amount": "not an amount such as 49.90",
    "not_sha256": "not a SHA-256 digest of 64 hexadecimal digits",
    "phone_needs_region": "the phone number has no country code, and the source has no region",
    "phone_unusable": "not a phone number",
    "pixel_unknown": "the pixel is not in the configuration, or not allowed for this source",
    "text_too_long": "the text is too long",
    "time_in_future": "the time is more than a day ahead of now",
    "too_deep": "nested too deeply",
    "too_many": "too many conversions, events, lines or parameters in one request",
    "twclid_unusable": "not a click id",
    "twpid_unusable": "not a value of X's cookie _twpid",
    "unknown_field": "unknown field; the message names the nearest known one",
    "user_agent_unusable": "not a user agent",
    "wrong_type": "the value has the wrong type",
}

# Further codes, which only rows of files and queries have.
ROW_CODES: Final[dict[str, str]] = {
    "amount_ambiguous": "the amount has a separator that may mark decimals or thousands",
    "cells_missing": "the row has fewer cells than the header",
    "cells_too_many": "the row has more cells than the header",
    "consent_unreadable": "the consent cell contains neither yes nor no",
    "currency_conflict": "the currency next to the amount differs from the currency column",
    "id_missing": "the row has no id, so that it could not be recognized when it comes again",
    "id_rounded": "the id is in scientific notation, because a spreadsheet rounded it",
    "id_shared": "an earlier row has this id and event, but a different person, time or value",
    "older_than_memory": "the gateway may have forgotten that it received the row before",
    "time_missing": "the row has no time, but other rows do",
    "too_large": "the row is too large for a request",
    "number_inexact": "the cell is a floating-point number, which may have lost digits",
    "name_differs": "in JSON, the row has another name for a field than other rows",
    "not_sent": "the gateway refused the whole request, and a retry would not help",
}


class ReportedFault(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One fault of one conversion.

    `path` is the field, such as `contents[0].price`; `code` is a key of CODES or ROW_CODES;
    `message` never repeats an identifier.
    """

    path: str
    code: str
    message: str


class Fault(ReportedFault, frozen=True, kw_only=True, gc=False):
    """A fault found by this version: its code is known."""

    def __post_init__(self) -> None:
        if self.code not in CODES and self.code not in ROW_CODES:
            raise ValueError(f"unknown fault code {self.code!r}")


def fault(path: str, code: str, message: str | None = None) -> Fault:
    """Build a fault; the default message describes the code."""
    return Fault(path=path, code=code, message=message or CODES[code])


class MaskedFault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored fault, masked and shortened. `value` is the masked value at the path, or ""."""

    path: str
    code: str
    message: str
    value: str = ""
