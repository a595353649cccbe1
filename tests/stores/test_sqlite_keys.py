"""Deduplication keys: memory, log and table agree, and keys are moved step by step."""

import shutil
from types import SimpleNamespace

import pytest
from keys_stage import MERGED, counted, key_of, keys_of, take

from builders import NOW, a_submission, an_entry
from twite.domain.cause import DeliveryCause
from twite.domain.conversion import DEFAULT_WINDOW, dedup_key
from twite.domain.delivery import State
from twite.stores.sql.database import AT_ONCE, Holding, WantedKey
from twite.stores.sql.intake import record
from twite.stores.sqlite.engine.connection import connect_writer
from twite.stores.sqlite.engine.dedup_keys import DedupKeys
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of

DENIED = {"suppressed": "gpc", "cause": DeliveryCause.CONSENT_DENIED}


@pytest.fixture
def book(tmp_path, migrated_file):
    connection = connect_writer(str(shutil.copyfile(migrated_file, tmp_path / "twite.db")))
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


def test_few_keys_stay_in_the_log(book):
    submit(book, range(100), receipt="r1")

    assert (counted(book, "fresh_key"), counted(book, MERGED)) == (100, 0)


def test_keys_beyond_the_limit_of_memory_are_moved_to_the_table(book):
    for turn in range(20):
        submit(book, range(turn * 100, turn * 100 + 100), receipt=f"r{turn}")

    kept = counted(book, "fresh_key")
    assert counted(book, MERGED) >= 2_000 - 100
    assert 100 <= kept <= 400


def test_repeated_key_is_a_duplicate_wherever_it_is_stored(book):
    for turn in range(20):
        submit(book, range(turn * 100, turn * 100 + 100), receipt=f"r{turn}")

    again = submit(book, range(2_000), receipt="again")

    assert again == tuple(range(2_000))


def test_keys_in_memory_are_rebuilt_from_the_log(book):
    for turn in range(20):
        submit(book, range(turn * 100, turn * 100 + 100), receipt=f"r{turn}")

    anew = OwnerSession(book.connection, window=DEFAULT_WINDOW, leases=leases_of(2), fresh_keys=100)

    assert submit(anew, range(2_000), receipt="again") == tuple(range(2_000))
    assert submit(anew, range(2_000, 2_100), receipt="more") == ()


def test_rollback_removes_new_keys_and_undoes_moves(book):
    for turn in range(10):
        submit(book, range(turn * 100, turn * 100 + 100), receipt=f"r{turn}")
    before = counted(book, MERGED), counted(book, "fresh_key")
    entries = [an_entry(f"order-{number}", index=number) for number in range(5_000, 5_300)]
    book.connection.execute("BEGIN IMMEDIATE")
    record(book, [a_submission(*entries, receipt="vain")])
    during = counted(book, MERGED)

    book.connection.execute("ROLLBACK")
    book.rolled_back()

    assert during > before[0]
    assert (counted(book, MERGED), counted(book, "fresh_key")) == before
    assert submit(book, range(1_000), receipt="again") == tuple(range(1_000))
    assert submit(book, range(5_000, 5_300), receipt="new") == ()


def test_deleted_delivery_holds_no_key():
    answers = {
        "merge_round": (0, 0, 0, 0),
        "fresh_keys": (dedup_key("p", "e", "order-1"), "[7]"),
        "holdings": ("[]",),
        "log_keys": None,
    }

    def run(name, *, after=0, **_values):
        return SimpleNamespace(
            fetchone=lambda: (None, "[]") if after else answers[name], fetchall=list
        )

    keys = DedupKeys(run, window=DEFAULT_WINDOW, fresh=100)

    wanted = [WantedKey(dedup_key("p", "e", "order-1"), 8, NOW)]
    assert keys.take(wanted, lambda _wish, _holder, holding: not holding.is_live) == {}


def test_rollback_returns_a_key_taken_over_by_two_copies(book):
    submit(book, range(1), receipt="r1")
    plain, denied = an_entry("order-9"), an_entry("order-9", **DENIED)
    first = an_entry("order-0", **DENIED)
    book.connection.execute("BEGIN IMMEDIATE")
    record(book, [a_submission(plain, denied, first, receipt="vain")])

    book.connection.execute("ROLLBACK")
    book.rolled_back()

    assert submit(book, (0, 9), receipt="again") == (0,)
    assert submit(book, (0, 9), receipt="once more") == (0, 1)


def test_only_old_settled_keys_are_removed_from_memory(book):
    submit(book, range(100), receipt="r1")
    # Deliveries 1 to 60 and 71 to 80 are settled; of the old ones, 61 to 70 are still pending.
    book.connection.execute("DELETE FROM outbox WHERE id <= 60 OR id BETWEEN 71 AND 80")

    for part in range(256):
        book.keys.forget(part, 71)

    again = submit(book, range(100), receipt="again")
    assert again == tuple(range(60, 100))


