"""Evidence: what X's answers so far say about a pixel, its events and its deliveries."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

import msgspec

from twite.domain.blame.batch_size import BatchSize
from twite.domain.blame.circuit_breaker import PROBE_EVERY, CircuitBreaker
from twite.domain.blame.rejection_stats import RejectionStats
from twite.domain.blame.suspects import Suspects
from twite.domain.delivery import MOST_CONVERSIONS, Batch, Delivery, Group, ids_of
from twite.domain.pause import Cause, Pause

# How many failed deliveries are remembered, so that a probe uses a different one.
_MOST_FAILED: Final = 1_000


class Instant(msgspec.Struct, frozen=True, kw_only=True):
    """The time of an answer in milliseconds, and two random numbers in [0, 1).

    `now` is the wall time, `elapsed` that of the monotonic clock. `jitter` spreads the retries of
    deliveries, `pixel_jitter` those of the pixel.
    """

    now: int
    elapsed: int
    jitter: float = 0.0
    pixel_jitter: float = 0.0


class EventPause(msgspec.Struct, frozen=True, kw_only=True):
    """A pause of one event, and when its next probe is due: the pixel's other events are sent."""

    pause: Pause
    probe_at: int


class PixelEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence about one pixel or tag.

    `stats` has the statistics of refusals by event. `unreached` (id → event) are the deliveries
    that a bisect did not reach, from batches that X accepted in part. `failed` (id → event) are
    those that failed since X last accepted one, `failed_alone` those of them that were alone in
    their request, and `failing` the events of failed or refused requests since X last answered as
    if all were well. `refused_in_row` has the first delivery of each group that was refused since X
    last accepted or judged a group.
    """

    pixel: str
    is_cautious: bool = False
    suspects: Suspects = Suspects()
    breaker: CircuitBreaker = CircuitBreaker()
    pauses: Mapping[str, EventPause] = {}
    stats: Mapping[str, RejectionStats] = {}
    size: BatchSize = BatchSize()
    unreached: Mapping[int, str] = {}
    failed: Mapping[int, str] = {}
    failed_alone: frozenset[int] = frozenset()
    failing: frozenset[str] = frozenset()
    refused_in_row: frozenset[int] = frozenset()

    @classmethod
    def at_start(
        cls, pixel: str, pauses: Iterable[Pause], *, elapsed: int, is_cautious: bool = False
    ) -> Self:
        """Return the evidence after a start. It may be the fix of a pause: probe at once."""
        breaker = CircuitBreaker().half_open(elapsed).responded(elapsed)
        evidence = cls(
            pixel=pixel,
            is_cautious=is_cautious,
            breaker=breaker,
            suspects=Suspects(retry_at=elapsed),
        )
        for pause in pauses:
            if pause.pixel != pixel:
                continue
            evidence = (
                evidence.with_pause(pause.event, EventPause(pause=pause, probe_at=elapsed))
                if pause.event
                else evidence.but(breaker=msgspec.structs.replace(breaker, pause=pause))
            )
        return evidence

    def but(self, **changes: Any) -> Self:  # noqa: ANN401  any field
        """Return the evidence with other values of some fields."""
        return msgspec.structs.replace(self, **changes)

    # Pauses

    def all_pauses(self) -> Mapping[str, Pause]:
        """Return all pauses by event; that of the pixel itself by ""."""
        pauses = {event: paused.pause for event, paused in self.pauses.items()}
        return pauses if self.breaker.pause is None else pauses | {"": self.breaker.pause}

    def pause_for(self, cause: Cause, reason: str, *, event: str = "", now: int) -> Pause:
        return Pause(pixel=self.pixel, event=event, since=now, cause=cause, reason=reason)

    def pause_event(
        self,
        event: str,
        cause: Cause,
        reason: str,
        *,
        instant: Instant,
        probe_in: int = PROBE_EVERY,
    ) -> Self:
        """Pause an event; the next probe is due in `probe_in` ms."""
        was = self.pauses.get(event)
        if was is None or was.pause.reason != reason:
            since = instant.now if was is None else was.pause.since
            pause = self.pause_for(cause, reason, event=event, now=since)
        else:
            pause = was.pause
        return self.with_pause(event, EventPause(pause=pause, probe_at=instant.elapsed + probe_in))

    def with_pause(self, event: str, event_pause: EventPause) -> Self:
        return self.but(pauses={**self.pauses, event: event_pause})

    def resume_event(self, event: str) -> Self:
        if event not in self.pauses:
            return self
        return self.but(
            pauses={name: pause for name, pause in self.pauses.items() if name != event}
        )

    def end_limits(self, *, elapsed: int) -> Self:
        """End the pauses of events whose limit at X is over, also if none of them is queued."""
        lasting = {
            event: paused
            for event, paused in self.pauses.items()
            if paused.pause.cause is not Cause.EVENT_LIMITED or elapsed < paused.probe_at
        }
        return self if len(lasting) == len(self.pauses) else self.but(pauses=lasting)

    def hold(self, pause: Pause) -> Self:
        """Pause the pixel at a user's request."""
        return self.but(
            breaker=msgspec.structs.replace(self.breaker, pause=pause, is_doubted=False)
        )

    def release(self, *, elapsed: int) -> Self:
        """End all pauses at a user's request."""
        return self.but(breaker=self.breaker.released(elapsed), pauses={})

    def half_open(self, *, elapsed: int) -> Self:
        """Probe at once: the pixel has new credentials."""
        pauses = {
            event: EventPause(pause=paused.pause, probe_at=elapsed)
            for event, paused in self.pauses.items()
        }
        return self.but(breaker=self.breaker.half_open(elapsed), pauses=pauses)

    # The next claim

    def claimed(self, batch: Batch, *, elapsed: int) -> Self:
        """Record that a batch was claimed. If its event is paused, it is a probe."""
        evidence = self.but(suspects=self.suspects.began(batch))
        paused = self.pauses.get(batch.event)
        if paused is None:
            return evidence
        if paused.pause.cause is Cause.EVENT_LIMITED:  # its reset has passed
            return evidence.resume_event(batch.event)
        probed = EventPause(pause=paused.pause, probe_at=elapsed + PROBE_EVERY)
        return evidence.with_pause(batch.event, probed)

    def ended(self, batch: Batch) -> Self:
        return self.but(suspects=self.suspects.ended(batch))

    def limits(self) -> Mapping[str, int]:
        """Return the maximum batch size by event, for events whose limit is lower than usual."""
        small = {
            event: stats.size
            for event, stats in self.stats.items()
            if stats.size < MOST_CONVERSIONS
        }
        return small | dict.fromkeys(self.pauses, 1)

    def closed_events(self, elapsed: int) -> frozenset[str]:
        """Return the paused events whose next probe is not due yet."""
        return frozenset(
            event for event, paused in self.pauses.items() if elapsed < paused.probe_at
        )

    def skip(self, *, elapsed: int, is_hanging: bool) -> tuple[Self, frozenset[int]]:
        """Return the deliveries that the next claim must skip: suspects, until their turn.

        A paused event is probed with fresh deliveries, not with isolated ones or the rest of a bad
        batch. If there is no such delivery until the following probe is due, any delivery may be
        the probe.
        """
        events = {
            event
            for event, paused in self.pauses.items()
            if elapsed < paused.probe_at + PROBE_EVERY
        }
        suspects, skipped = self.suspects.skip(elapsed=elapsed, is_hanging=is_hanging)
        rest = (id_ for id_, event in self.unreached.items() if event in events)
        skipped = skipped.union(suspects.isolated_of(events), rest)
        return self.but(suspects=suspects), skipped

    def failed_but_one(self, *, draw: float) -> tuple[Self, frozenset[int]]:
        """Return the failed deliveries except one, which may be retried.

        The one to retry is chosen at random among those not yet sent alone, because bad deliveries
        may be adjacent. If all have been sent alone, forget them and return an empty set.
        """
        together = [id_ for id_ in self.failed if id_ not in self.failed_alone]
        if not together:
            return self.but(failed={}, failed_alone=frozenset()), frozenset()
        return self, frozenset(self.failed) - {together[int(draw * len(together))]}

    # What one answer says

    def stats_of(self, event: str) -> RejectionStats:
        return self.stats.get(event, RejectionStats())

    def with_stats(self, event: str, stats: RejectionStats) -> Self:
        return self.but(stats={**self.stats, event: stats})

    def recall_later(self, event: str) -> Self:
        """Requeue held deliveries of an event at its next acceptance."""
        return self.with_stats(event, self.stats_of(event).recall_later())

    def remember_failed(self, event: str, group: Group | Iterable[Delivery]) -> Self:
        """Record that the deliveries of a request failed, or were refused with their pixel."""
        ids = ids_of(group)
        room = max(0, _MOST_FAILED - len(self.failed))
        return self.but(
            failed={**self.failed, **dict.fromkeys(ids[:room], event)},
            failed_alone=self.failed_alone.union(ids) if len(ids) == 1 else self.failed_alone,
            failing=self.failing | {event},
        )

    def reach(self, group: Group) -> tuple[Self, bool]:
        """Record that these deliveries are sent; return whether a bisect had not reached any."""
        reached = self.unreached.keys() & ids_of(group) if self.unreached else ()
        if not reached:
            return self, False
        rest = {id_: event for id_, event in self.unreached.items() if id_ not in reached}
        return self.but(unreached=rest), True
