"""A refresh of a node: its lease, its share of the accounts, and the claims of dead nodes."""

import asyncpg
import msgspec
import pytest
from postgres_ownership_stage import ALL, FOREVER, LEASE, NODE, SHARE_OUT_EVERY

from builders import NOW
from twite.domain.errors import LedgerUnavailable
from twite.gateway.ports.events import ProblemSeen
from twite.gateway.ports.ownership import GatewayCondition
from twite.stores.postgres.nodes import LEADER, LOCK_PATIENCE


def is_locked():
    error = LedgerUnavailable(reason="lock timeout", retry_after=1)
    error.__cause__ = asyncpg.LockNotAvailableError()
    return error


def reasons(seen):
    return [notice.reason for notice in seen if isinstance(notice, ProblemSeen)]


async def test_refresh_renews_the_lease_then_divides_the_accounts(joined, database):
    joined.report([GatewayCondition(kind="clock_wrong", subject="clock", reason="40 s behind")])

    owned = await joined.refresh()

    assert owned == {"account1", "account2"}
    assert joined.is_leader
    assert joined.may_prune()
    assert database.names_ran() == [
        "renew_node",
        "refresh",
        "wait_briefly",
        "fence_nodes",
        "next_fence",
        "lock_leader",
        "live_nodes",
        "take_accounts",
        "own_accounts",
        "wait_briefly",
    ]
    assert database.reserved == [True, True, True]
    (renewed,) = database.values_of("renew_node")
    assert renewed["lease"] == LEASE
    assert msgspec.json.decode(renewed["conditions"])[0]["reason"] == "40 s behind"
    assert database.values_of("wait_briefly") == [{"within": LOCK_PATIENCE}] * 2
    assert database.values_of("fence_nodes") == [{"margin": 0.5}]
    assert database.values_of("next_fence") == [{"margin": 0.5}]
    assert database.values_of("take_accounts") == [{"accounts": [LEADER, "account1", "account2"]}]


async def test_node_keeps_only_accounts_that_are_assigned_to_it(joined, database):
    """The other node knows only one account, and does not lead."""
    database.rows["live_nodes"].append((9, '["account2"]', "other", "[]"))

    assert await joined.refresh() == {"account1"}
    assert database.values_of("take_accounts") == [{"accounts": [LEADER, "account1"]}]


async def test_conditions_of_other_gateways_have_their_names(joined, database):
    condition = GatewayCondition(kind="clock_wrong", subject="clock", reason="40 s behind")
    said = msgspec.json.encode([condition]).decode()
    database.rows["live_nodes"] = [(NODE, ALL, "mine", said), (9, "[]", "other", said)]
    await joined.refresh()
    with_another = joined.reported()
    database.rows["live_nodes"].pop()
    await joined.refresh()

    assert with_another == [msgspec.structs.replace(condition, gateway="other")]
    assert joined.reported() is None


async def test_next_refresh_is_due_two_seconds_after_the_last_one_began(joined, database, clock):
    database.during = lambda: setattr(clock, "time", clock.time + 0.25)

    await joined.refresh()

    # Of the two seconds, three transactions have used 0.75.
    assert joined.next_refresh == 1_250


async def test_next_refresh_is_due_when_a_node_can_be_fenced(joined, database, clock):
    database.rows["next_fence"] = [(1.5,)]
    await joined.refresh()
    soon = joined.next_refresh
    clock.time += 1.5

    assert (soon, joined.next_refresh) == (1_500, 50)


async def test_lease_is_renewed_before_it_ends(joined, database, clock):
    await joined.renew()
    renewed = [len(database.values_of("renew_node"))]
    for later in (2 * SHARE_OUT_EVERY - 0.5, 0.5):
        clock.time += later
        await joined.renew()
        renewed.append(len(database.values_of("renew_node")))

    assert renewed == [1, 1, 2]


async def test_process_that_has_not_joined_renews_no_lease(ownership, database, clock):
    clock.time += FOREVER

    await ownership.renew()

    assert database.ran == []


