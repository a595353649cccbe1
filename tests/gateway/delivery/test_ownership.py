"""The accounts of a gateway that shares its store: gained, handed over, lost, paused elsewhere."""

import asyncio

import msgspec
import pytest
from worker_bench import Setting

from builders import a_destination, a_submission, an_entry
from fakes import taken
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import SECOND
from twite.gateway.delivery.circuit_breaker import pause_by_user
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.ownership import SHARE_OUT_EVERY, News
from twite.gateway.ports.state import Pause

AWAY = LedgerUnavailable(reason="the database is down", retry_after=5)


def of_account(account, pixel):
    return msgspec.structs.replace(a_destination(pixel=pixel), account=account)


class ScriptedOwnership:
    """An Ownership whose accounts a test decides: `due` to this gateway, or lost (None)."""

    def __init__(self, *due):
        self.due = frozenset(due)
        self.calls = []
        self.known = {}
        self.failures = {}
        self.is_leader = True
        self.sends = True
        self.next_refresh = SHARE_OUT_EVERY
        self.next_news = 10 * SHARE_OUT_EVERY
        self.ready = {}
        self.versions = {}
        self.idle = []

    def _note(self, name):
        self.calls.append(name)
        if self.failures.get(name, 0):
            self.failures[name] -= 1
            raise AWAY

    async def join(self, accounts, *, longest_request):
        self._note("join")
        self.known = dict(accounts)
        self.longest_request = longest_request

    async def refresh(self):
        self._note("refresh")
        return self.due

    async def news(self, idle):
        self._note("news")
        self.idle.append({pixel: set(events) for pixel, events in idle.items()})
        return News(ready=frozenset(self.ready) & idle.keys(), versions=self.versions)

    async def give_up(self, accounts):
        self._note(f"give up {', '.join(accounts)}")

    async def leave(self):
        self._note("leave")

    def may_send(self):
        return self.sends


class SharedSetting(Setting):
    """Two pixels of one account and a third without, on a store that others use."""

    def __init__(self, *due):
        self.ownership = ScriptedOwnership(*due)
        super().__init__(
            destinations=[
                of_account("a", "p1"),
                of_account("a", "p2"),
                a_destination(pixel="p3"),
            ],
            worker_config=WorkerConfig(linger=0),
        )
        self.answer = asyncio.Event()
        self.answer.set()
        self.transport.post = self._post

    def new_run(self):
        run = super().new_run()
        run.ownership = self.ownership
        run.longest_request = 15 * SECOND
        return run

    async def _post(self, outbound):
        self.transport.sent.append(outbound)
        await self.answer.wait()
        return taken(outbound)

    async def shared_out(self):
        await self.clock.advance(SHARE_OUT_EVERY)

    def gave_up(self):
        return [call for call in self.ownership.calls if call.startswith("give up")]


@pytest.fixture
async def begin():
    begun = []

    async def start(*due):
        setting = SharedSetting(*due)
        begun.append(setting)
        await setting.run.start()
        return setting

    yield start
    for setting in begun:
        setting.answer.set()
        await setting.run.stop(within=1_000)


async def test_only_pixels_of_owned_accounts_are_sent_to(begin):
    setting = await begin("a")

    await setting.record("1", pixel="p1")
    await setting.record("2", pixel="p2")
    await setting.record("3", pixel="p3")
    await setting.clock.advance(100)

    assert sorted(setting.sent()) == [["1"], ["2"]]
    assert setting.ownership.known == {"p1": "a", "p2": "a", "p3": "p3"}
    assert setting.ownership.longest_request == 15 * SECOND


async def test_what_is_queued_for_an_account_is_sent_once_it_is_gained(begin):
    setting = await begin()
    await setting.record("3", pixel="p3")
    await setting.shared_out()
    before = setting.sent()

    setting.ownership.due = frozenset({"p3"})
    await setting.shared_out()

    assert (before, setting.sent()) == ([], [["3"]])


async def queued_elsewhere(setting, pixel, *ids):
    """Record conversions without waking the worker, as another gateway does."""
    entries = [an_entry(id_, pixel=pixel, index=index) for index, id_ in enumerate(ids)]
    await setting.store.record(a_submission(*entries, received_at=setting.steady.now()))


async def test_what_another_gateway_has_queued_is_sent_after_the_next_look(begin):
    setting = await begin("a", "p3")
    setting.ownership.next_news = 200
    await setting.clock.advance(SHARE_OUT_EVERY)
    await queued_elsewhere(setting, "p3", "3")
    setting.ownership.ready = {"p3", "of another gateway"}

    await setting.clock.advance(200)

    assert setting.ownership.idle[-1] == {"p1": set(), "p2": set(), "p3": set()}
    assert setting.sent() == [["3"]]


