"""The URL in store.url: its options and errors. Among several hosts, the primary is found."""

import asyncio
import socket
import struct
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from free_port import free_port
from postgres_server import PostgresServer, programs
from store_contract.actions import record
from twite.domain.errors import StoreUnusable
from twite.domain.history import total
from twite.domain.times import SECOND
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres import store as store_module
from twite.stores.postgres.driver import address as module
from twite.stores.postgres.driver.address import SESSION_ATTRIBUTES, Address
from twite.stores.postgres.examine import examined
from twite.stores.postgres.nodes import LEASE
from twite.stores.postgres.schema import present_version
from twite.stores.postgres.store import PostgresReader, PostgresStore

OPTIONS = StoreOptions()


async def is_starting_up(reader, writer):
    await reader.read(1_000)
    fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
    writer.write(b"E" + struct.pack("!i", len(fields) + 4) + fields)
    await writer.drain()
    writer.close()


async def hangs_up(reader, writer):
    await reader.read(1_000)
    writer.close()


async def is_silent(reader, writer):
    await reader.read()
    writer.close()


@asynccontextmanager
async def a_host(behaviour):
    """Listen as a PostgreSQL server does; yield the folder of the socket, and the connections."""
    connections = []

    async def connected(reader, writer):
        connections.append(writer)
        await behaviour(reader, writer)

    with tempfile.TemporaryDirectory(prefix="twite-host-") as folder:
        server = await asyncio.start_unix_server(connected, Path(folder) / ".s.PGSQL.5432")
        yield folder, connections
        server.close()
        for writer in connections:
            writer.close()


def with_host(url, folder):
    """Return a database's URL with another host in front."""
    return url.replace("?host=", f"?host={folder},")


@pytest.mark.parametrize("behaviour", [is_starting_up, hangs_up, is_silent])
async def test_unavailable_host_does_not_hide_the_next_host(postgres_url, monkeypatch, behaviour):
    monkeypatch.setattr(module, "NEXT_HOST_AFTER", 0.2)
    async with a_host(behaviour) as (folder, _):
        store = await PostgresStore.open(with_host(postgres_url, folder), OPTIONS)
        await record(store, "order-1")
        await store.close()


async def test_host_that_answered_is_tried_first(postgres_url):
    async with a_host(hangs_up) as (folder, connections):
        address = Address(with_host(postgres_url, folder))
        for _ in range(3):
            driver = await address.connect()
            await driver.close()

    assert len(connections) == 1


@pytest.fixture
def tcp_url():
    """The URL of a database that is reached over TCP."""
    port = free_port()
    server = PostgresServer(programs(), listen_addresses="127.0.0.1", port=str(port))
    server.create("ledger")
    yield f"postgresql://twite@127.0.0.1:{port}/ledger"
    server.remove()


@pytest.mark.skipif(sys.platform != "linux", reason="options of Linux")
async def test_both_kernels_close_a_connection_to_a_dead_host_within_a_lease(tcp_url):
    store = await PostgresStore.open(tcp_url, OPTIONS)

    def options(book):
        used = book.connection.driver._transport.get_extra_info("socket")  # noqa: SLF001
        ours = [
            used.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            )
        ]
        text = (
            "SELECT array_agg(current_setting(name)::int) FROM unnest(ARRAY["
            "'tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count', "
            "'tcp_user_timeout']) AS name"
        )
        return (
            used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            ours,
            book.connection.execute(text).fetchone()[0],
        )

    is_kept_alive, ours, theirs = await store._database.write(options)  # noqa: SLF001
    await store.close()

    assert is_kept_alive
    # The server must release the locks of a gateway that cannot receive its result.
    for idle, pause, many, unanswered in (ours, theirs):
        assert idle + pause * many <= LEASE / SECOND
        assert 0 < unanswered <= LEASE


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://twite@127.0.0.1:1/twite", "the server refuses connections"),
        ("postgresql://twite@localhost:1/twite", "the server refuses connections"),
        ("postgresql://twite@host.invalid/twite", "the host name does not resolve"),
        ("postgresql://twite@127.0.0.1:5432x/twite", "its port is not a number"),
        ("postgresql://twite@/twite?host=/nowhere", "No such file or directory"),
        (
            "postgresql://twite@127.0.0.1:1/twite?target_session_attrs=master",
            f"target_session_attrs must be one of {', '.join(SESSION_ATTRIBUTES)}",
        ),
        (
            "postgresql://twite@127.0.0.1:1/twite?sslmode=verify-ca&sslrootcert=/nowhere.pem",
            "sslrootcert: the file /nowhere.pem does not exist or cannot be read",
        ),
        (
            "postgresql://twite@127.0.0.1:1/twite?sslmode=require&channel_binding=require",
            "channel_binding=require is not supported. Write sslmode=verify-full",
        ),
    ],
)
async def test_error_of_a_url_states_its_reason(url, reason):
    with pytest.raises(StoreUnusable) as error:
        await PostgresReader.open(url)

    assert error.value.reason == reason


async def test_url_options_of_other_clients_are_accepted(postgres_url):
    options = "connect_timeout=10&keepalives_idle=5&gssencmode=disable&channel_binding=prefer"

    store = await PostgresStore.open(f"{postgres_url}&{options}", OPTIONS)
    await record(store, "order-1")
    counts = total(await store.balance())
    await store.close()

    assert counts.pending == 1


async def test_role_without_privileges_on_tables_gets_an_error(postgres_server, empty_postgres_url):
    store = await PostgresStore.open(empty_postgres_url, OPTIONS)
    await store.close()
    postgres_server.psql(
        "DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN END $$"
    )
    guest = empty_postgres_url.replace("twite@", "guest@")

    for opened in (PostgresReader.open(guest), PostgresStore.open(guest, OPTIONS), examined(guest)):
        with pytest.raises(StoreUnusable, match="permission denied for table schema_version"):
            await opened


async def test_connection_lost_during_opening_is_explained(postgres_url, monkeypatch):
    async def lost(driver, address):
        driver.terminate()
        return await present_version(driver, address)

    monkeypatch.setattr(store_module, "present_version", lost)

    with pytest.raises(StoreUnusable, match="connection is closed"):
        await PostgresReader.open(postgres_url)


async def test_database_without_utf8_is_refused(postgres_server):
    postgres_server.drop("latin")
    postgres_server.psql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    url = postgres_server.url("latin")
    try:
        for opened in (PostgresReader.open(url), PostgresStore.open(url, OPTIONS), examined(url)):
            with pytest.raises(StoreUnusable, match="the encoding LATIN1") as error:
                await opened
        tables = postgres_server.psql("SELECT to_regclass('schema_version')", "latin")
    finally:
        postgres_server.drop("latin")

    assert "ENCODING 'UTF8'" in error.value.fix
    assert tables == ""
