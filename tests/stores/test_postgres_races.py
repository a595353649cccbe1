"""Races between the transactions of nodes that share a database, each at its worst moment."""

import asyncio

import asyncpg
import msgspec
import pytest

from builders import a_submission, an_entry
from store_contract.copies import denied
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import Settlement, Transition, Trigger
from twite.domain.submission import RejectedConversion, RejectionQuery
from twite.domain.times import DAY
from twite.gateway.ports.outbox import Claim, Discard, EditBodies, EditedBody, TakeBack
from twite.gateway.ports.privacy import EraseStore
from twite.gateway.ports.queries import RejectionsQuery
from twite.gateway.ports.store import Retention, StoreOptions
from twite.stores.postgres.database import PostgresDatabase
from twite.stores.postgres.driver.address import Address
from twite.stores.postgres.driver.bridge import wait_for
from twite.stores.postgres.session import PostgresSession
from twite.stores.postgres.store import PostgresStore
from twite.stores.postgres.upkeep import PostgresPruner

NOW = 1_795_600_000_000
LEASE = 60_000
KEY = bytes(32)
ACCOUNTS = {"o8z6j": "o8z6j"}
# Seconds after which a test fails whose operation hangs.
SOON = 30


@pytest.fixture
async def open_node(postgres_url):
    opened = []

    async def open_one(*, joins=True):
        store = await PostgresStore.open(postgres_url, StoreOptions())
        opened.append(store)
        if joins:
            await store.ownership.join(ACCOUNTS, longest_request=0)
            await store.ownership.refresh()
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def stalled(postgres_url):
    """A connection with an open transaction, as of a suspended node."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("BEGIN")
    yield connection
    await connection.close()


@pytest.fixture
async def other(postgres_url):
    """A connection that reads and changes rows."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
def during(monkeypatch, other):
    """Start another operation after a statement of a unit of work, and run it until it blocks."""
    started = []
    run = PostgresSession.run

    async def until_it_blocks(task):
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with asyncio.timeout(SOON):
            while not (task.done() or await other.fetchval(waiting)):
                await asyncio.wait({task}, timeout=0.01)

    def after(name, begin):
        def runs(session, statement, /, **values):
            result = run(session, statement, **values)
            if statement == name and not started:
                started.append(None)
                task = started[0] = asyncio.get_running_loop().create_task(begin())
                wait_for(until_it_blocks(task))
            return result

        monkeypatch.setattr(PostgresSession, "run", runs)
        return started

    return after


def a_claim(**values):
    values = {"pixel": "o8z6j", "now": NOW, "limit": 100, "ambiguous_after": 0} | values
    return Claim(lease_until=NOW + LEASE, **values)


def a_settlement(batch, trigger, *, due_at=None, reason=None):
    ids = tuple(delivery.id for delivery in batch.deliveries)
    return Settlement(
        lease=batch.lease,
        attempt=None,
        transitions=(Transition(trigger=trigger, deliveries=ids, due_at=due_at, reason=reason),),
        lease_until=NOW + LEASE,
    )


async def claimed(store):
    await store.record(a_submission(an_entry("c1"), received_at=NOW))
    return await store.claim(a_claim())


async def test_delivery_rescheduled_while_withdrawn_is_counted(open_node, during):
    store = await open_node()
    batch = await claimed(store)
    back = a_settlement(batch, Trigger.POSTPONED, due_at=NOW)
    started = during("count_withdrawn", lambda: store.settle(back))

    await store.move(
        TakeBack(
            deliveries=[batch.deliveries[0].id],
            cause=DeliveryCause.CONSENT_UNCLEAR,
            reason="policy",
            hold=False,
        ),
        now=NOW,
    )
    await asyncio.wait_for(started[0], SOON)

    (account,) = await store.balance()
    assert account.balance == 0


async def test_delivery_given_up_while_discarded_is_counted(open_node, during):
    store = await open_node()
    batch = await claimed(store)
    dead = a_settlement(batch, Trigger.GIVEN_UP, reason="refused")
    started = during("count_discarded", lambda: store.settle(dead))

    await store.move(Discard(deliveries=[batch.deliveries[0].id], note="no"), now=NOW)
    await asyncio.wait_for(started[0], SOON)

    (account,) = await store.balance()
    assert account.balance == 0


