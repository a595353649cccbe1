"""Batch size of one pixel: how many conversions and bytes the next request may hold."""

from collections.abc import Iterable
from typing import Final

from twite.domain.delivery import MOST_BYTES, Delivery
from twite.domain.outcome import Outcome, Rejected, RejectionScope
from twite.x import spec

# A batch that X calls too large is halved, but never below this size.
_LEAST_BYTES: Final = 50_000


class BatchSize:
    """The size of the next batch.

    `most` shrinks while the rate limit leaves too little for a bisect: otherwise the same bad batch
    would use up every window. It grows again, up to the number that X accepts. `most_bytes` only
    shrinks.
    """

    def __init__(self) -> None:
        self.most = spec.MAX_CONVERSIONS
        self.most_bytes = MOST_BYTES
        self._max_by_x = spec.MAX_CONVERSIONS

    def landed(self) -> None:
        """Record that X accepted a request."""
        self.most = min(self._max_by_x, self.most * 2)

    def limited(self, many: int) -> None:
        """Record that the rate limit did not let a batch of this many be bisected."""
        self.most = max(1, many // 2)

    def too_many(self, group: Iterable[Delivery], why: Outcome) -> None:
        """Halve the number if X refused a request for it."""
        if _is_size(why) and _counts(why):
            self._max_by_x = self.most = max(1, sum(1 for _ in group) // 2)

    def too_large(self, smallest: int | None) -> None:
        """Halve the bytes of the smallest request that was too large, if one was."""
        if smallest is not None:
            self.most_bytes = min(self.most_bytes, max(_LEAST_BYTES, smallest // 2))


def bytes_too_large(group: Iterable[Delivery], outcome: Outcome) -> int | None:
    """Return the bytes of a request that was refused for them, or None."""
    if not _is_size(outcome) or _counts(outcome):
        return None
    return sum(len(delivery.body) for delivery in group)


def _is_size(outcome: Outcome) -> bool:
    return isinstance(outcome, Rejected) and outcome.scope is RejectionScope.SIZE


def _counts(outcome: Outcome) -> bool:
    """Whether X refused the number of conversions."""
    return isinstance(outcome, Rejected) and any(
        complaint.message == spec.TOO_MANY_CONVERSIONS for complaint in outcome.complaints
    )
