"""Several nodes on one database: the owners of accounts, and the claims of dead nodes."""

import asyncio

import msgspec
from postgres_nodes_stage import ACCOUNTS, LEASE, NOW, a_claim, balanced, owned, settled

from builders import a_submission, an_entry
from twite.domain.delivery import Trigger
from twite.domain.pause import Cause, Pause
from twite.gateway.ports.outbox import SweepRequest
from twite.gateway.ports.ownership import PAUSES, SECRETS, GatewayCondition
from twite.gateway.ports.state import RateLimitWindow, SealedSecret
from twite.stores.postgres import nodes
from twite.stores.postgres.nodes import owner_of


async def test_single_node_owns_all_accounts_and_leads(open_node):
    alone = await open_node()

    assert await owned(alone) == [frozenset(ACCOUNTS.values())]
    assert alone.ownership.is_leader


async def test_each_account_has_one_owner_and_there_is_one_leader(open_node):
    stores = [await open_node() for _ in range(3)]

    shares = await balanced(*stores)

    assert sorted(account for share in shares for account in share) == sorted(ACCOUNTS.values())
    assert [store.ownership.is_leader for store in stores].count(True) == 1


async def test_joining_node_gets_accounts_only_after_they_are_given_up(open_node):
    first = await open_node()
    await owned(first)
    second = await open_node()

    mine, others = await owned(first, second)

    assert mine < frozenset(ACCOUNTS.values())
    assert others == frozenset()


async def test_only_the_owner_of_an_account_claims(open_node):
    first, second = [await open_node() for _ in range(2)]
    mine, _ = await balanced(first, second)
    of_mine = next(pixel for pixel, account in ACCOUNTS.items() if account in mine)
    await second.record(a_submission(an_entry("c1", pixel=of_mine), received_at=NOW))

    assert await second.claim(a_claim(of_mine)) is None
    batch = await first.claim(a_claim(of_mine))

    assert [delivery.conversion_id for delivery in batch.deliveries] == ["c1"]


async def test_node_notices_deliveries_queued_by_another_node(open_node):
    first, second = [await open_node() for _ in range(2)]
    await balanced(first, second)
    before = await first.ownership.news({"pixel1": ()})
    await second.record(
        a_submission(an_entry("c1", pixel="pixel1", event="event1"), received_at=NOW)
    )

    looks = [
        {"pixel1": ()},
        {"pixel1": (), "pixel2": ()},
        {"pixel1": {"event1"}},
        {"pixel2": {"event1"}},
        {},
    ]
    ready = [(await first.ownership.news(idle)).ready for idle in looks]

    assert before.ready == frozenset()
    assert ready == [{"pixel1"}, {"pixel1"}, set(), set(), set()]


async def test_pause_by_another_node_stops_claims(open_node):
    first, second = [await open_node() for _ in range(2)]
    await balanced(first, second)
    owners = [await store.ownership.refresh() for store in (first, second)]
    owner, other = (first, second) if "account1" in owners[0] else (second, first)
    entries = [an_entry("c1", pixel="pixel1", event="one")]
    await owner.record(a_submission(*entries, received_at=NOW))
    event = Pause(pixel="pixel1", event="one", since=NOW, cause=Cause.USER, reason="paused by hand")
    await other.put(
        [event, Pause(pixel="pixel2", since=NOW, cause=Cause.USER, reason="paused by hand")]
    )
    await other.put(
        [Pause(pixel="pixel1", since=NOW, cause=Cause.CREDENTIALS_REFUSED, reason="401: refused")]
    )
    probe = await owner.claim(msgspec.structs.replace(a_claim("pixel1"), limit=1))

    await other.put(
        [Pause(pixel="pixel1", since=NOW, cause=Cause.USER, reason="paused by hand, by ann")]
    )
    await owner.record(a_submission(an_entry("c2", pixel="pixel1"), receipt="2", received_at=NOW))

    assert len(probe.deliveries) == 1
    assert await owner.claim(a_claim("pixel1")) is None
    await other.delete(Pause, ("pixel1", ""))
    assert len((await owner.claim(a_claim("pixel1"))).deliveries) == 1


