"""Repute: what one event's past refusals say of the next, and of those refused before."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from twite.domain.delivery import Delivery
from twite.domain.outcome import Rejected, XComplaint
from twite.x.spec import MAX_CONVERSIONS

# So many in a row refused alike by themselves, and none taken: perhaps not their own fault.
RUN: Final = 5
# What one run remembers at most; beyond, a doubtful one is not told from one that was tried again.
_LONGEST_RUN: Final = 10_000
# An event of which more than this share of the last so many was refused goes in small batches.
_SHARE: Final = 0.01
_RECENT: Final = 1_000
SMALL: Final = 50
# By how much a batch may grow after one that was full and taken whole.
_STEP: Final = 50

Kind = frozenset[tuple[str, str]]


def kind_of(complaints: Iterable[XComplaint]) -> Kind:
    """Return what a refusal is about, whatever values it echoes."""
    return frozenset((complaint.code, complaint.parameter) for complaint in complaints)


class RejectionStats:
    """One event's. `size` is how many its next batch may hold."""

    def __init__(self) -> None:
        self.size = MAX_CONVERSIONS
        # Whether it is small for batches that came to nothing, not for what X refused.
        self._doubles = False
        # Refused alike, one after the other, since X last took any of the event.
        self._run: list[int] = []
        self._kind: Kind = frozenset()
        # Were doubted, and X took others since: what is refused of them is their own fault.
        self._cleared: set[int] = set()
        self._taken = self._refused = 0.0
        self._is_known = False

    @property
    def doubts(self) -> bool:
        """Whether it is in doubt that what X refuses is the conversions' own fault."""
        return len(self._run) >= RUN

    def run(self) -> tuple[int, ...]:
        """Return the deliveries that are in doubt."""
        return tuple(self._run)

    def cleared(self, deliveries: Iterable[Delivery]) -> AbstractSet[int]:
        """Return the ids among these whose refusal says nothing of the account."""
        return self._cleared.intersection(delivery.id for delivery in deliveries)

    def refused(self, delivery: Delivery, refusal: Rejected) -> bool:
        """Hear that X refused one by itself; return whether that may not be its own fault."""
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
        """Hear that X took some; return whether what is held in doubt must go again.

        That is also so for the first one of a process: another may have doubted.
        """
        recalls = self.doubts or not self._is_known
        if self.doubts:
            self._cleared.update(self._run)
        self._is_known = True
        self._run.clear()
        return recalls

    def forget(self) -> None:
        """Hear that what is held could not be sent again: it is to be asked for anew."""
        self._is_known = False

    def landed(self, *, taken: int, refused: int) -> None:
        """Hear what became of the conversions of one batch."""
        kept = max(0.0, 1 - (taken + refused) / _RECENT)
        self._taken = self._taken * kept + taken
        self._refused = self._refused * kept + refused
        if refused and self._refused > _SHARE * (self._taken + self._refused):
            self.size, self._doubles = min(self.size, SMALL), False
        elif not refused and taken >= self.size:
            more = self.size if self._doubles else _STEP
            self.size = min(MAX_CONVERSIONS, self.size + more)
            self._doubles = self._doubles and self.size < MAX_CONVERSIONS

    def failed(self, many: int) -> None:
        """Hear that a batch of so many came to nothing again, and X took nothing else meanwhile.

        The next is half as large: one of them may be what X fails at. It doubles when X is back.
        """
        if many > 1:
            self.size, self._doubles = min(self.size, many // 2), True
