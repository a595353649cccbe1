"""The evidence about a pixel, changed without answers of X: its circuit breaker and its pauses."""

from fakes import MovingClock
from memory_store.store import MemoryStore
from twite.domain.blame.circuit_breaker import PROBE_EVERY
from twite.domain.delivery import Batch
from twite.domain.pause import Cause, Pause
from twite.gateway.delivery.current_evidence import CurrentEvidence
from worker_bench import Seen

REFUSED = "401: not yours"


class PausedPixel(CurrentEvidence):
    """The evidence about a pixel, with its own randomness."""

    def __init__(self, clock=None, *, store=None, observer=None, pauses=()):
        self.clock, self.seen, self.draw = clock or MovingClock(), observer or Seen(), 0.5
        super().__init__(
            pixel="p",
            state=store or MemoryStore(),
            clock=self.clock,
            randomness=self,
            observer=self.seen,
            pauses=pauses,
        )

    def fraction(self):
        return self.draw

    @property
    def breaker(self):
        return self.evidence.breaker

    @property
    def pause(self):
        return self.breaker.pause

    @property
    def notices(self):
        return self.seen.notices

    async def become(self, **changes):
        self.update(self.evidence.but(**changes))
        await self.write_pauses()

    def a_pause(self, reason, event=""):
        cause = Cause.EVENT_REFUSED if event else Cause.CREDENTIALS_REFUSED
        since = self.clock.now()
        return Pause(pixel="p", event=event, since=since, cause=cause, reason=reason)

    async def trip(self, reason=REFUSED):
        tripped = self.breaker.tripped(self.a_pause(reason), self.clock.elapsed())
        await self.become(breaker=tripped)

    async def doubt(self, reason, *, alone, is_likely):
        doubted = self.breaker.doubted(
            self.a_pause(reason), alone=alone, is_likely=is_likely, elapsed=self.clock.elapsed()
        )
        await self.become(breaker=doubted)

    async def passed(self):
        await self.become(breaker=self.breaker.passed())

    def fail(self, draw=0.5):
        self.draw = draw
        self.record_failure()

    async def pause_event(self, event, reason, *, cause=Cause.EVENT_REFUSED, probe_in=PROBE_EVERY):
        self.update(
            self.evidence.pause_event(
                event, cause, reason, instant=self.instant(), probe_in=probe_in
            )
        )
        await self.write_pauses()

    async def resume_event(self, event):
        self.update(self.evidence.resume_event(event))
        await self.write_pauses()

    def probe(self, event):
        self.claimed(Batch(lease=1, pixel="p", event=event, deliveries=()))

    def events(self):
        return set(self.evidence.pauses)

    def closed(self):
        return self.evidence.closed_events(self.clock.elapsed())

    def skips_bad(self):
        """Return the events whose probe may not be a delivery that is known to be bad."""
        bad = dict(enumerate(sorted(self.events())))
        evidence = self.evidence.but(unreached=bad)
        _, skipped = evidence.skip(elapsed=self.clock.elapsed(), is_hanging=False)
        return {bad[number] for number in skipped}

    async def paused_by(self):
        """Return the reasons of the stored pauses."""
        return [pause.reason for pause in await self._state.load(Pause)]
