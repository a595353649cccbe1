"""When settlements are retried, reported and recorded late. The test decides what happens."""

import asyncio
from types import SimpleNamespace

import asyncpg
import msgspec
import pytest
from background_stage import Seen, pause

from builders import NOW
from fakes import settled
from twite.domain.delivery import Attempt, Settlement, Transition, Trigger
from twite.domain.errors import LedgerUnavailable
from twite.domain.outcome import AttemptOutcome
from twite.gateway.ports.events import ProblemPlace, ProblemSeen
from twite.stores.postgres import settlements as module
from twite.stores.postgres.settlements import Settlements
from twite.stores.postgres.usual import Unusual

LEASE = 9
AGAIN, AFTER_A_FAULT, LATE_WITHIN = 0.5, 5.0, 10.0


class Database:
    """A database, and its session: `errors` has the error of each try, or None."""

    def __init__(self):
        self.errors = []
        self.usual = None  # what the statement for usual settlements returns
        self.elsewhere = set()  # deliveries that another node is sending
        self.late = 0
        self.written = []  # (begins, patience) of each transaction
        self.locked = []
        self.searched = []  # the accepted deliveries that may be under another lease
        self.settled = []

    async def write(self, unit, *, patience, begins=False):
        self.written.append((begins, patience))
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return unit(self)

    def lock_batch(self, lease, deliveries):
        self.locked.append((lease, deliveries))

    def run(self, name, *, lease, deliveries):
        assert (name, lease) == ("sent_elsewhere", LEASE)
        assert deliveries == sorted(deliveries)
        self.searched.append(deliveries)
        return [(id_,) for id_ in deliveries if id_ in self.elsewhere]

    def usually(self, settlement):
        if isinstance(self.usual, Exception):
            raise self.usual
        if self.usual is not None:
            self.settled.append(settlement)
        return self.usual

    def settle(self, settlement):
        self.settled.append(settlement)
        return self.late


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def lease():
    """Whether this node may send."""
    return SimpleNamespace(is_valid=True)


@pytest.fixture
def database(monkeypatch):
    database = Database()
    usual = SimpleNamespace(
        settle=lambda session, settlement: session.usually(settlement), Unusual=Unusual
    )
    monkeypatch.setattr(module, "usual", usual)
    monkeypatch.setattr(module.outbox, "settle", lambda session, part: session.settle(part))
    return database


@pytest.fixture
def clock(monkeypatch):
    return pause(monkeypatch, module)


@pytest.fixture
async def settlements(database, lease, seen, clock):
    settlements = Settlements(database, may_send=lambda: lease.is_valid, observer=seen)
    yield settlements
    for task in settlements.late:
        task.cancel()


def a_settlement(*, accepted=(1, 2), held=(), sent=None):
    """Return a settlement of a request with these deliveries."""
    attempt = Attempt(
        at=NOW,
        pixel="pixel",
        event="event",
        outcome=AttemptOutcome.DELIVERED,
        deliveries=(*accepted, *held) if sent is None else sent,
    )
    transitions = (
        Transition(trigger=Trigger.DELIVERED, deliveries=accepted),
        Transition(trigger=Trigger.HELD, deliveries=held, reason="limit"),
    )
    return Settlement(
        lease=LEASE,
        attempt=attempt,
        transitions=tuple(change for change in transitions if change.deliveries),
        lease_until=NOW,
    )


def passing():
    return LedgerUnavailable(reason="away", retry_after=1)


def lasting():
    error = LedgerUnavailable(reason="broken", retry_after=1)
    error.__cause__ = asyncpg.UniqueViolationError("an index")
    return error


async def settling(settlements, settlement):
    task = asyncio.create_task(settlements.settle(settlement))
    await settled()
    return task


async def test_typical_settlement_begins_its_transaction_itself(settlements, database):
    database.usual = 0

    assert await settlements.settle(a_settlement()) == 0
    assert database.written == [(True, float("inf"))]
    assert (database.settled, database.locked) == ([a_settlement()], [])
    assert settlements.accepted() == frozenset()


async def test_other_settlement_locks_its_batch_first(settlements, database):
    database.usual, database.late = Unusual(), 1

    assert await settlements.settle(a_settlement()) == 1
    assert database.written == [(True, float("inf")), (False, float("inf"))]
    assert database.locked == [(LEASE, {1, 2})]
    assert database.settled == [a_settlement()]


async def test_settlement_without_accepted_deliveries_checks_no_other_lease(settlements, database):
    await settlements.settle(a_settlement(accepted=(), held=(1,)))

    assert database.searched == []
    assert database.settled == [a_settlement(accepted=(), held=(1,))]


