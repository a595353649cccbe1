"""The batch in flight: its deliveries, and the group being sent now."""

from collections.abc import Iterable

from twite.domain.delivery import Batch, Delivery


class InFlightBatch:
    """A claimed batch, and the group whose request is being sent.

    `at` is when that request began; `left` is whether X may have received it.
    """

    def __init__(self, batch: Batch, *, at: int) -> None:
        self.batch = batch
        self.group: tuple[Delivery, ...] = batch.deliveries
        self.at = at
        self.left = False

    def rest(self) -> tuple[int, ...]:
        """Return the ids of deliveries that X cannot have received in the current request."""
        gone = set(ids_of(self.group)) if self.left else set()
        return tuple(delivery.id for delivery in self.batch.deliveries if delivery.id not in gone)


def ids_of(group: Iterable[Delivery]) -> tuple[int, ...]:
    """Return the ids of deliveries."""
    return tuple(delivery.id for delivery in group)
