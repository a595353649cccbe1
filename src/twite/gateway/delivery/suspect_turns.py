"""Turns of suspects: one batch with suspects is in flight at a time, together with others."""

from twite.domain.delivery import Batch, Delivery
from twite.domain.outcome import Rejected
from twite.gateway.delivery.circuit_breaker import PROBE_EVERY
from twite.gateway.delivery.suspects import Suspects
from twite.gateway.ports.machine import Clock


class SuspectTurns:
    """Says which suspects of one pixel the next claim must pass over."""

    def __init__(self, *, suspects: Suspects, clock: Clock) -> None:
        self._suspects = suspects
        self._clock = clock
        # The lease of the batch in flight that holds suspects.
        self._lease: int | None = None
        # When an isolated delivery may be tried although X has accepted nothing since.
        self._retry_at = clock.elapsed()

    def passing(self) -> frozenset[int]:
        """Return the deliveries the next claim must pass over."""
        if self._lease is not None:
            return self._suspects.known()
        return self._suspects.without_turn(others_rest=self._clock.elapsed() >= self._retry_at)

    def began(self, batch: Batch) -> None:
        """Record that a batch is about to be sent."""
        known = self._suspects.known()
        if any(delivery.id in known for delivery in batch.deliveries):
            self._lease = batch.lease

    def ended(self, batch: Batch) -> None:
        """Record that a batch is settled."""
        if self._lease == batch.lease:
            self._lease = None

    def found(
        self, delivery: Delivery, refusal: Rejected | None = None, *, event: str
    ) -> tuple[int, int]:
        """Record that a delivery sent alone failed, or was refused: see Suspects.found."""
        self._retry_at = self._clock.elapsed() + PROBE_EVERY
        return self._suspects.found(delivery, refusal, event=event)
