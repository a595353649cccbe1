"""Typical claims and settlements on PostgreSQL take one statement, with the same results."""

import asyncio

import asyncpg
import pytest

from builders import NOW, a_submission, an_entry
from store_contract.actions import PIXEL, claim, claim_or_none, delivered, ids, postponed, settle
from store_contract.claiming import ClaimLaws
from store_contract.copies import CopyLaws
from store_contract.limits import CrashLaws, LimitLaws
from store_contract.settling import SettlingLaws, SweepLaws
from twite.domain.delivery import DAMAGED, Trigger
from twite.gateway.ports.events import Moved
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres import claim_starts, settlements, usual
from twite.stores.postgres.session import PostgresSession
from twite.stores.postgres.store import PostgresStore


@pytest.fixture
def small_bodies(monkeypatch):
    """Skip the reading of body sizes at the first claim, as after a claim of small bodies."""
    monkeypatch.setattr(PostgresSession, "largest_body", 1)


@pytest.fixture
async def store(postgres_url, small_bodies):
    store = await PostgresStore.open(postgres_url, StoreOptions())
    yield store
    await store.close()


@pytest.fixture
async def other_gateway(postgres_url):
    store = await PostgresStore.open(postgres_url, StoreOptions())
    yield store
    await store.close()


@pytest.fixture
def statements(monkeypatch):
    """The names of the statements that units of work run."""
    names = []
    run, run_first = PostgresSession.run, PostgresSession.run_first

    def noting(session, name, /, **values):
        names.append(name)
        return run(session, name, **values)

    def noting_first(session, name, /, **values):
        names.append(name)
        return run_first(session, name, **values)

    monkeypatch.setattr(PostgresSession, "run", noting)
    monkeypatch.setattr(PostgresSession, "run_first", noting_first)
    return names


@pytest.fixture
def clock(monkeypatch):
    """The frozen time that the code for claim starts reads, in seconds."""
    time = [0.0]
    monkeypatch.setattr(claim_starts, "monotonic", lambda: time[0])
    return time


async def record(store, *conversion_ids, at=NOW):
    entries = [an_entry(id_, index=index) for index, id_ in enumerate(conversion_ids)]
    await store.record(a_submission(*entries, receipt=conversion_ids[0], received_at=at))


async def waits_for_a_lock(connection):
    """Wait until another transaction waits for a lock of this transaction."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(20):
        while not await connection.fetchval(waiting):  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.01)


class TestUsualClaims(ClaimLaws, SettlingLaws, SweepLaws, LimitLaws, CrashLaws, CopyLaws):
    """The contract, if each claim first tries the statement for typical claims."""

    @pytest.fixture
    async def store(self, store):
        return store


async def test_typical_batch_needs_one_statement_to_claim_and_two_to_settle(store, statements):
    await record(store, "order-1", "order-2")
    statements.clear()

    batch = await claim(store)
    await settle(store, batch, "delivered", delivered(batch))

    counts = ["forget_flow", "forget_waited", "forget_matched", "forget_flaws"]
    assert ids(batch) == ["order-1", "order-2"]
    assert [name for name in statements if name not in counts] == [
        "claim_usual",
        "settle_delivered",
    ]


async def test_retry_that_is_due_is_claimed_before_later_deliveries(store, statements):
    await record(store, "order-1", at=NOW)
    batch = await claim(store)
    await settle(store, batch, "errored", postponed(batch, until=NOW + 5))
    await record(store, "order-2", at=NOW + 1)
    statements.clear()

    again = await claim(store, now=NOW + 5)

    assert ids(again) == ["order-1", "order-2"]
    assert statements == ["claim_usual", "promote", "claim_usual"]


@pytest.mark.parametrize("is_claimed_again", [False, True])
async def test_settlement_waits_for_the_expiry_of_its_lease(
    store, postgres_url, monkeypatch, is_claimed_again
):
    """X accepts a batch while another gateway ends the batch's lease and may claim it again."""
    monkeypatch.setattr(settlements, "_LATE_WITHIN", 0.0)
    await record(store, "order-1")
    batch = await claim(store)
    expiring = await asyncpg.connect(postgres_url)
    await expiring.execute("BEGIN; SELECT id FROM lease FOR UPDATE")
    task = asyncio.create_task(settle(store, batch, "delivered", delivered(batch)))
    await waits_for_a_lock(expiring)
    now = ("sending", batch.lease + 1) if is_claimed_again else ("queued", None)
    await expiring.execute("UPDATE outbox SET ambiguous_since = 1, state = $1, lease = $2", *now)
    await expiring.execute("DELETE FROM lease; COMMIT")

    late = await task

    (account,) = await store.balance()
    await expiring.close()
    assert (late, account.pending) == ((1, 1) if is_claimed_again else (0, 0))
    assert account.balance == 0


