"""Batches in flight of one pixel or tag: slots, and requests that hang.

A request is slow if X has not responded for `SLOW`. A slow request hangs if X has accepted a
request that was sent later: it uses no slot. An event is silent if X has accepted none of its
requests that were sent after a slow one. The requests of a silent event do not take the slots of
other events.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from twite.domain.delivery import Batch
from twite.domain.times import SECOND
from twite.gateway.ports.machine import Clock

# A request that takes longer than this may be hanging.
SLOW: Final = 3 * SECOND
# The maximum number of batches in flight, including hanging ones: of all events, and of one.
MOST_AT_ONCE: Final = 64
MOST_OF_EVENT: Final = 48


@dataclass(slots=True, eq=False)
class _BatchInFlight:
    """`sent_at` is when the current request was sent; None while none waits for its response.

    `counts` says whether the batch counts toward the slots of its event, `settles` whether X has
    accepted it, and it is being settled.
    """

    event: str
    sent_at: int | None = None
    counts: bool = True
    settles: bool = False


class RequestsInFlight:
    """The batches in flight, by lease. `slots` is the maximum number of concurrent requests.

    `freed` is called when a batch no longer needs its slot, because X has accepted it.
    """

    def __init__(self, *, clock: Clock, slots: int) -> None:
        self._clock = clock
        self._slots = slots
        self._half = max(1, slots // 2)
        self._batches: dict[int, _BatchInFlight] = {}
        self._bisected: list[str] = []
        self.freed: Callable[[], None] = lambda: None
        # When the last of the accepted requests was sent: of each event, and of all.
        self._accepted_by_event: dict[str, int] = {}
        self._accepted = -1

    def began(self, batch: Batch) -> None:
        self._batches[batch.lease] = _BatchInFlight(batch.event)

    def ended(self, batch: Batch) -> None:
        del self._batches[batch.lease]

    def yields(self, batch: Batch) -> None:
        """Record that a batch uses no slot of its event any more, because it has suspects."""
        self._batches[batch.lease].counts = False

    @contextmanager
    def sending(self, batch: Batch) -> Iterator[None]:
        """Record that a request is being sent."""
        in_flight = self._batches[batch.lease]
        in_flight.sent_at = self._clock.elapsed()
        try:
            yield
        finally:
            in_flight.sent_at = None

    @contextmanager
    def settling(self, batch: Batch) -> Iterator[None]:
        """Free the slot of an accepted batch while it is being settled.

        The store can then commit the settlement together with the next claim.
        """
        in_flight = self._batches[batch.lease]
        in_flight.settles = True
        self.freed()
        try:
            yield
        finally:
            in_flight.settles = False

    def accepted(self, event: str, *, sent_at: int) -> None:
        """Record that X accepted a request that was sent at this time."""
        self._accepted = max(self._accepted, sent_at)
        self._accepted_by_event[event] = max(self._accepted_by_event.get(event, -1), sent_at)

    def was_hanging(self, *, sent_at: int) -> bool:
        return sent_at < self._accepted and self._is_slow(sent_at)

    def is_hanging(self, lease: int) -> bool:
        in_flight = self._batches.get(lease)
        return in_flight is not None and self._hangs(in_flight)

    def events(self) -> frozenset[str]:
        """Return the events with batches in flight."""
        return frozenset(in_flight.event for in_flight in self._batches.values())

    def free(self) -> int:
        """Return the number of free slots.

        At most as many accepted batches as there are slots use none. Without this limit, leases
        would pile up if the store settles nothing.
        """
        batches = self._batches.values()
        settling = sum(in_flight.settles for in_flight in batches)
        idle = sum(map(self._hangs, batches)) + min(settling, self._slots)
        return min(self._slots - len(batches) + idle, MOST_AT_ONCE - len(batches))

    def openings(
        self, size: int, *, troubled: frozenset[str]
    ) -> Iterator[tuple[int, frozenset[str]]]:
        """Yield (conversions in the next request, events to skip) for each possible claim.

        If all slots are in use, `troubled` events, whose requests X answers badly, use no slots of
        the others. Nor do silent ones, if X responds to others. If X does not respond to some
        requests, an event without a batch in flight may send one conversion, to find out whether X
        responds to it. If it does not respond to any request, conversions are sent one by one,
        because one conversion in each batch may make X hang.
        """
        if self.free() > 0:
            yield size, frozenset()
            return
        batches = self._batches.values()
        if len(batches) >= MOST_AT_ONCE:
            return
        others = troubled | self._silent() if any(map(self._hangs, batches)) else troubled
        if self._slots == 1:
            # A bisect and suspects, which may need many requests, would hold the only slot.
            yielding = [in_flight.event for in_flight in batches if not in_flight.counts]
            others |= frozenset(self._bisected).union(yielding)
        used = sum(
            in_flight.event not in others and not self._hangs(in_flight) for in_flight in batches
        )
        if others and used < self._slots:
            yield size, others
        slow = sum(map(self._waits, batches))
        if slow:
            yield 1, self.events()
        if slow == len(batches) < 2 * self._slots:
            yield 1, frozenset()

    def openings_beside(
        self, size: int, *, failing: frozenset[str]
    ) -> Iterator[tuple[int, frozenset[str]]]:
        """Yield the same while the `failing` events are only probed: one request of each other."""
        batches = self._batches.values()
        others = failing | self.events()
        used = sum(
            in_flight.event not in failing and not self._waits(in_flight) for in_flight in batches
        )
        if others and used < self._slots and len(batches) < MOST_AT_ONCE:
            yield size, others

    def until_slow(self) -> int:
        """Return the milliseconds until the next request becomes slow, at most SLOW."""
        now = self._clock.elapsed()
        ages = [now - each.sent_at for each in self._batches.values() if each.sent_at is not None]
        return SLOW - max((age for age in ages if age < SLOW), default=0)

    def full(self, *, troubled: frozenset[str], limited: Container[str]) -> frozenset[str]:
        """Return the events for which no further batch may be claimed now.

        These are events that are being bisected, those that are `limited` and use half of the
        slots, all `troubled` ones if together they use half, and those with too many requests.
        """
        counted = Counter(
            in_flight.event
            for in_flight in self._batches.values()
            if in_flight.counts and not self._waits(in_flight)
        )
        half = sum(many for event, many in counted.items() if event in troubled) >= self._half
        crowded = Counter(in_flight.event for in_flight in self._batches.values())
        silent = self._silent()
        return frozenset(
            event
            for event, many in crowded.items()
            if (event in self._bisected and self._counts(event))
            or (counted[event] >= self._half and event in limited)
            or many >= (2 * self._slots if event in silent else MOST_OF_EVENT)
        ) | (troubled if half else frozenset())

    def is_bisected(self, event: str) -> bool:
        return event in self._bisected

    def may_bisect(self, event: str) -> bool:
        """Whether a batch of an event may be bisected now."""
        return not self.is_bisected(event) and len(self._bisected) < self._half

    @contextmanager
    def bisecting(self, event: str) -> Iterator[None]:
        self._bisected.append(event)
        try:
            yield
        finally:
            self._bisected.remove(event)

    def _silent(self) -> frozenset[str]:
        accepted = self._accepted_by_event
        return frozenset(
            in_flight.event
            for in_flight in self._batches.values()
            if self._waits(in_flight)
            and (in_flight.sent_at or 0) >= accepted.get(in_flight.event, -1)
        )

    def _counts(self, event: str) -> bool:
        return any(
            in_flight.counts and in_flight.event == event for in_flight in self._batches.values()
        )

    def _hangs(self, in_flight: _BatchInFlight) -> bool:
        sent_at = in_flight.sent_at
        return sent_at is not None and self.was_hanging(sent_at=sent_at)

    def _waits(self, in_flight: _BatchInFlight) -> bool:
        return in_flight.sent_at is not None and self._is_slow(in_flight.sent_at)

    def _is_slow(self, sent_at: int) -> bool:
        return self._clock.elapsed() - sent_at >= SLOW
