"""The ids of a session on PostgreSQL: blocks, and the mark of each transaction."""

import pytest
from session_stage import BLOCK, MARK, NODE, SLOT, Lost

from twite.stores.postgres import session as module
from twite.stores.postgres.session import CommitUnknown
from twite.stores.sql.rows.tables import CalledRow


def taken(*counts):
    """Return a unit that takes so many ids for each submission; its result: (first, submission)."""

    def unit(session):
        return [(session.next_conversions(count), session.next_submission()) for count in counts]

    return unit


def test_ids_of_a_transaction_continue_from_its_mark(transact):
    first, second, third = transact(taken(2, 0, 3))

    mark = 2 * MARK
    assert (first, second, third) == ((mark, mark), (mark + 2, mark + 2), (mark + 2, mark + 2))


def test_transactions_use_ids_of_the_same_block_for_a_second(transact, connection, clock):
    results = [transact(taken(3), begins=True)]
    clock[0] += module.BLOCK_FOR - 0.125
    results.append(transact(taken(3), begins=True))
    clock[0] += 0.125
    results.append(transact(taken(3), begins=True))

    # The session itself began the first block.
    starts = [first for ((first, _),) in results]
    assert starts == [MARK + 1, MARK + 4, 2 * MARK]


def test_known_mark_is_written_with_the_first_statement(transact, connection):
    def unit(session):
        session.next_conversions(3)
        session.run("take_keys", keys=[])

    transact(unit, begins=True)

    assert connection.names() == ["BEGIN", "take_first_keys", "COMMIT"]
    assert connection.values_of("take_first_keys") == {
        "keys": [], "mark": MARK + 1, "slot": SLOT, "node": NODE
    }  # fmt: skip


@pytest.mark.parametrize("before", ["a statement", "rows"])
def test_mark_is_written_before_any_other_statement(transact, connection, before):
    def unit(session):
        session.next_conversions(3)
        if before == "rows":
            session.add([CalledRow(delivery=1, name="a")])
        else:
            session.run("queues")
        session.run("take_keys", keys=[])

    transact(unit, begins=True)

    other = ("called",) if before == "rows" else "queues"
    assert connection.names() == ["BEGIN", "begin", other, "take_keys", "COMMIT"]
    assert connection.values_of("begin")["mark"] == MARK + 1


def test_keys_are_taken_with_a_mark_once(transact, connection):
    def unit(session):
        session.next_conversions(3)
        for _ in range(2):
            session.run("take_keys", keys=[])

    transact(unit, begins=True)

    assert connection.names() == ["BEGIN", "take_first_keys", "take_keys", "COMMIT"]


def test_transaction_without_a_mark_begins_before_its_keys(transact, connection):
    transact(lambda session: session.run("take_keys", keys=[]), begins=True)

    assert connection.names() == ["BEGIN", "begin", "take_keys", "COMMIT"]


def test_transaction_without_conversions_uses_an_id_of_the_block(transact):
    marks = [transact(lambda session: (session.next_conversions(0), session.mark), begins=True)]
    marks.append(transact(lambda session: (session.next_conversions(0), session.mark), begins=True))

    assert marks == [(MARK + 1, MARK + 1), (MARK + 2, MARK + 2)]


def test_larger_transaction_gets_a_whole_new_block(transact, connection):
    connection.rows["more_ids"] = [[(9 * MARK,)]]

    results = transact(taken(1, BLOCK - 1, 1))

    assert [first for first, _ in results] == [2 * MARK, 2 * MARK + 1, 9 * MARK]
    assert transact(taken(BLOCK - 1), begins=True)[0][0] == 9 * MARK + 1


def test_transaction_after_the_end_of_a_block_begins_with_a_new_one(transact):
    transact(taken(BLOCK - 1), begins=True)

    assert transact(taken(1), begins=True) == [(2 * MARK, 2 * MARK)]


def test_mark_stays_the_first_id_of_its_transaction(transact, connection):
    def unit(session):
        firsts = [session.next_conversions(3)]
        session.run("queues")
        firsts += [session.next_conversions(2), session.next_conversions(2)]
        return firsts

    connection.errors["COMMIT"] = Lost()

    with pytest.raises(CommitUnknown) as caught:
        transact(unit, begins=True)
    assert caught.value.mark == connection.values_of("begin")["mark"] == MARK + 1
    assert caught.value.result == [MARK + 1, MARK + 4, MARK + 6]


def test_block_is_not_used_after_a_rollback(transact):
    def fails(session):
        session.next_conversions(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        transact(fails, begins=True)

    assert transact(taken(1), begins=True) == [(2 * MARK, 2 * MARK)]


def test_attempt_has_an_id_of_its_own(transact):
    assert transact(lambda session: [session.next_attempt(), session.next_attempt()]) == [
        2 * MARK,
        2 * MARK + 1,
    ]


def test_number_of_a_lease_comes_from_the_database(transact, connection):
    connection.rows["next_lease"] = [[(12,)]]

    assert transact(lambda session: session.next_lease()) == 12


def test_names_of_requests_are_locked_in_order(transact, connection):
    def unit(session):
        session.lock_names([])
        session.lock_names([b"\x02", b"\x01", b"\x02"])

    transact(unit)

    assert connection.values_of("lock_name")["names"] == ["01", "02"]


def test_lease_is_locked_before_its_deliveries(transact, connection):
    transact(lambda session: session.lock_batch(7, {3, 1, 2}))

    assert connection.names() == ["BEGIN", "begin", "lock_lease", "lock_deliveries", "COMMIT"]
    assert connection.values_of("lock_lease")["lease"] == 7
    assert connection.values_of("lock_deliveries")["deliveries"] == "[1,2,3]"
