"""The accounts of a gateway that shares its store: gained, given up, lost."""

import asyncio

import pytest
from ownership_stage import AWAY, SharedSetting, of_account, queued_elsewhere

from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Pause
from twite.domain.times import SECOND
from twite.gateway.ports.ownership import SHARE_OUT_EVERY


async def test_only_pixels_of_owned_accounts_are_sent_to(begin):
    setting = await begin("a")

    await setting.record("1", pixel="p1")
    await setting.record("2", pixel="p2")
    await setting.record("3", pixel="p3")
    await setting.clock.advance(100)

    assert sorted(setting.sent()) == [["1"], ["2"]]
    assert setting.ownership.known == {"p1": "a", "p2": "a", "p3": "p3"}
    assert setting.ownership.longest_request == 15 * SECOND


async def test_queued_deliveries_of_a_gained_account_are_sent(begin):
    setting = await begin()
    await setting.record("3", pixel="p3")
    await setting.shared_out()
    before = setting.sent()

    setting.ownership.due = frozenset({"p3"})
    await setting.shared_out()

    assert (before, setting.sent()) == ([], [["3"]])


async def test_deliveries_queued_by_another_gateway_are_sent_after_the_next_poll(begin):
    setting = await begin("a", "p3")
    setting.ownership.next_news = 200
    await setting.clock.advance(SHARE_OUT_EVERY)
    await queued_elsewhere(setting, "p3", "3")
    setting.ownership.ready = {"p3", "of another gateway"}

    await setting.clock.advance(200)

    assert setting.ownership.idle[-1] == {"p1": set(), "p2": set(), "p3": set()}
    assert setting.sent() == [["3"]]


async def test_worker_without_deliveries_is_not_woken_again_soon(begin):
    setting = await begin("p3")
    setting.ownership.next_news = 200
    setting.ownership.ready = {"p3"}
    await setting.clock.advance(SHARE_OUT_EVERY + 200)
    asked = len(setting.ownership.idle)

    for _ in range(5):
        await setting.clock.advance(200)
    soon = setting.ownership.idle[asked:]
    for _ in range(30):
        await setting.clock.advance(200)

    assert soon == [{}] * 5
    assert {"p3": set()} in setting.ownership.idle[asked + 5 :]


async def test_listener_is_called_once_per_change_and_again_after_a_failure(begin):
    setting = await begin("p3")
    setting.ownership.next_news = SHARE_OUT_EVERY
    called, failures = [], []

    async def listen():
        called.append(dict(setting.ownership.versions))
        if failures:
            raise failures.pop()

    setting.run.listeners["secret"] = listen
    for version in (0, 0, 1, 1, 2, 2, 2):
        if version == 2 and len(called) == 2:
            failures.append(AWAY)
        setting.ownership.versions = {"secret": version} if version else {}
        await setting.shared_out()

    assert called == [{}, {"secret": 1}, {"secret": 2}, {"secret": 2}]


async def test_account_is_given_up_after_its_requests_have_ended(begin):
    setting = await begin("a", "p3")
    setting.answer.clear()
    await setting.record("1", pixel="p1")
    await setting.clock.advance(100)
    setting.ownership.due = frozenset({"p3"})
    await setting.shared_out()
    await setting.record("2", pixel="p2")
    await setting.shared_out()
    before = setting.gave_up()

    setting.answer.set()
    await setting.clock.advance(100)

    assert (before, setting.gave_up()) == ([], ["give up a"])
    assert setting.sent() == [["1"]]
    assert await setting.state("1", pixel="p1") == "delivered"


async def test_account_regained_before_it_is_given_up_continues(begin):
    setting = await begin("a")
    setting.answer.clear()
    await setting.record("1", pixel="p1")
    await setting.clock.advance(100)
    setting.ownership.due = frozenset()
    await setting.shared_out()
    setting.ownership.due = frozenset({"a"})
    await setting.shared_out()
    await setting.record("2", pixel="p2")
    await setting.clock.advance(100)
    before = setting.sent()

    setting.answer.set()
    await setting.shared_out()

    assert (before, setting.sent()) == ([["1"]], [["1"], ["2"]])
    assert setting.gave_up() == ["give up a"]


