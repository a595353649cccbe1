"""Recovery holds deliveries with values that Twite does not write, and counts them."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from builders import NOW, a_submission, an_entry
from twite.domain.delivery import RECOVERED, State
from twite.domain.errors import StoreUnusable
from twite.gateway.ports.outbox import Claim, Replay
from twite.gateway.ports.queries import AtRest
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.recovery.recover import recover

CLAIM = Claim(pixel="o8z6j", now=NOW, lease_until=NOW + 60_000, limit=500, ambiguous_after=0)
FAR = NOW * 8
KNOWN = [("o8z6j", "o8z6k")]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


async def filled(path):
    store = await SQLiteStore.open(path)
    for number in range(3):
        await store.record(a_submission(an_entry(f"order-{number}"), receipt=f"r{number}"))
    await store.close()


def change(path, *statements):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def set_values(path, delivery, values):
    change(path, f"UPDATE outbox SET {values} WHERE id = {delivery}")  # noqa: S608 own values


UNKNOWN = {
    "a state that does not exist": "state = 'queumd'",
    "a state that is no text": "state = x'ff'",
    "no pixel and event": "queue = 77",
    "no account": "account = 1073741825",
    "an account that is no number": "account = 'o'",
    "a due time that is no number": "due_at = 'soon'",
    "a due time that never comes": f"due_at = {FAR}",
    "a negative due time": "due_at = -5",
    "attempts that are no number": "attempts = 'many'",
    "a negative number of crashes": "crashes = -1",
    "ambiguous since a time to come": f"ambiguous_since = {FAR}",
    "a replay at no time": "replayed_at = x'00'",
    "a reason that is no text": "reason = x'00'",
    "a time of arrival that is no number": "received_at = 'early'",
}


@pytest.mark.parametrize("how", UNKNOWN)
async def test_recovered_delivery_with_an_unknown_value_is_held_and_counted(path, how):
    await filled(path)
    set_values(path, 2, UNKNOWN[how])

    done = recover(path, None, known=KNOWN)

    assert (done.pending, done.held, done.unknown, done.lost) == (2, 1, 1, {})
    store = await SQLiteStore.open(path)
    [account] = await store.balance()
    assert (account.received, account.pending, account.held, account.balance) == (3, 2, 1, 0)
    [held] = await store.find(AtRest(pixel=None, limit=9))
    assert (held.conversion_id, held.state, held.reason) == ("order-1", State.HELD, RECOVERED)
    first = await store.claim(CLAIM)
    await store.move(Replay(deliveries=[held.delivery]), now=NOW)
    second = await store.claim(CLAIM)
    await store.close()
    assert [delivery.conversion_id for delivery in first.deliveries] == ["order-0", "order-2"]
    assert [delivery.conversion_id for delivery in second.deliveries] == ["order-1"]


@pytest.mark.parametrize("state", ["held", "dead"])
async def test_dead_or_held_delivery_with_a_wrong_time_is_held_since_the_recovery(path, state):
    await filled(path)
    set_values(path, 2, f"state = '{state}', rested_at = {FAR}")

    done = recover(path, None, known=KNOWN)

    assert (done.pending, done.held, done.unknown, done.dead) == (2, 1, 1, 0)


async def test_recovery_finds_no_unknown_values_in_an_intact_file(path):
    await filled(path)
    set_values(path, 1, f"state = 'held', rested_at = {NOW}, reason = 'r'")
    set_values(path, 2, f"due_at = {NOW + 1}, attempts = 2, ambiguous_since = {NOW}")

    done = recover(path, None, known=KNOWN)

    assert (done.pending, done.held, done.unknown) == (2, 0, 0)


async def test_deliveries_of_a_lost_account_stay_pending_under_its_number(path):
    await filled(path)
    change(path, "DELETE FROM account", "UPDATE outbox SET account = 9 WHERE id = 2")

    done = recover(path, None, known=KNOWN)

    assert (done.pending, done.held, done.unknown) == (2, 1, 1)
    store = await SQLiteStore.open(path)
    accounts = await store.balance()
    await store.close()
    assert [(account.source, account.pixel) for account in accounts] == [("shop", "o8z6j")]
    assert [account.balance for account in accounts] == [0]


def test_store_of_a_development_version_is_refused_and_unchanged(path, tmp_path):
    asyncio.run(filled(path))
    change(path, "PRAGMA application_id = 0", "PRAGMA user_version = 35")
    was = Path(path).read_bytes()

    with pytest.raises(
        StoreUnusable, match=r"a development version of Twite wrote it \(schema 35\)"
    ):
        recover(str(path), None)

    assert Path(path).read_bytes() == was
    assert not list(tmp_path.glob("*.recovered"))
