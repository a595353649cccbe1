"""Diagnostics of a database server."""

import asyncpg
import msgspec
import pytest

from twite.diagnostics.server import server
from twite.diagnostics.store import store
from twite.gateway.ports.store import ConnectedGateway, ServerExamination, StoreOptions
from twite.stores.postgres.examine import examined
from twite.stores.postgres.schema import newest_version
from twite.stores.postgres.store import PostgresStore
from written import GOOD, read

ALONE = ConnectedGateway(name="one", version="0.1.0", is_leader=True)
OTHER = ConnectedGateway(name="two", version="0.1.0", is_leader=False)
WELL = ServerExamination(
    software="PostgreSQL 18.6",
    weak=(),
    clock_ahead=0,
    schema=1,
    newest_schema=1,
    may_migrate=True,
    hosts=1,
    attributes="read-write",
    is_pooled=False,
    size=500 << 20,
    connections=97,
    connections_each=10,
    gateways=(ALONE, OTHER),
)


@pytest.fixture
def settings(tmp_path):
    url = "postgresql://twite@db/twite"
    return read(tmp_path, GOOD.replace("sqlite:twite.db", f'{url}"\nsize_limit = "1024MiB"\n#"'))


def unexpected_findings(settings, **differs):
    """Return (level, text) of the findings that a healthy server does not have."""
    usual = list(server(settings, WELL))
    found = server(settings, msgspec.structs.replace(WELL, **differs))
    return [(str(finding.status), finding.found) for finding in found if finding not in usual]


def test_healthy_database_server_passes_every_check(settings):
    findings = list(server(settings, WELL))

    assert {str(finding.status) for finding in findings} == {"passed"}
    said = "\n".join(finding.found for finding in findings)
    assert "2 gateways use the database: one (Twite 0.1.0, the leader), two (Twite 0.1.0)" in said
    assert "the server allows Twite 97 connections" in said
    assert "the database uses 500 MiB of " in said


@pytest.mark.parametrize(
    ("differs", "status", "said"),
    [
        ({"clock_ahead": -2_500}, "warning", "the database's clock is -2.5 s ahead"),
        ({"hosts": 2}, "passed", "store.url names 2 hosts; Twite uses the primary"),
        (
            {"hosts": 2, "attributes": "any"},
            "warning",
            "store.url names 2 hosts, with target_session_attrs=any",
        ),
        (
            {"connections": 19},
            "warning",
            "the server allows Twite 19 connections; a gateway opens up to 10",
        ),
        ({"size": 900 << 20}, "warning", "the database uses 900 MiB of "),
        ({"schema": 0, "gateways": ()}, "passed", "the database has no tables yet"),
        (
            {"schema": 0, "gateways": (), "may_migrate": False},
            "failed",
            "the role may not create or change tables",
        ),
        ({"newest_schema": 2}, "passed", "the schema has version 1; the gateway updates it"),
        (
            {"gateways": (ALONE, msgspec.structs.replace(OTHER, version="0.2.0"))},
            "warning",
            "2 gateways use the database: one (Twite 0.1.0, the leader), two (Twite 0.2.0)",
        ),
        ({"weak": ("fsync is off",)}, "failed", "fsync is off"),
    ],
)
def test_each_problem_of_the_database_server_is_a_finding(settings, differs, status, said):
    (finding,) = unexpected_findings(settings, **differs)

    assert finding[0] == status
    assert finding[1].startswith(said)


def test_database_without_a_size_limit_in_the_settings_is_a_warning(settings):
    store = msgspec.structs.replace(settings.store, size_limit=None)

    findings = server(msgspec.structs.replace(settings, store=store), WELL)

    assert [finding.found for finding in findings if str(finding.status) == "warning"] == [
        "the database uses 500 MiB; store.size_limit is not set"
    ]


def test_connections_are_counted_for_the_configured_workers_before_the_first_start(settings):
    server_settings = msgspec.structs.replace(settings.server, workers=3)
    settings = msgspec.structs.replace(settings, server=server_settings)

    assert unexpected_findings(settings, gateways=(), connections=29)[0] == (
        "warning",
        (
            "the server allows Twite 29 connections; a gateway opens up to 10, and there are 3 "
            "gateways"
        ),
    )


def test_connections_through_a_pooler_are_not_counted(settings):
    assert unexpected_findings(settings, is_pooled=True, connections=3) == [
        ("passed", "connections to the database go through a pooler")
    ]


async def test_gateways_with_a_lease_count_without_connections(
    postgres_server, postgres_url, monkeypatch
):
    stores = [await PostgresStore.open(postgres_url, StoreOptions()) for _ in range(3)]
    before = (await examined(postgres_url)).server
    for opened in stores[:2]:
        await opened.ownership.join({"p": "p"}, longest_request=0)
        await opened.ownership.refresh()
    monkeypatch.setattr(asyncpg.Connection, "get_server_pid", lambda _: 1)
    after = (await examined(postgres_url)).server
    for opened in stores:
        await opened.close()

    assert [gateway.is_leader for gateway in after.gateways] == [True, False]
    assert (before.gateways, before.is_pooled, after.is_pooled) == ((), False, True)
    # 60 connections, 3 of them reserved, and one of another program: the session that empties the
    # database for each test.
    assert before.connections == after.connections == 56
    assert (before.schema, before.hosts, before.attributes) == (newest_version(), 1, "read-write")
    assert before.size > 1 << 20


async def test_connection_limit_of_the_database_is_checked(
    tmp_path, postgres_server, empty_postgres_url
):
    name = empty_postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.psql(f"ALTER DATABASE {name} CONNECTION LIMIT 4")
    settings = read(tmp_path, GOOD.replace("sqlite:twite.db", empty_postgres_url))

    findings = [finding async for finding in store(settings)]

    assert "the server allows Twite 4 connections; a gateway opens up to 12" in " ".join(
        finding.found for finding in findings if str(finding.status) == "warning"
    )
