"""Whether the event loop polls or sleeps while an engine process runs a turn."""

import asyncio
import os
import selectors

import pytest

from twite.tags.engines.process.engine_line import AskedTurn, EngineLine, PipeEnds

SHORT = 0.0004  # seconds
LONG = 0.0006
MANY = 50  # a loop that is about to sleep does so in fewer rounds


class WatchedSelector(selectors.DefaultSelector):
    """Calls `act` when the loop would sleep, or after many rounds in which it did not."""

    def __init__(self):
        super().__init__()
        self.act = None
        self.rounds = 0
        self.slept = False

    def select(self, timeout=None):
        self.rounds += 1
        self.slept = self.slept or timeout is None
        if self.act is not None and (self.slept or self.rounds > MANY):
            self.act()
            self.act = None
        return super().select(0)


class LineStage:
    """A connection to a process that answers when the test says so."""

    def __init__(self, *, polls=True):
        self.selector = WatchedSelector()
        self.loop = asyncio.SelectorEventLoop(self.selector)
        self.now = 0.0
        ends = PipeEnds(os.open(os.devnull, 0), os.open(os.devnull, os.O_WRONLY))
        self.line = EngineLine(
            ends, self.loop.create_future(), longest=1, clock=lambda: self.now, polls=polls
        )

    def add(self):
        self.line.add(AskedTurn(None, self.loop.create_future()))

    def turns(self, count, *, taking=SHORT):
        async def run():
            for _ in range(count):
                self.add()
                self.now += taking
                self.line.remove()

        self.loop.run_until_complete(run())

    def sleeps(self, *, turns=1, taking=0.0):
        """Whether the loop sleeps while it waits for turns."""

        async def run():
            over = self.loop.create_future()
            self.selector.rounds, self.selector.slept = 0, False
            self.selector.act = lambda: self.loop.call_soon(over.set_result, None)
            for _ in range(turns):
                self.add()
            self.now += taking
            await over
            for _ in range(turns):
                self.line.remove()

        self.loop.run_until_complete(run())
        return self.selector.slept

    def close(self):
        self.loop.run_until_complete(self._close())
        self.loop.close()

    async def _close(self):
        self.line.close()


@pytest.fixture
def stage():
    stage = LineStage()
    yield stage
    stage.close()


def test_event_loop_polls_after_eight_short_turns(stage):
    stage.turns(8)

    assert not stage.sleeps()


def test_event_loop_sleeps_after_fewer_short_turns(stage):
    stage.turns(7)

    assert stage.sleeps()


def test_event_loop_sleeps_after_a_long_turn(stage):
    stage.turns(8)
    stage.turns(1, taking=LONG)
    stage.turns(7)

    assert stage.sleeps()


def test_event_loop_sleeps_during_a_long_turn(stage):
    stage.turns(8)

    assert stage.sleeps(taking=LONG)


def test_event_loop_sleeps_while_several_turns_are_in_progress(stage):
    stage.turns(8)

    assert stage.sleeps(turns=2)


def test_event_loop_sleeps_with_one_core():
    stage = LineStage(polls=False)
    stage.turns(8)

    assert stage.sleeps()
    stage.close()
