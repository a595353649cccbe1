"""Suspects: deliveries that were in requests which X failed at or refused as such.

Whose fault that was, X does not say. It was one of theirs if X takes others of the pixel after it:
then they are halved until the culprit is alone, and from then on it goes alone. Pure; it does not
outlive the process, and what it knew is found anew.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final, TypeGuard, TypeVar

from twite.domain.delivery import Delivery
from twite.domain.outcome import Errored, Outcome, Rejected, RejectionScope

# Refused as such so often, always alone, and each time X took others since the time before: then it
# is given up. A credential that comes and goes does not look like that.
CERTAIN: Final = 5
# What is remembered at most; beyond, the oldest is found anew.
MOST: Final = 20_000

# So many requests of one event in a row that failed or were refused as such, while X took others of
# the pixel each time: it is the event.
ROW: Final = 5

Kind = tuple[str, str]
T = TypeVar("T")


class Suspects:
    """One pixel's. Its time is counted in requests, so that no two are at once."""

    def __init__(self) -> None:
        self._now = 0
        self._taken_at = -1
        # Since when each is suspected.
        self._since: dict[int, int] = {}
        # Those found by themselves: (how often in a row with proof, in all, when last).
        self._alone: dict[int, tuple[int, int, int]] = {}
        # By event: how many in a row came to nothing while others passed, and when the last did.
        self._rows: dict[str, tuple[int, int]] = {}
        # What has been shown to be said of conversions, not of the pixel.
        self._shown: set[Kind] = set()

    def took(self, group: Iterable[Delivery], *, event: str) -> None:
        """Hear that X took these: what was refused or failed before was meant by itself."""
        self._now += 1
        self._taken_at = self._now
        self._rows.pop(event, None)
        for one in group:
            self._since.pop(one.id, None)
            self._alone.pop(one.id, None)

    def note(self, group: Iterable[Delivery], *, event: str) -> None:
        """Hear that these were in a request that X failed at, or refused as such."""
        self._now += 1
        for one in group:
            self._since.setdefault(one.id, self._now)
        many, last = self._rows.get(event, (0, -1))
        if last < self._taken_at:
            self._rows[event] = many + 1, self._now
        _trim(self._since)

    def explain(self, group: Iterable[Delivery]) -> bool:
        """Whether it is one of these, for X took others since they were suspected."""
        return any(self._since.get(one.id, self._taken_at) < self._taken_at for one in group)

    def is_the_event(self, event: str) -> bool:
        """Whether an event came to nothing again and again while X took others of the pixel."""
        return self._rows.get(event, (0, -1))[0] >= ROW

    def is_shown(self, refusal: Rejected) -> bool:
        """Whether such words were shown to be about conversions."""
        return _kind(refusal) in self._shown

    def blamed(self, refusal: Rejected) -> None:
        """Hear that such words meant the pixel this time."""
        self._shown.discard(_kind(refusal))

    def alone(self, delivery: Delivery) -> bool:
        """Whether it is known as one that goes alone."""
        return delivery.id in self._alone

    def found(self, delivery: Delivery, refusal: Rejected | None = None) -> tuple[int, int]:
        """Hear that X failed at one by itself, or refused it as such.

        Returns how often it was refused in a row, each time with proof between, and how often it
        came to nothing in all.
        """
        self._now += 1
        proven, times, last = self._alone.pop(delivery.id, (0, 0, -1))
        proven = 0 if refusal is None else proven + (last < self._taken_at)
        if refusal is not None and proven > 1:
            self._shown.add(_kind(refusal))
        self._alone[delivery.id] = proven, times + 1, self._now
        _trim(self._alone)
        return proven, times + 1


def is_refused_as_such(outcome: Outcome) -> TypeGuard[Rejected]:
    """Whether X, or something before it, refuses without a word on conversions."""
    return isinstance(outcome, Rejected) and outcome.scope in {
        RejectionScope.PIXEL,
        RejectionScope.UNCLEAR,
    }


def is_failed(outcome: Outcome) -> TypeGuard[Errored]:
    """Whether X may have failed at what it was sent."""
    return isinstance(outcome, Errored) and outcome.ambiguous and not outcome.limited


def _kind(outcome: Rejected) -> Kind:
    """Return what a refusal says, whatever values it echoes."""
    codes = " ".join(sorted({complaint.code for complaint in outcome.complaints}))
    return outcome.reason.split(" ", 1)[0], codes


def _trim(remembered: dict[int, T]) -> None:
    for id_ in list(islice(remembered, max(0, len(remembered) - MOST))):
        del remembered[id_]
