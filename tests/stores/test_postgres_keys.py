"""Deduplication keys and opt-outs on PostgreSQL: the statements, and their results."""

import msgspec
import pytest

from builders import NOW, a_conversion
from twite.domain.consent import person_keys
from twite.domain.delivery import Delivery, State
from twite.stores.postgres.driver.connection import ResultRows
from twite.stores.postgres.keys import OLD, OptOutCopy, PostgresKeys, PostgresOptOuts
from twite.stores.sql.database import AT_ONCE, Holding, WantedKey
from twite.x.encode import conversion_body

WINDOW = 1_000
A, B, C = b"a", b"b", b"c"


class Table:
    """The table of keys: the delivery, the time and the delivery's state of each key."""

    def __init__(self):
        self.rows = {}
        self.ran = []

    def run(self, name, **values):
        self.ran.append((name, values))
        return ResultRows(getattr(self, name)(**values), 0)

    def take_keys(self, *, keys, deliveries, ats):
        assert keys == sorted(set(keys))  # the order of locks
        new = [key for key in keys if key not in self.rows]
        for key, delivery, at in zip(keys, deliveries, ats, strict=True):
            self.rows.setdefault(key, (delivery, at, None))
        return [(key,) for key in new]

    def holdings(self, *, keys):
        return [(key, *self.rows[key]) for key in keys]

    def lock_keys(self, *, keys):
        return [(key, self.rows[key][0]) for key in keys if key in self.rows]

    def hand_over_keys(self, *, keys, deliveries, ats):
        for key, delivery, at in zip(keys, deliveries, ats, strict=True):
            self.rows[key] = delivery, at, None
        return []

    def names(self):
        return [name for name, _ in self.ran]


@pytest.fixture
def table():
    return Table()


@pytest.fixture
def keys(table):
    return PostgresKeys(table.run, window=WINDOW)


class Contest:
    """Decides whether deliveries take over a key, and notes what it was asked."""

    def __init__(self, *, winners=()):
        self.winners = winners
        self.asked = []

    def __call__(self, wish, holder, holding):
        self.asked.append((wish.delivery, holder, holding))
        return wish.delivery in self.winners


def wishes(*pairs, at=NOW):
    return [WantedKey(key=key, delivery=delivery, at=at) for key, delivery in pairs]


def test_new_keys_are_taken_with_one_statement(keys, table):
    contest = Contest()

    assert keys.take(wishes((B, 1), (A, 2)), contest) == {}
    assert table.rows == {A: (2, NOW, None), B: (1, NOW, None)}
    assert (table.names(), contest.asked) == (["take_keys"], [])


def test_duplicate_does_not_take_over_the_key(keys, table):
    table.rows[B] = 7, NOW, "held"
    contest = Contest()

    assert keys.take(wishes((A, 1), (B, 2), (C, 3)), contest) == {2: 7}
    held = Holding(is_live=True, is_recent=True, state=State.HELD)
    assert contest.asked == [(2, 7, held)]
    assert table.rows == {A: (1, NOW, None), B: (7, NOW, "held"), C: (3, NOW, None)}
    assert table.names() == ["take_keys", "holdings"]
    assert table.ran[1] == ("holdings", {"keys": [B]})


def test_correction_takes_over_the_key(keys, table):
    table.rows[B] = 7, NOW - 1, "held"

    assert keys.take(wishes((A, 1), (B, 2)), Contest(winners={2})) == {}
    assert table.rows[B] == (2, NOW, None)
    assert table.ran[-1] == ("hand_over_keys", {"keys": [B], "deliveries": [2], "ats": [NOW]})


def test_copies_in_a_transaction_are_compared_with_the_first(keys, table):
    contest = Contest()

    assert keys.take(wishes((A, 1), (A, 2), (A, 3)), contest) == {2: 1, 3: 1}
    assert contest.asked == [(2, 1, AT_ONCE), (3, 1, AT_ONCE)]
    assert table.rows == {A: (1, NOW, None)}
    assert "hand_over_keys" not in table.names()


def test_correction_in_the_same_transaction_gets_the_new_key(keys, table):
    contest = Contest(winners={2})

    assert keys.take(wishes((A, 1), (B, 4), (A, 2), (A, 3)), contest) == {3: 2}
    assert contest.asked == [(2, 1, AT_ONCE), (3, 2, AT_ONCE)]
    assert table.rows == {A: (2, NOW, None), B: (4, NOW, None)}


def test_copies_of_a_stored_conversion_are_compared_in_turn(keys, table):
    table.rows[A] = 7, NOW, None
    contest = Contest(winners={2})

    assert keys.take(wishes((A, 1), (A, 2), (A, 3)), contest) == {1: 7, 3: 2}
    assert [holder for _, holder, _ in contest.asked] == [7, 7, 2]
    assert table.rows == {A: (2, NOW, None)}


