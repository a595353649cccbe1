"""The lease of a node, and its share of the accounts, beside a database that a test decides."""

import time
from types import SimpleNamespace

import asyncpg
import msgspec
import pytest
from pauses_stage import pause

from builders import NOW
from fakes import settled
from twite.domain.errors import LedgerUnavailable
from twite.gateway.ports.events import Troubled
from twite.gateway.ports.ownership import GatewayCondition
from twite.stores.postgres import nodes as module
from twite.stores.postgres import waits
from twite.stores.postgres.connection import ResultRows
from twite.stores.postgres.nodes import LEADER, LOCK_PATIENCE, NotOwner, PostgresOwnership, owner_of

NODE = 7
ACCOUNTS = {"pixel1": "account1", "pixel2": "account2", "pixel3": "account2"}
ALL = '["account1","account2"]'
AGAIN = 0.1
LEASE = 8.0  # seconds
SHARE_OUT_EVERY = 2.0
FOREVER = 3_600.0


class Database:
    """A database, its sessions and its views: `rows` has the rows of each statement."""

    def __init__(self):
        self.node = 0
        self.names = SimpleNamespace(opt_outs=SimpleNamespace(version=0))
        self.connections_in_use = 3
        self.opt_outs = SimpleNamespace(refresh=lambda: self.ran.append(("refresh", {})))
        self.rows = {
            "join_nodes": [(NODE,)],
            "renew_node": [(1,)],
            "next_fence": [(FOREVER,)],
            "live_nodes": [(NODE, ALL, "mine", "[]")],
            "own_accounts": [("account1",), ("account2",), (LEADER,)],
            "check_owner": [(1,)],
            "check_pause": [(False,)],
        }
        self.ran = []
        self.reserved = []  # whether each transaction used the reserved connections
        self.during = lambda: None  # called in each transaction
        self.errors = {}  # of statements

    async def write(self, unit, *, reserved=False):
        self.reserved.append(reserved)
        self.during()
        return unit(self)

    async def read(self, view):
        self.during()
        return view(SimpleNamespace(run=lambda name, values: self.run(name, **values)))

    def run(self, name, /, **values):
        self.ran.append((name, values))
        if name in self.errors:
            raise self.errors.pop(name)
        rows = self.rows.get(name, [])
        return ResultRows(rows, len(rows))

    def names_ran(self):
        return [name for name, _ in self.ran]

    def values_of(self, name):
        return [values for ran, values in self.ran if ran == name]


class Seen(list):
    """Implements Observer."""

    def see(self, notice):
        self.append(notice)

    def reasons(self):
        return [notice.reason for notice in self if isinstance(notice, Troubled)]


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def clock(monkeypatch):
    clock = pause(monkeypatch, module)
    module.time.perf_counter = clock.monotonic
    module.time.time_ns = lambda: NOW * 1_000_000
    monkeypatch.setattr(module, "boot_time", clock.monotonic)
    return clock


@pytest.fixture
def expired(monkeypatch):
    """What ends leases of dead nodes: the results of its calls, and their arguments."""
    found = SimpleNamespace(results=[], calls=[])

    def expire(session, **given):
        found.calls.append(given)
        return found.results.pop(0) if found.results else 0

    monkeypatch.setattr(module.outbox, "expire", expire)
    return found


@pytest.fixture
def database(monkeypatch, expired):
    for one in (module, waits):
        monkeypatch.setattr(one, "statement", lambda name: name)
    return Database()


@pytest.fixture
def ownership(database, seen, clock):
    return PostgresOwnership(database, name="mine", version="1.2", observer=seen)


@pytest.fixture
async def joined(ownership, database):
    await ownership.join(ACCOUNTS, longest_request=15_000)
    database.ran.clear()
    database.reserved.clear()
    return ownership


def is_locked():
    error = LedgerUnavailable(reason="lock timeout", retry_after=1)
    error.__cause__ = asyncpg.LockNotAvailableError()
    return error


