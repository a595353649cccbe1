"""Key filters: a key of the table is always found, and a new key is seldom searched for."""

import shutil
from contextlib import closing
from hashlib import blake2b

import pytest
from keys_stage import keys_of, take

from builders import NOW
from twite.domain.conversion import DEFAULT_WINDOW
from twite.stores.sql.database import WantedKey
from twite.stores.sqlite.engine import key_filters
from twite.stores.sqlite.engine.connection import connect_writer
from twite.stores.sqlite.engine.key_filters import KeyFilters
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of

PART = 7
ALL_KEYS = "SELECT key, delivery FROM recent_key UNION ALL SELECT key, delivery FROM dedup"


def key(number, *, part=PART):
    """Return a key of a part of the key space."""
    return bytes([part]) + blake2b(b"%d" % number, digest_size=15).digest()


@pytest.fixture
def book(tmp_path, migrated_file):
    with closing(
        connect_writer(str(shutil.copyfile(migrated_file, tmp_path / "twite.db")))
    ) as connection:
        yield a_book(connection)


def a_book(connection, *, fresh_keys=0):
    return OwnerSession(
        connection, window=DEFAULT_WINDOW, leases=leases_of(1), fresh_keys=fresh_keys
    )


def store(book, filters, numbers, *, first=1):
    """Add keys to the table and to the filter."""
    keys = [key(number) for number in numbers]
    book.connection.executemany(
        "INSERT INTO dedup VALUES (?, ?)", [(held, first + at) for at, held in enumerate(keys)]
    )
    filters.add(PART, b"".join(keys))


def found(filters, numbers, *, part=PART):
    """Return the numbers whose keys, by the filter, may be in the table."""
    wanted = [WantedKey(key(number, part=part), number, NOW) for number in numbers]
    return {wish.delivery for wish in filters.possible(wanted)}


@pytest.mark.parametrize("sizes", [[1], [31, 1, 1], [40] * 50, [1_000, 1_500, 3_000]])
def test_filter_allows_every_key_of_the_table_and_few_others(book, sizes):
    filters = KeyFilters(book.run)
    many = 0
    for size in sizes:
        store(book, filters, range(many, many + size), first=many + 1)
        many += size

    assert found(filters, range(many)) == set(range(many))
    assert len(found(filters, range(100_000, 110_000))) < 10_000 / 8 * 1.1


def test_part_without_keys_excludes_no_key(book):
    assert found(KeyFilters(book.run), range(10)) == set(range(10))


def test_bitmap_is_built_from_the_keys_that_an_older_version_wrote(book):
    book.connection.executemany(
        "INSERT INTO dedup VALUES (?, ?)", [(key(number), number + 1) for number in range(500)]
    )
    filters = KeyFilters(book.run)

    store(book, filters, [500], first=501)

    assert found(filters, range(501)) == set(range(501))
    assert len(found(filters, range(10_000, 11_000))) < 1_000 / 8 * 1.1


def test_bitmaps_are_kept_over_a_restart(book):
    filters = KeyFilters(book.run)
    store(book, filters, range(100))
    filters.write()

    again = KeyFilters(book.run)

    assert found(again, range(2_000)) == found(filters, range(2_000))
    assert len(found(again, range(2_000))) < 500


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE key_filter SET bitmap = zeroblob(length(bitmap))",
        "UPDATE key_filter SET bitmap = substr(bitmap, 2)",
        "UPDATE key_filter SET room = room + 1",
        "UPDATE key_filter SET room = 'many'",
        "UPDATE key_filter SET part = part + 1",
        "UPDATE key_filter SET part = part + 1000",
        "UPDATE key_filter SET checksum = 'none'",
        "DELETE FROM key_filter",
    ],
)
def test_any_key_of_a_part_without_an_intact_bitmap_is_possible(book, damage):
    filters = KeyFilters(book.run)
    store(book, filters, range(100))
    filters.write()
    book.connection.execute(damage)

    again = KeyFilters(book.run)

    assert found(again, range(2_000)) == set(range(2_000))
    assert found(again, range(2_000), part=PART + 1) == set(range(2_000))
    store(book, again, range(100, 200), first=101)
    assert found(again, range(200)) == set(range(200))


