"""The write-ahead log stays small despite readers."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from twite.stores.sqlite import SQLiteReader
from twite.stores.sqlite.engine.checkpoints import Checkpoints
from twite.stores.sqlite.engine.connection import connect_writer, create
from twite.stores.sqlite.engine.schema import migrate

LIMIT = 128 * 1024
# How much may be written during one checkpoint on a busy machine.
SLACK = 8


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


class Log:
    """A writer with concurrent checkpoints, and the largest size of the log."""

    def __init__(self, path):
        create(path)
        self.file = Path(f"{path}-wal")
        self.writer = connect_writer(path)
        migrate(self.writer, path)
        self.writer.execute("CREATE TABLE filling (id INTEGER PRIMARY KEY, text BLOB)")
        self.turn = threading.Lock()
        self.reported = []
        self.checkpoints = Checkpoints(
            path, turn=self.turn, log_limit=LIMIT, grown=self.reported.append
        )
        self.checkpoints.start()

    async def fill(self, commits):
        """Repeatedly commit a page or more; return the largest size of the log."""
        largest = 0
        for number in range(commits):
            with self.turn:
                self.writer.execute(
                    "INSERT OR REPLACE INTO filling VALUES (?, randomblob(6000))", (number % 20,)
                )
            self.checkpoints.wake()
            largest = max(largest, self.file.stat().st_size)
            if number % 8 == 7:
                await asyncio.sleep(0.3)
        return largest

    async def close(self):
        await asyncio.to_thread(self.checkpoints.close)
        self.writer.close()


async def test_idle_reader_does_not_keep_the_log_from_shrinking(path):
    log = Log(path)
    reader = await SQLiteReader.open(path)
    await reader.balance()

    largest = await log.fill(64)

    await reader.balance()
    await reader.close()
    await log.close()
    assert largest < SLACK * LIMIT
    assert log.reported == []


async def test_reader_that_never_ends_is_reported_and_the_log_is_reused_after_it(path):
    log = Log(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM filling").fetchone()
        held = await log.fill(100)
        await asyncio.sleep(0.5)
    reported = list(log.reported)

    after = await log.fill(64)

    await log.close()
    assert held > 8 * LIMIT
    assert len(reported) >= 1
    # It no longer grows: its content is overwritten.
    assert after <= held + 4 * LIMIT
