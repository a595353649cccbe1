"""PostgreSQL as a store engine: without its extra, and in the findings of `twite check`."""

from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import asyncpg
import pytest

from twite.config.server_tables import StoreUrl
from twite.diagnostics.store import store
from twite.domain.errors import StoreUnusable
from twite.domain.secret import Secret
from twite.gateway.ports.store import StoreOptions
from twite.stores.factory import ENGINES
from twite.stores.postgres import postgres_engine
from written import GOOD, read

ENGINE = ENGINES["postgresql"]
URL = "postgresql://twite@db/twite"
WEAK = "ALTER DATABASE {} SET synchronous_commit = off"


async def found(tmp_path, url, more=""):
    settings = read(tmp_path, GOOD.replace("sqlite:twite.db", f'{url}"\n{more}#"'))
    return [finding async for finding in store(settings)]


async def test_missing_driver_is_reported_with_how_to_install_it(monkeypatch):
    monkeypatch.setattr(postgres_engine, "find_spec", lambda _name: None)

    with pytest.raises(StoreUnusable, match=r"--require-hashes -r requirements/run.txt"):
        await ENGINE.open("postgresql://twite@db/twite", StoreOptions())


@pytest.mark.parametrize(
    ("refuse", "what", "tool"),
    [
        (lambda: ENGINE.back_up(URL, "copy"), "does not back up", "pg_dump"),
        (lambda: ENGINE.restore(URL, "copy"), "does not restore", "pg_restore"),
        (lambda: ENGINE.recover(URL, None, ()), "does not recover", "pg_restore"),
    ],
)
def test_backups_are_made_with_the_tools_of_postgresql(refuse, what, tool):
    with pytest.raises(StoreUnusable, match=rf"store.url: .*{what} .*{tool}"):
        refuse()


@pytest.fixture
def opened(monkeypatch):
    """What the modules of the engine are asked to open."""
    calls = []

    def module(name):
        def opens(what):
            async def open_(*given, **named):
                calls.append((name, what, *given, named))
                return len(calls)

            return open_

        kinds = {
            "PostgresStore": "open",
            "PostgresReader": "open",
            "PostgresCopySource": "open",
            "PostgresCopyTarget": "open_for",
        }
        classes = {kind: SimpleNamespace(**{how: opens(kind)}) for kind, how in kinds.items()}
        functions = {name: opens(name) for name in ("examined", "hold_pending")}
        return SimpleNamespace(**functions, **classes)

    monkeypatch.setattr(postgres_engine, "import_module", module)
    return calls


async def test_driver_is_needed_only_to_open_a_store(opened):
    options = StoreOptions()

    results = [
        await ENGINE.open(URL, options),
        await ENGINE.open_reader(URL),
        await ENGINE.examine(URL),
        await ENGINE.open_copy_source(URL),
        await ENGINE.open_copy_target(URL, state="s", accept_weak_durability=True),
        await ENGINE.hold_pending(URL),
    ]

    package = "twite.stores.postgres"
    assert results == [1, 2, 3, 4, 5, 6]
    assert opened == [
        (f"{package}.store", "PostgresStore", URL, options, {}),
        (f"{package}.store", "PostgresReader", URL, {}),
        (f"{package}.examine", "examined", URL, {}),
        (f"{package}.copying", "PostgresCopySource", URL, {}),
        (
            f"{package}.copying",
            "PostgresCopyTarget",
            URL,
            {"state": "s", "accept_weak_durability": True},
        ),
        (f"{package}.holding", "hold_pending", URL, {}),
    ]


@pytest.mark.parametrize("missing", ["asyncpg", "greenlet"])
async def test_missing_package_is_named(monkeypatch, missing):
    monkeypatch.setattr(postgres_engine, "find_spec", lambda name: name != missing or None)

    with pytest.raises(StoreUnusable, match=f"packages that are not installed: {missing}. Run"):
        await ENGINE.open_reader(URL)


def test_version_of_the_engine_is_that_of_the_driver(monkeypatch):
    with_driver = ENGINE.version

    def version(_):
        raise PackageNotFoundError

    monkeypatch.setattr("importlib.metadata.version", version)

    assert with_driver == f"PostgreSQL through asyncpg {asyncpg.__version__}"
    assert ENGINE.version == "PostgreSQL, without its driver"


async def test_check_names_the_server_and_a_new_database(tmp_path, empty_postgres_url):
    findings = await found(tmp_path, empty_postgres_url)

    said = " ".join(finding.found for finding in findings)
    assert "PostgreSQL 1" in said
    assert "the database has no tables yet" in said


async def test_check_finds_settings_that_can_lose_commits(
    tmp_path, postgres_server, empty_postgres_url
):
    name = empty_postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.psql(WEAK.format(name))

    refused = await found(tmp_path, empty_postgres_url)
    accepted = await found(tmp_path, empty_postgres_url, "accept_weak_durability = true\n")

    statuses = [
        str(finding.status)
        for findings in (refused, accepted)
        for finding in findings
        if "synchronous_commit is off" in finding.found
    ]
    assert statuses == ["failed", "warning"]


async def test_check_of_an_unreachable_server_shows_no_password(tmp_path):
    findings = await found(tmp_path, "postgresql://twite:p4ssw0rd@127.0.0.1:1/twite")

    assert "127.0.0.1:1/twite" in findings[-1].found
    assert "p4ssw0rd" not in str(findings)


def test_repr_of_a_store_url_hides_its_password():
    url = StoreUrl(engine="postgresql", path="x", server=Secret("postgresql://a:p4ssw0rd@db/t"))

    assert "p4ssw0rd" not in repr(url)