async def test_giving_up_is_repeated_until_the_database_accepts_it(begin):
    setting = await begin("a")
    setting.ownership.failures = {"give up a": 2}
    setting.ownership.due = frozenset()

    for _ in range(4):
        await setting.shared_out()

    assert setting.gave_up() == ["give up a"] * 3


async def test_account_whose_workers_failed_to_start_is_started_later(begin):
    setting = await begin()
    await setting.clock.advance(0)
    load = setting.store.load
    failures = [AWAY]

    async def failing(kind):
        if kind is Pause and failures:
            raise failures.pop()
        return await load(kind)

    setting.store.load = failing
    setting.ownership.due = frozenset({"p3"})
    await setting.record("3", pixel="p3")
    await setting.shared_out()
    before = setting.sent()

    await setting.shared_out()

    assert (before, failures, setting.sent()) == ([], [], [["3"]])


async def test_outage_of_the_database_does_not_end_the_sharing(begin):
    setting = await begin()
    setting.ownership.failures = {"refresh": 3}
    setting.ownership.due = frozenset({"p3"})
    await setting.record("3", pixel="p3")

    for _ in range(4):
        await setting.shared_out()

    assert setting.sent() == [["3"]]


async def test_gateway_starts_while_another_holds_a_lock_that_it_needs():
    setting = SharedSetting("p3")
    setting.ownership.failures = {"refresh": 1}
    await setting.record("3", pixel="p3")

    await setting.run.start()
    await setting.shared_out()

    assert setting.sent() == [["3"]]
    assert await setting.run.stop(within=1_000)


async def test_gateway_joins_again_after_a_lost_lease_when_all_requests_have_ended(begin):
    setting = await begin("a", "p3")
    setting.answer.clear()
    await setting.record("1", pixel="p1")
    await setting.clock.advance(100)
    setting.ownership.due = None
    setting.ownership.sends = False
    await setting.shared_out()
    setting.ownership.due = frozenset({"a", "p3"})
    await setting.shared_out()
    before = setting.ownership.calls.count("join")

    setting.answer.set()
    await setting.clock.advance(100)
    setting.ownership.sends = True
    await setting.record("3", pixel="p3")
    await setting.shared_out()

    assert (before, setting.ownership.calls.count("join")) == (1, 2)
    assert setting.sent() == [["1"], ["3"]]


async def test_new_pixel_is_sent_to_by_the_owner_of_its_account(begin):
    setting = await begin("a")

    setting.run.send_to(of_account("a", "p4"))
    setting.run.send_to(of_account("b", "p5"))
    await setting.record("4", pixel="p4")
    await setting.record("5", pixel="p5")
    await setting.shared_out()

    assert setting.sent() == [["4"]]
    assert setting.ownership.known.items() >= {"p4": "a", "p5": "b"}.items()


async def test_stopping_gateway_leaves_after_its_last_request(begin):
    setting = await begin("a", "p3")
    setting.answer.clear()
    await setting.record("1", pixel="p1")
    await setting.clock.advance(100)
    stopping = asyncio.ensure_future(setting.run.stop(within=5 * SECOND))
    await setting.shared_out()
    before = "leave" in setting.ownership.calls

    setting.answer.set()

    assert await stopping
    assert (before, setting.ownership.calls[-1]) == (False, "leave")
    assert await setting.state("1", pixel="p1") == "delivered"


async def test_gateway_whose_start_failed_leaves(begin):
    setting = SharedSetting("a")

    async def fail(*_):
        raise AWAY

    setting.store.load = fail
    with pytest.raises(LedgerUnavailable):
        await setting.run.start()

    assert await setting.run.stop(within=1_000)
    assert setting.ownership.calls[-1] == "leave"


async def test_no_worker_starts_during_a_stop(begin):
    setting = await begin()
    load = setting.store.load
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(kind):
        if kind is Pause:
            asked.set()
            await go_on.wait()
        return await load(kind)

    setting.store.load = slow
    setting.ownership.due = frozenset({"p3"})
    await setting.record("3", pixel="p3")
    await setting.shared_out()
    await asked.wait()
    stopping = asyncio.ensure_future(setting.run.stop(within=5 * SECOND))
    await asyncio.sleep(0)

    go_on.set()

    assert await stopping
    assert setting.sent() == []
