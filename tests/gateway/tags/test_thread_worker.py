"""A worker: turns go round by what each has taken, and one that does not end costs its thread."""

import asyncio
import sys
import threading
import time

import pytest

from twite.gateway.tags.runtime.thread_worker import (
    MOST_LEFT,
    AbandonedThread,
    HungTurn,
    ThreadWorker,
)

PATIENCE = 0.1  # seconds of CPU


class Kit:
    """What a thread works with; it says of each which one was before it."""

    def __init__(self, former):
        self.former = former
        self.beats = 0
        self.at = None
        self.is_left = False
        self.is_relieved = False

    def relieve(self):
        self.is_relieved = True

    def leave(self, beats):
        self.is_left = beats == self.beats
        return self.is_left


@pytest.fixture
def over():
    """Ends what would not end."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def worker():
    worker = ThreadWorker(Kit, name="test", patience=PATIENCE, left=AbandonedThread())
    yield worker
    worker.stop()


def hangs(over):
    def act(_kit):
        while not over.is_set():
            pass

    return act


def burns(seconds):
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


async def test_a_turn_that_takes_long_is_given_what_ending_it_takes_before_it_is_left(worker):
    def full(key_set):
        while not key_set.is_relieved:
            pass
        return "ended"

    assert await worker.do("full", full) == "ended"
    assert not await worker.do("next", lambda key_set: key_set.is_left)


async def test_a_turn_that_does_not_end_is_told_as_hung_and_the_others_have_a_new_thread(
    worker, over
):
    first = await worker.do("good", lambda key_set: key_set)
    hanging = asyncio.create_task(worker.do("bad", hangs(over)))
    await asyncio.sleep(0)
    others = [asyncio.create_task(worker.do("good", lambda key_set: key_set)) for _ in range(3)]

    with pytest.raises(HungTurn) as caught:
        await hanging

    assert caught.value.took >= PATIENCE
    key_sets = {id(key_set): key_set for key_set in await asyncio.gather(*others)}
    [second] = key_sets.values()
    assert (second.former, first.is_left, second.is_left) == (first, True, False)


async def test_a_thread_that_was_left_behind_ends_by_itself_and_does_nothing_more(worker, over):
    went_on = []
    with pytest.raises(HungTurn):
        await worker.do("bad", hangs(over))
    left = [thread for thread in threading.enumerate() if thread.name == "test"]

    over.set()
    await worker.do("good", went_on.append)
    for thread in left:
        await asyncio.to_thread(thread.join, 0 if thread is left[-1] else 10)

    assert len(went_on) == 1
    assert await worker.do("good", lambda key_set: key_set.former is not None)


async def test_what_goes_on_from_one_template_to_the_next_is_not_hung(worker):
    def long(key_set):
        for _ in range(6):
            key_set.beats += 1
            burns(PATIENCE * 0.6)
        return "done"

    assert await worker.do("long", long) == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no thread's CPU can be read")
async def test_who_waits_for_a_core_has_not_hung(worker):
    assert await worker.do("waits", lambda _: time.sleep(PATIENCE * 4)) is None


async def test_whoever_has_taken_the_least_is_next(worker):
    told = []
    until = threading.Event()
    held = asyncio.create_task(worker.do("greedy", lambda _: (burns(0.02), until.wait())))
    await asyncio.sleep(0.05)
    asked = [
        asyncio.create_task(worker.do(whose, lambda _, whose=whose: told.append(whose)))
        for whose in ("greedy", "greedy", "modest", "modest")
    ]
    await asyncio.sleep(0)

    until.set()
    await asyncio.gather(held, *asked)

    assert told == ["modest", "modest", "greedy", "greedy"]


async def test_who_comes_anew_has_no_more_saved_than_those_who_wait(worker):
    """Else one that has slept would have the thread for as long as the others have used it."""
    for _ in range(3):
        await worker.do("busy", lambda _: burns(0.02))
    told = []
    until = threading.Event()
    held = asyncio.create_task(worker.do("other", lambda _: until.wait()))
    await asyncio.sleep(0.05)

    def turn(whose, seconds):
        return worker.do(whose, lambda _: (told.append(whose), burns(seconds)))

    asked = [asyncio.create_task(turn("busy", 0.0)), asyncio.create_task(turn("new", 0.03))]
    asked.append(asyncio.create_task(turn("new", 0.0)))
    await asyncio.sleep(0)

    until.set()
    await asyncio.gather(held, *asked)

    assert told.index("busy") < 2


async def test_a_stop_waits_for_nobody_that_hangs(worker, over):
    hanging = asyncio.create_task(worker.do("bad", hangs(over)))
    await asyncio.sleep(0.02)
    waiting = asyncio.create_task(worker.do("good", lambda key_set: key_set))
    await asyncio.sleep(0)

    worker.stop()
    worker.join(0.01)

    with pytest.raises(asyncio.CancelledError):
        await waiting
    hanging.cancel()
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "test")


def test_threads_that_still_run_are_counted_and_those_that_ended_are_not(over):
    left = AbandonedThread()
    threads = [threading.Thread(target=over.wait, daemon=True) for _ in range(MOST_LEFT + 1)]

    before = []
    for thread in threads:
        thread.start()
        left.add(thread)
        before.append(left.too_many)
    over.set()
    for thread in threads:
        thread.join()

    assert before == [False] * MOST_LEFT + [True]
    assert not left.too_many