def test_process_that_has_not_joined_sends_and_prunes(ownership, database):
    assert (ownership.may_send(), ownership.may_prune(), ownership.is_leader) == (True, True, False)
    assert ownership.next_news == 2_000
    assert ownership.name == "mine"
    assert ownership.reported() is None
    assert ownership.account("pixel1") == "pixel1"
    assert ownership.next_refresh == 50


async def test_node_joins_with_its_accounts_and_its_longest_request(ownership, database, clock):
    await ownership.join(ACCOUNTS, longest_request=15_000)

    assert database.ran == [
        (
            "join_nodes",
            {
                "name": "mine",
                "version": "1.2",
                "lease": LEASE,
                "accounts": ALL,
                "longest_request": 15_000,
            },
        )
    ]
    assert database.reserved == [True]
    assert (ownership.node, ownership.may_send(), ownership.may_prune()) == (NODE, True, False)


async def test_lease_of_a_new_node_counts_from_before_it_joined(ownership, database, clock):
    def waits():
        clock.time += 3.0

    database.during = waits
    await ownership.join(ACCOUNTS, longest_request=0)
    clock.time += LEASE - 3.1
    before = ownership.may_send()
    clock.time += 0.1

    assert (before, ownership.may_send()) == (True, False)


async def test_joined_node_announces_changed_accounts(joined, database):
    await joined.join({"pixel9": "account9"}, longest_request=5_000)

    values = {"accounts": '["account9"]', "longest_request": 5_000}
    assert database.ran == [("know_accounts", values)]
    assert joined.account("pixel9") == "account9"
    assert joined.account("unknown") == "unknown"


async def test_fenced_node_sends_nothing_and_joins_again(joined, database):
    assert await joined.refresh() == {"account1", "account2"}
    database.rows["renew_node"] = []
    refreshed = await joined.refresh()
    sends = joined.may_send()
    leads = joined.is_leader
    database.rows["join_nodes"] = [(NODE + 1,)]
    await joined.join(ACCOUNTS, longest_request=0)

    assert (refreshed, sends, leads) == (None, False, False)
    assert (joined.node, joined.may_send()) == (NODE + 1, True)


async def test_fenced_node_does_not_renew_its_lease(joined, database, clock):
    database.rows["renew_node"] = []
    await joined.refresh()
    clock.time += FOREVER
    database.ran.clear()

    await joined.renew()

    assert database.ran == []


async def test_claim_checks_the_owner_and_the_pauses_of_users(joined, database):
    joined.check(database, "pixel2")

    assert database.ran == [
        ("check_owner", {"account": "account2"}),
        ("check_pause", {"pixel": "pixel2", "by_user": "paused by hand%"}),
    ]


@pytest.mark.parametrize(("name", "rows"), [("check_owner", []), ("check_pause", [(True,)])])
async def test_claim_is_refused_without_the_account_or_during_a_pause(joined, database, name, rows):
    database.rows[name] = rows

    with pytest.raises(NotOwner):
        joined.check(database, "pixel2")


def test_process_without_workers_needs_no_ownership(ownership, database):
    ownership.check(database, "pixel1")

    assert database.ran == []


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


async def test_next_refresh_is_due_after_two_seconds_from_its_start(joined, database, clock):
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


async def test_lease_is_renewed_early_enough(joined, database, clock):
    await joined.renew()
    renewed = [len(database.values_of("renew_node"))]
    for later in (2 * SHARE_OUT_EVERY - 0.5, 0.5):
        clock.time += later
        await joined.renew()
        renewed.append(len(database.values_of("renew_node")))

    assert renewed == [1, 1, 2]


async def test_process_that_has_not_joined_renews_nothing(ownership, database, clock):
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

    assert "should have been replaced 9 s ago" in seen.reasons()[0]
    assert cause in seen.reasons()[0]
    assert seen.reasons()[1] == "session 42: idle in transaction"


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


