"""Rejected conversion: a conversion refused at intake, kept for a limited time and number."""

from typing import Final

import msgspec

from twite.domain.fault import MaskedFault
from twite.domain.submission import RejectedConversion, Submission
from twite.domain.times import DAY

# How long rejections are kept, and how many of each source and pixel: the latest.
KEPT_FOR: Final = 7 * DAY
MOST_KEPT: Final = 5_000
# What is kept of one: so many faults, and texts of so many characters.
MOST_FAULTS: Final = 8
LONGEST_VALUE: Final = 64
LONGEST_TEXT: Final = 256


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """One rejected conversion.

    `at` is in milliseconds; `index` is its place in the request that has the receipt. `pixel`,
    `event` (as it was named, masked) and `conversion_id` are "" where it had none.
    """

    at: int
    source: str
    pixel: str
    endpoint: str
    receipt: str
    index: int
    event: str
    conversion_id: str
    faults: tuple[MaskedFault, ...]


class RejectionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filter of rejections: all given conditions must hold.

    `since` is in milliseconds; `code` is that of any fault; `pixels` None: all, and those that name
    none; `name` is a conversion id or a receipt.
    """

    since: int = 0
    code: str | None = None
    name: str | None = None
    source: str | None = None
    pixels: frozenset[str] | None = None
    limit: int = 1_000

    def wants(self, rejection: Rejection) -> bool:
        """Return whether one is wanted, whatever the limit."""
        return (
            rejection.at >= self.since
            and self.source in {None, rejection.source}
            and (self.pixels is None or rejection.pixel in self.pixels)
            and self.name in {None, rejection.conversion_id, rejection.receipt}
            and (self.code is None or any(fault.code == self.code for fault in rejection.faults))
        )


def rejection_of(submission: Submission, refusal: RejectedConversion) -> Rejection:
    """Return the stored form of a rejection."""
    return Rejection(
        at=submission.received_at,
        source=submission.source,
        pixel=refusal.pixel,
        endpoint=submission.endpoint.value,
        receipt=submission.receipt,
        index=refusal.index,
        event=refusal.event,
        conversion_id=refusal.conversion_id,
        faults=refusal.faults,
    )
