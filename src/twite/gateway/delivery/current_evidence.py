"""The current evidence about one pixel or tag, and its pauses in the store."""

import asyncio
from collections.abc import Collection, Iterable, Mapping

from twite.domain.blame.batch_size import BatchSize
from twite.domain.blame.evidence import Instant, PixelEvidence
from twite.domain.delivery import Batch
from twite.domain.errors import TransientError
from twite.domain.pause import Cause, Pause, pause_by_user
from twite.gateway.delivery.requests_in_flight import RequestsInFlight
from twite.gateway.ports.events import Observer, Paused, Resumed
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.ports.state import StateStore


class CurrentEvidence:
    """Holds the evidence, which is immutable, and writes its pauses: they survive a restart."""

    def __init__(
        self,
        *,
        pixel: str,
        state: StateStore,
        clock: Clock,
        randomness: Randomness,
        observer: Observer,
        pauses: Iterable[Pause] = (),
        is_cautious: bool = False,
    ) -> None:
        """`pauses` are those in force at the start, of any pixel."""
        self._state = state
        self._clock = clock
        self._randomness = randomness
        self._observer = observer
        self.evidence = PixelEvidence.at_start(
            pixel, pauses, elapsed=clock.elapsed(), is_cautious=is_cautious
        )
        # The pauses in the store by event; they may differ from those in force if a write failed.
        self._stored = dict(self.evidence.all_pauses())
        self._lock = asyncio.Lock()

    def instant(self) -> Instant:
        return Instant(
            now=self._clock.now(),
            elapsed=self._clock.elapsed(),
            jitter=self._randomness.fraction(),
            pixel_jitter=self._randomness.fraction(),
        )

    def update(self, evidence: PixelEvidence) -> None:
        """Replace the evidence, and report pauses that began or ended."""
        before, self.evidence = self.evidence, evidence
        if before.breaker.pause is evidence.breaker.pause and before.pauses is evidence.pauses:
            return
        was, pauses = before.all_pauses(), evidence.all_pauses()
        for event, pause in pauses.items():
            if was.get(event) != pause:
                self._observer.see(Paused(pause=pause))
        for event in sorted(was.keys() - pauses.keys()):
            self._observer.see(Resumed(pixel=evidence.pixel, event=event))

    @property
    def noted(self) -> Mapping[str, Pause]:
        """The pauses in force that are certainly in the store, by event."""
        pauses = self.evidence.all_pauses()
        return {event: pause for event, pause in self._stored.items() if pauses.get(event) is pause}

    @property
    def _has_unwritten(self) -> bool:
        pauses = self.evidence.all_pauses()
        return len(pauses) != len(self._stored) or any(
            self._stored.get(event) is not pause for event, pause in pauses.items()
        )

    async def write_pauses(self) -> None:
        """Store the pauses that began, and delete those that ended. Raises LedgerUnavailable."""
        if not self._has_unwritten:
            return
        async with self._lock:
            pauses = self.evidence.all_pauses()
            for event in sorted(self._stored.keys() - pauses.keys()):
                ended = self._stored.pop(event)
                try:
                    # This does not delete a pause that a user has made meanwhile through another
                    # gateway.
                    await self._state.delete(Pause, ended)
                except TransientError:
                    self._stored[event] = ended
                    raise
            for event, pause in pauses.items():
                if self._stored.get(event) is not pause:
                    self._stored.pop(event, None)  # nothing is certain while it is written
                    await self._state.put([pause])
                    # Meanwhile, a user may have paused the pixel.
                    self._stored.setdefault(event, pause)

    async def hold(self, who: str) -> None:
        """Pause until a user resumes the pixel. Raises LedgerUnavailable."""
        pause = pause_by_user(self.evidence.pixel, since=self._clock.now(), who=who)
        await self._state.put([pause])
        self._stored[""] = pause
        self.update(self.evidence.hold(pause))

    async def release(self) -> None:
        """End all pauses at a user's request. Raises LedgerUnavailable."""
        await self._state.delete(Pause, (self.evidence.pixel, ""))
        self._stored.pop("", None)
        self.update(self.evidence.release(elapsed=self._clock.elapsed()))
        await self.write_pauses()

    def follow(self, stored: Collection[Pause], *, noted: Mapping[str, Pause]) -> bool:
        """Apply pauses that a user made or ended elsewhere; return whether any has ended.

        `noted` is the value of the property of that name before the store was read. All other
        pauses are written only by the gateway that owns the pixel.
        """
        evidence = self.evidence
        mine = {pause.event: pause for pause in stored if pause.pixel == evidence.pixel}
        ended = [
            event
            for event, pause in self.noted.items()
            if noted.get(event) is pause and event not in mine
        ]
        for event in ended:
            del self._stored[event]
            evidence = (
                evidence.resume_event(event)
                if event
                else evidence.but(breaker=evidence.breaker.released(self._clock.elapsed()))
            )
        by_user = mine.get("")
        if (
            by_user is not None
            and by_user.cause is Cause.USER
            and by_user != evidence.breaker.pause
            and noted.get("") is self.noted.get("")  # else this gateway has changed it since
        ):
            self._stored[""] = by_user
            evidence = evidence.hold(by_user)
        self.update(evidence)
        return bool(ended)

    async def end_limits(self) -> None:
        """End the pauses of events whose limit at X is over. Raises LedgerUnavailable."""
        evidence = self.evidence.end_limits(elapsed=self._clock.elapsed())
        if evidence is not self.evidence:
            self.update(evidence)
            await self.write_pauses()

    def half_open(self) -> None:
        """Probe at once: the pixel has new credentials."""
        self.update(self.evidence.half_open(elapsed=self._clock.elapsed()))

    # For tags: their runs say nothing about their deliveries.

    def record_failure(self) -> None:
        """Back off, longer each time."""
        instant = self.instant()
        breaker = self.evidence.breaker.failed(elapsed=instant.elapsed, jitter=instant.pixel_jitter)
        self.update(self.evidence.but(breaker=breaker))

    def record_response(self) -> None:
        """End the back-off."""
        breaker = self.evidence.breaker.responded(self._clock.elapsed())
        self.update(self.evidence.but(breaker=breaker))

    def slow_down(self, rest: int | None) -> None:
        """Send one delivery at a time, after `rest` milliseconds. None ends this mode."""
        breaker = self.evidence.breaker.slowed(rest, elapsed=self._clock.elapsed())
        self.update(self.evidence.but(breaker=breaker))

    def limit_batches(self, most: int) -> None:
        """Limit the deliveries in a batch."""
        self.update(self.evidence.but(size=BatchSize(most=most)))

    # For the next claim

    @property
    def probes(self) -> bool:
        return self.evidence.breaker.probes

    @property
    def is_by_user(self) -> bool:
        return self.evidence.breaker.is_by_user

    @property
    def wants_another(self) -> bool:
        return self.evidence.breaker.wants_another(self._clock.elapsed())

    @property
    def backs_off(self) -> bool:
        return self.evidence.breaker.backs_off(self._clock.elapsed())

    def wait(self) -> int:
        return self.evidence.breaker.wait(self._clock.elapsed())

    def claimed(self, batch: Batch) -> None:
        self.update(self.evidence.claimed(batch, elapsed=self._clock.elapsed()))

    def skipped_events(self, requests: RequestsInFlight) -> frozenset[str]:
        """Return the events that the next claim must skip: paused and full ones."""
        evidence = self.evidence
        full = requests.full(troubled=evidence.suspects.troubled, limited=evidence.limits())
        return evidence.closed_events(self._clock.elapsed()) | full

    def skipped(self, requests: RequestsInFlight) -> frozenset[int]:
        """Return the deliveries that the next claim must skip."""
        lease = self.evidence.suspects.lease
        evidence, skipped = self.evidence.skip(
            elapsed=self._clock.elapsed(),
            is_hanging=lease is not None and requests.is_hanging(lease),
        )
        self.update(evidence)
        return skipped

    def failed_but_one(self) -> frozenset[int]:
        """Return the deliveries that failed, except one, which may be retried."""
        evidence, failed = self.evidence.failed_but_one(draw=self._randomness.fraction())
        self.update(evidence)
        return failed
