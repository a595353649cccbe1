"""The size of the next batch."""

from collections.abc import Iterable
from typing import Final, Self

import msgspec

from twite.domain.delivery import MOST_BYTES, MOST_CONVERSIONS, Delivery, Group
from twite.domain.outcome import Errored, Outcome, Rejected, RejectionScope

# After a failure, the size of the next batch is divided by this.
_FEWER: Final = 8
# A batch that X refuses as too large is halved down to this size.
_LEAST_BYTES: Final = 50_000


class BatchSize(msgspec.Struct, frozen=True, kw_only=True):
    """The size of the next batch.

    `most` shrinks while the rate limit is too low for a bisect, so that one bad batch does not use
    up every window, and grows again later. `most_bytes` only shrinks.
    """

    most: int = MOST_CONVERSIONS
    most_bytes: int = MOST_BYTES
    max_by_x: int = MOST_CONVERSIONS

    def landed(self) -> Self:
        if self.most >= self.max_by_x:
            return self
        return msgspec.structs.replace(self, most=min(self.max_by_x, self.most * 2))

    def limited(self, many: int) -> Self:
        """Record that the rate limit was too low to bisect a batch of this size."""
        return msgspec.structs.replace(self, most=max(1, many // 2))

    def too_many(self, group: Group, why: Outcome) -> Self:
        """Lower the number of conversions: to half if X refused it, or to an eighth if X failed."""
        if isinstance(why, Errored):
            return msgspec.structs.replace(self, most=min(self.most, max(1, len(group) // _FEWER)))
        if isinstance(why, Rejected) and why.scope is RejectionScope.COUNT:
            half = max(1, len(group) // 2)
            return msgspec.structs.replace(self, most=half, max_by_x=half)
        return self

    def too_large(self, smallest: int | None) -> Self:
        """Halve the size limit, starting from the smallest request that X refused as too large."""
        if smallest is None:
            return self
        half = max(_LEAST_BYTES, smallest // 2)
        return msgspec.structs.replace(self, most_bytes=min(self.most_bytes, half))


def bytes_too_large(group: Iterable[Delivery], outcome: Outcome) -> int | None:
    """Return the size of a request that X refused for its size, or None."""
    if not isinstance(outcome, Rejected) or outcome.scope is not RejectionScope.SIZE:
        return None
    return sum(len(delivery.body) for delivery in group)
