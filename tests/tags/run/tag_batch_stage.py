"""A tag's batch sender without an engine."""

from scripted_run import Stage, a_request, turn, waits_for

from builders import NOW
from fakes import MovingClock
from memory_store.store import MemoryStore
from twite.domain.delivery import Batch, Delivery
from twite.domain.errors import LedgerUnavailable
from twite.gateway.delivery.current_evidence import CurrentEvidence
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.ports.events import Attempted, ProblemSeen
from twite.gateway.ports.transport import Response
from twite.tags.ports.engines import EngineLost
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.batch_sender import TagBatchSender
from twite.tags.run.payload import TagPayload, written
from twite.tags.runtime.probation import Probations
from twite.tags.template.sandbox import RunResult

FAILED = turn(outcome=RunResult.FAILURE)
BUSY = Response(status=503, headers={}, body=b"")
LOST = EngineLost("the process ended", took=0.5)


class Store(MemoryStore):
    def __init__(self):
        super().__init__()
        self.settlements, self.rewritten = [], []
        self.before = None

    async def settle(self, settlement):
        if self.before is not None:
            await self.before()
        self.settlements.append(settlement)

    async def rewrite(self, write, *, after, limit):
        self.rewritten.append((write, after, limit))


class Seal:
    error = None

    def open(self, name, sealed):
        if self.error:
            raise self.error
        return sealed.removeprefix(name.encode())

    def close(self, name, plain):
        return name.encode() + plain


class SenderStage(Stage):
    """A sender of a tag's batches; plays its observer."""

    def __init__(self, *answers, turns=None, seal=None, payload=(), **rule):
        super().__init__(*answers, **(turns or {}))
        self.wall, self.store, self.notices, self.runs = MovingClock(), Store(), [], []
        self.monotonic = MonotonicClock(self.wall)
        self.trials = Probations(elapsed=self.wall.elapsed, observer=self)
        self.seal, self.payload = seal, dict(payload)
        self.rule = TagRule(name="crm", **{"in_flight": 3, "timeout": 5_000} | rule)
        self.draw = 0.5
        self.current = CurrentEvidence(
            pixel="tag:crm",
            state=self.store,
            clock=self.monotonic,
            randomness=self,
            observer=self,
        )
        self.config = ContainerConfig(container=self.container(), rules={"crm": self.rule})
        self.made = None

    def see(self, notice):
        self.notices.append(notice)

    def record_run(self, pixel, *, is_spent):
        self.runs.append((pixel, is_spent))

    def fraction(self):
        return self.draw

    @property
    def sender(self):
        if self.made is None:
            self.made = TagBatchSender(
                container_config=self.config,
                rule=self.rule,
                run_context=self.with_more(observer=self),
                delivery_store=self.store,
                current_evidence=self.current,
                clock=self.monotonic,
                randomness=self,
                observer=self,
                lease=60_000,
                seal=self.seal,
            )
        return self.made

    def delivery(self, id_=7, *, body=None, **more):
        payload = TagPayload(pixel="o8z6j", at=NOW, event={"event_name": "x"}, **self.payload)
        made = written(payload, name="tag:crm", seal=self.seal) if body is None else body
        return Delivery(id=id_, conversion_id=f"c{id_}", body=made, received_at=NOW, **more)

    def batch(self, *ids, **more):
        deliveries = tuple(self.delivery(id_, **more) for id_ in ids or (7,))
        return Batch(lease=1, pixel="tag:crm", event="purchase", deliveries=deliveries)

    async def take(self, *ids, **more):
        await self.sender.take(self.batch(*ids, **more))

    @property
    def ends(self):
        """The transitions in order: (delivery, trigger, wait in ms or reason)."""
        return [
            (
                *transition.deliveries,
                str(transition.trigger),
                transition.reason
                if transition.due_at is None
                else transition.due_at - self.monotonic.now(),
            )
            for settlement in self.store.settlements
            for transition in settlement.transitions
        ]

    @property
    def attempts(self):
        return [settlement.attempt for settlement in self.store.settlements]

    @property
    def attempted(self):
        return [notice for notice in self.notices if isinstance(notice, Attempted)]

    @property
    def problems(self):
        return [
            (str(notice.where), notice.reason)
            for notice in self.notices
            if isinstance(notice, ProblemSeen)
        ]


def waits(*effects, **more):
    return waits_for(*(effects or (a_request(),)), **more)


async def unavailable():
    raise LedgerUnavailable(reason="disk full", retry_after=1)
