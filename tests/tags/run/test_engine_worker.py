"""An engine worker starts turns in the order of CPU time used, and only a few at once."""

import asyncio

import pytest

from builders import NOW
from twite.domain.errors import TemplatesBusy
from twite.tags.ports.engines import EngineLost
from twite.tags.runtime.engine_worker import EngineWorker
from twite.tags.template.sandbox import Call, Turn

CALL = Call(fields={}, now=NOW)


class FakeProcess:
    """Runs a turn until the test ends it; `template` sets its cost or error."""

    def __init__(self):
        self.began = []
        self.under_way = 0
        self.most = 0
        self.go = asyncio.Event()
        self.go.set()
        self.ended = []
        self.stopped = False

    async def start(self, template, _call):
        name, cost = template
        self.began.append(name)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.go.wait()
            await asyncio.sleep(0)
        finally:
            self.under_way -= 1
        if isinstance(cost, Exception):
            raise cost
        return Turn(run=len(self.began), took=cost)

    def end(self, run):
        self.ended.append(run)

    def stop(self):
        self.stopped = True


@pytest.fixture
def process():
    return FakeProcess()


async def together(worker, process, *turns):
    """Queue all turns at once in this order; return the order in which they started."""
    process.go.clear()
    tasks = [asyncio.create_task(worker.start(name, (name, cost), CALL)) for name, cost in turns]
    await asyncio.sleep(0)
    process.go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    return process.began


@pytest.mark.parametrize("at_once", [1, 3])
async def test_number_of_concurrent_turns_is_limited(process, at_once):
    worker = EngineWorker(process, at_once=at_once)

    await together(worker, process, *(("one", 0.1) for _ in range(9)))

    assert process.most == at_once
    assert worker.load == 0


async def test_template_that_used_least_cpu_time_runs_next(process):
    worker = EngineWorker(process)

    order = await together(worker, process, *[("much", 0.1)] * 4, ("little", 0.1), ("other", 0.1))

    assert order == ["much", "little", "other", "much", "much", "much"]


async def test_slow_templates_get_fewer_turns(process):
    worker = EngineWorker(process)

    order = await together(worker, process, *[("slow", 0.35), ("quick", 0.1)] * 4)

    assert order[:5] == ["slow", "quick", "quick", "quick", "quick"]


async def test_time_of_a_lost_turn_is_counted(process):
    worker = EngineWorker(process)
    lost = EngineLost("it ended", took=3.0)

    order = await together(worker, process, ("bad", lost), ("bad", 0.1), *[("good", 0.5)] * 3)

    assert order == ["bad", "good", "good", "good", "bad"]


async def test_turn_can_be_refused_just_before_it_starts(process):
    worker = EngineWorker(process)
    process.go.clear()
    first = asyncio.create_task(worker.start("one", ("one", 0.1), CALL))
    await asyncio.sleep(0)
    asked = []

    def gate():
        asked.append(process.under_way)
        raise TemplatesBusy(reason="rests", retry_after=1)

    second = asyncio.create_task(worker.start("two", ("two", 0.1), CALL, gate=gate))
    await asyncio.sleep(0)
    before = list(asked)
    process.go.set()
    await first

    with pytest.raises(TemplatesBusy):
        await second
    await worker.start("two", ("two", 0.1), CALL)
    assert (before, asked) == ([], [0])
    assert process.began == ["one", "two"]


async def test_cancelled_turn_in_the_queue_does_not_run(process):
    worker = EngineWorker(process)
    process.go.clear()
    tasks = [asyncio.create_task(worker.start(name, (name, 0.1), CALL)) for name in ("a", "b", "c")]
    await asyncio.sleep(0)

    tasks[1].cancel()
    process.go.set()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert process.began == ["a", "c"]
    assert worker.load == 0


async def test_stop_cancels_queued_turns(process):
    worker = EngineWorker(process)
    process.go.clear()
    tasks = [asyncio.create_task(worker.start("a", ("a", 0.1), CALL)) for _ in range(2)]
    await asyncio.sleep(0)

    worker.stop()
    process.go.set()

    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(ended[1], asyncio.CancelledError)
    assert process.stopped