def test_all_keys_of_the_table_are_possible_after_a_rollback(book):
    filters = KeyFilters(book.run)
    store(book, filters, range(40))
    filters.write()
    filters.committed()
    book.connection.execute("SAVEPOINT vain")
    # The bitmap is rebuilt without the keys that the rollback restores.
    book.connection.execute("DELETE FROM dedup")
    store(book, filters, range(40, 200), first=41)
    rebuilt = found(filters, range(40))
    book.connection.execute("ROLLBACK TO vain")

    filters.rolled_back()
    filters.write()

    assert len(rebuilt) < 20
    assert found(filters, range(40)) == set(range(40))
    assert found(KeyFilters(book.run), range(40)) == set(range(40))


# The first two walks do not move the recent keys of this part to the large table.
RECENT = PART + 1


def moved(keys, numbers):
    """Take keys that move to the table of recent keys at once."""
    take(keys, *((key(number, part=RECENT), number + 1) for number in numbers))
    keys.finish()


def test_bitmap_of_moved_keys_is_written_before_the_commit(book):
    moved(keys_of(book, fresh=0), range(20))

    anew = KeyFilters(book.run)

    assert found(anew, range(20), part=RECENT) == set(range(20))
    assert len(found(anew, range(1_000, 2_000), part=RECENT)) < 100


def test_rollback_restores_no_bitmap_from_before_an_earlier_commit(book):
    moved(keys_of(book, fresh=0), [0])
    keys = keys_of(book, fresh=0)
    moved(keys, range(1, 40))  # so many that the bitmap is rebuilt
    keys.committed()
    book.connection.execute("SAVEPOINT vain")
    moved(keys, [40])
    book.connection.execute("ROLLBACK TO vain")

    keys.rolled_back()

    assert keys.holders([key(number, part=RECENT) for number in range(41)]).keys() == {
        key(number, part=RECENT) for number in range(40)
    }


def test_rollback_of_a_deletion_and_a_rebuild_restores_the_bitmap(book):
    keys = keys_of(book, fresh=0)
    moved(keys, range(40))
    keys.committed()
    book.connection.execute("SAVEPOINT vain")
    keys.forget(RECENT, 100)
    moved(keys, range(100, 200))
    forgotten = keys.holders([key(number, part=RECENT) for number in range(40)])
    book.connection.execute("ROLLBACK TO vain")

    keys.rolled_back()

    assert forgotten == {}
    assert len(keys.holders([key(number, part=RECENT) for number in range(40)])) == 40


def test_part_with_too_many_keys_has_no_bitmap(book, monkeypatch):
    monkeypatch.setattr(key_filters, "_MOST_KEYS", 50)
    filters = KeyFilters(book.run)
    store(book, filters, range(49))
    before = found(filters, range(1_000, 2_000))

    store(book, filters, range(49, 100), first=50)

    assert len(before) < 500
    assert found(filters, range(2_000)) == set(range(2_000))
    assert written(book, filters) == [(1,)]


def written(book, filters):
    filters.write()
    return book.connection.execute("SELECT length(bitmap) FROM key_filter").fetchall()


def test_bitmap_has_a_size_for_twice_its_keys_and_a_limit(book):
    filters = KeyFilters(book.run)
    sizes = []
    for first, beyond in ((0, 1), (1, 40), (40, 1_000), (1_000, 40_000)):
        store(book, filters, range(first, beyond), first=first + 1)
        sizes += written(book, filters)[0]

    assert sizes == [64, 128, 2_048, 65_536]


def test_deleted_keys_are_absent_from_the_next_bitmap(book):
    filters = KeyFilters(book.run)
    store(book, filters, range(1_000))
    book.connection.execute("DELETE FROM dedup")
    # The bitmap is rebuilt once as many keys have been added as it had at first.
    store(book, filters, range(1_000, 2_001), first=2_000)

    assert len(found(filters, range(1_000))) < 1_000 / 8 * 1.1


def test_moved_and_taken_over_keys_are_written_to_the_bitmap(book):
    """A process that is killed after the commit finds the keys of the table."""
    keys = book.keys
    for number in range(300):
        book.connection.execute("BEGIN IMMEDIATE")
        wish = WantedKey(key(number, part=number % 3), number + 1, NOW)
        assert keys.take([wish], lambda *_: False) == {}
        if number % 50 == 0:
            taken = WantedKey(key(1_000 + number, part=number % 3), 1_000 + number, NOW)
            assert keys.take_over(taken) is None
        book.finish()
        book.connection.execute("COMMIT")
        book.committed()

        merged = dict(book.connection.execute(ALL_KEYS).fetchall())
        assert a_book(book.connection).keys.holders(list(merged)) == merged