async def test_payload_erased_while_it_is_sealed_again_stays_erased(open_node, during, other):
    store = await open_node()
    await store.record(a_submission(an_entry("c1", pixel="tag:crm"), received_at=NOW))
    erasing = EraseStore(conversions=(await other.fetchval("SELECT id FROM outbox"),))
    started = during("tag_payloads", lambda: store.erase(erasing, now=NOW))

    done = await store.rewrite(lambda _, body: body + b" sealed anew", after=0, limit=9)
    await asyncio.wait_for(started[0], SOON)

    assert done.payloads == 1
    body = await other.fetchval("SELECT body FROM conversion")
    assert body.strip() == b"{}"


def is_held(*conversion_ids):
    """Return a submission whose conversions are held."""
    entries = [
        msgspec.structs.replace(an_entry(id_, index=index), held="consent")
        for index, id_ in enumerate(conversion_ids)
    ]
    return a_submission(*entries, received_at=NOW)


def of_copies(*entries):
    return a_submission(*entries, receipt="r2", received_at=NOW + 1)


async def edits_of(other):
    """Return edits that change nothing, one for each delivery, in descending order of keys."""
    rows = await other.fetch(
        "SELECT outbox.id, body FROM outbox JOIN conversion ON conversion.id = outbox.id "
        "JOIN dedup ON dedup.delivery = outbox.id ORDER BY key DESC"
    )
    return tuple(EditedBody(delivery=id_, event="o8z6k", body=body) for id_, body in rows)


async def test_edit_and_a_copy_locking_in_different_orders_succeed(
    open_node, during, other, deadlocks
):
    """An edit locks a delivery, then its key. The intake of a copy locks them in reverse order."""
    editing, accepting = await open_node(), await open_node()
    await editing.record(is_held("c1"))
    copy = of_copies(denied("c1"))
    started = during("to_amend", lambda: accepting.record(copy))

    await editing.move(EditBodies(edited=await edits_of(other), note="by ann"), now=NOW)
    await asyncio.wait_for(started[0], SOON)

    (account,) = await editing.balance()
    # In either order, the conversion is not sent.
    assert (account.received, account.suppressed, account.balance) == (2, 2, 0)
    assert len(deadlocks) == 1


async def test_copies_and_a_move_locking_in_different_orders_succeed(
    open_node, during, other, deadlocks
):
    """Intake locks the deliveries in the order of the copies, a move by their ids."""
    accepting, moving = await open_node(), await open_node()
    await accepting.record(is_held("c1", "c2"))
    ids = [row["id"] for row in await other.fetch("SELECT id FROM outbox ORDER BY id")]
    discard = Discard(deliveries=ids, note="no")
    started = during("holder", lambda: moving.move(discard, now=NOW))

    await accepting.record(of_copies(denied("c2"), denied("c1", index=1)))
    await asyncio.wait_for(started[0], SOON)

    (account,) = await accepting.balance()
    assert (account.received, account.suppressed, account.balance) == (4, 4, 0)
    assert len(deadlocks) == 1


async def test_edits_and_copies_locking_in_different_orders_succeed(
    open_node, during, other, deadlocks
):
    """An edit of several deliveries locks keys one by one, intake in sorted order."""
    editing, accepting = await open_node(), await open_node()
    await editing.record(is_held("c1", "c2"))
    copies = of_copies(an_entry("c1"), an_entry("c2", index=1))
    started = during("amend_delivery", lambda: accepting.record(copies))

    done = await editing.move(EditBodies(edited=await edits_of(other), note="by ann"), now=NOW)
    await asyncio.wait_for(started[0], SOON)

    (account,) = await editing.balance()
    assert (done.moved, done.refused) == (2, {})
    assert (account.received, account.pending, account.duplicate, account.balance) == (4, 2, 2, 0)
    assert len(deadlocks) == 1


async def test_claim_does_not_wait_for_deliveries_locked_by_another_transaction(open_node, stalled):
    store = await open_node()
    await store.record(a_submission(an_entry("c1", event="first"), received_at=NOW))
    await store.record(
        a_submission(an_entry("c2", event="second"), receipt="r2", received_at=NOW + 1)
    )
    await stalled.fetch("SELECT id FROM outbox ORDER BY id LIMIT 1 FOR UPDATE")

    batch = await asyncio.wait_for(store.claim(a_claim()), SOON)

    assert [delivery.conversion_id for delivery in batch.deliveries] == ["c2"]
    assert await asyncio.wait_for(store.claim(a_claim()), SOON) is None


async def test_suspended_claim_of_a_node_does_not_stop_the_others(open_node, stalled, other):
    first, second = await open_node(), await open_node()
    await stalled.execute("""
        SELECT FROM ownership JOIN node ON node.id = ownership.node WHERE account <> '#leader'
        FOR SHARE OF ownership FOR KEY SHARE OF node""")
    await other.execute(
        "UPDATE node SET until = now() - interval '1 hour' WHERE id = $1", first.ownership.node
    )

    assert await asyncio.wait_for(second.ownership.refresh(), SOON) == frozenset()
    await stalled.execute("ROLLBACK")

    assert await second.ownership.refresh() == frozenset(ACCOUNTS.values())


