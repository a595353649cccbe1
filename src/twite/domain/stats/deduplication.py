"""The deduplication report: conversion ids by path (pixel, server)."""

import hashlib
import struct
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from twite.domain.conversion import Conversion
from twite.domain.secret import Masked
from twite.domain.times import DAY, HOUR

# X drops a second copy within 48 hours. [doc WEB]
MEETS_WITHIN: Final = 48 * HOUR


# Days in the report. Rows are kept for these days, plus the first day's window.
MOST_DAYS: Final = 14
KEPT_FOR: Final = MOST_DAYS * DAY + MEETS_WITHIN
# The most orders with two ids that are listed, latest first.
MOST_PAIRS: Final = 100
# The most pixel reports listed per conversion.
MOST_REPORTS: Final = 20

# What each count means, and what to do about it.
ADVICE: Final[Mapping[str, str]] = {
    "both": "correct: X received two copies with the same id, and drops one",
    "pixel_only": "the gateway has nothing to send: the conversion was refused or suppressed, "
    "or never arrived. Give it an email or a click id, or let your server submit it. If another "
    "plugin or app reports these to X's API, switch it off: one API sender per event",
    "server_only": (
        "X's pixel did not send these. This is correct for conversions without a page, "
        "such as telephone orders; otherwise put the script on the page. If the page has the "
        "script, load X's pixel there, or set the source's x_pixel to \"load\""
    ),
    "blocked": (
        "X's script did not load, so only the gateway sent these. If nearly all pages are "
        "affected, your Content-Security-Policy may block X's script"
    ),
    "page_and_server": "the page and the server sent the same id: stored once, sent once",
    "two_ids": "X counts these twice: the page and your server send different ids for the "
    "same order. Send the order number as conversion_id from both",
    "late": "X counts these twice: its 48-hour window ended before the second copy arrived. "
    "Find the cause of the delay: a server that submits days later, or a page that fires again",
}

_MARK: Final = struct.Struct(">q").unpack


class DedupPath(StrEnum):
    """The path by which a conversion id arrived."""

    PIXEL = "pixel"  # the page passed it to X's pixel
    BLOCKED = "blocked"  # the page passed it to X's pixel, whose script did not load
    PAGE = "page"  # it arrived in a page's beacon
    SERVER = "server"  # it arrived in another way


class DedupRow(Masked, frozen=True, kw_only=True, gc=False):
    """One arrival of a conversion id. `at` is in milliseconds; `event` is X's event id.

    Two marks are equal if event, value, currency and identifier are equal. They reveal one order
    with two ids, but not the identifier.
    """

    in_repr = ("pixel", "event", "conversion_id", "way")
    pixel: str
    event: str
    conversion_id: str
    path: DedupPath
    at: int
    email_mark: int | None = None
    phone_mark: int | None = None
    click_mark: int | None = None


class PixelReport(msgspec.Struct, frozen=True, kw_only=True):
    """A page sent a conversion with X's pixel, whose script loaded or was `blocked`."""

    at: int
    blocked: bool = False

    def after(self, received_at: int) -> int:
        """Return how many milliseconds after the gateway's copy it was sent; negative if before."""
        return self.at - received_at

    def meets(self, received_at: int) -> bool:
        """Return whether X drops one of the two copies, because both arrived within 48 hours."""
        return not self.blocked and abs(self.after(received_at)) <= MEETS_WITHIN


class DedupReport(msgspec.Struct, frozen=True, kw_only=True):
    """Conversion ids of one event and day (UTC, by first row), counted by path.

    `day` is days since 1970. `both`, `pixel_only` and `server_only` are disjoint. Of these,
    `blocked`: X's script did not load; `page_and_server`: the gateway received both; `two_ids`: a
    page's id and a server's id with the same marks within 48 hours; `late`: the copies of pixel
    and gateway were more than 48 hours apart.
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
    """One order under two ids with the same marks.

    `at` is when the page's id was first seen (ms).
    """

    pixel: str
    event: str
    page_id: str
    server_id: str
    at: int


class OtherId(msgspec.Struct, frozen=True):
    """The other id of an order with two ids, and a delivery with that id, if one is stored."""

    conversion_id: str
    delivery: int | None = None


def marks(conversion: Conversion, *, salt: bytes) -> tuple[int | None, int | None, int | None]:
    """Return the marks of a conversion's email, phone and click id."""
    email, phone, click = _same(
        salt, conversion.pixel, conversion.event, conversion.value, conversion.currency
    )
    found = conversion.identifiers
    return _mark(email, found.email), _mark(phone, found.phone), _mark(click, found.click_id)


def total(reports: Iterable[DedupReport]) -> DedupReport:
    """Return the sum of all reports; its names are empty, and its day is 0."""
    sums = dict.fromkeys(DedupReport.__struct_fields__[3:], 0)
    for report in reports:
        for name in sums:
            sums[name] += getattr(report, name)
    return DedupReport(pixel="", event="", day=0, **sums)


# Cached because many orders have the same amount.
@lru_cache(maxsize=1_024)
def _same(
    salt: bytes, pixel: str, event: str, value: str | None, currency: str | None
) -> "list[hashlib.blake2b]":
    """Return hashes of all that two marks share except the identifier, one per kind."""
    same = f"{pixel}\0{event}\0{value}\0{currency}\0"
    return [
        hashlib.blake2b(f"{same}{kind}\0".encode(), key=salt, digest_size=8)
        for kind in ("email", "phone", "click")
    ]


def _mark(same: "hashlib.blake2b", identifier: str | None) -> int | None:
    if identifier is None:
        return None
    digest = same.copy()
    digest.update(identifier.encode())
    mark: int
    (mark,) = _MARK(digest.digest())
    return mark
