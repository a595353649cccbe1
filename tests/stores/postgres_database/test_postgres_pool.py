"""The pool of a process's connections to PostgreSQL, and its views."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from database_stage import DAMAGED, LOST, NUL, READ_ONLY, REFUSED, Connection, raising

from fakes import settled
from twite.domain.errors import LedgerUnavailable
from twite.stores.postgres.database import Connections

REFUSED_FOR = 0.5


@pytest.fixture
async def connections(address):
    return Connections(address, 2)


async def test_connection_is_used_again(connections, address):
    async with connections.lend() as first:
        pass
    async with connections.lend() as second:
        pass

    assert first is second is address.opened[0]
    assert first.is_open


async def test_connections_are_opened_on_demand_up_to_the_limit(connections, address):
    async with AsyncExitStack() as lent:
        used = []
        for _ in range(2):
            used.append(connections.in_use)
            await lent.enter_async_context(connections.lend())
        third = asyncio.create_task(connections.lend().__aenter__())
        await settled()
        waits = not third.done(), connections.in_use
    await third

    assert (used, waits) == ([0, 1], (True, 2))
    assert len(address.opened) == 2
    assert connections.in_use == 1


async def test_lost_connection_is_not_used_again(connections, address):
    async with connections.lend() as first:
        first.terminate()
    async with connections.lend() as second:
        pass
    second.is_open = False
    async with connections.lend() as third:
        pass

    assert address.opened == [first, second, third]


async def test_failed_attempt_to_connect_is_cached_for_half_a_second(connections, address, clock):
    address.errors = [LOST, REFUSED]
    for elapsed in (0.0, REFUSED_FOR - 0.125, 0.125):
        clock.time += elapsed
        with pytest.raises(LedgerUnavailable) as caught:
            async with connections.lend():
                pass

    assert address.attempts == 2
    assert caught.value.reason == "refused"
    assert caught.value.__cause__ is REFUSED
    assert connections.in_use == 0


async def test_failed_attempt_to_connect_is_forgotten_after_a_success(connections, address, clock):
    address.errors = [LOST]
    with pytest.raises(LedgerUnavailable):
        async with connections.lend():
            pass
    clock.time += REFUSED_FOR
    async with connections.lend():
        clock.time -= 0.25
        async with connections.lend():
            pass

    assert len(address.opened) == 2


async def test_idle_connections_can_be_closed(connections, address):
    async with connections.lend() as lent:
        async with connections.lend() as idle:
            pass
        connections.drop()
        async with connections.lend() as new:
            pass

    assert (lent.is_open, idle.is_open, new.is_open) == (True, False, True)
    assert len(address.opened) == 3


async def test_closing_the_pool_ends_idle_connections_and_later_those_in_use(connections):
    async with connections.lend() as lent:
        async with connections.lend() as idle:
            pass
        await connections.close()
        is_open = lent.is_open

    assert (is_open, lent.is_open, idle.is_closed) == (True, False, True)
    with pytest.raises(LedgerUnavailable, match="the store is closing"):
        async with connections.lend():
            pass


@pytest.mark.parametrize(("is_long", "patience"), [(False, 60.0), (True, 600.0)])
async def test_view_has_a_time_limit_for_each_statement(reads, is_long, patience):
    connection = await reads.read(lambda connection: connection, is_long=is_long)

    assert (connection.patience, connection.replaces_nul) == (patience, False)
    assert connection.is_open


@pytest.mark.parametrize("error", [LOST, READ_ONLY])
async def test_view_is_repeated_once_on_another_connection(reads, address, error):
    idle = await reads.read(lambda connection: connection)
    connection = await reads.read(raising(error))

    assert (idle.is_open, connection.is_open) == (False, True)
    assert address.opened == [idle, connection]


async def test_view_after_a_loss_uses_no_other_idle_connection(reads, address):
    """The server of all idle connections may have ended."""
    async with reads._readers.lend():  # noqa: SLF001
        second = await reads.read(lambda connection: connection)
    both = address.opened[:]

    third = await reads.read(raising(LOST))

    assert both == [address.opened[0], second]
    assert third not in both
    assert not any(connection.is_open for connection in both)


@pytest.mark.parametrize(
    "errors", [(LOST, LOST), (READ_ONLY, LOST), (NUL, NUL), (REFUSED,)], ids=repr
)
async def test_view_that_fails_twice_is_unavailable(reads, address, errors):
    with pytest.raises(LedgerUnavailable) as caught:
        await reads.read(raising(*errors))

    assert caught.value.__cause__ is errors[-1]
    assert len(address.opened) == len(errors)
    assert not any(connection.is_open for connection in address.opened)


async def test_view_with_nul_is_repeated_with_a_replacement(reads, address):
    connection = await reads.read(raising(NUL))
    replaced = connection.replaces_nul
    again = await reads.read(lambda connection: connection)

    assert (replaced, again.replaces_nul) == (True, False)
    assert again is connection


async def test_view_with_a_damaged_value_is_not_repeated(reads, address):
    with pytest.raises(ValueError, match="damaged"):
        await reads.read(raising(DAMAGED))

    (connection,) = address.opened
    assert not connection.is_open


async def test_pool_for_reading_ends_its_connections(reads):
    connection = await reads.read(lambda connection: connection)

    await reads.close()

    assert isinstance(connection, Connection)
    assert connection.is_closed