def log(book, deliveries, *, merge_round=(0, 0, 0, 0)):
    """Write a key log (delivery → key) like one that a stopped gateway leaves."""
    book.connection.execute("DELETE FROM fresh_key")
    book.connection.executemany("INSERT INTO fresh_key VALUES (?, ?)", deliveries.items())
    book.connection.execute(
        "UPDATE merge_round SET bucket = ?, began = ?, low = ?, high = ?", merge_round
    )


@pytest.mark.parametrize("takes", [True, False])
def test_second_request_for_a_key_in_one_call_is_compared_with_the_first(book, takes):
    keys = keys_of(book)
    held = key_of(7)

    late, contested = take(keys, (held, 5), (key_of(8), 6), (held, 7), takes=takes)

    assert contested == [(7, 5, AT_ONCE)]
    assert late == ({} if takes else {7: 5})
    assert keys.holders([held, key_of(8), key_of(9)]) == {held: 7 if takes else 5, key_of(8): 6}


def test_copy_holds_the_key_that_it_took_over_after_a_restart(book):
    keys, held = keys_of(book), key_of(7)
    take(keys, (held, 5))

    take(keys, (held, 6), takes=True)

    assert keys_of(book).holders([held]) == {held: 6}


@pytest.mark.parametrize(
    ("merge_round", "in_memory"),
    [
        # (bucket, began, low, high): for the parts already visited, the log is newer from `began`.
        ((10, 100, 0, 50), {(5, 100), (10, 50), (10, 99), (10, 100)}),
        # At the end of a pass, all parts were visited.
        ((0, 100, 0, 50), {(5, 100), (10, 100)}),
        ((0, 0, 0, 0), {(part, delivery) for part in (5, 10) for delivery in (49, 50, 99, 100)}),
    ],
)
def test_only_keys_of_the_log_that_the_table_lacks_are_read(book, merge_round, in_memory):
    places = [(part, delivery) for part in (5, 10) for delivery in (49, 50, 99, 100)]
    log(
        book,
        {delivery * 2 + (part == 5): key_of(part, delivery) for part, delivery in places},
        merge_round=(merge_round[0], *(2 * delivery for delivery in merge_round[1:])),
    )

    found = keys_of(book).holders([key_of(*place) for place in places])

    assert set(found) == {key_of(*place) for place in in_memory}


def test_full_memory_shrinks_by_two_keys_for_each_new_key(book):
    log(book, {number: key_of(number) for number in range(1, 101)})
    keys = keys_of(book, fresh=20)
    merged = []

    for number in range(5):
        take(keys, (key_of(255, number), 1_000 + number))
        merged.append(counted(book, MERGED))

    assert merged == [2, 4, 6, 8, 10]


