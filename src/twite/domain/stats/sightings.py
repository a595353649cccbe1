"""Sightings of conversion ids by path (pixel, server), and the deduplication report."""

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from twite.domain.conversion import Conversion
from twite.domain.times import DAY, HOUR

# X drops the twin of what it received within 48 hours. [doc WEB]
MEETS_WITHIN: Final = 48 * HOUR


# How many days can be looked at; sightings are kept for these, and the twins of the first.
MOST_DAYS: Final = 14
KEPT_FOR: Final = MOST_DAYS * DAY + MEETS_WITHIN
# So many orders under two ids are named, the latest.
MOST_PAIRS: Final = 100
# Of one conversion so many twins are told: a page that fires again and again tells no more.
MOST_TOLD: Final = 20

# What each count means, and what to do about it.
ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "both": "as it should be: X has two copies under one id, and drops one",
        "pixel_only": "the gateway has nothing to send: the conversion was refused or suppressed, "
        "or never came. Give it an email or a click id, or let your server submit it",
        "server_only": (
            "X's pixel was not given these. Right for conversions without a page, such as "
            "telephone orders; otherwise put the script on the page"
        ),
        "blocked": (
            "X's script did not load, so the gateway's copy is the only one: the gateway makes up "
            "for it. If it is nearly all, your Content-Security-Policy may forbid X's script"
        ),
        "page_and_server": "page and server sent the same id: stored once, sent once",
        "two_ids": "X counts these twice: the page and your server name the same order "
        "differently. Give both the order's number as conversion_id",
        "late": "X counts these twice: its window of 48 hours was over before the second copy. "
        "Look for what delays it: a server that submits days later, or a page that fires again",
    }
)


class SightingPath(StrEnum):
    """The path by which a conversion id came."""

    PIXEL = "pixel"  # the page gave it to X's pixel
    BLOCKED = "blocked"  # the page gave it to X's pixel, whose script did not come
    PAGE = "page"  # the page's beacon brought it to the gateway
    SERVER = "server"  # anything else brought it to the gateway


class Sighting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One conversion id seen once. `at` is in milliseconds; `event` is X's event id.

    The marks are equal where event, value, currency and that identifier are: they show the same
    order under two ids, and nobody can read an identifier from them.
    """

    pixel: str
    event: str
    conversion_id: str
    way: SightingPath
    at: int
    email_mark: int | None = None
    phone_mark: int | None = None
    click_mark: int | None = None

    def __repr__(self) -> str:
        return f"Sighting({self.pixel}, {self.event}, {self.conversion_id}, {self.way})"


class PixelReport(msgspec.Struct, frozen=True, kw_only=True):
    """A page gave a conversion to X's pixel, whose script came or was `blocked`."""

    at: int
    blocked: bool = False

    def after(self, received_at: int) -> int:
        """Return how long after the gateway's copy it was; below 0 where it was before."""
        return self.at - received_at

    def meets(self, received_at: int) -> bool:
        """Return whether X drops one of the two: both are there, 48 hours apart at most."""
        return not self.blocked and abs(self.after(received_at)) <= MEETS_WITHIN


class DedupReport(msgspec.Struct, frozen=True, kw_only=True):
    """One event on one day (UTC, by the first sighting): how many conversion ids went which way.

    `day` is whole days since 1970.

    `both`, `pixel_only` and `server_only` are apart: by X's pixel and by the gateway, or by one of
    them alone. Of these, `blocked`: the pixel was given it and X's script did not come;
    `page_and_server`: it came to the gateway from the page and from a server; `two_ids`: a page's
    id without a server's, beside a server's without a page's, with the same marks, within 48
    hours; `late`: pixel and gateway more than 48 hours apart.
    """

    pixel: str
    event: str
    day: int
    both: int = 0
    pixel_only: int = 0
    server_only: int = 0
    blocked: int = 0
    page_and_server: int = 0
    two_ids: int = 0
    late: int = 0


class TwoIds(msgspec.Struct, frozen=True, kw_only=True):
    """One order under two ids, recognized by its marks: the page's, and a server's.

    `at` is when the page's was seen first, in milliseconds.
    """

    pixel: str
    event: str
    page_id: str
    server_id: str
    at: int


def marks(conversion: Conversion, *, salt: bytes) -> dict[str, int | None]:
    """Return the marks of a conversion, as the fields of a Sighting."""
    same = f"{conversion.pixel}\0{conversion.event}\0{conversion.value}\0{conversion.currency}"
    found = conversion.identifiers
    return {
        "email_mark": _mark(salt, same, "email", found.email),
        "phone_mark": _mark(salt, same, "phone", found.phone),
        "click_mark": _mark(salt, same, "click", found.click_id),
    }


def total(overlaps: Iterable[DedupReport]) -> DedupReport:
    """Add overlaps up, under the names "" and the day 0."""
    sums = dict.fromkeys(DedupReport.__struct_fields__[3:], 0)
    for overlap in overlaps:
        for name in sums:
            sums[name] += getattr(overlap, name)
    return DedupReport(pixel="", event="", day=0, **sums)


def _mark(salt: bytes, same: str, kind: str, identifier: str | None) -> int | None:
    """Return 64 bits, as the signed number that a database keeps in eight bytes."""
    if identifier is None:
        return None
    digest = hashlib.blake2b(f"{same}\0{kind}\0{identifier}".encode(), key=salt, digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)
