"""twite store copy: everything of a store is in its copy, in the form that the engine needs."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import tarfile
import time
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace

from builders import NOW, a_submission, an_entry
from twite.app.store_access import copy_stores
from twite.cli import run
from twite.domain.errors import OperatorError, StoreInUse, StoreUnusable
from twite.domain.submission import Idempotency
from twite.gateway.operations import store_copy
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.store import StoreOptions
from twite.stores.factory import ENGINES
from twite.stores.postgres.store import PostgresStore
from twite.stores.sql.copied_tables import TABLES
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.recovery.copying import SQLiteCopySource

RELEASED = Path(__file__).parents[1] / "upgrades" / "stores" / "schema-29" / "store.tar.xz"
# Rows of the kinds that the released store lacks, or has in one form only. The holder of one key is
# gone, and one key is in the table and, newer, in the log.
MORE = """
UPDATE outbox SET state = 'sending', due_at = NULL,
  lease = (SELECT (epoch << 32) + 1 FROM deployment)
WHERE id = (SELECT min(id) FROM outbox WHERE state = 'queued');
INSERT INTO lease (id, lane, claimed_at, until, open, deliveries)
SELECT lease, lane, received_at, received_at + 60000, 1, '[' || id || ']'
FROM outbox WHERE state = 'sending';
INSERT INTO dedup SELECT key, 1 FROM fresh_key ORDER BY delivery DESC LIMIT 1;
INSERT INTO dedup VALUES (x'00112233445566778899aabbccddeeff', 987654), (x'ff', 2);
UPDATE dedup SET key = x'ffeeddccbbaa99887766554433221100' WHERE key = x'ff';
INSERT INTO replaced VALUES (1, 2);
INSERT INTO denied SELECT id, received_at, 'consent' FROM outbox WHERE state = 'sending';
INSERT INTO closure VALUES ('o8z6j', 1795791979667, 'limit reached');
INSERT INTO straggler VALUES (3);
INSERT INTO failed_sign_in VALUES (x'0304', 2, 1795791979667);
INSERT INTO session VALUES (x'0102', 'ada', 1, 2, '192.0.2.1', 'agent');
INSERT INTO amended SELECT id, 5, lane, CAST('{"a": 1}' AS BLOB), 'note' FROM conversion LIMIT 2;
INSERT INTO called SELECT id, 'order-' || id FROM conversion LIMIT 3;
INSERT INTO request_name VALUES (7, x'0a', x'0b', 1795791979667);
UPDATE attempt SET answer = answer || 'ü€' WHERE id = 1;
UPDATE pruning SET bodies = 1, lives = 1;
UPDATE deployment SET ahead = -250;
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a store that has rows in every table."""
    folder = tmp_path_factory.mktemp("prepared")
    with tarfile.open(RELEASED) as archive:
        archive.extractall(folder, filter="data")
    asyncio.run(migrated(folder / "twite.db"))
    with closing(sqlite3.connect(folder / "twite.db")) as connection:
        connection.executescript(MORE)
        for table in TABLES:
            assert rows_in(connection, table), table.name
    return folder


@pytest.fixture
def path(prepared, tmp_path):
    """The path of a store of its own with rows in every table."""
    for name in ("twite.db", "twite.db.epoch"):
        shutil.copy(prepared / name, tmp_path / name)
    return tmp_path / "twite.db"


async def migrated(path):
    store = await SQLiteStore.open(str(path))
    await store.close()


def rows_in(connection, table):
    columns = ", ".join(
        f'"{column}"' for column in table.columns if column != "at" or table.name != "dedup"
    )
    statement = f'SELECT {columns} FROM "{table.name}" ORDER BY {columns}'  # noqa: S608 - our own
    return connection.execute(statement).fetchall()


def content(path):
    """Return all rows of a SQLite store by table; keys as their owner sees them."""
    with closing(sqlite3.connect(path)) as connection:
        found = {
            table.name: rows_in(connection, table) for table in TABLES if table.name != "dedup"
        }
        found["deployment"] = connection.execute(
            "SELECT salt, ahead, bodies, lives FROM deployment, pruning"
        ).fetchall()
    found["dedup"] = asyncio.run(keys_of(path))
    return found


async def keys_of(path):
    source = await SQLiteCopySource.open(str(path))
    try:
        table = next(table for table in TABLES if table.name == "dedup")
        return [row[:2] async for piece in source.rows(table) for row in piece]
    finally:
        await source.close()


def silent(_table, _done, _total, *, is_checking):
    """Report no progress."""


async def copied(source, target, *, accept=False, progress=silent):
    return await copy_stores(
        str(source), str(target), os.environ, accept_weak_durability=accept, progress=progress
    )


def copy(source, target, **more):
    return asyncio.run(copied(source, target, **more))


def test_the_list_of_tables_has_all_columns_of_both_engines(path, postgres_url):
    with closing(sqlite3.connect(path)) as connection:
        of_sqlite = {
            (table, column)
            for table, column in connection.execute(
                "SELECT s.name, c.name FROM sqlite_schema AS s, pragma_table_info(s.name) AS c "
                "WHERE s.type = 'table'"
            )
            if table not in {"deployment", "pruning", "fresh_key", "merge_round"}
        }
    listed = {(table.name, column) for table in TABLES for column in table.columns}

    async def of_postgres():
        driver = await asyncpg.connect(postgres_url)
        rows = await driver.fetch(
            "SELECT table_name::text, column_name::text FROM information_schema.columns "
            "WHERE table_schema = 'public' AND is_generated = 'NEVER'"
        )
        await driver.close()
        return {tuple(row) for row in rows}

    here_alone = {
        "deployment",
        "pruning",
        "schema_version",
        "transaction_mark",
        "node",
        "ownership",
        "change",
    }
    found = {row for row in asyncio.run(of_postgres()) if row[0] not in here_alone}
    counts = {
        ("account", column)
        for column in ("received", "delivered", "duplicate", "suppressed", "rejected")
    }

    assert listed - {("dedup", "at")} == of_sqlite - {("lease", "unmarked")}
    assert listed - counts <= found
    assert {row for row in found - listed if row[0] != "tally"} == {
        ("lease", "node"),
        ("flow", "slot"),
        ("waited", "writer"),
        ("matched", "slot"),
        ("flaw", "slot"),
    }


def test_a_store_is_the_same_after_a_copy_to_postgresql_and_back(path, tmp_path, postgres_url):
    before = content(path)

    there = copy(f"sqlite:{path}", postgres_url)
    back = copy(postgres_url, f"sqlite:{tmp_path}/back.db")

    assert there.rows == back.rows == {table.name: len(before[table.name]) for table in TABLES}
    assert there.copied == back.copied == sum(there.rows.values())
    assert there.histories == back.histories == len(before["conversion"])
    assert there.pending == back.pending > 2
    assert content(path) == before
    assert content(tmp_path / "back.db") == before
    assert not list(tmp_path.glob("back.db.copying*"))


def test_the_log_of_keys_goes_before_the_table(path, postgres_url):
    copy(f"sqlite:{path}", postgres_url)

    with closing(sqlite3.connect(path)) as connection:
        key, delivery = connection.execute(
            "SELECT key, delivery FROM fresh_key ORDER BY delivery DESC LIMIT 1"
        ).fetchone()
        received_at = connection.execute(
            "SELECT received_at FROM submission JOIN conversion ON submission = submission.id "
            "WHERE conversion.id = ?", (delivery,)
        ).fetchone()  # fmt: skip
    found = asyncio.run(
        asked(postgres_url, "SELECT delivery, at FROM dedup WHERE uuid_send(key) = $1", key)
    )
    gone = asyncio.run(asked(postgres_url, "SELECT at FROM dedup WHERE delivery = 987654"))
    assert [tuple(row) for row in found] == [(delivery, *received_at)]
    assert [tuple(row) for row in gone] == [(0,)]


async def asked(url, statement, *values):
    driver = await asyncpg.connect(url)
    try:
        return await driver.fetch(statement, *values)
    finally:
        await driver.close()


async def new_conversion(store, order="new-1"):
    """Record a conversion twice, in a pixel and event that the store has not seen."""
    entry = an_entry(order, pixel="o9new", event="o9evt")
    first = await store.record(a_submission(entry, receipt=f"r-{order}-{time.time_ns()}"))
    again = await store.record(a_submission(entry, receipt=f"s-{order}-{time.time_ns()}"))
    return first.duplicates, again.duplicates


@pytest.mark.parametrize("is_back", [False, True], ids=["postgresql", "sqlite"])
def test_a_copied_store_counts_on_with_new_ids(path, tmp_path, postgres_url, is_back):
    copy(f"sqlite:{path}", postgres_url)
    if is_back:
        # Numbers that were given and not used.
        for table in ("lane (id, pixel, event)", "account (id, source, pixel)"):
            name = table.partition(" ")[0]
            added = (
                f"INSERT INTO {table} OVERRIDING SYSTEM VALUE "  # noqa: S608 - our own
                f"SELECT count(*) + 2, 'a', 'b' FROM {name}"
            )
            asyncio.run(asked(postgres_url, added))
        copy(postgres_url, f"sqlite:{tmp_path}/back.db")

    async def opened():
        if is_back:
            return await SQLiteStore.open(f"{tmp_path}/back.db")
        return await PostgresStore.open(postgres_url, StoreOptions())

    async def go_on():
        store = await opened()
        await new_conversion(store, "before")
        await store.close()
        store = await opened()
        assert await new_conversion(store, "before") == ((0,), (0,))
        try:
            told = await new_conversion(store)
            name = Idempotency(key=b"k", said=b"s")
            named = a_submission(an_entry("named", pixel="o9new"), receipt="r-name")
            await store.record(replace(named, idempotency=name))
            other = Idempotency(key=b"k", said=b"t")
            conflict = await store.record(
                replace(a_submission(receipt="r-other"), idempotency=other)
            )
            claim = Claim(
                pixel="o9new", now=NOW, lease_until=NOW + 60_000, limit=9, ambiguous_after=0
            )
            batch = await store.claim(claim)
            return told, conflict.conflict, batch, await store.balance()
        finally:
            await store.close()

    told, conflict, batch, balance = asyncio.run(go_on())
    assert told == ((), (0,))
    assert conflict
    assert batch.deliveries
    assert {count.balance for count in balance} == {0}


def test_counts_of_several_connections_are_added_up(path, tmp_path, postgres_url):
    copy(f"sqlite:{path}", postgres_url)
    for statement in (
        "INSERT INTO tally (account, slot, received, duplicate) VALUES (1, 7, 3, 3)",
        "INSERT INTO flow SELECT span, at, account, 7, 1, 2, 0, 0, 0, 0 FROM flow",
        "INSERT INTO waited SELECT span, at, account, slot, 7, 5 FROM waited",
        "INSERT INTO flaw SELECT day, account, lane, code, 7, 2, 1, 'new', 900000 FROM flaw",
    ):
        asyncio.run(asked(postgres_url, statement))

    copy(postgres_url, f"sqlite:{tmp_path}/back.db")

    before, after = content(path), content(tmp_path / "back.db")
    # The first columns of a row are its key.
    for table, key, more in (
        ("flow", 3, (1, 2, 0, 0, 0, 0)),
        ("waited", 4, (5,)),
    ):
        assert after[table] == [
            (*row[:key], *map(sum, zip(row[key:], more, strict=True))) for row in before[table]
        ]
    assert [row[4:] for row in after["flaw"]] == [
        (times + 2, wins + 1, "new", 900_000) for _, _, _, _, times, wins, _, _ in before["flaw"]
    ]
    counts = {row[0]: row[3:] for row in before["account"]}
    received, delivered, duplicate, *rest = counts[1]
    counts[1] = (received + 3, delivered, duplicate + 3, *rest)
    assert {row[0]: row[3:] for row in after["account"]} == counts


@pytest.mark.parametrize("is_back", [False, True], ids=["postgresql", "sqlite"])
def test_the_claim_of_a_killed_gateway_is_queued_again(path, tmp_path, postgres_url, is_back):
    with closing(sqlite3.connect(path)) as connection:
        [(claimed,)] = connection.execute("SELECT id FROM outbox WHERE state = 'sending'")
        connection.execute("DELETE FROM denied")
        connection.commit()
    copy(f"sqlite:{path}", postgres_url)
    if is_back:
        copy(postgres_url, f"sqlite:{tmp_path}/back.db")

    async def left():
        if is_back:
            await migrated(tmp_path / "back.db")
            with closing(sqlite3.connect(tmp_path / "back.db")) as connection:
                return connection.execute(
                    "SELECT state, crashes, (SELECT count(*) FROM lease) FROM outbox WHERE id = ?",
                    (claimed,),
                ).fetchall()
        gateway = await joined(postgres_url)
        await gateway.ownership.refresh()
        await gateway.ownership.leave()
        await gateway.close()
        rows = await asked(
            postgres_url,
            "SELECT state, crashes, (SELECT count(*) FROM lease) FROM outbox WHERE id = $1",
            claimed,
        )
        return [tuple(row) for row in rows]

    # It was alone in its claim, so that it is suspected of the crash: see `count_crashes`.
    assert asyncio.run(left()) == [("queued", 3, 0)]


def test_early_conversions_get_the_checksum_that_they_lack(path, tmp_path, postgres_url):
    with closing(sqlite3.connect(path)) as connection:
        before = rows_in(connection, TABLES[3])
        connection.execute("UPDATE conversion SET checksum = NULL WHERE id > 5")
        connection.execute("UPDATE deployment SET unsummed = (SELECT max(id) - 1 FROM conversion)")
        connection.commit()

    copy(f"sqlite:{path}", postgres_url)

    found = asyncio.run(asked(postgres_url, "SELECT id, checksum FROM conversion ORDER BY id"))
    expected = [(row[0], row[-1]) for row in before]
    # A conversion without a checksum that should have one is damaged, and stays so.
    expected[-1] = (expected[-1][0], None)
    assert [tuple(row) for row in found] == expected


def test_a_text_with_nul_is_copied_as_postgresql_stores_it(path, postgres_url):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE attempt SET answer = ? WHERE id = 1", ("a\0b",))
        connection.commit()

    copy(f"sqlite:{path}", postgres_url)

    assert (
        asyncio.run(asked(postgres_url, "SELECT answer FROM attempt WHERE id = 1"))[0][0]
        == "a\ufffdb"
    )


def test_ids_from_the_future_are_refused(path, postgres_url):
    """New ids of PostgreSQL come from its clock, and must be above all others."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE attempt SET id = (1 << 53) - 1 WHERE id = 1")
        connection.commit()

    with pytest.raises(StoreUnusable, match="clock is behind the ids"):
        copy(f"sqlite:{path}", postgres_url)


