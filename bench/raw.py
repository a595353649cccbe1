"""What SQLite does on this machine: outbox row and dedup key, 100 a commit, synchronous=FULL.

The measure by which the absolute targets are scaled from machine to machine.
"""

import os
import sqlite3
import time
from pathlib import Path

from bench.sample import Sample

_EVENT = os.urandom(335).hex().encode()


def inserted(folder: Path, *, seconds: float = 3.0, batch: int = 100) -> Sample:
    """Return events a second."""
    (folder / "raw.db").unlink(missing_ok=True)
    db = sqlite3.connect(folder / "raw.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE outbox (id INTEGER PRIMARY KEY, body BLOB)")
    db.execute("CREATE TABLE dedup (key BLOB PRIMARY KEY, at INTEGER) WITHOUT ROWID")
    done = 0
    began, spent = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        keys = [(os.urandom(16), done) for _ in range(batch)]
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT OR IGNORE INTO dedup VALUES (?, ?)", keys)
        db.executemany("INSERT INTO outbox (body) VALUES (?)", [(_EVENT,)] * batch)
        db.execute("COMMIT")
        done += batch
    took, spent = time.perf_counter() - began, time.process_time() - spent
    db.close()
    return Sample(rate=done / took, cpu=spent / done)
