"""Units of work on PostgreSQL: when they are repeated, and whether their commits took effect."""

import asyncio

import pytest
from database_stage import (
    CLASH,
    LOST,
    NUL,
    READ_ONLY,
    REFUSED,
    raising,
)

from fakes import settled
from twite.domain.errors import LedgerUnavailable
from twite.stores.postgres import database as module
from twite.stores.postgres.driver import errors
from twite.stores.postgres.driver.bridge import wait_for
from twite.stores.postgres.session import MOST_SESSIONS, CommitUnknown

MARK = 77
FOREVER = float("inf")


def test_process_has_no_node_before_it_joins(database):
    assert database.node == 0


async def test_unit_of_work_runs_in_a_session_of_a_connection(database, address, notes, clock):
    clock.takes = 0.25
    database.node = 5

    session = await database.write(lambda session: session)
    again = await database.write(lambda session: session, begins=True)

    assert session is again
    assert session.connection is address.opened[0]
    assert session.how == (errors.LOST, True)
    assert session.given["node"]() == 5
    assert session.given | {"node": None} == {
        "names": database.names, "window": 9, "place": 0, "node": None
    }  # fmt: skip
    assert (notes.timed, notes.committed) == ([0.25, 0.25], [session, session])


async def test_typical_unit_of_work_does_not_begin_its_transaction_itself(database):
    session = await database.write(lambda session: session)

    assert session.how == (errors.LOST, False)


class Blocked:
    """A unit of work that waits for its server."""

    def __init__(self):
        self.sessions = []
        self.end = asyncio.Event()

    def __call__(self, session):
        self.sessions.append(session)
        wait_for(self.end.wait())
        return session


async def test_reserved_connections_are_free_while_all_others_are_in_use(database, address):
    blocked = Blocked()
    tasks = [asyncio.create_task(database.write(blocked)) for _ in range(2 * MOST_SESSIONS)]
    await settled()
    in_use = database.connections_in_use

    reserved = await database.write(lambda session: session, reserved=True)

    assert in_use == len(blocked.sessions) == MOST_SESSIONS - 2
    assert reserved not in blocked.sessions
    blocked.end.set()
    assert {*await asyncio.gather(*tasks)} == {*blocked.sessions}
    places = [session.place for session in {*blocked.sessions, reserved}]
    assert sorted(places) == list(range(MOST_SESSIONS - 1))
    assert database.connections_in_use == 0


async def test_lost_connection_is_replaced(database):
    blocked = Blocked()
    tasks = [asyncio.create_task(database.write(blocked)) for _ in range(2)]
    await settled()
    blocked.end.set()
    first, second = await asyncio.gather(*tasks)

    third = await database.write(raising(LOST))

    assert [first.place, second.place, third.place] == [0, 1, 0]
    # The loss of one connection ends the others.
    assert not first.connection.is_open
    assert not second.connection.is_open


async def test_session_in_use_continues_after_the_loss_of_another(database):
    blocked = Blocked()
    task = asyncio.create_task(database.write(blocked))
    await settled()
    second = await database.write(raising(LOST))
    blocked.end.set()
    first = await task

    assert (first.place, second.place) == (0, 1)
    assert first.connection.is_open
    assert database._sessions[first.connection] is first  # noqa: SLF001


@pytest.mark.parametrize(
    ("error", "tries"),
    [(LOST, 2), (NUL, 2), (READ_ONLY, 1), (REFUSED, 1), (CLASH, 8)],
    ids=lambda given: type(given).__name__,
)
async def test_unit_of_work_is_repeated_as_often_as_its_error_allows(
    database, notes, clock, error, tries
):
    left = [error] * 20

    def unit(_):
        raise left.pop()

    task = asyncio.create_task(database.write(unit))
    await settled()
    while not task.done():
        await clock.end(clock.pauses[0])

    with pytest.raises(LedgerUnavailable) as caught:
        await task
    assert caught.value.__cause__ is error
    assert 20 - len(left) == tries
    assert notes.committed == notes.timed == []


async def test_unit_of_work_is_repeated_after_growing_pauses(database, clock):
    task = asyncio.create_task(database.write(raising(*[CLASH] * 6)))
    await settled()
    pauses = []
    while not task.done():
        pauses += clock.pauses
        await clock.end(pauses[-1])

    assert await task is not None
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]


async def test_serialization_conflict_leaves_the_connection_open(database, address, clock):
    task = asyncio.create_task(database.write(raising(CLASH)))
    await settled()
    await clock.end(0.05)
    session = await task

    assert address.opened == [session.connection]
    assert session.connection.is_open
    assert session.connection.replaces_nul is False


async def test_strings_with_nul_are_replaced_in_the_second_try(database):
    session = await database.write(raising(NUL))
    replaced = session.connection.replaces_nul
    await database.write(lambda session: session)

    assert (replaced, session.connection.replaces_nul) == (True, False)