def copy_and_die(source, target, at):
    """Copy in a process that is killed at a step; return whether it was."""
    child = os.fork()
    if child == 0:
        seen = 0

        def die_in_time(*_, is_checking):
            nonlocal seen
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            copy(source, target, progress=die_in_time)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("is_back", [False, True], ids=["postgresql", "sqlite"])
def test_a_killed_copy_continues(  # noqa: PLR0917 - fixtures
    path, tmp_path, postgres_url, empty_postgres_url, monkeypatch, is_back
):
    before = content(path)
    monkeypatch.setattr(store_copy, "_ROWS", 1)
    for module in ("sqlite.recovery", "postgres"):
        monkeypatch.setattr(f"twite.stores.{module}.copying.PIECE", 3)
    source, target = f"sqlite:{path}", empty_postgres_url
    if is_back:
        copy(source, postgres_url)
        source, target = postgres_url, f"sqlite:{tmp_path}/back.db"
    for at in (1, 2, 9, 9, 40, 60, 90):
        assert copy_and_die(source, target, at), at

    done = copy(source, target)

    assert done.copied < sum(done.rows.values())
    if not is_back:
        copy(target, f"sqlite:{tmp_path}/back.db")
    assert content(tmp_path / "back.db") == before


def test_a_file_that_was_not_renamed_is_copied_again(path, tmp_path, monkeypatch):
    before = content(path)
    target = tmp_path / "back.db"
    rename = Path.replace
    with monkeypatch.context() as stopped:
        stopped.setattr(Path, "replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            copy(f"sqlite:{path}", f"sqlite:{target}")
    assert not target.exists()
    assert rename is Path.replace

    copy(f"sqlite:{path}", f"sqlite:{target}")

    assert content(target) == before


def test_an_incomplete_copy_is_no_store(path, postgres_url):
    assert copy_and_die(f"sqlite:{path}", postgres_url, 9)
    engine = ENGINES["postgresql"]

    for opening in (
        engine.open(postgres_url, StoreOptions()),
        engine.open_reader(postgres_url),
        engine.examine(postgres_url, is_owned=False),
        engine.open_copy_source(postgres_url),
    ):
        with pytest.raises(StoreUnusable, match="an incomplete copy of another store"):
            asyncio.run(opening)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE deployment SET commits = commits + 1")
        connection.commit()
    with pytest.raises(StoreUnusable, match="an incomplete copy of another store, of an earlier"):
        copy(f"sqlite:{path}", postgres_url)


def test_a_draft_of_another_source_is_not_continued(path, tmp_path):
    assert copy_and_die(f"sqlite:{path}", f"sqlite:{tmp_path}/to.db", 9)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE deployment SET commits = commits + 1")
        connection.commit()

    with pytest.raises(
        StoreUnusable, match=r"to\.db\.copying: the file contains an incomplete copy"
    ):
        copy(f"sqlite:{path}", f"sqlite:{tmp_path}/to.db")


def during_the_copy(url, statement):
    """Return a progress that runs a statement on another connection, after one of the tables."""

    def change(table, _done, _total, *, is_checking):
        if (table, is_checking) != ("norm", False):
            return
        other = os.fork()
        if other == 0:
            try:
                asyncio.run(asked(url, statement))
            finally:
                os._exit(0)
        os.waitpid(other, 0)

    return change


def test_a_wrong_row_in_the_copy_is_noticed(path, postgres_url):
    spoil = during_the_copy(postgres_url, "UPDATE norm SET zeros = zeros + 1")

    with pytest.raises(StoreUnusable, match=r"differs from its source \(table norm, after 0 equal"):
        copy(f"sqlite:{path}", postgres_url, progress=spoil)


def test_a_missing_row_in_the_copy_is_noticed(path, postgres_url):
    spoil = during_the_copy(postgres_url, "DELETE FROM attempted WHERE delivery = 3")

    with pytest.raises(StoreUnusable, match=r"differs from its source \(table attempted"):
        copy(f"sqlite:{path}", postgres_url, progress=spoil)


def test_a_source_that_changes_meanwhile_is_not_published(path, postgres_url, tmp_path):
    copy(f"sqlite:{path}", postgres_url)
    change = during_the_copy(postgres_url, "SELECT nextval('id_group')")

    with pytest.raises(StoreUnusable, match="the store was changed during the copy"):
        copy(postgres_url, f"sqlite:{tmp_path}/back.db", progress=change)
    assert not (tmp_path / "back.db").exists()


async def joined(url):
    store = await PostgresStore.open(url, StoreOptions())
    await store.ownership.join({"o8z6j": "account"}, longest_request=15_000)
    return store


async def test_a_running_gateway_refuses_the_copy(path, tmp_path, postgres_url):
    owner = await SQLiteStore.open(str(path))
    with pytest.raises(StoreInUse, match=f"in use by process {os.getpid()}"):
        await copied(f"sqlite:{path}", postgres_url)
    await owner.close()
    gateway = await joined(postgres_url)
    with pytest.raises(StoreUnusable, match="a gateway is using this database"):
        await copied(f"sqlite:{path}", postgres_url)
    with pytest.raises(StoreUnusable, match="a gateway is using this database"):
        await copied(postgres_url, f"sqlite:{tmp_path}/back.db")
    await gateway.ownership.leave()
    await gateway.close()
    running = await SQLiteStore.open(f"{tmp_path}/other.db")
    with pytest.raises(StoreInUse):
        await copied(f"sqlite:{path}", f"sqlite:{tmp_path}/other.db")
    await running.close()


async def test_no_gateway_starts_during_a_copy(path, postgres_url):
    refused = []

    async def open_meanwhile():
        source = await ENGINES["sqlite"].open_copy_source(str(path))
        target = await ENGINES["postgresql"].open_copy_target(
            postgres_url, state="x", accept_weak_durability=False
        )
        for opening in (
            PostgresStore.open(postgres_url, StoreOptions()),
            SQLiteStore.open(str(path)),
        ):
            with pytest.raises(OperatorError) as caught:
                await opening
            refused.append(str(caught.value))
        with pytest.raises(StoreUnusable, match="another twite store copy is using"):
            await ENGINES["postgresql"].open_copy_target(
                postgres_url, state="x", accept_weak_durability=False
            )
        await target.close()
        await source.close()

    await open_meanwhile()

    assert "twite store copy is using this database. Wait until the copy is complete" in refused[0]
    assert "is in use by process" in refused[1]


def test_a_target_that_is_not_empty_is_refused(path, tmp_path, postgres_url):
    (tmp_path / "there.db").touch()

    copy(f"sqlite:{path}", postgres_url)
    for target in (postgres_url, f"sqlite:{tmp_path}/there.db"):
        with pytest.raises(
            StoreUnusable, match=r"is not empty: the table|the file or its write-ahead log"
        ):
            copy(f"sqlite:{path}", target)


@pytest.mark.parametrize(
    ("version", "said"),
    [(3, "its schema has version 3, and only the gateway can"), (9_999, "a newer version")],
)
def test_a_source_of_another_version_is_refused(path, postgres_url, version, said):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")

    with pytest.raises(StoreUnusable, match=said):
        copy(f"sqlite:{path}", postgres_url)


def test_a_source_that_is_an_older_copy_is_refused(path, postgres_url):
    Path(f"{path}.epoch").unlink()

    with pytest.raises(StoreUnusable, match=r"epoch is missing.*Start the gateway on it once"):
        copy(f"sqlite:{path}", postgres_url)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("synchronous_commit = off", "synchronous_commit is off"),
        ("default_transaction_read_only = on", "accepts no writes"),
    ],
)
def test_a_weak_or_read_only_server_is_refused(
    path, postgres_server, empty_postgres_url, setting, said
):
    name = empty_postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.psql(f"ALTER DATABASE {name} SET {setting}")

    with pytest.raises(StoreUnusable, match=said):
        copy(f"sqlite:{path}", empty_postgres_url)


