"""`twite store copy` copies every row, in the form that the target engine needs."""

import asyncio
import json
import sqlite3
import time
from contextlib import closing

import asyncpg
import pytest
from msgspec.structs import replace
from store_copy_stage import asked, content, copy, joined, migrated

from builders import NOW, a_submission, an_entry
from twite.cli import run
from twite.domain.submission import Idempotency
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.store import PostgresStore
from twite.stores.sql.rows.insertions import TABLES
from twite.stores.sqlite import SQLiteStore


@pytest.fixture
def path(full_store):
    return full_store


def test_list_of_copied_tables_has_all_columns_of_both_engines(path, postgres_url):
    with closing(sqlite3.connect(path)) as connection:
        of_sqlite = {
            (table, column)
            for table, column in connection.execute(
                "SELECT s.name, c.name FROM sqlite_schema AS s, pragma_table_info(s.name) AS c "
                "WHERE s.type = 'table'"
            )
            if table
            not in {"deployment", "pruning", "fresh_key", "merge_round", "recent_key", "key_filter"}
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


def test_store_is_unchanged_after_a_copy_to_postgresql_and_back(path, tmp_path, postgres_url):
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


def test_newer_key_in_the_log_overrides_the_table(path, postgres_url):
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


async def new_conversion(store, order="new-1"):
    """Record a conversion twice, with a pixel and an event that are new to the store."""
    entry = an_entry(order, pixel="o9new", event="o9evt")
    first = await store.record(a_submission(entry, receipt=f"r-{order}-{time.time_ns()}"))
    again = await store.record(a_submission(entry, receipt=f"s-{order}-{time.time_ns()}"))
    return first.duplicates, again.duplicates


@pytest.mark.parametrize("is_back", [False, True], ids=["postgresql", "sqlite"])
def test_copied_store_continues_with_new_ids(path, tmp_path, postgres_url, is_back):
    copy(f"sqlite:{path}", postgres_url)
    if is_back:
        # Leave gaps in the ids, as if some had been reserved but not used.
        for table in ("queue (id, pixel, event)", "account (id, source, pixel)"):
            name = table.partition(" ")[0]
            added = (
                f"INSERT INTO {table} OVERRIDING SYSTEM VALUE "  # noqa: S608 - own names
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
            reported = await new_conversion(store)
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
            return reported, conflict.conflict, batch, await store.balance()
        finally:
            await store.close()

    reported, conflict, batch, balance = asyncio.run(go_on())
    assert reported == ((), (0,))
    assert conflict
    assert batch.deliveries
    assert {count.balance for count in balance} == {0}


def test_counts_of_several_connections_are_added_up(path, tmp_path, postgres_url):
    copy(f"sqlite:{path}", postgres_url)
    for statement in (
        "INSERT INTO tally (account, slot, received, duplicate) VALUES (1, 7, 3, 3)",
        "INSERT INTO flow SELECT span, at, account, 7, 1, 2, 0, 0, 0, 0 FROM flow",
        "INSERT INTO waited SELECT span, at, account, slot, 7, 5 FROM waited",
        "INSERT INTO flaw SELECT day, account, queue, code, 7, 2, 1, 'new', 900000, 3 FROM flaw",
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
        (times + 2, wins + 1, "new", 900_000, rejected + 3)
        for _, _, _, _, times, wins, _, _, rejected in before["flaw"]
    ]
    counts = {row[0]: row[3:] for row in before["account"]}
    received, delivered, duplicate, *rest = counts[1]
    counts[1] = (received + 3, delivered, duplicate + 3, *rest)
    assert {row[0]: row[3:] for row in after["account"]} == counts


@pytest.mark.parametrize("is_back", [False, True], ids=["postgresql", "sqlite"])
def test_claim_of_a_killed_gateway_is_queued_in_the_copy(path, tmp_path, postgres_url, is_back):
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

    # It was claimed alone, so it is suspected of the crash: see `count_crashes`.
    assert asyncio.run(left()) == [("queued", 3, 0)]


def test_text_with_nul_is_copied_as_postgresql_stores_it(path, postgres_url):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE attempt SET answer = ? WHERE id = 1", ("a\0b",))
        connection.commit()

    copy(f"sqlite:{path}", postgres_url)

    assert (
        asyncio.run(asked(postgres_url, "SELECT answer FROM attempt WHERE id = 1"))[0][0]
        == "a\ufffdb"
    )


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
def test_store_copy_command_explains_errors(  # noqa: PLR0917 - fixtures
    path, tmp_path, empty_postgres_url, monkeypatch, capsys, source, target, said
):
    monkeypatch.chdir(tmp_path)
    words = [word.format(path=path, url=empty_postgres_url) for word in (source, target)]

    code = run(["store", "copy", *words])

    err = " ".join(capsys.readouterr().err.split())
    assert (code, said in err) == (1, True), err
    assert "p4ssw0rd" not in err


def test_store_copy_command_prints_the_number_of_copied_rows(
    path, tmp_path, postgres_url, monkeypatch, capsys
):
    monkeypatch.setenv("TWITE_STORE", postgres_url)
    monkeypatch.setattr("twite.cli.store._EVERY", 0)

    code = run(["store", "copy", f"sqlite:{path}", "env:TWITE_STORE"])
    output = capsys.readouterr()
    as_json = run(["store", "copy", "env:TWITE_STORE", f"sqlite:{tmp_path}/back.db", "--json"])
    reported = json.loads(capsys.readouterr().out)

    assert (code, as_json) == (0, 0)
    assert "rows of 52 tables, all equal" in output.out
    assert "Copied 1 of 1 rows of the table lease" in output.err
    assert "Compared 1 of 1 rows of the table lease" in output.err
    assert "Do not start a gateway on the old store again" in output.err
    assert reported["rows"]["conversion"] == reported["conversions"] == reported["histories"]
