"""Batch handler: what a delivery worker sends its batches through."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from twite.domain.delivery import Batch
from twite.domain.destination import Destination
from twite.gateway.delivery.circuit_breaker import EventPauses
from twite.gateway.delivery.in_flight import RequestsInFlight


class BatchHandler(Protocol):
    """Sends the batches of a worker: to X, or through a tag's template.

    The methods with a default matter only for pixels; handlers of tags inherit the defaults.
    """

    stopping: bool
    requests: RequestsInFlight

    @property
    def pauses(self) -> EventPauses | None:
        """The event pauses; None for a tag, which has none."""

    @property
    def most(self) -> int:
        """How many conversions the next batch may hold."""

    @property
    def most_bytes(self) -> int:
        """How many bytes of conversions the next batch may hold."""

    @property
    def failed(self) -> dict[int, str]:
        """The deliveries (id → event) that failed since X last accepted one.

        They are not used as probes.
        """

    def failed_but_one(self) -> frozenset[int]:
        """Return the failed deliveries except one, which may be retried."""
        return frozenset()

    def use(self, destination: Destination) -> None:
        """Replace the credentials of the pixel."""
        del destination

    def limits(self) -> Mapping[str, int]:
        """Return the maximum batch size by event, for events whose limit is lower than usual."""
        return {}

    def passing_events(self) -> frozenset[str]:
        """Return the events that the next claim must skip."""
        return frozenset()

    def troubled_events(self) -> frozenset[str]:
        """Return the events that X has answered badly since it last accepted one of theirs."""
        return frozenset()

    def failing_events(self) -> frozenset[str]:
        """Return the events of bad requests since X last answered one of the pixel well.

        Probes are sent for these events only. The other events are sent as usual.
        """
        return frozenset()

    def passing(self) -> frozenset[int]:
        """Return the deliveries that the next claim must skip."""
        return frozenset()

    def suspects(self) -> frozenset[int]:
        """Return the deliveries whose result says little about the pixel.

        They are not used as probes.
        """
        return frozenset()

    def claimed(self, batch: Batch) -> None:
        """Record that a batch was claimed."""
        del batch

    async def take(self, batch: Batch) -> None:
        """Send a batch and settle each of its deliveries."""

    async def give_back(self, batch: Batch, deliveries: Sequence[int]) -> None:
        """Return unsent deliveries to the queue."""
