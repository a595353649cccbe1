"""A tag that exceeded a limit is slowed down alone: its deliveries wait, and none is lost."""

from pathlib import Path

import msgspec
import pytest
from crashing_engines import CRASHED, CrashingEngines
from local_engines import LocalEngines

from builders import NOW, a_submission, an_entry
from fakes import MovingClock, ScriptedWeb
from memory_store.store import MemoryStore
from twite.domain.alert import AlertKind
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.gateway.delivery.current_evidence import CurrentEvidence
from twite.gateway.ports.events import ConditionChanged, ProblemSeen
from twite.gateway.ports.outbox import Claim, TakeBack
from twite.gateway.ports.queries import ByConversionId
from twite.machine.system import SystemClock
from twite.tags.container.parts import Container, ContainerTag
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.google.requests import GoogleClient
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.batch_sender import TagBatchSender
from twite.tags.run.outbound import RunContext
from twite.tags.run.payload import TagPayload, written
from twite.tags.runtime.engine_pool import SLOW, EnginePool, TemplateStorage
from twite.tags.runtime.probation import PROVEN
from twite.tags.template.sandbox import Call, EffectAnswer, RunLimits, RunResult
from twite.tags.template.template import TemplatePart, read_template
from worker_bench import Seen

TEMPLATE = read_template((Path(__file__).parents[1] / "templates/crm_post.tpl").read_bytes())
CODE = """
const hangs = require('getEventData')('hangs');
if (hangs === 'in one step') {
  const none = {};
  const long = 'x'.repeat(2000000);
  for (let at = 0; ; at++) none[long + at];
}
if (hangs) { while (true) {} }
let left = require('getEventData')('loops') || 0;
while (left-- > 0) {}
data.gtmOnSuccess();
"""
BRIEF = 0.05  # seconds


class Chance:
    """Skip the back-off, so that only the probation delays deliveries."""

    def fraction(self):
        return 0.0


class NotForX:
    async def take(self, _request, **_source):
        return None


class Stage:
    def __init__(self):
        self.clock = MovingClock(NOW)
        self.seen = Seen()
        self.store = MemoryStore()
        self.rule = TagRule(name="crm")
        self.engine_pool = EnginePool(
            CrashingEngines(lambda call: (call.event or {}).get("hangs") == "crashes"),
            elapsed=self.clock.elapsed,
            limits=RunLimits(time=BRIEF),
            observer=self.seen,
        )
        self.current_evidence = CurrentEvidence(
            pixel=self.rule.pixel,
            state=self.store,
            clock=self.clock,
            randomness=Chance(),
            observer=self.seen,
        )
        code = self.template = msgspec.structs.replace(
            TEMPLATE, code=TemplatePart(text=CODE, line=1)
        )
        container = Container(
            tags=(ContainerTag(name="crm", template="main"),), templates={"main": code}
        )
        self.flight = TagBatchSender(
            container_config=ContainerConfig(container=container, rules={"crm": self.rule}),
            rule=self.rule,
            run_context=RunContext(
                engine_pool=self.engine_pool,
                web=ScriptedWeb(),
                google=GoogleClient(clock=SystemClock()),
                to_x=NotForX(),
                storage=TemplateStorage(),
                clock=SystemClock(),
                observer=self.seen,
            ),
            delivery_store=self.store,
            current_evidence=self.current_evidence,
            clock=self.clock,
            randomness=Chance(),
            observer=self.seen,
            lease=60_000,
            seal=None,
        )

    async def comes(self, *names, hangs=False, loops=0):
        """Accept events, and claim the tag's due deliveries."""
        event = {"event_name": "purchase", "hangs": hangs, "loops": loops}
        body = written(TagPayload(pixel="o8z6j", at=NOW, event=event), name=self.rule.pixel)
        for name in names:
            entry = an_entry(name, pixel=self.rule.pixel, event="purchase")
            entry = msgspec.structs.replace(entry, body=body)
            await self.store.record(a_submission(entry, receipt=f"r-{name}"))
        return await self.store.claim(
            Claim(
                pixel=self.rule.pixel,
                now=self.clock.now(),
                lease_until=self.clock.now() + 60_000,
                limit=10,
                ambiguous_after=0,
            )
        )

    async def history(self, name):
        [history] = await self.store.find(
            ByConversionId(pixel=self.rule.pixel, events=("purchase",), conversion_id=name)
        )
        return history

    async def goes(self, name, *, hangs=False, loops=0):
        """Accept one event, and run its tag."""
        await self.flight.take(await self.comes(name, hangs=hangs, loops=loops))

    async def withdraw(self, name):
        """Discard a delivery that would hang again."""
        history = await self.history(name)
        await self.store.move(
            TakeBack(
                deliveries=[history.delivery],
                cause=DeliveryCause.CONSENT_UNCLEAR,
                reason="withdrawn",
                hold=False,
            ),
            now=NOW,
        )

    async def rests(self):
        await self.clock.advance(self.current_evidence.wait())


@pytest.fixture
async def stage():
    stage = Stage()
    stage.engine_pool.start()
    yield stage
    await stage.engine_pool.stop()


async def test_run_over_a_limit_is_followed_by_a_pause(stage):
    await stage.goes("order-1", hangs=True)

    assert stage.current_evidence.wait() > 19 * BRIEF * 1_000 * 0.9
    assert stage.current_evidence.probes
    reason = "the template exceeded a limit: Twite now pauses it after each run"
    assert ProblemSeen(where="tag crm", reason=reason) in stage.seen.notices