async def test_damaged_delivery_is_given_up_and_reported(postgres_url, small_bodies):
    del small_bodies
    notices = []
    observer = type("Seen", (), {"see": lambda _, notice: notices.append(notice)})()
    store = await PostgresStore.open(postgres_url, StoreOptions(observer=observer))
    await record(store, "order-1", "order-2")
    changing = await asyncpg.connect(postgres_url)
    damage = "UPDATE conversion SET checksum = checksum + 1 WHERE conversion_id = 'order-1'"
    await changing.execute(damage)
    await changing.close()

    batches = [await claim(store), await claim_or_none(store)]
    (account,) = await store.balance()
    await store.close()

    given_up = Moved(pixel=PIXEL, trigger=Trigger.GIVEN_UP, deliveries=1, reason=DAMAGED)
    assert [batch and ids(batch) for batch in batches] == [["order-2"], None]
    assert [notice for notice in notices if isinstance(notice, Moved)] == [given_up]
    assert (account.dead, account.pending, account.balance) == (1, 1, 0)


async def test_claim_of_nearly_all_rows_changes_no_index(store, postgres_url):
    # Earlier tests may have changed the free space of pages.
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("TRUNCATE outbox")
    await connection.close()
    await record(store, *(f"order-{number}" for number in range(50)))

    wish = Claim(pixel=PIXEL, now=NOW, lease_until=NOW + 1, limit=50, ambiguous_after=0)

    def unit(book):
        batch, _ = usual.claim(book, wish, account=PIXEL)
        changed = book.connection.execute(
            "SELECT pg_stat_get_xact_tuples_updated('outbox'::regclass), "
            "pg_stat_get_xact_tuples_hot_updated('outbox'::regclass)"
        )
        return len(batch.deliveries), *changed.fetchone()

    claimed, updated, hot = await store._database.write(unit, begins=True)  # noqa: SLF001
    assert (claimed, updated) == (50, 50)
    assert hot >= 45  # claimed rows are longer: on a full page, the last two do not fit


async def test_claim_finds_a_delivery_from_the_first_hours_of_1970(store):
    """The clock of a machine without a clock battery starts in 1970."""
    await record(store, "order-1", at=1)
    batch = await claim(store)
    await settle(store, batch, "errored", postponed(batch, until=2), at=2, ambiguous=True)

    assert ids(await claim(store, now=3)) == ["order-1"]


async def test_claim_continues_after_the_last_full_claim(store, other_gateway, clock):
    await record(store, "order-1", at=NOW)
    await record(store, "order-2", "order-3", at=NOW + 2)
    await claim(store, limit=1)
    await record(other_gateway, "order-0", at=NOW - 1)

    second = await claim(store, limit=1)
    clock[0] = 60
    third = await claim(store, limit=1)

    assert (ids(second), ids(third)) == (["order-2"], ["order-0"])


async def test_claim_finds_deliveries_recorded_or_queued_before_the_last_claim(store, clock):
    del clock
    await record(store, "order-1", "order-2", "order-3", "order-4", at=NOW)
    batches = [await claim(store, limit=1) for _ in range(2)]
    await record(store, "order-0", at=NOW - 1)
    batches.append(await claim(store, limit=1))
    await settle(store, batches[0], "errored", postponed(batches[0], until=NOW))
    batches.append(await claim(store, limit=1))

    assert [ids(batch) for batch in batches] == [["order-1"], ["order-2"], ["order-0"], ["order-1"]]


async def test_last_deliveries_before_the_start_of_claims_are_found(store, other_gateway, clock):
    del clock
    await record(store, "order-1", at=NOW)
    await claim(store, limit=1)
    await record(other_gateway, "order-0", at=NOW - 1)

    assert ids(await claim(store)) == ["order-0"]
