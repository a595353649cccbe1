"""A batch sender without a worker: the test decides what X answers to which deliveries."""

import asyncio
from itertools import count

import msgspec

from builders import NOW, a_destination
from fakes import MovingClock, conversions_of, refused, taken
from memory_store.store import MemoryStore
from twite.domain.delivery import Batch, Delivery
from twite.domain.pause import Cause
from twite.gateway.delivery.batch_sender import BatchSender
from twite.gateway.delivery.current_evidence import CurrentEvidence
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ports.outbox import MoveResult
from twite.gateway.ports.transport import NoResponse, Response

PIXEL, EVENT, OTHER = "o8z6j", "o8z6k", "o8z6m"
LEASE = 120_000
BAD = refused(("INVALID_PARAMETER", "At least one user identifier must be provided", ""))
LARGE = refused(status=413)
NOT_YOU = refused(("UNAUTHORIZED_ACCESS", "no", ""), status=401)
PAGE = Response(status=403, headers={}, body=b"<html>no</html>")
FAILED = refused(("INTERNAL_ERROR", "no", ""), status=500)
LIMITED = refused(("TOO_MANY_REQUESTS", "no", ""), status=429)
SILENT = NoResponse(reason="no answer in time", left=True)
UNSENT = NoResponse(reason="no connection", left=False)


def deliveries(*ids, **more):
    return tuple(
        Delivery(id=id_, conversion_id=f"c{id_}", body=b'{"id":%d}' % id_, received_at=NOW, **more)
        for id_ in ids
    )


class Store(MemoryStore):
    """Keeps the settlements. `before` is awaited before each, and may fail."""

    def __init__(self):
        super().__init__()
        self.settlements, self.moves, self.denied, self.asked = [], [], set(), []
        self.before = None

    async def settle(self, settlement):
        if self.before is not None:
            await self.before()
        self.settlements.append(settlement)

    async def withdrawn(self, batch):
        ids = [delivery.id for delivery in batch.deliveries]
        self.asked.append(ids)
        return [id_ for id_ in ids if id_ in self.denied]

    async def move(self, move, **_options):
        self.moves.append(move)
        return MoveResult(moved=0)


class Stage:
    """A sender with its transport, randomness and observer in one.

    X takes `takes` for each response.
    """

    def __init__(self, *, cautious=False, rate=60_000, slots=4):
        self.wall, self.store, self.notices = MovingClock(), Store(), []
        self.see = self.notices.append
        self.draw, self.takes, self.leases = 0.5, 0, count(1)
        self.answer = lambda _ids: None
        self.sent, self.headers = [], []
        clock = self.clock = MonotonicClock(self.wall)
        self.rate_limit = RateLimit(limit=rate, clock=clock, past=(), pixels=[PIXEL])
        self.current = CurrentEvidence(
            pixel=PIXEL,
            state=self.store,
            clock=clock,
            randomness=self,
            observer=self,
            is_cautious=cautious,
        )
        self.sender = BatchSender(
            destination=msgspec.structs.replace(a_destination(PIXEL), is_cautious=cautious),
            delivery_store=self.store,
            x_client=XClient(
                transport=self, clock=clock, randomness=self, api_url="https://x", version="12"
            ),
            rate_limit=self.rate_limit,
            current_evidence=self.current,
            clock=clock,
            observer=self,
            lease=LEASE,
            in_flight=slots,
        )

    def fraction(self):
        return self.draw

    async def post(self, outbound):
        ids = tuple(conversion["id"] for conversion in conversions_of(outbound))
        self.sent.append(ids)
        self.headers.append(outbound.headers)
        await self.wall.advance(self.takes)
        answer = self.answer(ids)
        if asyncio.iscoroutine(answer):
            answer = await answer
        return taken(outbound) if answer is None else answer

    def refuses(self, *bad, answer=BAD):
        """Make X give this answer to each request with one of these, or to all if none is given."""
        self.answer = lambda ids: answer if not bad or {*ids} & {*bad} else None

    def claim(self, *ids, event=EVENT, **more):
        batch = Batch(
            lease=next(self.leases), pixel=PIXEL, event=event, deliveries=deliveries(*ids, **more)
        )
        self.sender.requests.began(batch)
        self.current.claimed(batch)
        return batch

    async def take(self, *ids, event=EVENT, **more):
        """Send a batch; return the requests that were made."""
        before = len(self.sent)
        batch = self.claim(*ids, event=event, **more)
        try:
            await self.sender.take(batch)
        finally:
            self.sender.requests.ended(batch)
        return self.sent[before:]

    async def accept_another(self):
        """Make X accept a delivery of another event."""
        usual, self.answer = self.answer, lambda _ids: None
        await self.take(next(self.leases) + 10_000, event=OTHER)
        self.answer = usual

    async def suspect(self, *ids):
        """Let X fail at these deliveries, and accept another before and after."""
        await self.accept_another()
        self.refuses(answer=FAILED)
        await self.take(*ids)
        self.refuses(-1)
        await self.accept_another()

    async def isolate(self, id_, *, answer=FAILED):
        """Let X fail at a delivery alone, or refuse it, again and again."""
        await self.suspect(id_)
        self.refuses(answer=answer)
        await self.take(id_)
        self.refuses(-1)
        await self.accept_another()

    async def pause(self, event=EVENT):
        paused = self.evidence.pause_event(
            event, Cause.EVENT_REFUSED, "a reason", instant=self.current.instant()
        )
        self.current.update(paused)
        await self.current.write_pauses()

    async def trip(self):
        pause = self.evidence.pause_for(Cause.CREDENTIALS_REFUSED, "401", now=self.clock.now())
        tripped = self.evidence.breaker.tripped(pause, self.clock.elapsed())
        self.current.update(self.evidence.but(breaker=tripped))
        await self.current.write_pauses()

    @property
    def evidence(self):
        return self.current.evidence

    def skipped_events(self):
        return self.current.skipped_events(self.sender.requests)

    def skipped(self):
        return self.current.skipped(self.sender.requests)

    @property
    def ends(self):
        """The last transition of each delivery: (trigger, wait in ms), or (trigger, reason)."""
        found = {}
        for settlement in self.store.settlements:
            for transition in settlement.transitions:
                due = transition.due_at
                more = transition.reason if due is None else due - self.clock.now()
                found |= dict.fromkeys(transition.deliveries, (str(transition.trigger), more))
        return found

    def ended(self, trigger, more=None):
        """Return the deliveries that ended so."""
        return sorted(
            id_
            for id_, (how, what) in self.ends.items()
            if how == trigger and (more is None or what == more)
        )

    def triggers(self, id_):
        """Return all transitions of a delivery."""
        return [
            str(transition.trigger)
            for settlement in self.store.settlements
            for transition in settlement.transitions
            if id_ in transition.deliveries
        ]
