"""Thread worker: runs turns in one thread, and abandons the thread when a turn hangs.

A template's code may reach a loop inside the engine that no limit interrupts, and a thread cannot
be ended from outside. The engine does not hold Python's global lock meanwhile, so other threads
continue. Threads are daemons, so that the process can end. Among waiting tags, the tag with the
least CPU time so far is next: a demanding tag delays the others by one turn at most.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from twite.domain.errors import OperatorError
from twite.gtm.template.template import Template

T = TypeVar("T")
BEHIND: Final = 19  # nice; a fiftieth or less of a core that somebody else wants
MOST_LEFT: Final = 4
_LOOKS: Final = 4  # while a turn that does not end is waited for


class HungTurn(OperatorError):
    """A turn hung after `took` seconds of CPU; `template` ran last."""

    def __init__(self, *, template: Template | None, took: float) -> None:
        super().__init__("no limit could end a run, so Twite abandoned the run's thread")
        self.template = template
        self.took = took


class ThreadState(Protocol):
    """The state of a thread. Other threads may use only these methods.

    `beats` counts started turns; `at` is the template of the latest.
    """

    @property
    def beats(self) -> int: ...

    @property
    def at(self) -> Template | None: ...

    def relieve(self) -> None:
        """Give the current run enough memory to end. Called from another thread."""
        ...

    def leave(self, beats: int) -> bool:
        """Forbid further turns, unless one started after `beats`.

        Return whether they are now forbidden.
        """
        ...


K = TypeVar("K", bound=ThreadState)


class AbandonedThread:
    """Counts abandoned threads: each may use a core until it or the process ends."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def add(self, thread: threading.Thread) -> None:
        """Count an abandoned thread."""
        self._threads.append(thread)

    @property
    def too_many(self) -> bool:
        """Whether too many still run, so that the next template that hangs must be switched off."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return len(self._threads) > MOST_LEFT


class _Waiting(msgspec.Struct, frozen=True, kw_only=True):
    whose: str
    act: Callable[..., object]
    future: "asyncio.Future[object]"


class _Shift(Generic[K]):
    """One thread of a worker, until it is abandoned."""

    def __init__(self, former: K | None) -> None:
        self.former = former
        self.state: K | None = None
        self.thread: threading.Thread | None = None
        self.burned: Callable[[], float] = float
        self.turn: _Waiting | None = None


@dataclass(slots=True, eq=False, repr=False)
class ThreadWorker(Generic[K]):
    """One worker thread.

    `kit` creates the thread's state, in the thread, from the state of an abandoned one. A turn that
    took `patience` seconds of CPU counts as hung: its caller gets HungTurn, and a new thread
    continues. The thread is created on first use.
    """

    state: Callable[[K | None], K]
    _: KW_ONLY
    name: str
    patience: float
    left: AbandonedThread
    _turns: dict[str, deque[_Waiting]] = field(init=False, default_factory=dict)
    # Seconds of CPU that each has used; a new one starts with as much as the last to have its turn.
    _taken: dict[str, float] = field(init=False, default_factory=dict)
    _least: float = field(init=False, default=0.0)
    _news: threading.Condition = field(init=False, default_factory=threading.Condition)
    _over: bool = field(init=False, default=False)
    _shift: _Shift[K] | None = field(init=False, default=None)
    _watched: bool = field(init=False, default=False)
    _seen: tuple[_Waiting | None, int] = field(init=False, default=(None, 0))
    _seen_at: float = field(init=False, default=0.0)

    async def do(self, whose: str, act: Callable[[K], T]) -> T:
        """Run `act` in the thread, when it is the turn of the tag `whose`. Raises HungTurn."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._news:
            waiting = self._turns.get(whose)
            if waiting is None:
                waiting = self._turns[whose] = deque()
                self._taken[whose] = max(self._taken.get(whose, 0.0), self._least)
            waiting.append(_Waiting(whose=whose, act=act, future=future))  # type: ignore[arg-type]  # a future of what `act` returns
            if self._shift is None and not self._over:
                self._begin(None)
            self._news.notify()
        if not self._watched:
            self._watched = True
            loop.call_later(self.patience / _LOOKS, self._look, loop)
        return await future

    def stop(self) -> None:
        """End the thread after its current turn, and cancel the waiting ones."""
        with self._news:
            self._over = True
            waiting = [turn for queue in self._turns.values() for turn in queue]
            self._turns.clear()
            self._news.notify()
        for turn in waiting:
            turn.future.cancel()

    def join(self, within: float) -> None:
        """Wait for the end of the thread, at most `within` seconds."""
        if self._shift is not None and self._shift.thread is not None:
            self._shift.thread.join(within)

    def _begin(self, former: K | None) -> None:
        """Start a new thread in place of the last one."""
        shift = self._shift = _Shift(former)
        shift.thread = threading.Thread(
            target=self._work, args=(shift,), name=self.name, daemon=True
        )
        shift.thread.start()

    def _work(self, shift: "_Shift[K]") -> None:
        shift.burned = _cpu_of_this_thread()
        state = shift.state = self.state(shift.former)
        shift.former = None
        while (turn := self._next(shift)) is not None:
            began = time.thread_time()
            result, error = None, None
            try:
                result = turn.act(state)
            except Exception as thrown:  # noqa: BLE001  the caller gets it
                error = thrown
            with self._news:
                shift.turn = None
                self._taken[turn.whose] += time.thread_time() - began
                if shift is not self._shift:
                    return  # abandoned, and the caller has been told
            _resolve(turn.future, result, error)

    def _next(self, shift: "_Shift[K]") -> _Waiting | None:
        with self._news:
            while not self._turns and not self._over:
                self._news.wait()
            if self._over:
                return None
            whose = min(self._turns, key=self._taken.__getitem__)
            self._least = self._taken[whose]
            queue = self._turns.pop(whose)
            turn = shift.turn = queue.popleft()
            if queue:
                # Move to the end: others with as much CPU time go first.
                self._turns[whose] = queue
            return turn

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Check whether the current turn has taken too long."""
        with self._news:
            shift = self._shift
            turn = None if shift is None else shift.turn
            self._watched = turn is not None or bool(self._turns)
        if not self._watched:
            return  # the next one that asks looks again
        if shift is not None and shift.state is not None and turn is not None:
            now, beats = shift.burned(), shift.state.beats
            if self._seen[0] is not turn or self._seen[1] != beats:
                self._seen, self._seen_at = (turn, beats), now
            elif now - self._seen_at > self.patience:
                self._leave(shift, shift.state, turn, took=now - self._seen_at)
            elif now - self._seen_at > self.patience / _LOOKS:
                shift.state.relieve()
        loop.call_later(self.patience / _LOOKS, self._look, loop)

    def _leave(self, shift: "_Shift[K]", state: K, turn: _Waiting, *, took: float) -> None:
        with self._news:
            if shift.turn is not turn or not state.leave(self._seen[1]):
                return  # it has gone on just now
            self._seen = None, 0
            if not self._over:
                self._begin(state)
        if shift.thread is not None:
            self.left.add(shift.thread)
            let_behind(shift.thread.native_id)
        if not turn.future.done():
            turn.future.set_exception(HungTurn(template=state.at, took=took))


def let_behind(thread: int | None) -> None:
    """Give a thread (native id) the lowest priority."""
    if thread is not None and sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, BEHIND)


def _cpu_of_this_thread() -> Callable[[], float]:
    """Return a function that reads this thread's CPU seconds, from any thread.

    Where the system does not tell, it is the time that has passed.
    """
    clock_id = getattr(time, "pthread_getcpuclockid", None)
    if clock_id is None:
        return time.monotonic
    own: int = clock_id(threading.get_ident())

    def burned() -> float:
        try:
            return time.clock_gettime(own)
        except OSError:
            return 0.0  # it has ended

    return burned


def _resolve(future: "asyncio.Future[object]", result: object, error: Exception | None) -> None:
    def say() -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    # After the loop is closed, nobody waits for the result.
    with contextlib.suppress(RuntimeError):
        future.get_loop().call_soon_threadsafe(say)
