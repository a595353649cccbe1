"""Keys: memory, log and table agree, and take turns."""

from types import SimpleNamespace

import pytest

from builders import NOW, a_submission, an_entry
from twite.domain.conversion import DEFAULT_WINDOW, dedup_key
from twite.stores.sql.database import WantedKey
from twite.stores.sql.intake import record
from twite.stores.sqlite.engine.connection import connect_writer, create
from twite.stores.sqlite.engine.dedup_keys import DedupKeys
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of
from twite.stores.sqlite.engine.schema import migrate


@pytest.fixture
def book(tmp_path):
    path = str(tmp_path / "twite.db")
    create(path)
    connection = connect_writer(path)
    migrate(connection, path)
    yield OwnerSession(connection, window=DEFAULT_WINDOW, leases=leases_of(1), fresh_keys=100)
    connection.close()


def submit(book, numbers, *, receipt):
    """Record orders in one transaction; return the places of the duplicates."""
    entries = [an_entry(f"order-{number}", index=place) for place, number in enumerate(numbers)]
    book.connection.execute("BEGIN IMMEDIATE")
    (recorded,) = record(book, [a_submission(*entries, receipt=receipt)])
    book.connection.execute("COMMIT")
    book.committed()
    return recorded.duplicates


def counted(book, table):
    return book.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - ours


def test_few_keys_stay_in_the_log(book):
    submit(book, range(100), receipt="r1")

    assert (counted(book, "fresh_key"), counted(book, "dedup")) == (100, 0)


def test_beyond_what_memory_keeps_they_go_into_the_table_in_turn(book):
    for turn in range(20):
        submit(book, range(turn * 100, turn * 100 + 100), receipt=f"r{turn}")

    kept = counted(book, "fresh_key")
    assert counted(book, "dedup") >= 2_000 - 100
    assert 100 <= kept <= 400


def test_wherever_a_key_is_its_second_coming_is_a_duplicate(book):
    for turn in range(20):
        submit(book, range(turn * 100, turn * 100 + 100), receipt=f"r{turn}")

    again = submit(book, range(2_000), receipt="again")

    assert again == tuple(range(2_000))


def test_memory_is_built_anew_from_the_log(book):
    for turn in range(20):
        submit(book, range(turn * 100, turn * 100 + 100), receipt=f"r{turn}")

    anew = OwnerSession(book.connection, window=DEFAULT_WINDOW, leases=leases_of(2), fresh_keys=100)

    assert submit(anew, range(2_000), receipt="again") == tuple(range(2_000))
    assert submit(anew, range(2_000, 2_100), receipt="more") == ()


def test_a_rollback_gives_keys_back_and_undoes_what_was_moved(book):
    for turn in range(10):
        submit(book, range(turn * 100, turn * 100 + 100), receipt=f"r{turn}")
    before = counted(book, "dedup"), counted(book, "fresh_key")
    entries = [an_entry(f"order-{number}", index=number) for number in range(5_000, 5_300)]
    book.connection.execute("BEGIN IMMEDIATE")
    record(book, [a_submission(*entries, receipt="vain")])
    during = counted(book, "dedup")

    book.connection.execute("ROLLBACK")
    book.rolled_back()

    assert during > before[0]
    assert (counted(book, "dedup"), counted(book, "fresh_key")) == before
    assert submit(book, range(1_000), receipt="again") == tuple(range(1_000))
    assert submit(book, range(5_000, 5_300), receipt="new") == ()


def test_a_holder_that_is_gone_holds_nothing():
    answers = {
        "merge_round": (0, 0, 0, 0),
        "fresh_keys": [(dedup_key("p", "e", "order-1"), 7)],
        "holdings": ("[]",),
        "log_keys": None,
    }

    def run(name, **_values):
        answer = answers[name]
        return answer if isinstance(answer, list) else SimpleNamespace(fetchone=lambda: answer)

    keys = DedupKeys(run, window=DEFAULT_WINDOW, fresh=100)

    wanted = [WantedKey(dedup_key("p", "e", "order-1"), 8, NOW)]
    assert keys.take(wanted, lambda _wish, _holder, holding: not holding.is_live) == {}


def test_a_rollback_gives_a_key_back_that_two_copies_took(book):
    submit(book, range(1), receipt="r1")
    plain, denied = an_entry("order-9"), an_entry("order-9", suppressed="consent_denied: gpc")
    first = an_entry("order-0", suppressed="consent_denied: gpc")
    book.connection.execute("BEGIN IMMEDIATE")
    record(book, [a_submission(plain, denied, first, receipt="vain")])

    book.connection.execute("ROLLBACK")
    book.rolled_back()

    assert submit(book, (0, 9), receipt="again") == (0,)
    assert submit(book, (0, 9), receipt="once more") == (0, 1)


def test_forgetting_takes_old_settled_keys_from_memory_and_no_others(book):
    submit(book, range(100), receipt="r1")
    # 1 to 60 and 71 to 80 are settled: of the old ones, 61 to 70 still wait.
    book.connection.execute("DELETE FROM outbox WHERE id <= 60 OR id BETWEEN 71 AND 80")

    for part in range(256):
        book.keys.forget(part, 71)

    again = submit(book, range(100), receipt="again")
    assert again == tuple(range(60, 100))
