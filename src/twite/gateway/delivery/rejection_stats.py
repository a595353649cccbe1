"""Rejection statistics of one event: batch size by share refused, runs of like refusals."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from twite.domain.delivery import Delivery
from twite.domain.outcome import Rejected, XComplaint
from twite.x.spec import MAX_CONVERSIONS

# After this many like refusals in a row and none accepted, the event may be at fault.
RUN: Final = 5
# Deliveries remembered per run. Beyond it, a retried delivery counts as another one.
_LONGEST_RUN: Final = 10_000
# If more than _SHARE of the last _RECENT conversions was refused, batches are SMALL.
_SHARE: Final = 0.01
_RECENT: Final = 1_000
SMALL: Final = 50
# How much a batch grows after a full one that X accepted whole.
_STEP: Final = 50

Kind = frozenset[tuple[str, str]]


def kind_of(complaints: Iterable[XComplaint]) -> Kind:
    """Return the kind of a refusal: codes and parameters, without echoed values."""
    return frozenset((complaint.code, complaint.parameter) for complaint in complaints)


class RejectionStats:
    """The statistics of one event. `size` limits its next batch."""

    def __init__(self) -> None:
        self.size = MAX_CONVERSIONS
        # Deliveries refused alike in a row since X last accepted one of the event.
        self._run: list[int] = []
        self._kind: Kind = frozenset()
        # Not sent, because others of their batch were refused alike.
        self._unsent: set[int] = set()
        # In doubt before X accepted others: a further refusal is their own fault.
        self._cleared: set[int] = set()
        self._taken = self._refused = 0.0
        self._is_known = False

    @property
    def doubts(self) -> bool:
        """Whether the event rather than its conversions may be at fault."""
        return len(self._run) >= RUN

    def run(self) -> tuple[int, ...]:
        """Return the ids of deliveries in doubt."""
        return tuple(self._run)

    def doubt_too(self, deliveries: Iterable[int]) -> None:
        """Record that these were not sent, because others of their batch were refused alike.

        They share the doubt, and it ends for all of them with the next acceptance: otherwise a
        large batch that is all bad would cause one doubt after another.
        """
        self._unsent.update(deliveries)

    def cleared(self, deliveries: Iterable[Delivery]) -> AbstractSet[int]:
        """Return the ids among these whose refusal says nothing about the account."""
        return self._cleared.intersection(delivery.id for delivery in deliveries)

    def refused(self, delivery: Delivery, refusal: Rejected) -> bool:
        """Record the refusal of one delivery; return whether the event may be at fault."""
        if delivery.id in self._cleared:
            return False
        kind = kind_of(refusal.complaints)
        if kind != self._kind:
            self._kind = kind
            self._run.clear()
        if len(self._run) < _LONGEST_RUN and delivery.id not in self._run[-RUN:]:
            self._run.append(delivery.id)
        return self.doubts

    def took(self) -> bool:
        """Record that X accepted some; return whether held deliveries must be requeued.

        True for the first one of a process, too: the process before may have held some.
        """
        recalls = self.doubts or not self._is_known
        if self.doubts:
            self._cleared.update(self._run, self._unsent)
        self._unsent.clear()
        self._is_known = True
        self._run.clear()
        return recalls

    def forget(self) -> None:
        """Requeue held deliveries at the next acceptance, whatever is known of them."""
        self._is_known = False

    def landed(self, *, taken: int, refused: int) -> None:
        """Record the results of one batch."""
        kept = max(0.0, 1 - (taken + refused) / _RECENT)
        self._taken = self._taken * kept + taken
        self._refused = self._refused * kept + refused
        if refused and self._refused > _SHARE * (self._taken + self._refused):
            self.size = min(self.size, SMALL)
        elif not refused and taken >= self.size:
            self.size = min(MAX_CONVERSIONS, self.size + _STEP)