async def test_lease_counts_from_before_its_renewal(joined, database, clock):
    clock.time += 4.0
    database.during = lambda: setattr(clock, "time", clock.time + 1.0)
    await joined.refresh()
    # The renewal began three transactions ago.
    clock.time += LEASE - 3.0 - 0.1
    before = joined.may_send()
    clock.time += 0.1

    assert (before, joined.may_send()) == (True, False)


@pytest.mark.parametrize(
    ("late", "fences"), [(-0.1, True), (0.0, False)], ids=["valid lease", "expired lease"]
)
async def test_node_fences_others_only_if_its_own_lease_was_valid(
    joined, database, clock, late, fences
):
    await joined.refresh()
    clock.time += LEASE + late
    database.ran.clear()

    await joined.refresh()

    assert ("fence_nodes" in database.names_ran()) is fences


async def test_node_fences_others_again_after_it_has_let_them_renew(joined, database, clock):
    joined.let_others_first()
    await joined.refresh()
    waits = joined.next_refresh
    clock.time += 2 * SHARE_OUT_EVERY - 0.1
    await joined.refresh()
    before = "fence_nodes" in database.names_ran()
    clock.time += 0.1
    await joined.refresh()

    assert (before, "fence_nodes" in database.names_ran()) == (False, True)
    assert waits == 2_000


async def test_fence_is_not_due_before_others_could_renew(joined, database):
    joined.let_others_first()
    database.rows["next_fence"] = [(-FOREVER,)]

    await joined.refresh()

    assert joined.next_refresh == 2_000


@pytest.mark.parametrize(
    ("seconds", "cause"),
    [
        (2 * SHARE_OUT_EVERY, "a transaction has locked its row"),
        (0.0, "the lease of this gateway had expired"),
    ],
)
async def test_late_fence_is_reported_with_its_cause(  # noqa: PLR0917 - fixtures
    joined, database, seen, clock, seconds, cause
):
    joined.let_others_first()
    clock.time += seconds
    database.rows["next_fence"] = [(-9.0,)]
    database.rows["busy_sessions"] = [(42, "idle in transaction")]

    await joined.refresh()

    assert "should have been replaced 9 s ago" in reasons(seen)[0]
    assert cause in reasons(seen)[0]
    assert reasons(seen)[1] == "session 42: idle in transaction"


async def test_each_step_of_a_refresh_has_a_name_for_the_log(joined, database):
    steps = []
    database.during = lambda: steps.append(joined._waits.step)  # noqa: SLF001

    await joined.refresh()

    assert steps == [
        "renewing the lease",
        "dividing the accounts among the gateways",
        "queueing the claims of a dead gateway again",
    ]


async def test_node_keeps_its_accounts_while_another_transaction_locks_them(
    joined, database, clock
):
    before = await joined.refresh()
    database.errors["lock_leader"] = is_locked()
    database.rows["own_accounts"] = []

    assert await joined.refresh() == before
    assert joined.next_refresh == 50


async def test_refresh_fails_while_the_database_is_unavailable(joined, database):
    database.errors["lock_leader"] = LedgerUnavailable(reason="away", retry_after=1)

    with pytest.raises(LedgerUnavailable):
        await joined.refresh()


async def test_claims_of_dead_nodes_are_queued_again_until_none_is_left(joined, expired):
    expired.results = [20, 5, 0]

    await joined.refresh()

    given = {"leases": "leases_of_dead_nodes", "now": NOW, "furthest": 1 << 62, "died": True}
    assert expired.calls == [given] * 3
    assert joined.next_refresh == 2_000


async def test_accounts_are_divided_while_claims_are_queued_again(joined, database, expired, clock):
    expired.results = [20] * 9
    database.during = lambda: setattr(clock, "time", clock.time + 0.25)

    await joined.refresh()

    # After a second.
    assert len(expired.calls) == 4
    assert joined.next_refresh == 50
