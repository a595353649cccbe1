"""A store with rows in every table, its content, and copies of it."""

import asyncio
import os
import signal
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import asyncpg

from twite.app.store_access import copy_stores
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.schema import COPY_LOCK
from twite.stores.postgres.store import PostgresStore
from twite.stores.sql.rows.insertions import TABLES
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.recovery.copying import SQLiteCopySource

RELEASED = Path(__file__).parents[1] / "upgrades" / "stores" / "schema-1" / "store.tar.xz"
# Kinds of rows that the released store lacks, or has in only one form. One key has no delivery;
# another is in the table and, with a newer delivery, in the log.
MORE = """
UPDATE outbox SET state = 'sending', due_at = NULL,
  lease = (SELECT (epoch << 32) + 1 FROM deployment)
WHERE id = (SELECT min(id) FROM outbox WHERE state = 'queued');
INSERT INTO lease (id, queue, claimed_at, until, open, deliveries)
SELECT lease, queue, received_at, received_at + 60000, 1, '[' || id || ']'
FROM outbox WHERE state = 'sending';
INSERT INTO dedup SELECT key, 1 FROM fresh_key ORDER BY delivery DESC LIMIT 1;
INSERT INTO dedup VALUES (x'00112233445566778899aabbccddeeff', 987654), (x'ff', 2);
UPDATE dedup SET key = x'ffeeddccbbaa99887766554433221100' WHERE key = x'ff';
INSERT INTO replaced VALUES (1, 2);
INSERT INTO denied
SELECT id, received_at, 'consent', 'consent_denied' FROM outbox WHERE state = 'sending';
INSERT INTO closure VALUES ('o8z6j', 1795791979667, 'limit reached');
INSERT INTO straggler VALUES (3);
INSERT INTO traffic VALUES ('shop', 498831, 3, 1795791979667, 1795791979668, 3);
INSERT INTO failed_sign_in VALUES (x'0304', 2, 1795791979667);
INSERT INTO session VALUES (x'0102', 'ada', 1, 2, '192.0.2.1', 'agent');
INSERT INTO amended SELECT id, 5, queue, CAST('{"a": 1}' AS BLOB), 'note' FROM conversion LIMIT 2;
INSERT INTO called SELECT id, 'order-' || id FROM conversion LIMIT 3;
INSERT OR IGNORE INTO flawed SELECT id, 'ip_private' FROM conversion LIMIT 3;
INSERT INTO idempotency_key VALUES (7, x'0a', x'0b', 1795791979667);
UPDATE attempt SET answer = answer || 'ü€' WHERE id = 1;
UPDATE pruning SET bodies = 1, histories = 1;
INSERT INTO acknowledgement VALUES ('a1', 1, 'olga');
INSERT INTO mute VALUES ('alert/pixel_paused/o8z6j', 2, 1, 'olga', 'planned');
INSERT INTO sync_state VALUES ('orders/', '{}');
INSERT INTO x_result VALUES ('18ce54d4x5t/', '{}');
INSERT INTO value_change VALUES (1, 'profit', '49.90', 'EUR', '12.00', 'EUR', NULL, '');
INSERT INTO replay_batch VALUES ('b1', 5, 'ada', 'o8z6j', '', '', '{}', 1, 3, 1, 0, 0, NULL, '', 0);
INSERT INTO replay_part VALUES ('b1', 0, 'refused', '400', '[1,2,3]', '[]');
INSERT INTO known_identifier VALUES (3, 'k', 'm', 'twclid', 'v', '', 1, 2, 'page');
INSERT INTO joined VALUES (1, 'k', '', 1, 2, 'twclid', '[]');
INSERT INTO webhook_delivery VALUES ('d1', 'shop', 1, 'orders/paid', 'accepted', '', 'r1', 1);
UPDATE deployment SET ahead = -250;
"""


def prepare(folder):
    """Write a store with rows in every table into a folder."""
    with tarfile.open(RELEASED) as archive:
        archive.extractall(folder, filter="data")
    asyncio.run(migrated(folder / "twite.db"))
    with closing(sqlite3.connect(folder / "twite.db")) as connection:
        connection.executescript(MORE)
        for table in TABLES:
            assert rows_in(connection, table), table.name


async def migrated(path):
    store = await SQLiteStore.open(str(path))
    await store.close()


def rows_in(connection, table):
    columns = ", ".join(
        f'"{column}"' for column in table.columns if column != "at" or table.name != "dedup"
    )
    statement = f'SELECT {columns} FROM "{table.name}" ORDER BY {columns}'  # noqa: S608 - own names
    return connection.execute(statement).fetchall()


def content(path):
    """Return all rows of a SQLite store by table, with the keys as their owner sees them."""
    with closing(sqlite3.connect(path)) as connection:
        found = {
            table.name: rows_in(connection, table) for table in TABLES if table.name != "dedup"
        }
        found["deployment"] = connection.execute(
            "SELECT salt, ahead, bodies, histories FROM deployment, pruning"
        ).fetchall()
    found["dedup"] = asyncio.run(keys_of(path))
    return found


async def keys_of(path):
    source = SQLiteCopySource.open(str(path))
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


async def asked(url, statement, *values):
    driver = await asyncpg.connect(url)
    try:
        return await driver.fetch(statement, *values)
    finally:
        await driver.close()


async def joined(url):
    store = await PostgresStore.open(url, StoreOptions())
    await store.ownership.join({"o8z6j": "account"}, longest_request=15_000)
    return store


def copy_and_kill(source, target, at):
    """Copy in a process that is killed at a step.

    Return whether it was. PostgreSQL's locks of the process are released.
    """
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
    was_killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    for url in (source, target):
        if url.startswith("postgresql:"):
            asyncio.run(_until_unlocked(url))
    return was_killed


async def _until_unlocked(url):
    """Wait until the server notices the end of a process, which takes a while on a busy machine."""
    connection = await asyncpg.connect(url)
    await connection.execute(f"SELECT pg_advisory_lock({COPY_LOCK})")
    await connection.close()


def table(name):
    (found,) = [table for table in TABLES if table.name == name]
    return found
