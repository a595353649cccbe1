"""The statements of a transaction on PostgreSQL: their order, and the rows that they send."""

import pytest
from session_stage import MARK, NODE, SLOT, Lost

from twite.gateway.ports.ownership import PAUSES, SECRETS
from twite.stores.postgres.session import CommitUnknown
from twite.stores.sql.database import seed_of
from twite.stores.sql.rows.figure_tables import WaitedRow
from twite.stores.sql.rows.insertions import TallyRow
from twite.stores.sql.rows.tables import AttemptedRow, CalledRow, OutboxRow

CALLED = [CalledRow(delivery=1, name="a")]


def a_wait(span):
    return WaitedRow(span=span, at=0, account=1, slot=2, deliveries=1)


def test_transaction_begins_with_its_mark_and_returns_the_result(transact, connection, tally):
    assert transact(lambda session: session.mark) == 2 * MARK
    assert connection.names() == ["BEGIN", "begin", "COMMIT"]
    assert connection.values_of("begin") == {"node": NODE, "mark": None}
    assert tally == ["write", "committed", "clear"]


def test_first_statement_of_a_unit_of_work_can_begin_the_transaction(transact, connection):
    transact(lambda session: session.run_first("claim_usual", limit=9), begins=True)

    assert connection.names() == ["BEGIN", "claim_usual", "COMMIT"]
    assert connection.values_of("claim_usual") == {"limit": 9, "node": NODE, "mark": None}


def test_statement_that_begins_the_transaction_returns_its_row_without_the_mark(transact):
    def unit(session):
        row = session.run_first("claim_usual")
        return row, session.mark

    assert transact(unit, begins=True) == (["more"], 2 * MARK)


def test_only_the_first_statement_begins_the_transaction(transact, connection):
    def unit(session):
        for _ in range(2):
            session.run("queues")
        session.run_first("claim_usual")

    transact(unit, begins=True)

    assert connection.names() == ["BEGIN", "begin", "queues", "queues", "claim_usual", "COMMIT"]
    assert connection.values_of("claim_usual")["mark"] is None


def test_each_statement_has_the_node_and_its_slot(transact, connection):
    transact(lambda session: session.run("expire", now=5))

    assert connection.values_of("expire") == {"now": 5, "slot": SLOT, "node": NODE}


def test_failed_unit_of_work_is_rolled_back_without_traces(transact, connection, tally, names):
    def unit(session):
        session.account("source", "pixel", since=1)
        session.queue("pixel", "event")
        session.add(CALLED)
        session.count_accounts([TallyRow(account=1, delivered=5)])
        session.run("add_pause")
        session.add(CALLED)
        session.add([OutboxRow(id=1, queue=1, account=1, received_at=7)])
        raise ZeroDivisionError

    connection.rows |= {"add_account": [[(1,)]], "add_queue": [[(2,)]]}
    names.claim_starts.made_ready = connection.errors.setdefault
    with pytest.raises(ZeroDivisionError):
        transact(unit)
    failed = connection.names()
    connection.ran.clear()
    ready = []
    names.claim_starts.made_ready = ready.append
    transact()

    assert failed[-1] == "ROLLBACK"
    assert connection.names() == ["BEGIN", "begin", "COMMIT"]
    assert tally.count("committed") == 1
    assert (names.events, names.accounts, names.seeds) == ({}, {}, {})
    assert ready == [1 << 62]


def test_lost_connection_is_not_rolled_back(transact, connection):
    def unit(session):
        session.connection.is_open = False
        raise Lost

    with pytest.raises(Lost):
        transact(unit)

    assert connection.names() == ["BEGIN", "begin"]


def test_result_of_a_lost_commit_is_unknown(transact, connection, tally, names):
    def unit(session):
        session.account("source", "pixel", since=1)
        return "result"

    connection.rows["add_account"] = [[(1,)]]
    connection.errors["COMMIT"] = Lost()

    with pytest.raises(CommitUnknown) as caught:
        transact(unit)

    assert (caught.value.mark, caught.value.result) == (2 * MARK, "result")
    assert str(caught.value) == str(2 * MARK)  # without the result, which may name persons
    assert tally == ["write", "clear"]
    assert names.accounts == {}


def test_refused_commit_leaves_nothing(transact, connection, tally, names):
    def unit(session):
        session.account("source", "pixel", since=1)

    connection.rows["add_account"] = [[(1,)]]
    connection.errors["COMMIT"] = ZeroDivisionError()

    with pytest.raises(ZeroDivisionError):
        transact(unit)

    assert tally == ["write", "clear"]
    assert names.accounts == {}


