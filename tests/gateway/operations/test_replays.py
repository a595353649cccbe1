"""Replays: worked off in parts, continued after a stop, followed, and cancelled."""

import asyncio

import msgspec
import pytest

from builders import NOW, a_destination, a_source, a_submission, an_entry
from fakes import replays_in
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import Attempt, Settlement, State, Transition, Trigger
from twite.domain.people.users import AuditAction, AuditEvent
from twite.domain.replay_batch import PART, ReplayProgress
from twite.domain.stats.deduplication import DedupPath, DedupRow
from twite.domain.test_mode import in_test
from twite.domain.times import HOUR, MINUTE
from twite.gateway.operations.dry_run import DryRun
from twite.gateway.operations.edit import Edit
from twite.gateway.operations.replays import UNCONFIRMED, Replays, cancel_event, new_replay
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.queries import AtRest, ByConversionId
from twite.stores.sqlite import SQLiteStore


class StillClock:
    """A clock that stands still, and yields to other tasks where something waits."""

    def now(self):
        return NOW + HOUR

    def elapsed(self):
        return 0

    async def sleep(self, _):
        await asyncio.sleep(0)


@pytest.fixture
async def store(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    yield store
    await store.close()


def _replays(store, clock=None):
    return replays_in(store, clock or StillClock())


def _dry_run(store):
    return DryRun(
        destinations={"o8z6j": a_destination()},
        sources=[a_source()],
        queries=store,
        clock=StillClock(),
    )


async def _start(replays, histories, edit=None, *, is_confirmed=False, at=NOW + HOUR):
    replay = new_replay(
        histories,
        edit or Edit(),
        is_confirmed=is_confirmed,
        who="olga",
        now=at,
        randomness=replays.randomness,
    )
    await replays.start(replay)
    return replay.batch


async def _hold(store, many, *, reason="400", cause=DeliveryCause.EVENT_UNKNOWN, start=0):
    entries = [
        an_entry(f"order-{start + number}", index=number, held=reason, cause=cause)
        for number in range(many)
    ]
    await store.record(a_submission(*entries, receipt=f"r{start}"))
    return await _resting(store)


async def _resting(store):
    found = await store.find(AtRest(limit=10_000))
    return sorted(found, key=lambda history: history.delivery)


async def _claim(store, *, limit, at=NOW + HOUR):
    return await store.claim(
        Claim(pixel="o8z6j", now=at, lease_until=at + MINUTE, limit=limit, ambiguous_after=0)
    )


async def _settle(store, batch, trigger, *, at=NOW + HOUR, reason=None):
    ids = tuple(delivery.id for delivery in batch.deliveries)
    status = 200 if trigger is Trigger.DELIVERED else 400
    await store.settle(
        Settlement(
            lease=batch.lease,
            attempt=Attempt(
                at=at, pixel="o8z6j", event=batch.event, outcome="x", deliveries=ids, status=status
            ),
            transitions=(Transition(trigger=trigger, deliveries=ids, reason=reason),),
            lease_until=at + MINUTE,
        )
    )


async def test_batch_is_queued_in_parts_and_followed_to_its_end(store):
    replays = _replays(store)
    resting = await _hold(store, PART + 5)

    batch = await _start(replays, resting)
    before = await replays.records.progress(batch)
    await replays.work_off(batch, _dry_run(store))
    ended = await replays.records.find(batch.id)
    await _settle(store, await _claim(store, limit=3), Trigger.DELIVERED)
    await _settle(store, await _claim(store, limit=2), Trigger.GIVEN_UP, reason="400 again")
    after = await replays.records.progress(ended)

    assert before == ReplayProgress(left=PART + 5)
    assert (ended.parts, ended.done, ended.moved) == (2, 2, PART + 5)
    assert ended.ended_at is not None
    assert after == ReplayProgress(queued=PART, delivered=3, refused=2)


async def test_started_replay_wakes_the_runner_and_is_audited(store):
    replays = _replays(store)
    resting = await _hold(store, 2)

    batch = await _start(replays, resting)

    assert replays.started.is_set()
    assert await replays.open_batches() == [batch]
    (audited, *_) = await store.people.audit(limit=9)
    assert audited.audit_event == AuditEvent(
        at=NOW + HOUR,
        who="olga",
        what=AuditAction.REPLAY,
        subject="o8z6j o8z6k",
        detail="2: order-0, order-1; for 400",
    )


async def test_another_process_continues_a_replay_without_sending_twice(store):
    resting = await _hold(store, 2 * PART)
    first = _replays(store)
    batch = await _start(first, resting)
    await _stop_after_moving_a_part(first, batch, store)
    # X has refused two of them since: they were tried, so they are not queued again.
    await _settle(store, await _claim(store, limit=2), Trigger.GIVEN_UP, reason="400 again")

    second = _replays(store)
    (again,) = await second.open_batches()
    await second.work_off(again, _dry_run(store))

    progress = await second.records.progress(await second.records.find(batch.id))
    assert again.done == 0
    assert progress == ReplayProgress(queued=2 * PART - 2, refused=2)


async def _stop_after_moving_a_part(replays, batch, store):
    """End the work where a killed process loses most: after a move, before it is noted."""

    class Stopped(Exception):
        pass

    class WithoutNotes:
        load = staticmethod(store.load)

        async def put(self, *_, **__):
            raise Stopped

    stopping = Replays(
        state=WithoutNotes(),
        queries=store,
        moves=store,
        clock=replays.clock,
        randomness=replays.randomness,
    )
    with pytest.raises(Stopped):
        await stopping.work_off(batch, _dry_run(store))


async def test_cancelled_replay_takes_back_what_is_not_sent(store):
    replays = _replays(store)
    resting = await _hold(store, 5)
    batch = await _start(replays, resting)
    await replays.work_off(batch, _dry_run(store))
    await _settle(store, await _claim(store, limit=2), Trigger.DELIVERED)

    current = await replays.records.find(batch.id)
    taken = await replays.cancel(
        current, audit_event=cancel_event(current, who="ada", now=NOW + 2 * HOUR)
    )

    cancelled = await replays.records.find(batch.id)
    assert taken == 3
    assert cancelled.cancelled_by == "ada"
    assert await replays.records.progress(cancelled) == ReplayProgress(delivered=2, taken_back=3)
    held = await _resting(store)
    assert {(history.state, history.cause, history.reason) for history in held} == {
        (State.HELD, DeliveryCause.EVENT_UNKNOWN, "400")
    }


async def test_cancelled_replay_does_not_queue_the_parts_that_are_left(store):
    replays = _replays(store)
    batch = await _start(replays, await _hold(store, 2 * PART))

    await replays.cancel(batch, audit_event=cancel_event(batch, who="ada", now=NOW + 2 * HOUR))
    await replays.work_off(batch, _dry_run(store))

    cancelled = await replays.records.find(batch.id)
    assert len(await _resting(store)) == 2 * PART
    assert await replays.records.progress(cancelled) == ReplayProgress(taken_back=2 * PART)


async def test_conversion_that_may_count_twice_is_queued_only_with_a_confirmation(store):
    resting = await _hold(store, 2, cause=DeliveryCause.MAY_COUNT_TWICE)
    replays = _replays(store)

    unsure = await _start(replays, resting)
    await replays.work_off(unsure, _dry_run(store))
    unsure = await replays.records.find(unsure.id)
    sure = await _start(replays, resting, is_confirmed=True, at=NOW + HOUR + 1)
    await replays.work_off(sure, _dry_run(store))

    assert unsure.moved == 0
    assert {why for _, why in await replays.records.refusals(unsure)} == {UNCONFIRMED}
    assert (await replays.records.progress(await replays.records.find(sure.id))).queued == 2


async def test_interrupted_test_is_queued_without_a_confirmation(store):
    cause = DeliveryCause.MAY_COUNT_TWICE
    entry = an_entry("order-1", held="no answer", cause=cause, pixel=in_test("o8z6j"))
    await store.record(a_submission(entry))
    replays = _replays(store)

    batch = await _start(replays, await _resting(store))
    await replays.work_off(batch, _dry_run(store))

    assert (await replays.records.progress(await replays.records.find(batch.id))).queued == 1
    # X never gets it, so it is not held again when 40 hours have passed.
    (history,) = await store.find(
        ByConversionId(pixel=in_test("o8z6j"), events=None, conversion_id="order-1")
    )
    assert history.ambiguous_since is None


@pytest.mark.parametrize(("hours", "asks"), [(47, False), (49, True)])
async def test_copy_that_the_pixel_sent_long_ago_needs_a_confirmation(store, hours, asks):
    seen = DedupRow(
        pixel="o8z6j",
        event="o8z6k",
        conversion_id="order-0",
        path=DedupPath.PIXEL,
        at=NOW + HOUR - hours * HOUR,
    )
    entry = an_entry("order-0", held="400", cause=DeliveryCause.EVENT_UNKNOWN)
    await store.record(msgspec.structs.replace(a_submission(entry), dedup_rows=(seen,)))

    (result,) = await _dry_run(store).each(
        await _resting(store), Edit(), now=NOW + HOUR, scope=QueryScope()
    )

    assert (result.doubt is not None) is asks
    assert not asks or "X drops a second copy only within 48 hours" in result.doubt


async def test_edit_is_noted_with_its_user_and_a_fault_leaves_the_conversion(store):
    resting = await _hold(store, 2)
    replays = _replays(store)
    fine = await _start(replays, resting[:1], Edit(currency="GBP"))
    wrong = await _start(replays, resting[1:], Edit(currency="GB"), at=NOW + HOUR + 1)

    for batch in (fine, wrong):
        await replays.work_off(batch, _dry_run(store))

    batch = await _claim(store, limit=9)
    assert [msgspec.json.decode(item.body)["price_currency"] for item in batch.deliveries] == [
        "GBP"
    ]
    ((delivery, why),) = await replays.records.refusals(wrong)
    assert delivery == resting[1].delivery
    assert "currency" in why
    assert (await replays.records.progress(await replays.records.find(wrong.id))).unchanged == 1


async def test_replay_of_ten_thousand_yields_between_its_parts(store):
    clock = StillClock()
    replays = _replays(store, clock)
    for start in range(0, 10_000, 1_000):
        await _hold(store, 1_000, start=start)
    yields = 0
    ended = asyncio.Event()

    async def count():
        nonlocal yields
        while not ended.is_set():
            await asyncio.sleep(0)
            yields += 1

    counting = asyncio.create_task(count())
    batch = await _start(replays, await _resting(store))
    await replays.work_off(batch, _dry_run(store))
    ended.set()
    await counting

    assert batch.parts == 10_000 // PART
    assert (await replays.records.find(batch.id)).moved == 10_000
    assert yields > 10_000 // PART
