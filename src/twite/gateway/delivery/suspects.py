"""Suspects: deliveries in requests that failed, or that X refused without naming a cause.

A delivery is a suspect until X accepts it. If X accepts other deliveries meanwhile, the suspects
are bisected, and the bad one is isolated: it is sent alone from then on. One batch with suspects is
in flight at a time, so they do not delay others. Suspects are kept only in memory, so a restart
forgets them.
"""

from collections.abc import Container, Iterable, Sequence
from itertools import islice
from typing import Final, TypeGuard, TypeVar

import msgspec

from twite.domain.delivery import Batch, Delivery, Errored, Outcome, Rejected, RejectionScope
from twite.gateway.delivery.circuit_breaker import PROBE_EVERY
from twite.gateway.delivery.groups import Group
from twite.gateway.delivery.in_flight import RequestsInFlight
from twite.gateway.ports.machine import Clock

# Give up a delivery that X has refused this often when sent alone, if it accepted other deliveries
# between any two of these refusals. An unstable credential does not cause this pattern.
CERTAIN: Final = 5
# If X also refuses other deliveries at random, more refusals are needed: so many that a good
# delivery is refused that often with at most this probability.
_CHANCE: Final = 1e-3
# The share of bad requests is a moving average over about this many requests.
_RECENT: Final = 10
# The maximum number of isolated deliveries in one batch.
TURN: Final = 10
# The maximum number of suspects remembered; the oldest are dropped.
MOST: Final = 20_000

# Blame the event if this many of its conversions in a row have failed or been refused, while X
# accepted conversions of other events. Isolated conversions do not count, because they are not new
# evidence.
ROW: Final = 5

Kind = tuple[int | None, frozenset[str]]
T = TypeVar("T")


class _Isolated(msgspec.Struct, frozen=True):
    """A delivery that is sent alone.

    `proven` counts consecutive refusals between which X accepted others; `times` counts all bad
    requests, of which `last` is the latest; `is_refused` says whether X has refused it, sent alone.
    """

    event: str = ""
    proven: int = 0
    times: int = 0
    last: int = 0
    is_refused: bool = False


