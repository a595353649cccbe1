"""Lists of conversions: the filter, and its pages. The console, the API and commands share them."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Self

import msgspec

from twite.domain.secret import Masked
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.test_mode import in_test
from twite.domain.times import LATEST

# The maximum number of conversions, and of rejections, that one page or a count looks at.
LOOKED_THROUGH: Final = 5_000
# The values of the parameter `test`, and the `tests` of a ListQuery.
TEST_FILTERS: Final[Mapping[str, bool]] = {"only": True, "without": False}
# The value of a filter for rejections that name no pixel, or no event in the settings.
NONE: Final = "-"
_POSITION: Final = re.compile(
    r"([0-9]{1,16})(?:\.([0-9]{1,16})\.([0-9]{1,9})\.([0-9]{1,16}))?", re.ASCII
)


class QueryScope(msgspec.Struct, frozen=True, kw_only=True):
    """The pixels a viewer may see (None: all), narrowed to a `pixel` and a `source`.

    The pixel "" is that of rejections that name none.
    """

    pixels: frozenset[str] | None = None
    pixel: str | None = None
    source: str | None = None

    @property
    def seen(self) -> frozenset[str] | None:
        """The pixels that the answer may contain; None for all."""
        if self.pixel is None:
            return self.pixels
        own = frozenset({self.pixel})
        return own if self.pixels is None else own & self.pixels

    @property
    def of_tests(self) -> Self:
        """The scope of the tests of these pixels and this source."""
        return type(self)(
            pixels=None if self.pixels is None else frozenset(map(in_test, self.pixels)),
            pixel=None if self.pixel is None else in_test(self.pixel),
            source=in_test(self.source or "") or None,
        )

    def shows(self, pixel: str) -> bool:
        return self.seen is None or pixel in self.seen


class ListedState(StrEnum):
    """What a list shows. A conversion is in one of the first seven, and may be in others, too."""

    QUEUED = "queued"
    SENDING = "sending"
    DELIVERED = "delivered"
    HELD = "held"
    DEAD = "dead"
    SUPPRESSED = "suppressed"
    REJECTED = "rejected"
    PENDING = "pending"  # queued or sending
    DUPLICATE = "duplicate"  # conversions of which later copies were dropped
    FLAGGED = "flagged"  # unusual amounts; the reason is their kind, or kind and currency
    FLAWED = "flawed"  # identifiers with a flaw; the reason is its code
    PRIVATE_ADDRESS = "private_address"  # FLAWED, with the code `ip_private`
    TWO_IDS = "two_ids"  # orders under two ids, in the deduplication report
    BOTH = "both"  # the gateway and X's pixel had it, as that report counts
    SERVER_ONLY = "server_only"  # X's pixel did not have it, as that report counts
    BLOCKED = "blocked"  # X's script did not load in the page, as that report counts
    MATCHABLE = "matchable"  # neither rejected nor suppressed on receipt, as match keys count


class ListPosition(msgspec.Struct, frozen=True):
    """Where a page ends: a delivery, and the key of a rejection. The next page has those before."""

    delivery: int
    rejection: tuple[int, int, int] | None = None

    def __str__(self) -> str:
        return ".".join(map(str, (self.delivery, *(self.rejection or ()))))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the position that `str` has written; None for other text."""
        found = _POSITION.fullmatch(text)
        if found is None:
            return None
        delivery, *key = (int(part) for part in found.groups() if part is not None)
        return cls(delivery, (key[0], key[1], key[2]) if key else None)


class ProblemConversions(msgspec.Struct, frozen=True, kw_only=True):
    """The conversions of a problem. By default, there are none.

    `groups` are those of dead and held deliveries: (pixel, event, state, reason). They became so in
    `since <= time < until` (ms). `first_fault` is that of rejections: a code and a field.
    """

    groups: tuple[tuple[str, str, str, str], ...] = ()
    since: int = 0
    until: int = LATEST
    first_fault: tuple[str, str] | None = None


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A filter of conversions: all conditions must hold.

    `events` are X's ids; a rejection of an event that the settings do not have matches if they
    contain its name as sent, or "". `reason` must match exactly; `since <= received_at < until`
    (ms). `named` is a conversion id or a receipt; `digest` the SHA-256 of a normalized email or
    phone number, as X receives it. `tests` True selects the conversions of sources in test mode,
    False all others. `after` leaves out the deliveries up to a number, and all rejections.
    `deliveries` are those of the state TWO_IDS, the greatest first, as they were counted.
    """

    scope: QueryScope = QueryScope()
    events: frozenset[str] | None = None
    state: ListedState | None = None
    reason: str | None = None
    since: int = 0
    until: int = LATEST
    named: str | None = None
    digest: str | None = None
    tests: bool | None = None
    problem: ProblemConversions | None = None
    position: ListPosition | None = None
    after: int = 0
    deliveries: tuple[int, ...] = ()
    limit: int = 50


class ConversionSummary(Masked, frozen=True, kw_only=True):
    """One conversion in a list. `body` is empty once it is pruned.

    A rejected conversion has neither `delivery` nor `body`, its `event` may be a name or "", and
    its `reason` names the codes of its faults. `key` is unique among all; `duplicates` counts the
    copies that were dropped.
    """

    in_repr = ("key", "pixel", "event", "state")
    key: str
    delivery: int | None
    received_at: int
    pixel: str
    event: str
    conversion_id: str
    source: str
    endpoint: str
    receipt: str
    state: ListedState
    reason: str | None
    body: bytes
    flag: ValueFlag | None = None
    duplicates: int = 0


class ListCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many conversions a list has, and how many dropped copies they had.

    If `is_cut`, these are at least so many: there were more than LOOKED_THROUGH to look at.
    """

    conversions: int = 0
    copies: int = 0
    is_cut: bool = False


class SummaryPage(msgspec.Struct, frozen=True, kw_only=True):
    """The conversions found, newest first.

    The next page continues before `back_to`, which is None on the last page. `searched_to` is set
    if the page ended after LOOKED_THROUGH conversions: the time of the last of them.
    """

    summaries: tuple[ConversionSummary, ...]
    back_to: ListPosition | None = None
    searched_to: int | None = None
    latest: int = 0
