# ruff: noqa: ASYNC240 - as in test_sqlite_copies.py
"""One flipped bit in the write-ahead log loses at most its page."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from builders import a_submission, an_entry
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.log_file import PAGE_SIZE, LogFile
from twite.stores.sqlite.recovery.recover import recover

FRAME = 24 + PAGE_SIZE
COMMITS = 6


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """The log of a killed process: several pages per commit, different ones in each commit."""
    path = tmp_path_factory.mktemp("log") / "some.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE some (id INTEGER PRIMARY KEY, body BLOB)")
        for number in range(COMMITS):
            connection.execute("INSERT INTO some VALUES (?, ?)", (number, bytes([number]) * 9_000))
        yield Path(f"{path}-wal").read_bytes()


def flipped(log, frame, offset):
    content = bytearray(log)
    content[32 + frame * FRAME + offset] ^= 1
    return LogFile(bytes(content))


def newest(log):
    frames = LogFile(log).headers()
    return {frame.page: frame for frame in frames}, len(frames)


@pytest.mark.parametrize("offset", [8, 12, 16, 20], ids=["salt 1", "salt 2", "sum 1", "sum 2"])
def test_bit_flipped_outside_a_page_loses_no_page(log, offset):
    sound, whole = LogFile(log).sound()
    assert whole
    _, count = newest(log)
    # For the last frame, only the checksum shows whether its page is intact.
    seen = count if offset < 16 else count - 1

    for frame in range(seen):
        pages, _ = flipped(log, frame, offset).sound()
        assert pages == sound, f"frame {frame} of {count}"


@pytest.mark.parametrize("offset", [3, 24, 24 + 2_000], ids=["page number", "first", "middle"])
def test_bit_flipped_in_a_page_loses_only_that_page(log, offset):
    sound, _ = LogFile(log).sound()
    pages_of, count = newest(log)

    for frame in range(count):
        pages, whole = flipped(log, frame, offset).sound()
        lost = {page for page, header in pages_of.items() if header.place == frame}
        assert not whole
        assert {page: sound[page] for page in sound if page not in lost} == {
            page: pages[page] for page in pages if page not in lost
        }, f"frame {frame} of {count}"


def test_frames_of_a_previous_log_are_not_read(log):
    sound, _ = LogFile(log).sound()
    former = bytearray(log[32:])
    for start in range(0, len(former), FRAME):
        former[start + 8 : start + 16] = bytes(8)

    assert LogFile(log + former).sound() == (sound, True)


async def test_log_truncated_before_the_last_checkpoint_hides_no_rows(tmp_path, monkeypatch):
    """The database file contains later commits than the remaining log."""
    checkpoints = "twite.stores.sqlite.engine.checkpoints.Checkpoints"
    monkeypatch.setattr(f"{checkpoints}._move", lambda *_: None)
    path = tmp_path / "twite.db"
    store = await SQLiteStore.open(str(path))
    for number in range(40):
        await store.record(a_submission(an_entry(f"order-{number}"), receipt=f"r{number}"))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0
    files = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-wal", ".epoch")}
    await store.close()
    ends = [frame.place + 1 for frame in LogFile(files["-wal"]).headers() if frame.pages]
    damaged = tmp_path / "damaged.db"
    for suffix, content in files.items():
        cut = content[: 32 + ends[10] * FRAME] if suffix == "-wal" else content
        Path(f"{damaged}{suffix}").write_bytes(cut)

    recovered = recover(str(damaged), str(tmp_path / "saved.db"))

    assert (recovered.rows["conversion"], recovered.rows["submission"]) == (40, 40)
    assert (recovered.pending, recovered.held, recovered.behind) == (0, 40, 0)
