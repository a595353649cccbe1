"""The JSON shape of the first-party script's beacon. Unknown fields are ignored.

An old gateway must understand a new script, so anything that can be skipped is not refused: a
script whose message is refused drops it. Each part is decoded by itself: see parts.py.
"""

from enum import StrEnum
from typing import Final

import msgspec

Number = int | float

_NULL: Final = msgspec.Raw(b"null")


class BeaconTwin(StrEnum):
    """What X's pixel in the page did with the same conversion."""

    LOADED = "loaded"  # X's script was loaded and got it
    CALLED = "called"  # it is in X's queue; whether X's script was loaded is not known
    BLOCKED = "blocked"  # it is in X's queue, and X's script was not loaded
    ABSENT = "absent"  # the page has no X pixel, or the conversion was not passed to it


class BeaconContent(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str | int | None = None
    name: str | None = None
    price: msgspec.Raw = _NULL
    quantity: Number | None = None
    group: str | int | None = None
    type: str | None = None


class BeaconConversion(msgspec.Struct, frozen=True, omit_defaults=True):
    """One conversion as the page reports it. `at` is the browser's clock. Its repr is masked."""

    event: str | None = None
    conversion_id: str | int | None = None
    at: Number | None = None
    twin: str | None = None
    value: msgspec.Raw = _NULL
    currency: str | None = None
    email: str | None = None
    email_sha256: str | None = None
    phone: str | None = None
    phone_sha256: str | None = None
    twclid: str | None = None
    twpid: str | None = None
    url: str | None = None
    contents: list[BeaconContent] | None = None
    description: str | None = None
    search: str | None = None

    def __repr__(self) -> str:
        return "BeaconConversion(***)"


class BeaconClick(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str | None = None
    at: Number | None = None

    def __repr__(self) -> str:
        return "BeaconClick(***)"


class BeaconIgnored(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str | None = None
    reason: str | None = None


class BeaconMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of one beacon. `sent` is the browser's clock. Its repr is masked."""

    v: msgspec.Raw = _NULL
    sent: msgspec.Raw = _NULL
    click: msgspec.Raw = _NULL
    consent: msgspec.Raw = _NULL
    conversions: list[msgspec.Raw] | None = None
    ignored: msgspec.Raw = _NULL

    def __repr__(self) -> str:
        return "Message(***)"
