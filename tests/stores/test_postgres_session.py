"""The statements of a transaction on PostgreSQL: their order, the rows they send, and the ids."""

from types import SimpleNamespace

import pytest

from twite.gateway.ports.ownership import PAUSES, SECRETS
from twite.stores.postgres import session as module
from twite.stores.postgres.connection import ResultRows
from twite.stores.postgres.session import CommitUnknown, PostgresSession, SharedNames
from twite.stores.sql.database import seed_of

NODE, PLACE = 65, 3
SLOT = 1 * 8 + PLACE  # the slots of 64 nodes, with 8 sessions each
MARK = 1 << 30
BLOCK = 2_048


class Connection:
    """A connection that notes its statements: `rows` has the rows of the next ones by name."""

    def __init__(self):
        self.is_open = True
        self.ran = []
        self.rows = {"read_deployment": [[(b"salt",)]]}
        self.errors = {}
        self.marks = 0

    def begin(self):
        self.note("BEGIN")

    def commit(self):
        self.note("COMMIT")

    def note(self, name, values=None):
        self.ran.append((name, values))
        if name in self.errors:
            raise self.errors.pop(name)

    def run(self, name, values):
        self.note(name, {**values})
        if values.get("mark", 0) is None:
            # The database chooses the first id of a new block.
            self.marks += 1
            mark = MARK * self.marks
        else:
            mark = values.get("mark")
        if name in {"begin", "claim_usual"}:
            return ResultRows([(mark, "more")], 1)
        rows = self.rows[name].pop(0) if self.rows.get(name) else []
        return ResultRows(rows, len(rows))

    def execute(self, statement, values=()):
        self.note(statement, list(values))

    def names(self):
        return [name for name, _ in self.ran]

    def values_of(self, name):
        (values,) = [values for ran, values in self.ran if ran == name]
        return values


@pytest.fixture
def clock(monkeypatch):
    """The frozen time, in seconds."""
    time = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: time[0])
    return time


@pytest.fixture
def names():
    return SharedNames()


@pytest.fixture
def connection(monkeypatch, clock):
    monkeypatch.setattr(module, "statement", lambda name: name)
    monkeypatch.setattr(module, "at_once", lambda names: names)
    return Connection()


@pytest.fixture
def session(connection, names):
    session = PostgresSession(connection, names=names, window=9, place=PLACE, node=lambda: NODE)
    connection.ran.clear()
    return session


class Lost(Exception):
    """The connection was lost."""


@pytest.fixture
def transact(session):
    def run(unit=lambda _: None, **how):
        return session.transact(unit, lost=(Lost,), **how)

    return run


@pytest.fixture
def tally(session):
    """Counts nothing, and notes what the session tells it."""
    told = []
    session.tally = SimpleNamespace(
        write=lambda: told.append("write"),
        committed=lambda: told.append("committed"),
        clear=lambda: told.append("clear"),
        told=lambda whose: whose,
    )
    return told


def test_transaction_begins_with_its_mark_and_returns_the_result_of_its_unit(
    transact, connection, tally
):
    assert transact(lambda session: session.mark) == 2 * MARK
    assert connection.names() == ["BEGIN", "begin", "COMMIT"]
    assert connection.values_of("begin") == {"node": NODE, "mark": None}
    assert tally == ["write", "committed", "clear"]


def test_first_statement_of_a_unit_may_begin_the_transaction(transact, connection):
    transact(lambda session: session.run_first("claim_usual", limit=9), begins=True)

    assert connection.names() == ["BEGIN", "claim_usual", "COMMIT"]
    assert connection.values_of("claim_usual") == {"limit": 9, "node": NODE, "mark": None}


def test_statement_that_begins_returns_its_row_without_the_mark(transact):
    def unit(session):
        row = session.run_first("claim_usual")
        return row, session.mark

    assert transact(unit, begins=True) == (["more"], 2 * MARK)


def test_later_statement_of_a_unit_that_begins_the_transaction_does_it_once(transact, connection):
    def unit(session):
        for _ in range(2):
            session.run("lanes")
        session.run_first("claim_usual")

    transact(unit, begins=True)

    assert connection.names() == ["BEGIN", "begin", "lanes", "lanes", "claim_usual", "COMMIT"]
    assert connection.values_of("claim_usual")["mark"] is None