async def test_changed_pauses_and_secrets_have_new_versions_at_all_nodes(open_node):
    first, second = [await open_node() for _ in range(2)]
    pause = Pause(pixel="pixel1", since=NOW, cause=Cause.CREDENTIALS_REFUSED, reason="401: refused")
    secret = SealedSecret(name="login/pixel1/oauth", sealed=b"1")
    changes = [
        lambda: second.put([pause]),
        lambda: second.delete(Pause, pause),
        lambda: second.delete(Pause, ("pixel1", "")),
        lambda: second.put([secret]),
        lambda: second.put([secret], old_secret=secret),
        lambda: second.delete(SealedSecret, secret.name),
        lambda: second.put([RateLimitWindow(pixel="pixel1", until=NOW, reason="used up")]),
    ]
    seen = [(await first.ownership.news({})).versions]
    for change in changes:
        await change()
        seen.append((await first.ownership.news({})).versions)

    counted = [(found.get(PAUSES, 0), found.get(SECRETS, 0)) for found in seen]
    assert counted == [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (3, 2), (3, 3), (3, 3)]


async def test_node_polls_often_only_if_there_are_others(open_node, monkeypatch):
    # However long the database takes: a slow one is asked less often.
    monkeypatch.setattr(nodes.time, "perf_counter", lambda: 0.0)
    first = await open_node()
    await owned(first)
    await first.ownership.news({})
    alone = first.ownership.next_news
    second = await open_node()
    await owned(first, second)
    await first.ownership.news({})

    assert (alone, first.ownership.next_news) == (2_000, 200)


async def test_dead_node_is_fenced_and_its_claims_are_sent_by_another_node(open_node, end_lease):
    first = await open_node()
    await owned(first)
    await first.record(a_submission(an_entry("c1", pixel="pixel1"), received_at=NOW))
    batch = await first.claim(a_claim("pixel1"))
    second = await open_node()
    end_lease(first)

    assert await owned(second) == [frozenset(ACCOUNTS.values())]
    again = await second.claim(a_claim("pixel1"))

    assert [delivery.id for delivery in again.deliveries] == [batch.deliveries[0].id]
    assert again.deliveries[0].ambiguous_since is not None
    assert await first.claim(a_claim("pixel1")) is None


async def test_expired_lease_of_a_live_node_stays_claimed(open_node):
    """A tag's run may wait longer than its lease for a setup tag shared with other runs."""
    first, second = [await open_node() for _ in range(2)]
    mine, _ = await balanced(first, second)
    of_mine = next(pixel for pixel, account in ACCOUNTS.items() if account in mine)
    await first.record(a_submission(an_entry("c1", pixel=of_mine), received_at=NOW))
    batch = await first.claim(a_claim(of_mine))
    later = SweepRequest(now=NOW + 10 * LEASE, ambiguous_before=0, waiting_before=0)

    swept = [await second.sweep(later)]
    swept.append(await first.sweep(msgspec.structs.replace(later, holding={batch.lease})))
    await first.ownership.give_up(mine)
    await owned(second)
    taken = await second.claim(a_claim(of_mine))
    late = await first.settle(settled(batch, Trigger.DELIVERED))

    assert [result.expired for result in swept] == [0, 0]
    assert (taken, late) == (None, 0)


async def test_fenced_node_sends_nothing_before_it_has_joined_again(open_node, end_lease):
    first, second = [await open_node() for _ in range(2)]
    await balanced(first, second)
    was = first.ownership.node
    end_lease(first)
    await owned(second)

    assert await owned(first) == [None]
    assert not first.ownership.may_send()
    await first.ownership.join(ACCOUNTS, longest_request=0)

    assert first.ownership.node > was
    assert await owned(first) == [frozenset()]
    assert first.ownership.may_send()


async def test_node_lets_others_renew_their_leases_after_an_outage(
    open_node, end_lease, monkeypatch
):
    """Conversions that X accepted from others during the outage must not be sent again."""
    first, second = [await open_node() for _ in range(2)]
    mine, others = await balanced(first, second)
    for store in (first, second):
        end_lease(store)
    now = nodes.boot_time() + 60
    monkeypatch.setattr(nodes, "boot_time", lambda: now)

    after_outage = await owned(first, second)
    waits = first.ownership.next_refresh
    end_lease(second)
    now += 5
    later = await owned(first, second)

    assert after_outage == [mine, others]
    assert 1_000 < waits <= 2_000
    assert later == [mine | others, None]


