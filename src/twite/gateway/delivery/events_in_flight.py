"""Events in flight: how many batches of each event are being sent, and which are being bisected.

Events in trouble never take up all slots of a pixel.
"""

from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager


class EventsInFlight:
    """The events of one pixel with batches in flight. `slots`: batches at once of the pixel."""

    def __init__(self, *, slots: int) -> None:
        self._batches: Counter[str] = Counter()
        # Lease → event, of batches that count.
        self._events: dict[int, str] = {}
        self._bisected: list[str] = []
        self._half = max(1, slots // 2)

    def began(self, event: str, lease: int) -> None:
        """Record that a batch is about to be sent."""
        self._events[lease] = event
        self._batches[event] += 1

    def ended(self, lease: int) -> None:
        """Record that a batch takes no slot of its event any more. Does nothing the second time."""
        event = self._events.pop(lease, None)
        if event is not None:
            self._batches[event] -= 1

    def troubled(self, limited: Container[str]) -> frozenset[str]:
        """Return the events of which no more may be sent now.

        Another batch of an event being bisected would meet the same refusal. One whose batches are
        `limited` may take half of the slots.
        """
        return frozenset(
            event
            for event, many in self._batches.items()
            if (many and event in self._bisected) or (many >= self._half and event in limited)
        )

    def is_bisected(self, event: str) -> bool:
        """Whether a batch of an event is being bisected."""
        return event in self._bisected

    def may_bisect(self, event: str) -> bool:
        """Whether a batch of an event may be bisected now."""
        return not self.is_bisected(event) and len(self._bisected) < self._half

    @contextmanager
    def bisecting(self, event: str) -> Iterator[None]:
        """Mark an event as being bisected."""
        self._bisected.append(event)
        try:
            yield
        finally:
            self._bisected.remove(event)