def test_committed_names_are_known_to_all_sessions(session, transact, connection, names, tally):
    def unit(session):
        return session.account("source", "pixel", since=1), session.queue("pixel", "event")

    connection.rows |= {"add_account": [[(5,)]], "add_queue": [[(6,)]]}
    ids = [transact(unit), transact(unit)]

    assert ids == [(5, 6)] * 2
    assert connection.names().count("add_account") == connection.names().count("add_queue") == 1
    assert (names.accounts, names.events) == ({("source", "pixel"): 5}, {("pixel", "event"): 6})
    assert names.seeds == {6: seed_of("pixel", "event")}
    assert session.known_event("pixel", "event") == 6
    assert session.known_event("pixel", "other") is None
    assert session.new_counts() == {5: ("source", "pixel")}


def test_name_is_added_once_in_a_transaction(transact, connection):
    def unit(session):
        return [
            (session.account("source", "pixel", since=1), session.queue("pixel", "event"))
            for _ in range(2)
        ]

    connection.rows |= {"add_account": [[(5,)]], "add_queue": [[(6,)]]}

    assert transact(unit) == [(5, 6)] * 2
    assert connection.names().count("add_account") == connection.names().count("add_queue") == 1


def test_name_that_another_transaction_has_just_added_is_read(transact, connection):
    connection.rows["add_account"] = [[], [(5,)]]

    assert transact(lambda session: session.account("source", "pixel", since=1)) == 5
    assert connection.names().count("add_account") == 2


def test_seed_of_an_event_that_another_node_added_is_computed_from_its_names(transact, connection):
    connection.rows["names_of_event"] = [[("pixel", "event")]]

    seeds = transact(lambda session: [session.seeds[6] for _ in range(2)])

    assert seeds == [seed_of("pixel", "event")] * 2
    assert connection.values_of("names_of_event")["event"] == 6


def test_seed_that_the_process_knows_is_not_read(session, transact, connection, names):
    names.seeds[6] = 0

    assert transact(lambda session: session.seeds[6]) == 0
    assert connection.names() == ["BEGIN", "begin", "COMMIT"]


def test_queues_have_the_ids_of_their_events(transact, connection):
    connection.rows["queues"] = [[(1, "a", "b"), (2, "a", "c")]]

    assert transact(lambda session: session.queues()) == [1, 2]


@pytest.mark.parametrize(
    ("name", "lock"),
    [
        ("last_audit_event", "lock_audit_events"),
        ("rejected_so_far", "lock_rejections"),
        ("all_rejections", "lock_ring"),
        ("ignored", "lock_ignored"),
    ],
)
def test_statements_that_run_one_at_a_time_are_locked_before(transact, connection, name, lock):
    connection.rows["rejected_so_far"] = [[(0,)]]

    transact(lambda session: session.run(name, account=1))

    assert connection.names() == ["BEGIN", "begin", lock, name, "COMMIT"]


def test_rejected_conversions_of_one_transaction_are_counted(transact, connection):
    def unit(session):
        session.count_accounts(
            [TallyRow(account=account, rejected=many) for account, many in ((1, 4), (1, 3), (2, 1))]
        )
        found = session.run("rejected_so_far", account=1)
        return found.rowcount, found.fetchone()

    connection.rows["rejected_so_far"] = [[(10,)]]

    assert transact(unit) == (1, (17,))


def test_changes_for_other_gateways_are_written_last_and_in_order(transact, connection):
    def unit(session):
        for name in ("put_sealed", "remove_pause", "add_pause"):
            session.run(name)

    transact(unit)

    assert connection.names()[-3:] == ["note_change", "note_change", "COMMIT"]
    assert [values["what"] for name, values in connection.ran if name == "note_change"] == sorted(
        {PAUSES, SECRETS}
    )


def test_rows_are_inserted_together_before_the_next_statement(transact, connection):
    def unit(session):
        session.add([CalledRow(delivery=id_, name=name) for id_, name in ((1, "a"), (2, "b"))])
        session.add([AttemptedRow(delivery=3, attempt=4)])
        session.add([])
        session.run("queues")

    transact(unit)

    assert connection.names()[2:4] == [("attempted", "called"), "queues"]
    assert connection.values_of(("attempted", "called")) == [[3], [4], [1, 2], ["a", "b"]]