class Suspects:
    """The suspects of one pixel, and when each may be sent.

    Only the order of bad and accepted requests matters, so time is counted in accepted requests.
    """

    def __init__(self, *, clock: Clock, requests: RequestsInFlight) -> None:
        self._clock = clock
        self._requests = requests
        # The lease of the batch in flight that contains suspects.
        self._lease: int | None = None
        self._isolated_rest = False
        # When an isolated delivery may be tried even if X has accepted nothing since.
        self._retry_at = clock.elapsed()
        self._accepted = 0
        # The share of bad requests; those with isolated deliveries are not counted.
        self._bad_share = 0.0
        # Delivery id → when it became a suspect.
        self._since: dict[int, int] = {}
        self._isolated: dict[int, _Isolated] = {}
        # Event → first delivery of each of its bad requests in a row, if X accepted others in
        # between.
        self._row_by_event: dict[str, set[int]] = {}
        # Event → when its first bad request was since X last accepted one of the event.
        self._bad_since: dict[str, int] = {}
        # Event → when its last bad request was.
        self._bad_at: dict[str, int] = {}
        # Refusals known to be about conversions, not about the pixel.
        self._shown: set[Kind] = set()

    def took(self, group: Iterable[Delivery], *, event: str) -> None:
        """Record that X accepted these deliveries."""
        self._accepted += 1
        self._bad_share -= self._bad_share / _RECENT
        self._row_by_event.pop(event, None)
        self._bad_at.pop(event, None)
        self._bad_since.pop(event, None)
        if self._since or self._isolated:
            for delivery in group:
                self._since.pop(delivery.id, None)
                self._isolated.pop(delivery.id, None)

    def note(self, group: Sequence[Delivery], *, event: str) -> None:
        """Record that a request with these deliveries failed or was refused."""
        for delivery in group:
            self._since.setdefault(delivery.id, self._accepted)
        if not self.is_isolated(group[0]):
            self._bad_share += (1 - self._bad_share) / _RECENT
            self._bad_since.setdefault(event, self._accepted)
        if not self.is_isolated(group[0]) and self._bad_at.get(event, 0) < self._accepted:
            self._row_by_event.setdefault(event, set()).add(group[0].id)
            self._bad_at[event] = self._accepted
        _trim(self._since)

    def refused_alike(self, group: Sequence[Delivery], *, event: str) -> None:
        """Record that X refused each of these deliveries of a batch when sent alone.

        If X accepted only other events meanwhile, each counts as a bad request of the event.
        """
        if self._bad_since.get(event, self._accepted) < self._accepted:
            row = self._row_by_event.setdefault(event, set())
            row.update(delivery.id for delivery in group)

    def hung(self, group: Iterable[Delivery]) -> None:
        """Record that a hanging request failed: one of its deliveries is at fault."""
        for delivery in group:
            self._since.setdefault(delivery.id, self._accepted - 1)

    def explain(self, group: Iterable[Delivery]) -> bool:
        """Whether a delivery is at fault: X has accepted others since it became a suspect."""
        return bool(self._since) and any(
            self._since.get(delivery.id, self._accepted) < self._accepted for delivery in group
        )

    def is_certain(self, proven: int) -> bool:
        """Whether this many refusals prove that a delivery is at fault.

        X accepted other deliveries between them.
        """
        return proven >= CERTAIN and self._bad_share**proven <= _CHANCE

    def troubled(self) -> frozenset[str]:
        """Return the events with a bad request since X last accepted one of theirs."""
        return frozenset(self._bad_at)

    def is_repeated(self, event: str) -> bool:
        """Whether an event has failed more than once while X accepted other events."""
        return len(self._row_by_event.get(event, ())) > 1

    def is_the_event(self, event: str) -> bool:
        """Whether an event keeps failing while X accepts other events of the pixel."""
        return len(self._row_by_event.get(event, ())) >= ROW

    def is_shown(self, refusal: Rejected) -> bool:
        """Whether this kind of refusal is known to concern conversions."""
        return _kind(refusal) in self._shown

    def blamed(self, refusal: Rejected) -> None:
        """Record that a refusal of this kind concerned the pixel this time."""
        self._shown.discard(_kind(refusal))

    def is_isolated(self, delivery: Delivery) -> bool:
        return delivery.id in self._isolated

    def was_refused_alone(self, delivery: Delivery) -> bool:
        """Whether X has already refused the delivery when sent alone.

        Then another refusal is not evidence about the pixel.
        """
        return self._isolated.get(delivery.id, _Isolated()).is_refused

    def isolated_of(self, events: Container[str]) -> frozenset[int]:
        """Return the ids of isolated deliveries of these events."""
        return frozenset(
            id_ for id_, isolated in self._isolated.items() if isolated.event in events
        )

    def known(self) -> frozenset[int]:
        """Return the ids of deliveries that may be at fault while X accepts others."""
        since, accepted = self._since, self._accepted
        return frozenset(id_ for id_ in since if since[id_] < accepted).union(self._isolated)

    def passing(self) -> frozenset[int]:
        """Return the deliveries that the next claim must skip.

        An isolated delivery is tried again after X has accepted another delivery, or after a
        minute.
        """
        known = self.known()
        if self._lease is not None and not self._requests.is_hanging(self._lease):
            return known
        # Isolated deliveries could fill a small batch, so suspects go first every other time.
        self._isolated_rest = not self._isolated_rest
        if self._isolated_rest and len(known) > len(self._isolated):
            return frozenset(self._isolated)
        isolated = self._isolated
        turn = [id_ for id_ in isolated if isolated[id_].last < self._accepted][:TURN]
        if not turn and self._clock.elapsed() >= self._retry_at:
            turn = list(isolated)[:1]
        for id_ in turn:
            isolated[id_] = isolated.pop(id_)
        return frozenset(isolated).difference(turn)

    def began(self, batch: Batch) -> None:
        known = self.known()
        if known and any(delivery.id in known for delivery in batch.deliveries):
            self._lease = batch.lease

    def ended(self, batch: Batch) -> None:
        if self._lease == batch.lease:
            self._lease = None

    def split(self, group: Group) -> tuple[Group, Group, Group]:
        """Split deliveries into (unsuspected, suspects, isolated)."""
        known = self.known()
        if not known:
            return group, (), ()
        return (
            tuple(delivery for delivery in group if delivery.id not in known),
            tuple(
                delivery
                for delivery in group
                if delivery.id in known and not self.is_isolated(delivery)
            ),
            tuple(delivery for delivery in group if self.is_isolated(delivery)),
        )

    def found(
        self, delivery: Delivery, refusal: Rejected | None = None, *, event: str
    ) -> tuple[int, int]:
        """Record that a delivery sent alone failed, or was refused.

        Returns (consecutive refusals with acceptances in between, total number of bad requests).
        """
        self._retry_at = self._clock.elapsed() + PROBE_EVERY
        was = self._isolated.pop(delivery.id, _Isolated())
        proven = 0 if refusal is None else was.proven + (was.last < self._accepted)
        if refusal is not None and proven > 1:
            self._shown.add(_kind(refusal))
        self._isolated[delivery.id] = _Isolated(
            event, proven, was.times + 1, self._accepted, was.is_refused or refusal is not None
        )
        _trim(self._isolated)
        return proven, was.times + 1


def is_refused_as_such(outcome: Outcome) -> TypeGuard[Rejected]:
    """Whether X, or a proxy in front of it, refused without an error about conversions."""
    return isinstance(outcome, Rejected) and outcome.scope in {
        RejectionScope.PIXEL,
        RejectionScope.UNCLEAR,
    }


def is_failed(outcome: Outcome) -> TypeGuard[Errored]:
    """Whether the request failed and X may have processed it (rate limits excluded)."""
    return isinstance(outcome, Errored) and outcome.ambiguous and not outcome.limited


def _kind(outcome: Rejected) -> Kind:
    """Return the status and codes of a refusal, without echoed values."""
    return outcome.status, frozenset(complaint.code for complaint in outcome.complaints)


def _trim(remembered: dict[int, T]) -> None:
    for id_ in list(islice(remembered, max(0, len(remembered) - MOST))):
        del remembered[id_]