async def test_key_taken_over_while_pruned_stays(open_node, during, postgres_url):
    store = await open_node()
    batch = await claimed(store)
    await store.settle(a_settlement(batch, Trigger.DELIVERED))
    later = NOW + 400 * DAY
    await store.record(a_submission(an_entry("c0"), receipt="r0", received_at=later))
    database = PostgresDatabase(
        Address(postgres_url), window=DAY, timed=lambda _: None, committed=lambda _: None
    )
    pruner = PostgresPruner(Retention(bodies=1, history=1, dead=1))

    async def again():
        await store.record(a_submission(an_entry("c1"), receipt="r2", received_at=later))
        taken = await store.claim(a_claim())
        await store.settle(a_settlement(taken, Trigger.DELIVERED))

    started = during("next_keys", again)
    while await database.write(lambda book: pruner.slice(book, now=later, most=500)):
        pass
    await database.close()
    await started[0]

    copy = await store.record(a_submission(an_entry("c1"), receipt="r3", received_at=later))
    assert copy.duplicates == (0,)


async def test_each_node_counts_in_its_own_rows(open_node, other):
    stores = [await open_node() for _ in range(2)]
    for store in stores:
        receipt = str(store.ownership.node)
        await store.record(a_submission(an_entry(receipt), receipt=receipt, received_at=NOW))

    assert await other.fetchval("SELECT count(DISTINCT slot) FROM tally") == 2


async def test_fence_waits_for_the_longest_request_of_the_node(open_node, other):
    slow, quick = await open_node(joins=False), await open_node()
    await slow.ownership.join(ACCOUNTS, longest_request=60_000)
    was = slow.ownership.node
    await other.execute("UPDATE node SET until = now() - interval '30 seconds' WHERE id = $1", was)

    await quick.ownership.refresh()
    assert await other.fetchval("SELECT count(*) FROM node WHERE id = $1", was) == 1
    await other.execute("UPDATE node SET until = now() - interval '61 seconds' WHERE id = $1", was)
    await quick.ownership.refresh()
    assert await other.fetchval("SELECT count(*) FROM node WHERE id = $1", was) == 0


async def test_simultaneous_rejections_of_two_nodes_are_all_stored(open_node, during):
    stores = [await open_node() for _ in range(2)]

    def a_rejection(conversion_id):
        refusal = RejectedConversion(
            index=0, errors=(), pixel="o8z6j", event="Purchase", conversion_id=conversion_id
        )
        return msgspec.structs.replace(
            a_submission(received_at=NOW, receipt=conversion_id), entries=(), refusals=(refusal,)
        )

    started = during("rejected_so_far", lambda: stores[1].record(a_rejection("c2")))
    await stores[0].record(a_rejection("c1"))
    await asyncio.wait_for(started[0], SOON)

    kept = await stores[0].answer(RejectionsQuery(rejection_query=RejectionQuery()))
    assert sorted(rejection.conversion_id for rejection in kept) == ["c1", "c2"]


async def test_opt_out_at_another_node_is_kept_during_a_restore(open_node, monkeypatch):
    first, second = await open_node(), await open_node()
    await first.revoke([KEY], now=NOW)
    await first.record(a_submission(an_entry("c1"), received_at=NOW))
    write = PostgresDatabase.write
    left = [None]

    async def writes(database, unit, **values):
        result = await write(database, unit, **values)
        if left:
            left.clear()
            await second.revoke([KEY], now=NOW)
            await first.claim(a_claim())
        return result

    monkeypatch.setattr(PostgresDatabase, "write", writes)
    await first.restore([KEY])
    await first.record(a_submission(an_entry("c2"), receipt="r2", received_at=NOW))
    await first.claim(a_claim())

    assert first.lists([KEY])


async def test_transactions_beyond_the_ids_of_a_second_wait_for_the_next_second(open_node, other):
    store = await open_node()
    await other.execute("""
        INSERT INTO transaction_mark (id)
        SELECT (extract(epoch FROM clock_timestamp())::bigint - 1767225600 + later) << 23
          | (groups << 11)
        FROM generate_series(0, 1) AS later, generate_series(0, 4095) AS groups
        ON CONFLICT DO NOTHING""")

    assert (await claimed(store)).deliveries
