"""A reload starts and stops the workers of tags and pixels that it adds, changes or removes."""

import asyncio

import msgspec
import pytest
from ownership_stage import SharedSetting, of_account

from builders import a_destination
from twite.domain.destination import RATE_WINDOW
from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Cause, Pause
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.sweeper import LONGEST_REST
from twite.gateway.ports.queries import AttemptsQuery
from worker_bench import Setting


class StillWorker:
    """A worker that sends nothing, and ends when a test allows it after a stop."""

    def __init__(self, pixel, may_end):
        self.pixel = pixel
        self.calls = []
        self.stopped = asyncio.Event()
        self._may_end = may_end

    async def run(self):
        await self.stopped.wait()
        await self._may_end.wait()

    def wake(self):
        self.calls.append("wake")

    def stop(self):
        self.stopped.set()

    def noted(self):
        return None, {}

    def follow(self, stored, noted):
        pass


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    pixel: str
    is_cautious: bool = False
    timeout: int = 30_000


class Tags:
    """A factory of workers for the tags with these names."""

    def __init__(self, *names, **rule):
        self.rules = tuple(Rule(pixel=f"tag:{name}", **rule) for name in names)
        self.holding = set()
        self.made = []
        self.workers = {}
        self.may_end = asyncio.Event()
        self.may_end.set()

    def make_worker(self, pixel, *, past, pauses):
        mine = [pause for pause in pauses if (pause.pixel, pause.event) == (pixel, "")]
        self.made.append((pixel, past, mine))
        worker = self.workers[pixel] = StillWorker(pixel, self.may_end)
        return worker


def with_tags(tags, setting=None):
    setting = setting or Setting()
    setting.run.tags = tags
    setting.run.__post_init__()
    sweep, setting.swept = setting.store.sweep, []

    async def noting(wish):
        setting.swept.append(wish)
        return await sweep(wish)

    setting.store.sweep = noting
    return setting


@pytest.fixture
async def start():
    begun = []

    async def starting(tags, setting=None):
        begun.append(with_tags(tags, setting))
        await begun[-1].run.start()
        return begun[-1]

    yield starting
    for setting in begun:
        await setting.run.stop(within=1_000)


async def test_tags_start_with_their_recent_runs_and_their_pause(start):
    setting, tags = Setting(), Tags("meta", "snap")
    pause = Pause(pixel="tag:meta", since=1, cause=Cause.PIXEL_REFUSED, reason="why")
    await setting.store.put(
        [
            pause,
            Pause(pixel="tag:meta", event="e", since=1, cause=Cause.EVENT_REFUSED, reason="other"),
        ]
    )
    answer, runs = setting.store.answer, [(setting.clock.now(), 3)]

    async def answering(query):
        if query == AttemptsQuery(since=setting.clock.now() - RATE_WINDOW):
            return {"tag:meta": runs}
        return await answer(query)

    setting.store.answer = answering

    await start(tags, setting)

    assert tags.made == [("tag:meta", runs, [pause]), ("tag:snap", (), [])]


async def test_leases_and_rules_of_tags_are_used_in_every_sweep(start):
    tags = Tags("meta", is_cautious=True)
    tags.rules += Tags("snap").rules
    tags.holding.add(7)

    setting = await start(tags)

    assert [wish.holding for wish in setting.swept[:1]] == [{7}]
    assert [wish.cautious for wish in setting.swept[:1]] == [{"tag:meta"}]


@pytest.mark.parametrize(
    ("before", "after"), [(Tags("meta"), Tags("snap")), (Tags("meta"), None), (None, Tags("snap"))]
)
async def test_reload_replaces_the_tags(start, before, after):
    setting = await start(before)

    await setting.run.replace_tags(after)

    for worker in before.workers.values() if before else ():
        assert worker.stopped.is_set()
    setting.run.wake_all()
    assert [pixel for pixel in setting.run._workers if pixel != "o8z6j"] == [  # noqa: SLF001
        *(after.workers if after else ())
    ]
    for worker in after.workers.values() if after else ():
        assert worker.calls == ["wake"]


async def test_tags_start_after_the_last_run_of_the_replaced_ones(start):
    before, after = Tags("meta"), Tags("meta", is_cautious=True)
    before.may_end.clear()
    setting = await start(before)
    before.holding.add(7)

    ended = setting.run.replace_tags(after)
    await setting.clock.advance(LONGEST_REST)
    during = ended.done(), dict(after.workers)
    before.may_end.set()
    await ended

    assert during == (False, {})
    assert after.workers.keys() == {"tag:meta"}
    # The sweeper knows the leases in flight of both, and the new rules.
    assert (setting.swept[-1].holding, setting.swept[-1].cautious) == ({7}, {"tag:meta"})
    after.holding.add(8)
    assert before.holding == {7, 8}


async def test_tag_is_woken_by_its_name_and_with_all_others(start):
    tags = Tags("meta")
    setting = await start(tags)

    setting.run.wake("tag:meta")
    setting.run.wake("tag:unknown")
    setting.run.wake_all()

    assert tags.workers["tag:meta"].calls == ["wake", "wake"]


async def test_longest_run_of_new_tags_is_reported_to_the_other_gateways(start):
    setting = await start(Tags("meta", timeout=20 * SECOND), SharedSetting("a"))
    before = setting.ownership.longest_request

    await setting.run.replace_tags(Tags("meta", timeout=25 * SECOND))
    await setting.shared_out()

    assert (before, setting.ownership.longest_request) == (20 * SECOND, 25 * SECOND)