def test_part_with_more_keys_than_required_is_moved_in_advance(book):
    log(book, {number: key_of(number // 5, number) for number in range(5, 105)})
    keys = keys_of(book, fresh=20)
    merged = []

    for number in range(6):
        take(keys, (key_of(255, number), 1_000 + number))
        merged.append(counted(book, MERGED))

    # Each part has five keys and is moved whole; each new key requires that two more are moved.
    assert merged == [5, 5, 10, 10, 10, 15]


def test_log_loses_moved_keys_during_an_eighth_of_a_pass(book):
    merged = {number: key_of(100, number) for number in range(1, 257)}
    fresh = {257 + part: key_of(part) for part in range(44)}
    log(book, merged | fresh, merge_round=(0, 257, 1, 1))
    keys = keys_of(book, fresh=20)
    first = []

    for number in range(18):
        take(keys, (key_of(255, number), 1_000 + number))
        (least,) = book.connection.execute("SELECT min(delivery) FROM fresh_key").fetchone()
        first.append(least)

    # With each new key, the walk visits two parts.
    assert first == [min(1 + 16 * many, 257) for many in range(1, 19)]


def test_key_logged_during_a_pass_is_read_after_a_restart(book):
    keys = keys_of(book, fresh=1)
    take(keys, (key_of(0), 5), (key_of(1), 6))
    taken = [key_of(0, 7), key_of(255, 8)]

    take(keys, (taken[0], 7))
    take(keys, (taken[1], 8))

    assert keys_of(book, fresh=1).holders(taken) == {taken[0]: 7, taken[1]: 8}


def test_memory_is_full_only_beyond_its_size(book):
    keys = keys_of(book, fresh=10)
    merged = []

    for number in range(12):
        take(keys, (key_of(number), 1 + number))
        merged.append(counted(book, MERGED))

    assert merged == [*[0] * 10, 1, 2]


def test_key_taken_by_two_requests_uses_space_once(book):
    keys = keys_of(book, fresh=3)
    merged = []

    take(keys, (key_of(1), 5), (key_of(2), 6), (key_of(1), 7), takes=True)
    for number in range(3):
        merged.append(counted(book, MERGED))
        take(keys, (key_of(100, number), 20 + number))

    assert [*merged, counted(book, MERGED)] == [0, 0, 1, 2]


def test_rollback_frees_only_the_space_of_its_keys(book):
    keys = keys_of(book, fresh=10)
    take(keys, *((key_of(number), 1 + number) for number in range(10)))
    keys.committed()
    book.connection.execute("SAVEPOINT vain")
    take(keys, *((key_of(100 + number), 20 + number) for number in range(5)))
    book.connection.execute("ROLLBACK TO vain")

    keys.rolled_back()

    take(keys, (key_of(200), 30))
    assert counted(book, MERGED) == 1
    assert key_of(100) not in keys.holders([key_of(100)])


def test_forgotten_keys_free_only_their_space(book):
    keys = keys_of(book, fresh=10)
    take(keys, *((key_of(number), 1 + number) for number in range(10)))
    for part in range(4):
        keys.forget(part, 3)

    merged = []
    for number in range(3):
        take(keys, (key_of(100, number), 20 + number))
        merged.append(counted(book, MERGED))

    assert merged == [0, 0, 1]


HELD_SINCE = [
    (DEFAULT_WINDOW, None, True, True),
    (DEFAULT_WINDOW + 1, None, False, False),
    (DEFAULT_WINDOW + 1, State.DEAD, False, False),
    (DEFAULT_WINDOW, State.DEAD, True, True),
    (DEFAULT_WINDOW + 1, State.QUEUED, True, False),
    (DEFAULT_WINDOW + 1, State.SENDING, True, False),
    (DEFAULT_WINDOW + 1, State.HELD, True, False),
]


def hold(book, state):
    """Record one order, and give its delivery a state; None for settled."""
    submit(book, range(1), receipt="r1")
    if state is None:
        book.connection.execute("DELETE FROM outbox")
    else:
        book.connection.execute("UPDATE outbox SET state = ?", (state.value,))
    ((delivery, key),) = book.connection.execute("SELECT delivery, key FROM fresh_key").fetchall()
    return delivery, key


@pytest.mark.parametrize(("after", "state", "is_live", "is_recent"), HELD_SINCE)
def test_key_is_held_within_the_window_and_while_its_conversion_is_pending(
    book, after, state, is_live, is_recent
):
    delivery, key = hold(book, state)
    seen = []

    book.keys.take(
        [WantedKey(key, delivery + 1, NOW + after)],
        lambda wish, holder, holding: seen.append((wish.delivery, holder, holding)),
    )

    holding = Holding(is_live=is_live, is_recent=is_recent, state=state)
    assert seen == [(delivery + 1, delivery, holding)]


@pytest.mark.parametrize(("after", "state", "is_live", "_is_recent"), HELD_SINCE)
def test_key_that_is_no_longer_held_is_taken_over(book, after, state, is_live, _is_recent):
    delivery, key = hold(book, state)

    holder = book.keys.take_over(WantedKey(key, delivery + 1, NOW + after))

    assert holder == (delivery if is_live else None)
    assert book.keys.holders([key]) == {key: delivery if is_live else delivery + 1}


@pytest.mark.parametrize("fresh", [0, 100])
def test_key_taken_over_moves_from_the_log_to_the_table(book, fresh):
    keys = keys_of(book, fresh=fresh)
    free, own = key_of(1), key_of(2)
    take(keys, (own, 5), (key_of(3), 6))

    taken = [keys.take_over(WantedKey(*wanted, NOW)) for wanted in ((free, 4), (own, 5))]
    keys.finish()
    keys.committed()

    assert taken == [None, None]
    assert keys.holders([free, own]) == {free: 4, own: 5}
    logged = book.connection.execute("SELECT key FROM fresh_key").fetchall()
    assert logged == [(key_of(3),)]
    table = f"SELECT key, delivery FROM {MERGED} WHERE delivery < 6 ORDER BY delivery"  # noqa: S608 - ours
    assert book.connection.execute(table).fetchall() == [(free, 4), (own, 5)]


def test_key_taken_over_from_the_table_needs_no_memory(book):
    keys = keys_of(book, fresh=1)
    take(keys, (key_of(2), 5))

    for number in range(5):
        keys.take_over(WantedKey(key_of(1, number), 1, NOW))
    take(keys, (key_of(3), 6))

    # Memory contains one key too many, so the first of the two is moved to the table.
    assert counted(book, MERGED) == 6


def test_rollback_returns_a_key_that_was_taken_over(book):
    delivery, key = hold(book, None)
    late = NOW + 2 * DEFAULT_WINDOW
    book.connection.execute("SAVEPOINT vain")
    book.keys.take_over(WantedKey(key, delivery + 1, late))
    book.connection.execute("ROLLBACK TO vain")

    book.keys.rolled_back()
    book.keys.finish()

    assert book.keys.holders([key]) == {key: delivery}
    assert counted(book, "fresh_key") == 1
