"""After a rollback, the moving of deduplication keys continues where the last commit left it."""

import shutil
from contextlib import closing

import pytest
from keys_stage import MERGED, counted, key_of, keys_of, take

from twite.domain.conversion import DEFAULT_WINDOW
from twite.stores.sqlite.engine.connection import connect_writer
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of


@pytest.fixture
def book(tmp_path, migrated_file):
    path = str(shutil.copyfile(migrated_file, tmp_path / "twite.db"))
    with closing(connect_writer(path)) as connection:
        yield OwnerSession(connection, window=DEFAULT_WINDOW, leases=leases_of(1))


def test_keys_of_a_rolled_back_move_are_moved_later(book):
    keys = keys_of(book, fresh=2)
    early, later = key_of(5), key_of(10)
    take(keys, (early, 1), (later, 2))
    keys.committed()
    book.connection.execute("SAVEPOINT vain")
    take(keys, (key_of(200), 3))
    moved = counted(book, MERGED)
    book.connection.execute("ROLLBACK TO vain")

    keys.rolled_back()
    take(keys, (key_of(201), 3))

    assert moved == counted(book, MERGED) == 1
    assert keys_of(book).holders([early, later]) == {early: 1, later: 2}


def test_moving_of_keys_continues_after_a_rollback_where_the_last_commit_left_it(book):
    keys = keys_of(book, fresh=0)
    take(keys, (key_of(100), 1))
    keys.committed()
    (visited,) = book.connection.execute("SELECT bucket FROM merge_round").fetchone()
    book.connection.execute("SAVEPOINT vain")
    take(keys, (key_of(150), 2))
    book.connection.execute("ROLLBACK TO vain")

    keys.rolled_back()
    take(keys, (key_of(50), 2))

    # The walk had passed this part, so another walk moves its key.
    assert visited == 101
    assert book.connection.execute("SELECT bucket, walk FROM merge_round").fetchall() == [(51, 2)]