async def test_settlement_is_retried_during_an_outage(settlements, database, seen, clock):
    database.errors = [passing(), passing()]
    task = await settling(settlements, a_settlement())
    await clock.end(AGAIN)
    await clock.end(AGAIN)

    assert await task == 0
    assert database.settled == [a_settlement()]
    assert seen == []


async def test_settlement_that_keeps_failing_is_retried_less_often_and_reported_every_minute(
    settlements, database, seen, clock
):
    database.errors = [lasting() for _ in range(4)]
    task = await settling(settlements, a_settlement())
    reports = []
    for later in (59.0, 60.0, 61.0):
        clock.time = 1_000.0 + later
        await clock.end(AFTER_A_FAULT)
        reports.append(len(seen))
    await clock.end(AFTER_A_FAULT)

    assert await task == 0
    said = ProblemSeen(where=ProblemPlace.OUTBOX, reason="X's response cannot be recorded: broken")
    assert reports == [1, 2, 2]
    assert seen == [said] * 2


async def test_batch_of_a_fenced_node_does_not_wait_for_its_error(
    settlements, database, lease, clock
):
    lease.is_valid = False
    database.errors = [passing(), lasting(), lasting()]
    task = await settling(settlements, a_settlement(held=(3,)))
    await clock.end(AGAIN)
    late = await task
    await settled()

    # The settlement is retried after the batch.
    assert late == 3
    assert settlements.accepted() == {1, 2}
    await clock.end(AGAIN)
    assert database.settled == []
    await clock.end(AFTER_A_FAULT)
    assert database.settled == [a_settlement(held=(3,))]
    assert settlements.accepted() == frozenset()


async def test_success_that_another_node_may_repeat_is_recorded_after_its_attempt(
    settlements, database, clock
):
    database.elsewhere = {2, 4}
    whole = a_settlement(accepted=(1, 2, 4), held=(3,))

    late = await settlements.settle(whole)

    assert late == 2
    assert settlements.accepted() == {2, 4}
    assert database.settled == [a_settlement(accepted=(1,), held=(3,))]
    await settled()
    database.elsewhere = {4}
    await clock.end(AGAIN)
    assert settlements.accepted() == {2, 4}
    database.elsewhere = set()
    await clock.end(AGAIN)
    assert settlements.accepted() == frozenset()
    assert database.settled[1:] == [a_settlement(accepted=(2,)), a_settlement(accepted=(4,))]


async def test_deliveries_sent_by_another_node_are_settled_later(settlements, database):
    database.elsewhere = {1, 2}

    assert await settlements.settle(a_settlement()) == 2
    assert database.settled == []


async def test_late_deliveries_add_to_those_of_another_node(settlements, database):
    database.elsewhere, database.late = {2}, 1

    assert await settlements.settle(a_settlement()) == 2


async def test_part_without_sent_deliveries_has_no_attempt(settlements, database, clock):
    database.elsewhere = {2}

    await settlements.settle(a_settlement(sent=(1,)))
    await settled()
    database.elsewhere = set()
    await clock.end(AGAIN)

    first, second = database.settled
    assert first == a_settlement(accepted=(1,))
    assert second == msgspec.structs.replace(a_settlement(accepted=(2,)), attempt=None)


async def test_settlement_without_an_attempt_is_divided_too(settlements, database):
    database.elsewhere = {2}
    without = msgspec.structs.replace(a_settlement(), attempt=None)

    assert await settlements.settle(without) == 1
    assert database.settled == [msgspec.structs.replace(a_settlement(accepted=(1,)), attempt=None)]


async def test_settlement_ends_with_its_store(settlements, database, clock):
    database.errors = [passing(), passing()]
    task = await settling(settlements, a_settlement())

    await settlements.close()
    await clock.end(AGAIN)

    with pytest.raises(LedgerUnavailable, match="away"):
        await task


async def test_stop_waits_for_late_successes_for_a_while(settlements, database, clock, monkeypatch):
    waits = []

    async def wait(tasks, **limits):
        waits.append((set(tasks), limits))

    monkeypatch.setattr(module.asyncio, "wait", wait)
    database.elsewhere = {2}
    await settlements.settle(a_settlement())
    (task,) = settlements.late

    await settlements.close()
    await settled()

    assert waits == [({task}, {"timeout": LATE_WITHIN})]
    assert task.cancelled()
    assert settlements.accepted() == frozenset()