async def test_delivery_claimed_during_the_pause_waits_without_an_attempt(stage):
    await stage.goes("order-1", hangs=True)

    await stage.flight.take(await stage.comes("order-2"))

    waiting = await stage.history("order-2")
    assert (waiting.state, waiting.attempts) == (State.QUEUED, ())
    assert waiting.due_at > stage.clock.now()


async def test_waiting_delivery_is_delivered_after_the_pause(stage):
    await stage.goes("order-1", hangs=True)
    await stage.flight.take(await stage.comes("order-2"))

    await stage.withdraw("order-1")
    await stage.rests()
    # One at a time: a delivery that got no turn may be due a moment later.
    await stage.clock.advance(1_000)
    await stage.flight.take(await stage.comes())

    assert (await stage.history("order-2")).state is State.DELIVERED


async def test_good_runs_end_the_probation_of_a_tag(stage):
    await stage.goes("order-0", hangs=True)
    await stage.withdraw("order-0")

    for number in range(1, PROVEN + 1):
        await stage.rests()
        assert stage.current_evidence.probes
        await stage.goes(f"order-{number}")

    assert not stage.current_evidence.probes
    assert stage.current_evidence.wait() == 0


async def test_first_run_is_alone_and_its_success_opens_the_worker(stage):
    before = stage.current_evidence.probes

    await stage.goes("order-1")

    assert (before, stage.current_evidence.probes) == (True, False)


async def test_new_tag_delays_only_itself(stage):
    mine, other = (stage.engine_pool.worker(name) for name in ("tag:crm", "tag:other"))

    for number in range(PROVEN):
        await stage.goes(f"order-{number}")

    assert mine is not other
    proven = stage.engine_pool.worker("tag:crm")
    assert proven not in {mine, other}
    await stage.goes("order-20", hangs=True)
    assert stage.engine_pool.worker("tag:crm") is mine


WAITS = msgspec.structs.replace(
    TEMPLATE,
    code=TemplatePart(
        text="require('sendHttpRequest')('https://a.example/', data.gtmOnSuccess);", line=1
    ),
)


async def test_run_that_crashes_is_held_and_reported(stage):
    await stage.goes("order-1", hangs="crashes")

    held = await stage.history("order-1")
    assert held.state is State.HELD
    assert CRASHED in held.reason
    assert [
        (notice.kind, notice.subject)
        for notice in stage.seen.notices
        if type(notice) is ConditionChanged
    ] == [(AlertKind.TEMPLATE_HUNG, "tag crm")]
    assert stage.current_evidence.wait() > 0


async def test_crash_interrupts_no_run_of_another_template(stage):
    for number in range(PROVEN):
        await stage.goes(f"order-{number}")
    shared = stage.engine_pool.worker("tag:crm")
    waiting = await shared.start("tag:other", WAITS, Call(fields={}, now=NOW))

    await stage.goes("order-20", hangs="in one step")
    answers = (EffectAnswer(id=1, status=200),)
    reported = await shared.resume("tag:other", waiting.run, answers, now=NOW)

    assert (await stage.history("order-20")).attempts
    assert stage.current_evidence.wait() > 0
    assert (reported.outcome, reported.error) == (RunResult.SUCCESS, None)


async def test_each_crash_pauses_the_tag_and_the_next_event_runs(stage):
    for number in (1, 2):
        await stage.goes(f"order-{number}", hangs="crashes")
        assert stage.current_evidence.wait() > 19 * BRIEF * 1_000
        await stage.rests()

    await stage.goes("order-3")

    assert (await stage.history("order-3")).state is State.DELIVERED
    reasons = [notice.reason for notice in stage.seen.notices if type(notice) is ProblemSeen]
    assert reasons == [f"{CRASHED}: Twite now pauses the template after each run"] * 2


async def test_slow_tag_gets_its_own_process_until_it_is_fast(stage):
    for number in range(PROVEN):
        await stage.goes(f"order-{number}")
    shared = stage.engine_pool.worker("tag:crm")

    stage.engine_pool.took("tag:crm", 30 * SLOW)
    own = stage.engine_pool.worker("tag:crm")
    for _ in range(PROVEN):
        stage.engine_pool.took("tag:crm", SLOW / 10)

    assert own is not shared
    assert stage.engine_pool.worker("tag:crm") is shared


async def test_duration_of_a_run_is_recorded(stage):
    for number in range(PROVEN):
        await stage.goes(f"order-{number}")
    before = stage.engine_pool.worker("tag:crm")

    # This run stays within the limit of proven templates, but lasts much longer than others should
    # have to wait.
    await stage.goes("order-20", hangs=None, loops=2_000_000)

    assert stage.engine_pool.worker("tag:crm") is not before


async def test_tags_with_good_runs_have_a_fourfold_limit():
    engines = LocalEngines(QuickJsEngine)
    engine_pool = EnginePool(engines, elapsed=lambda: 0, limits=RunLimits(time=0.25))
    engine_pool.start()
    for _ in range(PROVEN):
        engine_pool.record_run("tag:proven", is_spent=False)

    limits = [
        worker.process.limits.time
        for worker in (
            engine_pool.ingest_worker,
            engine_pool.worker("tag:proven"),
            engine_pool.worker("tag:new"),
        )
    ]

    assert limits == [0.25, 1.0, 0.25]


async def test_tag_over_a_limit_runs_after_all_others():
    engines = LocalEngines(QuickJsEngine)
    engine_pool = EnginePool(engines, elapsed=lambda: 0)
    engine_pool.start()
    for tag in ("tag:bad", "tag:good"):
        for _ in range(PROVEN):
            engine_pool.record_run(tag, is_spent=False)

    engine_pool.record_run("tag:bad", is_spent=True)

    assert engine_pool.worker("tag:bad").process.is_behind
    assert not engine_pool.worker("tag:good").process.is_behind