def test_each_statement_knows_the_node_and_its_slot(transact, connection):
    transact(lambda session: session.run("expire", now=5))

    assert connection.values_of("expire") == {"now": 5, "slot": SLOT, "node": NODE}


def test_failed_unit_is_rolled_back_and_leaves_nothing(transact, connection, tally, names):
    def unit(session):
        session.account("source", "pixel")
        session.lane("pixel", "event")
        session.add_rows("add_called", ["a"], 1)
        session.add_rows("count_delivered", [1, 5], 2)
        session.run("add_pause")
        session.add_rows("add_called", ["a"], 1)
        session.add_rows("add_deliveries", [0, 0, 0, 7], 4)
        raise ZeroDivisionError

    connection.rows |= {"add_account": [[(1,)]], "add_lane": [[(2,)]]}
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
        session.account("source", "pixel")
        return "result"

    connection.rows["add_account"] = [[(1,)]]
    connection.errors["COMMIT"] = Lost()

    with pytest.raises(CommitUnknown) as caught:
        transact(unit)

    assert (caught.value.mark, caught.value.result) == (2 * MARK, "result")
    assert tally == ["write", "clear"]
    assert names.accounts == {}


def test_refused_commit_leaves_nothing(transact, connection, tally, names):
    def unit(session):
        session.account("source", "pixel")

    connection.rows["add_account"] = [[(1,)]]
    connection.errors["COMMIT"] = ZeroDivisionError()

    with pytest.raises(ZeroDivisionError):
        transact(unit)

    assert tally == ["write", "clear"]
    assert names.accounts == {}


def test_committed_names_are_known_to_all_sessions(session, transact, connection, names, tally):
    def unit(session):
        return session.account("source", "pixel"), session.lane("pixel", "event")

    connection.rows |= {"add_account": [[(5,)]], "add_lane": [[(6,)]]}
    ids = [transact(unit), transact(unit)]

    assert ids == [(5, 6)] * 2
    assert connection.names().count("add_account") == connection.names().count("add_lane") == 1
    assert (names.accounts, names.events) == ({("source", "pixel"): 5}, {("pixel", "event"): 6})
    assert names.seeds == {6: seed_of("pixel", "event")}
    assert session.known_event("pixel", "event") == 6
    assert session.known_event("pixel", "other") is None
    assert session.told() == {5: ("source", "pixel")}


def test_name_is_added_once_in_a_transaction(transact, connection):
    def unit(session):
        return [
            (session.account("source", "pixel"), session.lane("pixel", "event")) for _ in range(2)
        ]

    connection.rows |= {"add_account": [[(5,)]], "add_lane": [[(6,)]]}

    assert transact(unit) == [(5, 6)] * 2
    assert connection.names().count("add_account") == connection.names().count("add_lane") == 1


def test_name_that_another_transaction_has_just_added_is_read(transact, connection):
    connection.rows["add_account"] = [[], [(5,)]]

    assert transact(lambda session: session.account("source", "pixel")) == 5
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


def test_lanes_are_all_ids_of_events(transact, connection):
    connection.rows["lanes"] = [[(1, "a", "b"), (2, "a", "c")]]

    assert transact(lambda session: session.lanes()) == [1, 2]


@pytest.mark.parametrize(
    ("name", "lock"),
    [
        ("last_deed", "lock_deeds"),
        ("rejected_so_far", "lock_rejections"),
        ("all_rejections", "lock_ring"),
        ("ignored", "lock_ignored"),
    ],
)
def test_statement_whose_units_run_one_at_a_time_is_locked_before(transact, connection, name, lock):
    connection.rows["rejected_so_far"] = [[(0,)]]

    transact(lambda session: session.run(name, account=1))

    assert connection.names() == ["BEGIN", "begin", lock, name, "COMMIT"]


def test_rejections_of_the_same_transaction_are_counted(transact, connection):
    def unit(session):
        session.add_rows("count_received", [1, 9, 0, 0, 4, 1, 9, 0, 0, 3, 2, 9, 0, 0, 1], 5)
        return session.run("rejected_so_far", account=1).fetchone()

    connection.rows["rejected_so_far"] = [[(10,)]]

    assert transact(unit) == (17,)


