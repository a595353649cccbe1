"""The JSON shape of the native format: fields and their types.

Amounts and the time are read from their text, so that they never become floats.
"""

from typing import Final

import msgspec

# Stands for a consent signal that cannot be read: consent rules treat it as a possible denial.
UNREADABLE: Final = "unreadable"


class NativeContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    id: str | int | None = None
    name: str | None = None
    price: msgspec.Raw = msgspec.Raw(b"null")
    quantity: int | None = None
    group: str | int | None = None
    type: str | None = None


class Native(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One conversion as submitted. It holds personal data: its repr is masked."""

    event: str | None = None
    conversion_id: str | int | None = None
    time: str | None = None
    value: msgspec.Raw = msgspec.Raw(b"null")
    currency: str | None = None
    email: str | None = None
    email_sha256: str | None = None
    phone: str | None = None
    phone_sha256: str | None = None
    twclid: str | None = None
    twpid: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    url: str | None = None
    contents: list[NativeContent] | None = None
    description: str | None = None
    search: str | None = None
    consent: dict[str, str | bool] | None = None
    pixel: str | None = None

    def __repr__(self) -> str:
        return "Native(***)"


class Many(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    conversions: list[Native]


class Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The request, with its conversions not decoded yet."""

    conversions: list[msgspec.Raw]
