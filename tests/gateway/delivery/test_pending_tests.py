"""Workers of test conversions start when there are some: see PendingTests."""

import pytest
from ownership_stage import AWAY, SharedSetting, queued_elsewhere

from builders import a_destination
from fakes import ScriptedTransport
from twite.domain.destination import TEST_ACCOUNT, with_tests
from twite.domain.pause import Pause
from twite.domain.test_mode import in_test, is_test
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.events import ProblemPlace, ProblemSeen
from twite.gateway.ports.ownership import SHARE_OUT_EVERY
from worker_bench import Setting

PIXELS = [f"p{number}" for number in range(40)]
TESTS = in_test("p7")


def with_emulator(setting):
    """Let the setting have a built-in emulator, and tests of all its pixels."""
    setting.emulator = ScriptedTransport(())
    setting.destinations = with_tests(setting.destinations)
    setting.run = setting.new_run()
    setting.run.x_client.test_transport = setting.emulator
    return setting


@pytest.fixture
async def start():
    begun = []

    async def starting(setting):
        begun.append(setting)
        await setting.run.start()
        await setting.clock.advance(SECOND)
        return setting

    yield starting
    for setting in begun:
        await setting.run.stop(within=1_000)


@pytest.fixture
def forty():
    return with_emulator(Setting(destinations=[a_destination(pixel=pixel) for pixel in PIXELS]))


def workers(setting):
    return list(setting.run._workers)  # noqa: SLF001


async def delivered(setting, conversion_id, pixel=TESTS):
    """Advance until a conversion is settled; return its state."""
    for _ in range(20):
        await setting.clock.advance(SECOND)
        if (state := await setting.state(conversion_id, pixel=pixel)) == "delivered":
            break
    return state


async def test_pixels_without_tests_have_one_worker_each(start, forty):
    await start(forty)
    await forty.record("order-1", pixel="p7")
    forty.run.wake_all()
    await forty.clock.advance(3 * MINUTE)

    assert workers(forty) == PIXELS
    assert len(forty.transport.sent) == 1


async def test_test_conversion_starts_the_worker_of_its_pixel(start, forty):
    await start(forty)
    await forty.record("test-1", pixel=TESTS)
    first = await delivered(forty, "test-1")
    await forty.record("test-2", pixel=TESTS)
    second = await delivered(forty, "test-2")

    assert (first, second) == ("delivered", "delivered")
    assert workers(forty) == [*PIXELS, TESTS]
    assert len(forty.emulator.sent) == 2
    assert forty.transport.sent == []


async def test_pending_tests_are_sent_after_a_restart(start, forty):
    await forty.record("test-1", pixel=TESTS)
    await start(forty)

    assert await delivered(forty, "test-1") == "delivered"
    assert workers(forty) == [*PIXELS, TESTS]


async def test_tests_of_another_process_are_found_within_a_minute(start, forty):
    await start(forty)
    await queued_elsewhere(forty, TESTS, "test-1")
    await forty.clock.advance(MINUTE)

    assert await delivered(forty, "test-1") == "delivered"


async def test_replayed_tests_start_a_worker(start, forty):
    await start(forty)
    await queued_elsewhere(forty, TESTS, "test-1")

    forty.run.wake_all()

    assert await delivered(forty, "test-1") == "delivered"


async def test_tests_are_found_once_the_store_can_be_read_again(start, forty):
    await start(forty)
    backlog = forty.store.backlog

    async def failing():
        forty.store.backlog = backlog
        raise AWAY

    forty.store.backlog = failing
    await forty.record("test-1", pixel=TESTS)
    await forty.clock.advance(MINUTE)

    assert await delivered(forty, "test-1") == "delivered"
    assert ProblemSeen(where=ProblemPlace.OUTBOX, reason=AWAY.reason) in forty.seen.notices


async def test_tests_without_a_worker_can_be_paused_and_resumed(start, forty):
    await start(forty)
    paused = await forty.run.hold(TESTS, who="Anna")
    await forty.record("test-1", pixel=TESTS)
    await forty.clock.advance(5 * SECOND)
    while_paused = await forty.state("test-1", pixel=TESTS)
    resumed = await forty.run.release(TESTS)

    assert (paused, while_paused, resumed) == (True, "queued", True)
    assert await delivered(forty, "test-1") == "delivered"
    assert list(await forty.store.load(Pause)) == []


async def test_tests_of_an_added_pixel_start_when_there_are_some(start, forty):
    await start(forty)
    added = with_tests([a_destination(pixel="new")])
    forty.run.replace([*forty.run.destinations, *added])
    await forty.clock.advance(SECOND)
    before = workers(forty)
    await forty.record("test-1", pixel=in_test("new"))

    assert before == [*PIXELS, "new"]
    assert await delivered(forty, "test-1", pixel=in_test("new")) == "delivered"


async def test_tests_that_another_gateway_accepted_are_sent_by_the_owner(start):
    setting = with_emulator(SharedSetting("a", TEST_ACCOUNT))
    setting.ownership.next_news = 200
    await start(setting)
    await queued_elsewhere(setting, in_test("p1"), "test-1")
    before = [pixel for pixel in workers(setting) if is_test(pixel)]

    setting.ownership.ready = {in_test("p1")}
    await setting.clock.advance(SHARE_OUT_EVERY)

    assert before == []
    assert await delivered(setting, "test-1", pixel=in_test("p1")) == "delivered"