async def test_tag_that_another_gateway_owns_does_not_start_after_a_reload(start):
    before, after = Tags("meta"), Tags("meta")
    setting = await start(before, SharedSetting("a"))

    await setting.run.replace_tags(after)
    await setting.shared_out()

    assert (before.made, after.made) == ([], [])


async def test_lease_is_renewed_while_the_accounts_are_divided(start):
    setting = await start(None, SharedSetting("a"))

    await setting.shared_out()

    assert setting.ownership.renewed > 0


async def test_gateway_whose_store_cannot_be_swept_does_not_start():
    setting = Setting()

    async def failing(_wish):
        raise LedgerUnavailable(reason="disk full", retry_after=1)

    setting.store.sweep = failing

    with pytest.raises(LedgerUnavailable):
        await setting.run.start()


async def test_problem_of_the_store_is_known_until_it_ends(start):
    setting = await start(None)
    sweep = setting.store.sweep

    async def failing(_wish):
        raise LedgerUnavailable(reason="disk full", retry_after=1)

    setting.store.sweep = failing
    await setting.clock.advance(LONGEST_REST)
    during = setting.run.problem
    setting.store.sweep = sweep
    await setting.clock.advance(LONGEST_REST)

    assert (during, setting.run.problem) == ("disk full", None)


async def test_reload_without_a_change_ends_no_pause(start):
    setting = await start(None)
    current = setting.run._workers["o8z6j"].current_evidence  # noqa: SLF001
    pause = current.evidence.pause_for(Cause.CREDENTIALS_REFUSED, "401: not yours", now=1)
    tripped = current.evidence.breaker.tripped(pause, setting.clock.elapsed())
    current.update(current.evidence.but(breaker=tripped))

    setting.run.replace([a_destination()])
    unchanged = current.wait()
    credentials = msgspec.structs.replace(a_destination(), credentials="another token")
    setting.run.replace([credentials])

    assert (unchanged, current.wait()) == (MINUTE, 0)


async def test_removed_pixel_is_no_longer_sent_to(start):
    setting = await start(None)

    setting.run.replace([])
    await setting.record("a")
    await setting.clock.advance(MINUTE)

    assert setting.sent() == []
    # Memory keeps neither its worker nor its tasks: the sweeper and the search for tests run.
    assert setting.run._running == {}  # noqa: SLF001
    assert len(setting.run._tasks) == 2  # noqa: SLF001


async def test_reload_makes_a_pixel_cautious_in_the_next_sweep(start):
    setting = await start(None)

    cautious = msgspec.structs.replace(a_destination(), is_cautious=True)
    setting.run.replace([cautious, a_destination("p2")])
    await setting.clock.advance(LONGEST_REST)

    assert setting.swept[-1].cautious == {"o8z6j"}


async def test_pixel_changed_before_its_worker_started_starts_once(start):
    setting = await start(None)
    load = setting.store.load

    async def slowly(kind):
        await asyncio.sleep(0)
        return await load(kind)

    setting.store.load = slowly

    setting.run.replace([a_destination(), a_destination("p2", rate=1)])
    setting.run.replace([a_destination(), a_destination("p2", rate=2)])
    await setting.clock.advance(SECOND)

    assert setting.run._workers["p2"].rate_limit.limit == 2  # noqa: SLF001
    assert [worker.pixel for worker, _ in setting.run._running.values()] == ["o8z6j", "p2"]  # noqa: SLF001
    assert [destination.pixel for destination in setting.run.destinations] == ["o8z6j", "p2"]


async def test_rate_limit_of_an_account_applies_to_its_added_pixel(start):
    setting = await start(None, Setting(destinations=[of_account("a", "p1")]))

    setting.run.replace([of_account("a", "p1"), of_account("a", "p2")])
    await setting.clock.advance(SECOND)

    limits = [setting.run._workers[pixel].rate_limit for pixel in ("p1", "p2")]  # noqa: SLF001
    assert limits[0] is limits[1]
    assert limits[0].pixels == ["p1", "p2"]


async def test_new_credentials_replace_the_previous_ones(start):
    setting = await start(None)
    newer = msgspec.structs.replace(a_destination(), credentials="another token")

    setting.run.send_to(newer)

    assert list(setting.run.destinations) == [newer]


async def test_changed_pixel_of_another_gateway_does_not_start(start):
    setting = await start(None, SharedSetting("a"))
    await setting.record("3", pixel="p3")

    changed = [
        msgspec.structs.replace(destination, rate=7) for destination in setting.run.destinations
    ]
    setting.run.replace(changed)
    await setting.clock.advance(SECOND)

    assert setting.sent() == []


@pytest.mark.parametrize(("pixel", "is_known"), [("o8z6j", True), ("p9", False)])
async def test_only_a_known_pixel_can_be_paused_and_resumed(start, pixel, is_known):
    setting = await start(None)
    kept = Pause(pixel="p9", since=1, cause=Cause.PIXEL_REFUSED, reason="of a removed pixel")
    await setting.store.put([kept])

    paused = await setting.run.hold(pixel, who="Anna")
    stored = {pause.pixel for pause in await setting.store.load(Pause)}
    resumed = await setting.run.release(pixel)

    assert (paused, resumed) == (is_known, is_known)
    assert stored == {"p9", *([pixel] if is_known else ())}
    assert list(await setting.store.load(Pause)) == [kept]
