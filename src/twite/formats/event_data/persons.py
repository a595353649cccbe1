"""Email and phone of an event: raw, or hashed as Google and Stape's tags hash them."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from twite.formats.event_data.values import first_text

_EMAILS: Final = (
    "email", "email_address", "user_data.email_address", "user_data.email", "userEmail", "mail",
    "user_data.sha256_email_address", "sha256_email_address", "email_sha256", "hashed_email",
)  # fmt: skip
_PHONES: Final = (
    "phone", "phone_number", "user_data.phone_number", "user_data.phone", "userPhoneNumber",
    "phoneNumber", "user_data.sha256_phone_number", "sha256_phone_number", "phone_sha256",
    "hashed_phone_number",
)  # fmt: skip
# A SHA-256 digest in base64, either alphabet.
_BASE64_DIGEST: Final = re.compile(r"[A-Za-z0-9+/_-]{43}=?", re.ASCII)


def email_of(event: Mapping[str, object]) -> str | None:
    """Return the email or its digest; a base64 digest becomes hexadecimal."""
    return _hexadecimal(first_text(event, _EMAILS))


def phone_of(event: Mapping[str, object]) -> str | None:
    """Return the phone number or its digest, likewise."""
    return _hexadecimal(first_text(event, _PHONES))


def _hexadecimal(text: str | None) -> str | None:
    if text is None or not _BASE64_DIGEST.fullmatch(text):
        return text
    plain = text.rstrip("=").translate(_ONE_ALPHABET)
    try:
        return base64.b64decode(f"{plain}=", validate=True).hex()
    except binascii.Error:
        return text


_ONE_ALPHABET: Final = str.maketrans("-_", "+/")