@pytest.mark.parametrize(
    ("age", "state", "is_live", "is_recent"),
    [
        (WINDOW, None, True, True),
        (WINDOW + 1, None, False, False),
        (WINDOW + 1, "dead", False, False),
        (WINDOW, "dead", True, True),
        *((WINDOW + 1, state, True, False) for state in ("queued", "sending", "held")),
    ],
)
def test_key_is_held_for_the_window_and_while_its_delivery_is_queued(  # noqa: PLR0917 - fixtures
    keys, table, age, state, is_live, is_recent
):
    table.rows[A] = 7, NOW - age, state
    contest = Contest()

    keys.take(wishes((A, 1)), contest)
    taken = keys.take_over(*wishes((A, 2)))

    holding = Holding(is_live=is_live, is_recent=is_recent, state=state and State(state))
    assert contest.asked == [(1, 7, holding)]
    assert taken == (7 if is_live else None)
    assert table.rows[A] == ((7, NOW - age, state) if is_live else (2, NOW, None))


def test_stored_delivery_takes_over_a_new_key(keys, table):
    assert keys.take_over(*wishes((A, 1))) is None
    assert table.rows == {A: (1, NOW, None)}
    assert table.names() == ["take_keys"]


def test_stored_delivery_keeps_its_own_key(keys, table):
    table.rows[A] = 1, NOW - 1, "held"

    assert keys.take_over(*wishes((A, 1))) is None
    assert table.rows == {A: (1, NOW, None)}


def test_holders_of_known_keys_are_locked_in_order(keys, table):
    table.rows |= {A: (1, 0, None), B: (2, 0, None)}

    assert keys.holders([B, A, C, A]) == {A: 1, B: 2}
    assert table.ran == [("lock_keys", {"keys": [A, B, C]})]


def test_delivery_without_a_key_has_no_holder(keys, table):
    assert keys.holders([]) == {}
    assert table.ran == []


class List:
    """The opt-out list in the database."""

    def __init__(self):
        self.version = 1
        self.keys = set()
        self.ran = []

    def run(self, name, **values):
        self.ran.append((name, values))
        rows = {
            "read_deployment": [(b"salt",)],
            "change_version": [(self.version,)],
            "opt_outs": [(key,) for key in self.keys],
        }.get(name, [])
        return ResultRows(rows, len(rows))


@pytest.fixture
def database():
    return List()


@pytest.fixture
def copy():
    return OptOutCopy()


@pytest.fixture
def opt_outs(database, copy):
    opt_outs = PostgresOptOuts(database.run, copy)
    database.ran.clear()
    return opt_outs


@pytest.fixture
def delivery():
    return Delivery(
        id=4, conversion_id="order-1", body=conversion_body(a_conversion("order-1")), received_at=1
    )


@pytest.fixture
def person():
    """A key of the delivery's person."""
    return person_keys(a_conversion("order-1").identifiers, pixel="o8z6j", salt=b"salt")[0]


def test_new_copy_of_the_opt_out_list_is_read(opt_outs, database, copy):
    database.keys = {A, B}

    assert copy.version == OLD == -1
    assert opt_outs.refresh() == 1
    assert (copy.keys, copy.version) == ({A, B}, 1)
    assert opt_outs.keys is copy.keys


def test_opt_out_list_is_read_again_only_if_it_has_changed(opt_outs, database, copy):
    opt_outs.refresh()
    database.keys = {A}
    unchanged = opt_outs.refresh(), set(copy.keys)
    database.version = 2
    database.ran.clear()

    assert unchanged == (1, set())
    assert opt_outs.refresh() == 2
    assert copy.keys == {A}
    assert database.ran == [("change_version", {"what": "opt_out"}), ("opt_outs", {})]
    database.keys, database.version = {B}, 3
    opt_outs.refresh()
    assert copy.keys == {B}


def test_changes_of_the_opt_out_list_are_noted_for_other_gateways(opt_outs, database, copy):
    opt_outs.revoke([A, B], now=NOW)
    opt_outs.restore([A])

    noted = ("note_change", {"what": "opt_out"})
    assert database.ran == [
        noted,
        ("add_opt_out", {"key": A, "now": NOW}),
        ("add_opt_out", {"key": B, "now": NOW}),
        noted,
        ("remove_opt_out", {"key": A}),
    ]
    # Until the commit, the copy does not change.
    assert copy.keys == set()


@pytest.mark.parametrize("version", [None, 2])
def test_claim_reads_a_changed_opt_out_list(opt_outs, database, delivery, person, version):
    opt_outs.refresh()
    database.keys, database.version = {person}, 2

    assert opt_outs.among([delivery], pixel="o8z6j", version=version) == [4]


def test_claim_that_knows_the_version_does_not_read_the_list(opt_outs, database, delivery, person):
    database.keys = {person}
    opt_outs.refresh()
    other = msgspec.structs.replace(delivery, id=5, body=delivery.body.replace(b"order", b"other"))
    database.ran.clear()

    assert opt_outs.among([delivery, other], pixel="o8z6j", version=1) == [4, 5]
    assert database.ran == []