def test_changes_that_other_gateways_must_read_are_noted_last_and_in_order(transact, connection):
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
        session.add_rows("add_called", ["a", 1, "b", 2], 2)
        session.add_rows("add_attempts", ["c"], 1)
        session.add_rows("add_called", [], 2)
        session.run("lanes")

    transact(unit)

    assert connection.names()[2:4] == [("add_attempts", "add_called"), "lanes"]
    assert connection.values_of(("add_attempts", "add_called")) == [["c"], ["a", "b"], [1, 2]]


def test_rows_of_the_same_table_are_inserted_in_order(transact, connection):
    def unit(session):
        session.add_rows("add_called", ["a"], 1)
        session.add_rows("add_called", ["b"], 1)

    transact(unit)

    assert connection.ran[2:4] == [(("add_called",), [["a"]]), (("add_called",), [["b"]])]


def test_counts_are_written_last_in_rows_of_the_session(transact, connection):
    def unit(session):
        session.add_rows("count_flow", [60, 1], 2)
        session.add_rows("count_received", [5, 10, 1, 2, 3, 6, 20, 0, 0, 0], 5)
        session.add_rows("count_delivered", [5, 7, 5, 8], 2)
        session.run("lanes")

    transact(unit)

    assert connection.names() == ["BEGIN", "begin", "lanes", ("count_flow", "add_tally"), "COMMIT"]
    assert connection.values_of(("count_flow", "add_tally")) == [
        [SLOT], [60], [1], [SLOT, SLOT], [5, 6], [10, 20], [15, 0], [1, 0], [2, 0], [3, 0]
    ]  # fmt: skip


def test_counts_of_the_same_kind_do_not_replace_each_other(transact, connection):
    def unit(session):
        session.add_rows("count_flow", [60, 1], 2)
        session.add_rows("count_flow", [60, 2], 2)

    transact(unit)

    assert connection.ran[2:4] == [
        (("count_flow",), [[SLOT], [60], [1]]),
        (("count_flow",), [[SLOT], [60], [2]]),
    ]


def test_counts_are_written_once(transact, connection):
    transact(lambda session: session.add_rows("count_delivered", [5, 7], 2))
    connection.ran.clear()

    transact()

    assert connection.names() == ["BEGIN", "begin", "COMMIT"]


def test_rows_are_inserted_by_a_unit_that_ran_no_statement(transact, connection):
    transact(lambda session: session.add_rows("add_called", ["a"], 1), begins=True)

    assert connection.names() == ["BEGIN", "begin", ("add_called",), "COMMIT"]


@pytest.fixture
def ready(names):
    """The times from which committed transactions have made deliveries ready."""
    times = []
    names.claim_starts.made_ready = times.append
    return times


def test_claims_find_new_deliveries(transact, ready):
    def unit(session):
        session.add_rows("add_deliveries", [1, 0, 0, 9, 2, 0, 0, 7], 4)
        session.add_rows("add_deliveries", [3, 0, 0, 8], 4)

    transact(unit)
    transact()

    assert ready == [7, 1 << 62]


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        *((name, 1, 0) for name in ("promote", "promote_far", "postpone", "replay", "recall")),
        ("promote", 0, 1 << 62),
        ("lanes", 1, 1 << 62),
    ],
)
def test_claims_find_deliveries_that_are_ready_again(  # noqa: PLR0917 - fixtures
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


def test_database_error_is_never_a_damaged_row(session):
    assert session.is_row_damage(ValueError()) is False


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
            session.add_rows("add_called", ["a"], 1)
        else:
            session.run("lanes")
        session.run("take_keys", keys=[])

    transact(unit, begins=True)

    other = ("add_called",) if before == "rows" else "lanes"
    assert connection.names() == ["BEGIN", "begin", other, "take_keys", "COMMIT"]
    assert connection.values_of("begin")["mark"] == MARK + 1


def test_keys_are_taken_with_a_mark_once(transact, connection):
    def unit(session):
        session.next_conversions(3)
        for _ in range(2):
            session.run("take_keys", keys=[])

    transact(unit, begins=True)

    assert connection.names() == ["BEGIN", "take_first_keys", "take_keys", "COMMIT"]


def test_keys_without_a_mark_begin_the_transaction_first(transact, connection):
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


def test_lease_has_the_number_of_the_database(transact, connection):
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