async def test_next_refresh_is_due_when_another_node_can_be_fenced(
    open_node, postgres_server, postgres_url, monkeypatch
):
    first, second = [await open_node() for _ in range(2)]
    await balanced(first, second)
    usual = first.ownership.next_refresh
    # Usually, the next refresh is due before the lease has ended, whatever the other node does.
    monkeypatch.setattr(nodes, "SHARE_OUT_EVERY", 600_000)
    database = postgres_url.partition("@/")[2].partition("?")[0]
    postgres_server.psql(
        f"UPDATE node SET until = now() + interval '5 s', longest_request = 400 "  # noqa: S608
        f"WHERE id = {second.ownership.node}",
        database,
    )

    owned_now = await first.ownership.refresh()

    # 5 s left of the lease, 0.4 s for the longest request, and a margin of 0.5 s. The node itself
    # can be fenced after 8.5 s.
    assert 0 < usual <= 2_000
    assert first.ownership.next_refresh <= 5_900
    assert owned_now < frozenset(ACCOUNTS.values())


async def test_leaving_node_gives_up_its_accounts_at_once(open_node):
    first, second = [await open_node() for _ in range(2)]
    await balanced(first, second)

    await first.ownership.leave()

    assert await owned(second) == [frozenset(ACCOUNTS.values())]
    assert second.ownership.is_leader
    assert not first.ownership.may_send()


async def test_lease_in_flight_of_a_live_node_is_not_ended_by_another(open_node):
    first = await open_node()
    await owned(first)
    await first.record(a_submission(an_entry("c1", pixel="pixel1"), received_at=NOW))
    await first.claim(a_claim("pixel1"))
    second = await open_node()

    await owned(second)

    (account,) = await second.balance()
    assert account.pending == 1
    assert await second.claim(a_claim("pixel1")) is None


async def test_nodes_that_divide_accounts_at_the_same_time_agree(open_node):
    stores = [await open_node() for _ in range(4)]

    for _ in range(10):
        shares = await asyncio.gather(*(store.ownership.refresh() for store in stores))
        held = [account for share in shares for account in share]
        assert len(held) == len(set(held))
        for store, mine in zip(stores, shares, strict=True):
            await store.ownership.give_up({*ACCOUNTS.values()} - mine)

    assert sorted(held) == sorted(ACCOUNTS.values())


async def test_node_sends_nothing_after_its_own_clock_ends_the_lease(open_node, monkeypatch):
    node = await open_node()
    await owned(node)
    assert node.ownership.may_send()

    now = nodes.boot_time()
    monkeypatch.setattr(nodes, "boot_time", lambda: now + nodes.LEASE / 1_000)

    assert not node.ownership.may_send()


async def test_node_reads_only_the_reports_of_other_nodes(open_node):
    first, second = [await open_node() for _ in range(2)]
    wrong = GatewayCondition(kind="clock_wrong", subject="clock", reason="40 s behind")
    ambiguous = GatewayCondition(kind="clock_wrong", subject="clock", reason="", bad=None)
    first.ownership.report([wrong])
    second.ownership.report([ambiguous])
    await balanced(first, second)

    reports = [store.ownership.reported() for store in (first, second)]
    await first.ownership.leave()
    await owned(second)

    name = first.ownership.name
    assert reports == [
        [msgspec.structs.replace(condition, gateway=name)] for condition in (ambiguous, wrong)
    ]
    assert second.ownership.reported() is None


async def test_leader_stays_the_same_until_it_leaves(open_node):
    stores = []
    for _ in range(6):
        stores.append(await open_node())
        await balanced(*stores)
        assert [store.ownership.is_leader for store in stores] == [True] + [False] * (
            len(stores) - 1
        )

    await stores[0].ownership.leave()
    await balanced(*stores[1:])

    assert [store.ownership.is_leader for store in stores].count(True) == 1


def test_joining_node_takes_only_its_own_share_of_accounts():
    known = frozenset(ACCOUNTS.values())
    before = {account: owner_of(account, [(1, known), (2, known)]) for account in known}
    after = {account: owner_of(account, [(1, known), (2, known), (3, known)]) for account in known}

    assert all(after[account] in {before[account], 3} for account in known)


def test_account_belongs_to_a_node_that_knows_it():
    assert owner_of("new", [(1, frozenset()), (2, frozenset({"new"}))]) == 2
    assert owner_of("new", [(1, frozenset())]) is None