def test_a_weak_server_can_be_accepted(path, postgres_server, empty_postgres_url):
    name = empty_postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.psql(f"ALTER DATABASE {name} SET synchronous_commit = off")

    assert copy(f"sqlite:{path}", empty_postgres_url, accept=True).conversions


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("mysql:x", "sqlite:to.db", "SOURCE: Twite does not support this store"),
        ("sqlite:none.db", "sqlite:to.db", "none.db: the database does not exist"),
        ("sqlite:{path}", "postgresql://twite:p4ssw0rd@127.0.0.1:1/twite", "127.0.0.1:1/twite: "),
        ("postgresql://twite:p4ssw0rd@127.0.0.1:1/twite", "sqlite:to.db", "127.0.0.1:1/twite: "),
        ("sqlite:{path}", "postgresql://twite:p4ssw0rd@127.0.0.1", "TARGET: is not the URL of a"),
        ("sqlite:{path}", "env:NO_SUCH", "TARGET: the environment variable 'NO_SUCH' is not set"),
        ("{url}", "sqlite:to.db", "the database has no tables of Twite"),
    ],
)
def test_the_command_explains_what_is_wrong(  # noqa: PLR0917 - fixtures
    path, tmp_path, empty_postgres_url, monkeypatch, capsys, source, target, said
):
    monkeypatch.chdir(tmp_path)
    words = [word.format(path=path, url=empty_postgres_url) for word in (source, target)]

    code = run(["store", "copy", *words])

    err = " ".join(capsys.readouterr().err.split())
    assert (code, said in err) == (1, True), err
    assert "p4ssw0rd" not in err


def test_the_command_prints_what_it_copied(path, tmp_path, postgres_url, monkeypatch, capsys):
    monkeypatch.setenv("TWITE_STORE", postgres_url)
    monkeypatch.setattr("twite.cli.store._EVERY", 0)

    code = run(["store", "copy", f"sqlite:{path}", "env:TWITE_STORE"])
    heard = capsys.readouterr()
    as_json = run(["store", "copy", "env:TWITE_STORE", f"sqlite:{tmp_path}/back.db", "--json"])
    told = json.loads(capsys.readouterr().out)

    assert (code, as_json) == (0, 0)
    assert "rows of 40 tables, all equal" in heard.out
    assert "Copied 1 of 1 rows of the table lease" in heard.err
    assert "Compared 1 of 1 rows of the table lease" in heard.err
    assert "Do not start a gateway on the old store again" in heard.err
    assert told["rows"]["conversion"] == told["conversions"] == told["histories"]
