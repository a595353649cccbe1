"""Recent deduplication keys override the large table, and move to it part by part."""

import shutil

import pytest
from keys_stage import counted, key_of, keys_of, take

from builders import NOW
from twite.domain.conversion import DEFAULT_WINDOW
from twite.stores.sql.database import WantedKey
from twite.stores.sqlite.engine.connection import connect_writer
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of


@pytest.fixture
def book(tmp_path, migrated_file):
    connection = connect_writer(str(shutil.copyfile(migrated_file, tmp_path / "twite.db")))
    yield OwnerSession(connection, window=DEFAULT_WINDOW, leases=leases_of(1), fresh_keys=100)
    connection.close()


def test_eighth_of_the_parts_moves_to_the_large_table_in_each_pass(book):
    keys = keys_of(book, fresh=0)
    moved = []

    for walk in range(8):
        wanted = [(key_of(part, walk), 1 + 256 * walk + part) for part in range(256)]
        for wish in wanted:
            take(keys, wish)
        moved.append(counted(book, "dedup"))
        assert keys.holders([key for key, _ in wanted]) == dict(wanted)

    # A part that is moved in the nth walk has n keys.
    assert moved == [32 * sum(range(1, walk + 2)) for walk in range(8)]
    assert counted(book, "recent_key") == 256 * 8 - moved[-1]


def test_restart_does_not_delay_the_move_to_the_large_table(book):
    for number in range(8 * 256):
        take(keys_of(book, fresh=0), (key_of(number % 256, number), 1 + number))

    parts = {key[0] for (key,) in book.connection.execute("SELECT key FROM dedup")}
    assert parts == set(range(256))


def test_latest_holder_of_a_key_in_both_tables_holds_it(book):
    held = key_of(0)
    book.connection.execute("INSERT INTO dedup VALUES (?, 3)", [held])
    keys = keys_of(book, fresh=0)
    assert keys.take_over(WantedKey(held, 5, NOW)) is None
    in_both = keys.holders([held])

    # In the eighth walk, the keys of the first part move to the large table.
    for walk in range(8):
        for part in range(256):
            take(keys, (key_of(part, 1 + walk), 10 + 256 * walk + part))

    moved = book.connection.execute("SELECT delivery FROM dedup WHERE key = ?", [held]).fetchall()
    assert (in_both, keys.holders([held]), moved) == ({held: 5}, {held: 5}, [(5,)])
    assert held not in {key for (key,) in book.connection.execute("SELECT key FROM recent_key")}


def test_rollback_undoes_a_move_to_the_large_table(book):
    keys = keys_of(book, fresh=0)
    for part in range(7):
        take(keys, (key_of(part), 1 + part))
        keys.committed()
    tables = [counted(book, table) for table in ("recent_key", "dedup")]
    book.connection.execute("SAVEPOINT vain")
    take(keys, (key_of(7), 8))
    during = counted(book, "dedup")
    book.connection.execute("ROLLBACK TO vain")
    keys.rolled_back()

    # The first walk moves every eighth part, starting with the seventh.
    again = (take(keys, (key_of(7), 9)), counted(book, "dedup"))

    assert (tables, during, again) == ([7, 0], 1, (({}, []), 1))
    assert keys.holders([key_of(part) for part in range(8)]) == {
        key_of(part): 1 + part if part < 7 else 9 for part in range(8)
    }


def test_only_old_settled_keys_are_removed_from_the_recent_ones(book):
    keys = keys_of(book, fresh=0)
    take(keys, *((key_of(5, number), 1 + number) for number in range(6)))
    book.connection.execute(
        "INSERT INTO outbox (id, queue, account, received_at, state) VALUES (1, 1, 1, 0, 'held')"
    )
    assert counted(book, "recent_key") == 6

    keys.forget(4, 5)
    kept = counted(book, "recent_key")
    keys.forget(5, 5)

    left = book.connection.execute("SELECT delivery FROM recent_key ORDER BY delivery").fetchall()
    assert (kept, left) == (6, [(1,), (5,), (6,)])