async def test_claims_of_dead_nodes_are_queued_until_none_is_left(joined, expired):
    expired.results = [20, 5, 0]

    await joined.refresh()

    given = {"leases": "leases_of_dead_nodes", "now": NOW, "furthest": 1 << 62, "died": True}
    assert expired.calls == [given] * 3
    assert joined.next_refresh == 2_000


async def test_accounts_are_looked_after_between_many_claims_of_dead_nodes(
    joined, database, expired, clock
):
    expired.results = [20] * 9
    database.during = lambda: setattr(clock, "time", clock.time + 0.25)

    await joined.refresh()

    # After a second.
    assert len(expired.calls) == 4
    assert joined.next_refresh == 50


async def test_news_of_idle_pixels(joined, database, clock):
    database.names.opt_outs.version = 4
    database.rows["news"] = [('{"opt_out":4,"pause":2}', '["pixel1"]')]

    news = await joined.news({"pixel1": {"event1"}, "pixel2": ()})

    assert (news.ready, news.versions) == ({"pixel1"}, {"opt_out": 4, "pause": 2})
    assert database.ran == [
        (
            "news",
            {
                "pixels": ["pixel1", "pixel2"],
                "passing_pixels": ["pixel1"],
                "passing_events": ["event1"],
            },
        )
    ]


async def test_changed_opt_outs_are_read(joined, database):
    database.rows["news"] = [('{"opt_out":5}', "[]")]

    await joined.news({})

    assert database.names_ran() == ["news", "refresh"]


@pytest.mark.parametrize(
    ("others", "takes", "next_news"),
    [(False, 0.0, 2_000), (True, 0.0, 200), (True, 0.01, 200), (True, 0.1, 1_000)],
)
async def test_checks_for_news_use_a_tenth_of_the_time(  # noqa: PLR0917 - fixtures
    joined, database, clock, others, takes, next_news
):
    if others:
        database.rows["live_nodes"].append((9, "[]", "other", "[]"))
    await joined.refresh()
    database.rows["news"] = [("{}", "[]")]
    database.during = lambda: setattr(clock, "time", clock.time + takes)

    await joined.news({})

    assert joined.next_news == pytest.approx(next_news, abs=10)


async def test_change_is_announced_to_other_nodes(joined, database):
    await joined.announce("settings")

    assert database.ran == [("note_change", {"what": "settings"})]


async def test_accounts_are_given_up(joined, database):
    await joined.give_up({"b", "a"})

    assert database.ran == [("give_up_accounts", {"accounts": ["a", "b"]})]


async def test_node_that_leaves_sends_nothing_more(joined, database):
    await joined.refresh()
    database.ran.clear()
    sends = []
    database.during = lambda: sends.append((joined.may_send(), joined.is_leader))

    await joined.leave()

    assert (sends, database.ran) == ([(False, False)], [("leave_nodes", {})])
    assert database.reserved[-1] is True


async def test_erasure_waits_until_other_gateways_have_read_the_list(joined, database, clock):
    database.rows |= {"database_time": [(100.0,)], "is_node_behind": [(True,)]}
    task = module.asyncio.create_task(joined.until_others_suppress())
    await settled()
    await clock.end(AGAIN)
    waits = not task.done()
    database.rows["is_node_behind"] = [(False,)]
    await clock.end(AGAIN)
    await task

    assert waits
    # Each gateway reads the list when it renews its lease, which then ends later than this.
    assert database.values_of("is_node_behind") == [{"since": 108.0, "node": NODE}] * 3


def test_node_with_the_greatest_weight_owns_an_account():
    """All gateways must agree, also those of another version."""
    nodes = [(node, frozenset({"a", "b", "c", "d"})) for node in (1, 2, 3)]

    assert [owner_of(account, nodes) for account in "abcd"] == [3, 3, 2, 1]
    assert owner_of("e", nodes) is None


def test_time_continues_while_the_machine_sleeps():
    before = time.clock_gettime(time.CLOCK_BOOTTIME)

    assert before <= module.boot_time() <= before + 60
