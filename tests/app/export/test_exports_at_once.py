"""Two runs of an export into one target at once, killed or stalled at any step: no row is wrong.

A run waits before each request to the store and to the target. A seed decides which run goes on,
which is killed, and when the store changes. In the end, one more run is made.
"""

import asyncio
import os
import random
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
from export_stage import MINUTE, latest, rows_of

from store_contract.actions import claim_or_none, dead_lettered, delivered, postponed, settle
from twite.app.export import object_target
from twite.app.export.table_target import TableTarget
from twite.domain.delivery import State
from twite.domain.errors import ClientError
from twite.domain.times import SECOND
from twite.gateway.ports.exports import ConversionsAfterQuery
from twite.gateway.ports.outbox import Discard, Replay
from twite.gateway.ports.queries import AtRest
from twite.readers.object_storage import ObjectStorage

SEEDS = 400 if os.environ.get("TWITE_TRIAL") else 6
KEPT = ("state", "reason", "attempts", "last_status")
_RUNNING: ContextVar[str] = ContextVar("running", default="")


class Interleaving:
    """Runs of a stage, of which one goes on at a time."""

    def __init__(self, stage, seed):
        self.stage = stage
        self.randomness = random.Random(seed)
        self.waiting = {}
        self.runs = {}
        self.refused = self.killed = 0
        self._moved = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def gate(self):
        """Wait for the turn of the run that calls."""
        if (name := _RUNNING.get()) in self.runs:
            turn = self.waiting[name] = self._loop.create_future()
            self._moved.set()
            await turn

    def gated(self, method):
        async def wait(*args):
            await self.gate()
            return await method(*args)

        return wait

    def gated_in_thread(self, method):
        def wait(*args):
            if _RUNNING.get() in self.runs:
                asyncio.run_coroutine_threadsafe(self.gate(), self._loop).result()
            return method(*args)

        return wait

    def begin(self, name):
        async def run():
            _RUNNING.set(name)
            try:
                await self.gate()
                await self.stage.export()
            except ClientError as error:
                assert "at the same time" in str(error)  # noqa: PT017  # in a task
                self.refused += 1
            finally:
                self._moved.set()

        self.runs[name] = asyncio.create_task(run())

    async def change(self):
        """Change the store: new conversions, results of attempts, replays."""
        stage, chance = self.stage, self.randomness
        stage.clock.jump(chance.choice([1, SECOND, 6 * MINUTE]))
        now = stage.clock.now()
        if chance.random() < 0.4:
            await stage.queue(*(f"o-{stage.received}-{index}" for index in range(3)))
        batch = await claim_or_none(self.store, now=now, lease_until=now + MINUTE, limit=4)
        if batch is not None:
            kind = chance.choice(
                [delivered, dead_lettered, lambda some: postponed(some, until=now)]
            )
            await settle(
                self.store, batch, "settled", kind(batch), at=now, lease_until=now + MINUTE
            )
        dead = [each.delivery for each in await self.store.find(AtRest(limit=40))
                if each.state is State.DEAD]  # fmt: skip
        if dead and chance.random() < 0.5:
            await self.store.move(Replay(deliveries=dead[:2], sure=dead[:2]), now=now)
            await self.store.move(Discard(deliveries=dead[2:3], note="no"), now=now)

    @property
    def store(self):
        return self.stage.real_store

    async def play(self, *, kills):
        for step in range(12):
            self.begin(f"{step}")
            self.begin(f"{step}, too")
            for _ in range(self.randomness.randrange(30)):
                await self.everybody_waits()
                if not self.waiting:
                    break
                if self.randomness.random() < 0.3:
                    await self.change()
                name = self.randomness.choice(sorted(self.waiting))
                turn = self.waiting.pop(name)
                if kills and self.randomness.random() < 0.05:
                    self.killed += 1
                    turn.cancel()
                else:
                    turn.set_result(None)
            # What has not ended is stalled, perhaps for hours.
            await self.everybody_waits()
        while self.waiting:
            self.waiting.popitem()[1].set_result(None)
            await self.everybody_waits()

    async def everybody_waits(self):
        while any(not task.done() and name not in self.waiting for name, task in self.runs.items()):
            self._moved.clear()
            await self._moved.wait()


class _Gated:
    def __init__(self, store, gate):
        self._store = store
        self._gate = gate

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def answer(self, query):
        await self._gate()
        answer = await self._store.answer(query)
        await self._gate()
        return answer


async def play(stage, seed, monkeypatch, *, kills):
    interleaving = Interleaving(stage, seed)
    stage.real_store = stage.store
    monkeypatch.setattr(stage, "store", _Gated(stage.store, interleaving.gate))
    # A stalled run may have a thread.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))
    for name in ("read", "put", "replace"):
        method = getattr(ObjectStorage, name)
        monkeypatch.setattr(ObjectStorage, name, interleaving.gated_in_thread(method))
    for name in ("begin", "write"):
        monkeypatch.setattr(TableTarget, name, interleaving.gated(getattr(TableTarget, name)))
    for _ in range(4):
        await interleaving.change()
    await interleaving.play(kills=kills)
    await asyncio.gather(*interleaving.runs.values(), return_exceptions=True)
    unexpected = [
        task.exception()
        for task in interleaving.runs.values()
        if not task.cancelled() and task.exception() is not None
    ]
    assert unexpected == []
    stage.clock.jump(SECOND)
    await stage.export()
    expected = {}
    for each in await stage.real_store.answer(ConversionsAfterQuery(after=0, limit=5_000)):
        key = f"{each.receipt}-{each.place}"
        expected[key] = each.state.value, each.reason, each.attempts, each.last_status
    assert len(expected) > 3
    return interleaving, expected


@pytest.mark.parametrize("kills", [False, True], ids=["stalled", "killed"])
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_runs_into_one_prefix_leave_no_wrong_row(storage_stage, monkeypatch, seed, kills):
    monkeypatch.setattr(object_target, "ROWS_OF_AN_OBJECT", 3)
    monkeypatch.setattr("twite.app.export.run.PAGE", 4)

    _, expected = await play(storage_stage, seed, monkeypatch, kills=kills)

    frame, _ = latest(storage_stage)
    assert {row["key"]: tuple(row[name] for name in KEPT) for row in frame.rows(named=True)} == (
        expected
    )


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_runs_into_one_table_leave_no_wrong_row(stage, monkeypatch, seed):
    monkeypatch.setattr("twite.app.export.run.PAGE", 4)

    interleaving, expected = await play(stage, seed, monkeypatch, kills=False)

    rows = await rows_of(stage.url)
    assert {row["key"]: tuple(row[name] for name in KEPT) for row in rows} == expected
    assert interleaving.refused == 0