def test_rows_of_the_same_table_are_inserted_in_order(transact, connection):
    def unit(session):
        session.add(CALLED)
        session.add([CalledRow(delivery=2, name="b")])

    transact(unit)

    assert connection.ran[2:4] == [(("called",), [[1], ["a"]]), (("called",), [[2], ["b"]])]


def test_counts_are_written_last_in_rows_of_the_session(transact, connection):
    def unit(session):
        session.add([a_wait(60)])
        session.count_accounts(
            [
                TallyRow(account=5, received=10, duplicate=1, suppressed=2, rejected=3),
                TallyRow(account=6, received=20),
                TallyRow(account=5, delivered=7),
                TallyRow(account=5, delivered=8),
            ]
        )
        session.run("queues")

    transact(unit)

    assert connection.names() == ["BEGIN", "begin", "queues", ("waited", "tally"), "COMMIT"]
    assert connection.values_of(("waited", "tally")) == [
        [SLOT], [60], [0], [1], [2], [1],
        [SLOT, SLOT], [5, 6], [10, 20], [15, 0], [1, 0], [2, 0], [3, 0],
    ]  # fmt: skip


def test_counts_of_the_same_kind_do_not_replace_each_other(transact, connection):
    def unit(session):
        session.add([a_wait(60)])
        session.add([a_wait(61)])

    transact(unit)

    assert connection.ran[2:4] == [
        (("waited",), [[SLOT], [60], [0], [1], [2], [1]]),
        (("waited",), [[SLOT], [61], [0], [1], [2], [1]]),
    ]


def test_counts_of_conversions_are_not_repeated_with_the_next_counts(transact, connection):
    def unit(session):
        session.count_accounts([TallyRow(account=5, delivered=7)])
        session.add([a_wait(60)])
        session.add([a_wait(61)])

    transact(unit)

    assert connection.names()[2:4] == [("waited", "tally"), ("waited",)]


def test_counts_are_written_once(transact, connection):
    transact(lambda session: session.count_accounts([TallyRow(account=5, delivered=7)]))
    connection.ran.clear()

    transact()

    assert connection.names() == ["BEGIN", "begin", "COMMIT"]


def test_rows_are_inserted_by_a_unit_of_work_without_a_statement(transact, connection):
    transact(lambda session: session.add(CALLED), begins=True)

    assert connection.names() == ["BEGIN", "begin", ("called",), "COMMIT"]


@pytest.fixture
def ready(names):
    """The times from which committed transactions have made deliveries ready."""
    times = []
    names.claim_starts.made_ready = times.append
    return times


def test_claims_find_new_deliveries(transact, ready):
    def unit(session):
        for times in ([9, 7], [8]):
            session.add([OutboxRow(id=at, queue=1, account=1, received_at=at) for at in times])
        session.add([OutboxRow(id=1, queue=1, account=1, received_at=1, state="held")])

    transact(unit)
    transact()

    assert ready == [7, 1 << 62]


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        *((name, 1, 0) for name in ("promote", "promote_far", "postpone", "replay", "recall")),
        ("promote", 0, 1 << 62),
        ("queues", 1, 1 << 62),
    ],
)
def test_claims_find_deliveries_that_are_queued_again(  # noqa: PLR0917 - fixtures
    transact, connection, ready, name, rows, expected
):
    connection.rows[name] = [[(1,)] * rows]

    transact(lambda session: session.run(name))

    assert ready == [expected]


def test_deliveries_with_denied_consent_are_read_once_in_a_transaction(
    session, transact, connection
):
    def unit(session):
        return [sorted(session.denied) for _ in range(2)]

    connection.rows["denied"] = [[(4,), (5,)], [(6,)]]

    assert [transact(unit), transact(unit)] == [[[4, 5]] * 2, [[6]] * 2]
    assert connection.names().count("denied") == 2


def test_deliveries_with_denied_consent_can_be_replaced(transact, connection):
    def unit(session):
        session.denied = {7}
        return session.denied

    assert transact(unit) == {7}
    assert "denied" not in connection.names()


def test_deduplication_keys_are_those_of_the_transaction(session, transact, connection):
    connection.rows["lock_keys"] = [[(b"key", 4)]]

    assert transact(lambda session: session.keys.holders([b"key"])) == {b"key": 4}
    assert session.keys.window == 9


def test_database_error_is_never_a_damaged_row(session):
    assert session.is_row_damage(ValueError()) is False
