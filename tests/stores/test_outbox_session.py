"""Claims and settlements in a session: which rows they write, count and keep in memory."""

import shutil
from contextlib import closing

import msgspec
import pytest

from builders import NOW
from store_contract.actions import EVENT, PIXEL, record
from twite.domain.conversion import DEFAULT_WINDOW
from twite.domain.delivery import DAMAGED, MOST_BYTES, Attempt, Settlement, Transition, Trigger
from twite.domain.errors import IllegalTransition
from twite.domain.times import MINUTE
from twite.gateway.ports.outbox import Claim
from twite.stores.sql.outbox import check, claim, expire, settle
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.connection import connect_writer
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of

A_CLAIM = Claim(
    pixel=PIXEL, now=NOW, lease_until=NOW + MINUTE, limit=500, ambiguous_after=0,
    most_bytes=MOST_BYTES, suspects=True,
)  # fmt: skip


class Session(OwnerSession):
    """The owner's session, in which another transaction may have claimed all deliveries."""

    is_raced = False

    def run(self, name, /, **values):
        nothing = {
            "claimable": "SELECT '[[],[],[],[],[]]', NULL", "ready_sizes": "SELECT '[]'",
            "ready_ids": "SELECT 1 WHERE false",
        }  # fmt: skip
        if self.is_raced and name in nothing:
            return self.connection.execute(nothing[name])
        return super().run(name, **values)

    def rows(self, statement):
        return self.connection.execute(statement).fetchall()


@pytest.fixture
async def session(tmp_path, migrated_file):
    path = str(shutil.copyfile(migrated_file, tmp_path / "twite.db"))
    store = await SQLiteStore.open(path)
    for number in range(3):
        await record(store, f"order-{number}", receipt=f"r{number}")
    await store.close()
    with closing(connect_writer(path)) as connection:
        yield Session(connection, window=DEFAULT_WINDOW, leases=leases_of(1))


def settlement_of(batch, **transitions):
    """Return a settlement without an attempt: trigger → deliveries."""
    made = tuple(
        Transition(trigger=Trigger[name], deliveries=tuple(ids), reason="why", due_at=NOW)
        for name, ids in transitions.items()
    )
    return Settlement(lease=batch.lease, attempt=None, transitions=made, lease_until=NOW + MINUTE)


def test_damaged_delivery_is_a_dead_letter_and_is_reported(session):
    session.connection.execute("UPDATE conversion SET checksum = checksum + 1 WHERE id = 2")
    damaged = []

    batch = claim(session, A_CLAIM, damaged=damaged)

    assert ([delivery.id for delivery in batch.deliveries], damaged) == ([1, 3], [2])
    assert session.rows("SELECT state, reason, rested_at FROM outbox WHERE id = 2") == [
        ("dead", DAMAGED, NOW)
    ]


def test_event_whose_deliveries_another_transaction_has_claimed_is_skipped(session):
    session.is_raced = True

    assert claim(session, A_CLAIM, damaged=[]) is None


def test_each_claim_and_settlement_is_a_separate_step(session):
    turns = [session.turn]
    batch = claim(session, A_CLAIM, damaged=[])
    turns.append(session.turn)
    settle(session, settlement_of(batch, DELIVERED=[1, 2, 3]))
    turns.append(session.turn)

    assert turns == [turns[0], turns[0] + 1, turns[0] + 2]


def test_only_dead_letters_count_as_given_up(session):
    batch = claim(session, A_CLAIM, damaged=[])

    late = settle(session, settlement_of(batch, POSTPONED=[1], HELD=[2], GIVEN_UP=[3]))
    session.tally.write()

    assert late == 0
    assert session.rows("SELECT DISTINCT dead FROM flow WHERE dead > 0") == [(1,)]


@pytest.mark.parametrize(("attempted_at", "at"), [(None, NOW), (NOW + 7, NOW + 7)])
def test_delivery_whose_tag_did_not_fire_is_suppressed_at_the_time_of_its_attempt(
    session, attempted_at, at
):
    batch = claim(session, A_CLAIM, damaged=[])
    tried = attempted_at and Attempt(
        at=attempted_at, pixel=PIXEL, event=EVENT, outcome="delivered", deliveries=(2,)
    )

    settle(session, msgspec.structs.replace(settlement_of(batch, NOT_FIRED=[2]), attempt=tried))

    assert session.rows("SELECT delivery, at, note FROM discarded") == [(2, at, "why")]


def test_settled_delivery_is_no_longer_watched_for_a_denial(session):
    batch = claim(session, A_CLAIM, damaged=[])
    session.denied.add(2)

    settle(session, settlement_of(batch, DELIVERED=[1, 2, 3]))

    assert session.denied == set()


def test_attempt_is_not_recorded_if_the_lease_has_no_deliveries(session):
    claim(session, A_CLAIM, damaged=[])
    session.connection.execute("DELETE FROM outbox")

    freed = expire(session, now=NOW + MINUTE + 1, furthest=NOW + 2 * MINUTE)

    assert (freed, session.rows("SELECT * FROM attempt")) == (0, [])
    assert session.rows("SELECT * FROM lease") == []


def test_settlement_with_an_impossible_transition_is_refused(session):
    batch = claim(session, A_CLAIM, damaged=[])

    check(settlement_of(batch, DELIVERED=[1], HELD=[2]))
    with pytest.raises(IllegalTransition):
        check(settlement_of(batch, DELIVERED=[1], REPLAYED=[2]))


def test_batch_names_its_pixel_and_event(session):
    batch = claim(session, A_CLAIM, damaged=[])

    assert (batch.pixel, batch.event) == (PIXEL, EVENT)
