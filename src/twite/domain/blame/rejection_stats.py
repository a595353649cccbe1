"""Statistics of one event's refusals: is the event at fault, or are its conversions?

A refused conversion is not always to blame. If X refuses many conversions of an event in a row,
with the same error, the event or its mapping may be wrong. Then the event is paused, and its
refused conversions are held. As soon as X accepts a conversion of the event, each held one is sent
again once.
"""

from collections.abc import Iterable
from typing import Final, Self

import msgspec

from twite.domain.delivery import MOST_CONVERSIONS, Delivery
from twite.domain.outcome import Rejected, XComplaint

# After this many identical refusals in a row, without an acceptance, the event may be at fault.
RUN: Final = 5
# How many deliveries are remembered per run of refusals. Beyond that, a retried delivery counts as
# a new one.
_LONGEST_RUN: Final = 10_000
# If X refused more than _SHARE of the last _RECENT conversions, batches are SMALL.
_SHARE: Final = 0.01
_RECENT: Final = 1_000
SMALL: Final = 50
# How much larger the next batch may be after X accepted a full batch entirely.
_STEP: Final = 50

Kind = frozenset[tuple[str, str]]


def kind_of(complaints: Iterable[XComplaint]) -> Kind:
    """Return the kind of a refusal: codes and parameters, without echoed values."""
    return frozenset((complaint.code, complaint.parameter) for complaint in complaints)


class RejectionStats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of one event's refusals. `size` limits its next batch.

    `run` has the deliveries of the event that X refused in a row with the same error, of `kind`,
    since it last accepted one. `unsent` were not sent, because other deliveries of their batch were
    refused with the same error. `cleared` were held until X accepted others: if X refuses them
    again, they are at fault. `is_recalled` is False while held deliveries may have to be requeued.
    """

    size: int = MOST_CONVERSIONS
    run: tuple[int, ...] = ()
    kind: Kind = frozenset()
    unsent: frozenset[int] = frozenset()
    cleared: frozenset[int] = frozenset()
    taken: float = 0.0
    refused: float = 0.0
    is_recalled: bool = False

    @property
    def doubts(self) -> bool:
        """Whether the event may be at fault, rather than its conversions."""
        return len(self.run) >= RUN

    def not_sent(self, deliveries: Iterable[int]) -> Self:
        """Record unsent deliveries.

        Others in their batch were refused with the same error. The next acceptance clears them all
        together; otherwise a large bad batch would pause the event again and again.
        """
        return msgspec.structs.replace(self, unsent=self.unsent.union(deliveries))

    def refuse(self, delivery: Delivery, rejected: Rejected) -> Self:
        """Record the refusal of one delivery."""
        if delivery.id in self.cleared:
            return self
        kind = kind_of(rejected.complaints)
        run = self.run if kind == self.kind else ()
        if len(run) < _LONGEST_RUN and delivery.id not in run[-RUN:]:
            run = (*run, delivery.id)
        return msgspec.structs.replace(self, kind=kind, run=run)

    def took(self) -> tuple[Self, bool]:
        """Record that X accepted deliveries; return whether held ones must be requeued.

        The first acceptance also returns True, because the last process may have held some.
        """
        recalls = self.doubts or not self.is_recalled
        if not (recalls or self.run or self.unsent):
            return self, False
        cleared = self.cleared.union(self.run, self.unsent) if self.doubts else self.cleared
        stats = msgspec.structs.replace(
            self, cleared=cleared, unsent=frozenset(), run=(), is_recalled=True
        )
        return stats, recalls

    def recall_later(self) -> Self:
        """Requeue held deliveries at the next acceptance, regardless of the statistics."""
        return msgspec.structs.replace(self, is_recalled=False)

    def landed(self, *, taken: int, refused: int) -> Self:
        """Record the results of one batch."""
        kept = max(0.0, 1 - (taken + refused) / _RECENT)
        all_taken, all_refused = self.taken * kept + taken, self.refused * kept + refused
        size = self.size
        if refused and all_refused > _SHARE * (all_taken + all_refused):
            size = min(size, SMALL)
        elif not refused and taken >= size:
            size = min(MOST_CONVERSIONS, size + _STEP)
        return msgspec.structs.replace(self, taken=all_taken, refused=all_refused, size=size)
