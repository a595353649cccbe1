"""The shape of what the first-party script sends. What is not named here is passed over.

An old gateway must understand a new script, so nothing is refused that can be read around: a
script that is refused forgets what it had to say. So each part is read by itself: see beacon_typed.
"""

from enum import StrEnum
from typing import Final

import msgspec

Number = int | float

_NULL: Final = msgspec.Raw(b"null")


class BeaconTwin(StrEnum):
    """What became of a conversion's twin, X's pixel in the page."""

    LOADED = "loaded"  # X's script was there and was given it
    CALLED = "called"  # it was given to X's queue; whether X's script came is not known
    BLOCKED = "blocked"  # it was given to X's queue, and X's script did not come
    ABSENT = "absent"  # the page has no pixel of X, or it was not given it


class BeaconContent(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str | int | None = None
    name: str | None = None
    price: msgspec.Raw = _NULL
    quantity: Number | None = None
    group: str | int | None = None
    type: str | None = None


class BeaconConversion(msgspec.Struct, frozen=True, omit_defaults=True):
    """One conversion as the page has it. `at` is the browser's clock. It does not print."""

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
    """What one beacon holds. `sent` is the browser's clock. It does not print."""

    v: msgspec.Raw = _NULL
    sent: msgspec.Raw = _NULL
    click: msgspec.Raw = _NULL
    consent: msgspec.Raw = _NULL
    conversions: list[msgspec.Raw] | None = None
    ignored: msgspec.Raw = _NULL

    def __repr__(self) -> str:
        return "Message(***)"
