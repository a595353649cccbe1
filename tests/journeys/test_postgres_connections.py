"""Gateways whose connections to PostgreSQL use TLS, or a real PgBouncer in transaction mode."""

import os
import shutil

import pytest
from gateway_processes import PostgresGateway, wait_for
from tls_front import TlsFront, certify

from free_port import free_port
from postgres_server import PostgresServer, programs
from store_contract.actions import record
from twite.domain.errors import StoreUnusable
from twite.domain.history import total
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.store import PostgresStore

pytestmark = pytest.mark.journey

PGBOUNCER = os.environ.get("TWITE_TEST_PGBOUNCER") or shutil.which(
    "pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin"
)
# The message by which a client requests TLS.
SSL_REQUEST = bytes.fromhex("0000000804d2162f")
POOLER = """
[databases]
ledger = host={folder} port=5432
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = 6432
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 3
max_prepared_statements = {prepared}
logfile = {folder}/pooler.log
"""


def a_purchase(number):
    return {
        "event": "purchase",
        "conversion_id": f"order-{number}",
        "email": "test@example.com",
    }


def deliver(folder, x, url):
    """Make a gateway deliver five conversions, one of them submitted twice; return its balance."""
    with PostgresGateway(folder, x.url, url) as gateway:
        for number in (*range(5), 0):
            status, _ = gateway.post(a_purchase(number))
            assert status == 202
        return gateway.drained()


class DatabaseFront(TlsFront):
    """A TLS-only proxy for a database, because not every build of PostgreSQL has TLS."""

    def _carry(self, plain):
        if plain.recv(8) == SSL_REQUEST:
            plain.sendall(b"S")
            super()._carry(plain)
        plain.close()


@pytest.fixture
def tls_front(tmp_path):
    """The front of a server with the database `ledger`."""
    port = free_port()
    server = PostgresServer(programs(), listen_addresses="127.0.0.1", port=str(port))
    server.create("ledger")
    with DatabaseFront(tmp_path, port) as front:
        yield front
    server.remove()


async def test_certificate_of_the_database_server_is_verified(tmp_path, tls_front):
    port, certificate = tls_front.url.rpartition(":")[2], tls_front.authority
    other = tmp_path / "other.pem"
    certify(other, tmp_path / "other.key")
    secure = f"sslmode=verify-full&sslrootcert={certificate}"

    for host, options in (
        ("127.0.0.1", f"sslmode=verify-full&sslrootcert={other}"),
        ("localhost", secure),
        ("127.0.0.1", "sslmode=disable"),
    ):
        with pytest.raises(StoreUnusable):
            await PostgresStore.open(
                f"postgresql://twite@{host}:{port}/ledger?{options}", StoreOptions()
            )
    store = await PostgresStore.open(
        f"postgresql://twite@127.0.0.1:{port}/ledger?{secure}", StoreOptions()
    )
    await record(store, "order-1")
    counts = total(await store.balance())
    await store.close()

    assert counts.pending == 1


async def test_system_certificates_verify_the_database_host_name(tls_front, monkeypatch):
    port = tls_front.url.rpartition(":")[2]

    async def opened(host):
        store = await PostgresStore.open(
            f"postgresql://twite@{host}:{port}/ledger?sslmode=require&sslrootcert=system",
            StoreOptions(),
        )
        await store.close()

    with pytest.raises(StoreUnusable, match="CERTIFICATE_VERIFY_FAILED"):
        await opened("127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_front.authority))
    await opened("127.0.0.1")
    with pytest.raises(StoreUnusable, match="not valid for 'localhost'"):
        await opened("localhost")


def test_gateway_delivers_over_tls_to_the_database(tmp_path, x_emulator, tls_front):
    port, certificate = tls_front.url.rpartition(":")[2], tls_front.authority
    url = (
        f"postgresql://twite@127.0.0.1:{port}/ledger?sslmode=verify-full&sslrootcert={certificate}"
    )

    balance = deliver(tmp_path, x_emulator, url)

    assert (balance["delivered"], balance["duplicate"], balance["balance"]) == (5, 1, 0)


@pytest.mark.skipif(PGBOUNCER is None, reason="no pgbouncer: TWITE_TEST_PGBOUNCER=FILE")
@pytest.mark.parametrize(
    ("prepared", "options"),
    [(200, ""), (0, "&statement_cache_size=0")],
    ids=["prepared statements", "no prepared statements"],
)
def test_gateway_delivers_through_pgbouncer(tmp_path, x_emulator, prepared, options):
    server = PostgresServer(programs())
    pooler = None
    try:
        server.create("ledger")
        settings, users = server.folder / "pooler.ini", server.folder / "users"
        settings.write_text(POOLER.format(folder=server.folder, prepared=prepared))
        users.write_text('"twite" ""\n')
        server.give(settings, users)
        pooler = server.run_beside([PGBOUNCER, str(settings)])
        wait_for((server.folder / ".s.PGSQL.6432").exists)
        url = f"postgresql://twite@/ledger?host={server.folder}&port=6432{options}"

        balance = deliver(tmp_path, x_emulator, url)
        sessions = int(
            server.psql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'ledger'")
        )
    finally:
        if pooler is not None:
            pooler.kill()
            pooler.wait()
        server.remove()

    assert (balance["delivered"], balance["duplicate"], balance["balance"]) == (5, 1, 0)
    assert sessions <= 3