async def test_a_worker_that_was_called_in_vain_is_not_called_again_soon(begin):
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


async def test_a_listener_is_called_once_for_each_change_and_again_after_a_failure(begin):
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
        setting.ownership.versions = {"secret": version}
        await setting.shared_out()

    assert called == [{"secret": 0}, {"secret": 1}, {"secret": 2}, {"secret": 2}]


async def test_an_account_is_given_up_once_its_requests_have_ended(begin):
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


async def test_an_account_that_is_wanted_back_before_it_is_given_up_goes_on_after(begin):
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


async def test_giving_up_is_tried_until_the_database_takes_it(begin):
    setting = await begin("a")
    setting.ownership.failures = {"give up a": 2}
    setting.ownership.due = frozenset()

    for _ in range(4):
        await setting.shared_out()

    assert setting.gave_up() == ["give up a"] * 3


async def test_an_account_whose_workers_could_not_start_is_started_the_next_time(begin):
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


async def test_a_database_that_is_away_does_not_end_the_sharing(begin):
    setting = await begin()
    setting.ownership.failures = {"refresh": 3}
    setting.ownership.due = frozenset({"p3"})
    await setting.record("3", pixel="p3")

    for _ in range(4):
        await setting.shared_out()

    assert setting.sent() == [["3"]]


async def test_after_a_loss_of_the_lease_it_joins_once_all_requests_have_ended(begin):
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


async def test_a_new_pixel_is_sent_to_by_the_owner_of_its_account(begin):
    setting = await begin("a")

    setting.run.send_to(of_account("a", "p4"))
    setting.run.send_to(of_account("b", "p5"))
    await setting.record("4", pixel="p4")
    await setting.record("5", pixel="p5")
    await setting.shared_out()

    assert setting.sent() == [["4"]]
    assert setting.ownership.known.items() >= {"p4": "a", "p5": "b"}.items()


async def test_a_stop_leaves_after_the_last_request(begin):
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


async def test_a_start_that_fails_leaves(begin):
    setting = SharedSetting("a")
    setting.ownership.failures = {"refresh": 1}
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


async def test_a_pixel_of_another_gateway_is_paused_and_released_in_the_store(begin):
    setting = await begin("a")

    held = await setting.run.hold("p3", who="ann")
    stored = await setting.store.load(Pause)
    released = await setting.run.release("p3")

    assert (held, released) == (True, True)
    assert [(pause.pixel, pause.reason) for pause in stored] == [("p3", "paused by hand, by ann")]
    assert not await setting.store.load(Pause)
    assert not await setting.run.hold("unknown", who="ann")


async def test_a_release_through_another_gateway_ends_event_pauses_too(begin):
    setting = await begin("p3")
    other = await begin("a")
    other.run.outbox = setting.store
    await setting.clock.advance(0)
    handler = setting.run._workers["p3"].batch_handler  # noqa: SLF001 - a probe would end it
    await handler.pauses.trip("o8z6k", "400: alike")
    await setting.record("3", pixel="p3")
    await setting.clock.advance(SECOND)
    before = setting.sent()

    await other.run.release("p3")
    await setting.shared_out()

    assert (before, setting.sent()) == ([], [["3"]])
    assert not await setting.store.load(Pause)


async def test_a_pause_made_through_another_gateway_is_obeyed_and_its_end_too(begin):
    setting = await begin("p3")
    await setting.store.put([pause_by_user("p3", since=setting.clock.now(), who="ann")])
    await setting.shared_out()
    await setting.record("3", pixel="p3")
    await setting.clock.advance(SECOND)
    before = setting.sent()

    await setting.store.delete(Pause, ("p3", ""))
    await setting.shared_out()

    assert (before, setting.sent()) == ([], [["3"]])


async def test_a_pause_made_here_is_not_ended_by_what_was_read_before_it(begin):
    setting = await begin("p3")
    load = setting.store.load
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(kind):
        found = await load(kind)
        if kind is Pause:
            asked.set()
            await go_on.wait()
        return found

    setting.store.load = slow
    await setting.shared_out()
    await asked.wait()
    await setting.run.hold("p3", who="ann")
    go_on.set()
    await setting.record("3", pixel="p3")
    await setting.clock.advance(SECOND)

    assert setting.sent() == []


async def test_a_pixel_gained_while_it_is_paused_is_not_sent_to(begin):
    setting = await begin()
    await setting.run.hold("p3", who="ann")
    await setting.record("3", pixel="p3")

    setting.ownership.due = frozenset({"p3"})
    await setting.shared_out()

    assert setting.sent() == []