@pytest.mark.parametrize("error", [LOST, READ_ONLY])
async def test_loss_of_the_server_ends_all_idle_connections(database, address, error):
    reserved = await database.write(lambda session: session, reserved=True)
    usual = await database.write(lambda session: session)
    address.errors = [LOST] * 9

    with pytest.raises(LedgerUnavailable):
        await database.write(raising(error))

    assert not reserved.connection.is_open
    assert not usual.connection.is_open
    assert database._sessions == {}  # noqa: SLF001


async def test_session_that_cannot_begin_is_closed(database, address, monkeypatch):
    begin = module.PostgresSession.__init__
    failing = [LOST]

    def begun(session, connection, **given):
        if failing:
            raise failing.pop()
        begin(session, connection, **given)

    monkeypatch.setattr(module.PostgresSession, "__init__", begun)

    assert (await database.write(lambda session: session)).place == 0
    assert len(address.opened) == 2


async def test_commit_that_the_database_confirms_later_is_not_repeated(database, address):
    assert await database.write(raising(CommitUnknown(MARK, "result"))) == "result"

    lost, asked = address.opened
    assert not lost.is_open
    # A later commit, so that this one is durable.
    assert asked.ran == [("confirm", {"id": MARK}), ("begin", {"mark": None})]
    # The lost session has left its place.
    assert (await database.write(lambda session: session)).place == 0


async def test_commit_that_the_database_does_not_know_is_repeated(database, address):
    connect = address.connect

    async def connected():
        connection = await connect()
        connection.marks = [(MARK,)]
        return connection

    address.connect = connected

    session = await database.write(raising(CommitUnknown(MARK, "result")))

    assert session.connection is address.opened[1]
    assert session.connection.ran == [("confirm", {"id": MARK})]


async def test_result_of_a_commit_is_requested_until_the_server_answers(database, address, clock):
    connect = address.connect

    async def connected():
        if len(address.opened) == 1:
            address.errors = errors_left[:1]
            del errors_left[:1]
        return await connect()

    errors_left = [LOST, REFUSED, READ_ONLY, LOST, LOST, LOST, LOST]
    address.connect = connected
    unit = raising(CommitUnknown(MARK, "result"))
    task = asyncio.create_task(database.write(unit, patience=FOREVER))
    await settled()
    pauses = []
    while not task.done():
        pauses += clock.pauses
        clock.time += module.PATIENCE
        await clock.end(pauses[-1])

    assert await task == "result"
    assert pauses == [0.05, 0.1, 0.2, 0.5, 1.0, 1.0, 1.0]


async def test_result_of_a_commit_is_not_requested_from_a_standby(database, address, clock):
    """The connection stays open after a failover, but the server accepts no writes."""
    connect = address.connect

    async def connected():
        connection = await connect()
        connection.marks = READ_ONLY if len(address.opened) == 2 else []
        return connection

    address.connect = connected
    task = asyncio.create_task(database.write(raising(CommitUnknown(MARK, "result"))))
    await settled()
    await clock.end(0.05)

    assert await task == "result"
    assert len(address.opened) == 3


@pytest.mark.parametrize(("is_closing", "patience"), [(False, 5.0), (True, module.PATIENCE)])
async def test_request_for_the_result_of_a_commit_ends(
    database, address, clock, is_closing, patience
):
    """A settlement repeats it without a limit, unless its gateway stops."""
    unit = raising(CommitUnknown(MARK, "result"))
    await database.write(lambda session: session)
    given = FOREVER if is_closing else patience
    task = asyncio.create_task(database.write(unit, patience=given))
    address.errors = [LOST] * 99
    await settled()
    closing = asyncio.create_task(database.close()) if is_closing else task
    await settled()
    clock.time += patience
    await clock.end(clock.pauses[0])
    waits = not task.done()
    clock.time += 0.5
    await clock.end(clock.pauses[0])

    with pytest.raises(LedgerUnavailable, match="did not confirm the commit") as caught:
        await task
    assert waits
    assert caught.value.__cause__ is not None
    if is_closing:
        await closing


async def test_cancelled_caller_does_not_cancel_its_unit_of_work(database, notes):
    blocked = Blocked()
    task = asyncio.create_task(database.write(blocked))
    await settled()

    task.cancel()
    await settled()
    blocked.end.set()
    await settled()

    assert task.cancelled()
    assert notes.committed == blocked.sessions


async def test_database_closes_after_its_units_of_work(database, address):
    blocked = Blocked()
    tasks = [
        asyncio.create_task(database.write(blocked, reserved=reserved))
        for reserved in (True, False)
    ]
    reader = await database.read(lambda connection: connection)
    await settled()

    closing = asyncio.create_task(database.close())
    await settled()
    waits = not closing.done()
    blocked.end.set()
    await closing

    assert waits
    assert all(task.done() for task in tasks)
    assert reader.is_closed
    assert [connection.is_open for connection in address.opened] == [False] * 3
    assert database._running == set()  # noqa: SLF001
