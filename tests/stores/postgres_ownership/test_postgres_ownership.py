"""What a node may send and claim, and what it reports to the others."""

import time

import pytest
from postgres_ownership_stage import ACCOUNTS, ALL, FOREVER, LEASE, NODE

from fakes import settled
from twite.stores.postgres import nodes as module
from twite.stores.postgres.nodes import NotOwner, owner_of

AGAIN = 0.1


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


async def test_joined_node_reports_changed_accounts(joined, database):
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
        ("check_pause", {"pixel": "pixel2"}),
    ]


@pytest.mark.parametrize(("name", "rows"), [("check_owner", []), ("check_pause", [(True,)])])
async def test_claim_is_refused_without_the_account_or_during_a_pause(joined, database, name, rows):
    database.rows[name] = rows

    with pytest.raises(NotOwner):
        joined.check(database, "pixel2")


def test_process_without_workers_needs_no_ownership(ownership, database):
    ownership.check(database, "pixel1")

    assert database.ran == []


async def test_changes_are_read_for_idle_pixels(joined, database, clock):
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
async def test_checks_for_changes_use_a_tenth_of_the_time(  # noqa: PLR0917 - fixtures
    joined, database, clock, others, takes, next_news
):
    if others:
        database.rows["live_nodes"].append((9, "[]", "other", "[]"))
    await joined.refresh()
    database.rows["news"] = [("{}", "[]")]
    database.during = lambda: setattr(clock, "time", clock.time + takes)

    await joined.news({})

    assert joined.next_news == pytest.approx(next_news, abs=10)


async def test_change_is_reported_to_other_nodes(joined, database):
    await joined.announce("settings")

    assert database.ran == [("note_change", {"what": "settings"})]


async def test_accounts_can_be_given_up(joined, database):
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


async def test_erasure_waits_until_others_have_read_the_opt_outs(joined, database, clock):
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


def test_time_of_a_lease_continues_while_the_machine_sleeps():
    before = time.clock_gettime(time.CLOCK_BOOTTIME)

    assert before <= module.boot_time() <= before + 60
