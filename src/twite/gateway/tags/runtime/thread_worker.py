"""A thread that takes turns, and is left behind for a new one when a turn of it does not end.

A template's code may reach a loop inside the engine that no limit interrupts, and a thread cannot
be ended from outside. The engine holds none of Python's locks meanwhile, so that others go on; and
threads are daemons, so that the process can end.

Of those that wait, whoever has taken the least so far is next: one that asks for much, or takes
long, keeps nobody else waiting for more than a turn.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from twite.domain.alert import AlertKind
from twite.domain.errors import OperatorError
from twite.gateway.ports.events import ConditionChanged, Troubled
from twite.gtm.template.template import Template

T = TypeVar("T")
BEHIND: Final = 19  # nice; a fiftieth or less of a core that somebody else wants
MOST_LEFT: Final = 4
_LOOKS: Final = 4  # while a turn that does not end is waited for


class HungTurn(OperatorError):
    """A turn did not end, though it took `took` seconds of CPU; `template` is what it ran last."""

    def __init__(self, *, template: Template | None, took: float) -> None:
        super().__init__("a run could not be ended by any limit, and its thread was left behind")
        self.template = template
        self.took = took


class ThreadState(Protocol):
    """What a thread works with; none but that thread touches more of it than this.

    `beats` counts what has begun; `at` is the template of which that was the last.
    """

    @property
    def beats(self) -> int: ...

    @property
    def at(self) -> Template | None: ...

    def relieve(self) -> None:
        """Give what runs now the memory that ending it takes. Another thread calls this."""
        ...

    def leave(self, beats: int) -> bool:
        """Let nothing more begin, if no more than so much has; return whether that is so."""
        ...


K = TypeVar("K", bound=ThreadState)


class AbandonedThread:
    """Threads that were left behind: each has a core to itself until it ends, or the process."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def add(self, thread: threading.Thread) -> None:
        """One more."""
        self._threads.append(thread)

    @property
    def too_many(self) -> bool:
        """Whether so many still run that the next must cost its template more than a rest."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return len(self._threads) > MOST_LEFT


class _Waiting(msgspec.Struct, frozen=True, kw_only=True):
    whose: str
    act: Callable[..., object]
    told: "asyncio.Future[object]"


class _Shift(Generic[K]):
    """One thread of a worker, as long as it is not left behind."""

    def __init__(self, former: K | None) -> None:
        self.former = former
        self.kit: K | None = None
        self.thread: threading.Thread | None = None
        self.burned: Callable[[], float] = float
        self.turn: _Waiting | None = None


class ThreadWorker(Generic[K]):
    """`kit` makes what the thread works with, in it, of what the thread before it left there.

    A turn that has taken `patience` seconds of CPU will not end: whoever asked for it is told Hung,
    and a new thread goes on with the others. The thread is made when it is first needed.
    """

    def __init__(
        self,
        kit: Callable[[K | None], K],
        *,
        name: str,
        patience: float,
        left: AbandonedThread,
    ) -> None:
        self._make = kit
        self._name = name
        self._patience = patience
        self._left = left
        self._turns: dict[str, deque[_Waiting]] = {}
        # Seconds of CPU that each has taken; who comes anew has taken as much as whoever was last.
        self._taken: dict[str, float] = {}
        self._least = 0.0
        self._news = threading.Condition()
        self._over = False
        self._shift: _Shift[K] | None = None
        self._watched = False
        self._seen: tuple[_Waiting | None, int] = None, 0
        self._seen_at = 0.0

    async def do(self, whose: str, act: Callable[[K], T]) -> T:
        """Have the thread do something, when it is the turn of whoever asks. Raises Hung."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[T] = loop.create_future()
        with self._news:
            waiting = self._turns.get(whose)
            if waiting is None:
                waiting = self._turns[whose] = deque()
                self._taken[whose] = max(self._taken.get(whose, 0.0), self._least)
            waiting.append(_Waiting(whose=whose, act=act, told=told))  # type: ignore[arg-type]  # a future of what `act` returns
            if self._shift is None and not self._over:
                self._begin(None)
            self._news.notify()
        if not self._watched:
            self._watched = True
            loop.call_later(self._patience / _LOOKS, self._look, loop)
        return await told

    def stop(self) -> None:
        """End the thread once it has done what it is doing; whoever waits is told to go."""
        with self._news:
            self._over = True
            waiting = [one for queue in self._turns.values() for one in queue]
            self._turns.clear()
            self._news.notify()
        for one in waiting:
            one.told.cancel()

    def join(self, within: float) -> None:
        """Wait until it has ended, or for so many seconds: one that hangs is not waited for."""
        if self._shift is not None and self._shift.thread is not None:
            self._shift.thread.join(within)

    def _begin(self, former: K | None) -> None:
        """Put a new thread in the place of the one before it."""
        shift = self._shift = _Shift(former)
        shift.thread = threading.Thread(
            target=self._work, args=(shift,), name=self._name, daemon=True
        )
        shift.thread.start()

    def _work(self, shift: "_Shift[K]") -> None:
        shift.burned = _cpu_of_this_thread()
        kit = shift.kit = self._make(shift.former)
        shift.former = None
        while (turn := self._next(shift)) is not None:
            began = time.thread_time()
            came, error = None, None
            try:
                came = turn.act(kit)
            except Exception as thrown:  # noqa: BLE001  whoever asked is told of it
                error = thrown
            with self._news:
                shift.turn = None
                self._taken[turn.whose] += time.thread_time() - began
                if shift is not self._shift:
                    return  # left behind, and whoever asked has been told
            _tell(turn.told, came, error)

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
                # To the end: of those that have taken as much the others come first.
                self._turns[whose] = queue
            return turn

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """See whether the turn that is under way has been so for too long."""
        with self._news:
            shift = self._shift
            turn = None if shift is None else shift.turn
            self._watched = turn is not None or bool(self._turns)
        if not self._watched:
            return  # the next one that asks looks again
        if shift is not None and shift.kit is not None and turn is not None:
            now, beats = shift.burned(), shift.kit.beats
            if self._seen[0] is not turn or self._seen[1] != beats:
                self._seen, self._seen_at = (turn, beats), now
            elif now - self._seen_at > self._patience:
                self._leave(shift, shift.kit, turn, took=now - self._seen_at)
            elif now - self._seen_at > self._patience / _LOOKS:
                shift.kit.relieve()
        loop.call_later(self._patience / _LOOKS, self._look, loop)

    def _leave(self, shift: "_Shift[K]", kit: K, turn: _Waiting, *, took: float) -> None:
        with self._news:
            if shift.turn is not turn or not kit.leave(self._seen[1]):
                return  # it has gone on just now
            self._seen = None, 0
            if not self._over:
                self._begin(kit)
        if shift.thread is not None:
            self._left.add(shift.thread)
            let_behind(shift.thread.native_id)
        if not turn.told.done():
            turn.told.set_exception(HungTurn(template=kit.at, took=took))


def hung_notices(whose: str, *, is_off: bool) -> tuple[Troubled, ConditionChanged]:
    """Return what is told of a template that cost a thread: a line of the log, and an alert."""
    reason = "a run of it could not be ended by any limit, and its thread was left behind"
    after = "it is switched off until the restart" if is_off else "it is on trial"
    warned = ConditionChanged(
        kind=AlertKind.TEMPLATE_HUNG,
        subject=whose,
        reason=f"{reason[0].upper()}{reason[1:]}, where it takes a core until the restart; {after}",
    )
    return Troubled(where=whose, reason=f"{reason}: {after}"), warned


def let_behind(thread: int | None) -> None:
    """Let a thread, by its native id, come behind all others from now on."""
    if thread is not None and sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, BEHIND)


def _cpu_of_this_thread() -> Callable[[], float]:
    """Return what tells, in any thread, the seconds of CPU that this one has taken.

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


def _tell(told: "asyncio.Future[object]", came: object, error: Exception | None) -> None:
    def say() -> None:
        if told.done():
            return
        if error is None:
            told.set_result(came)
        else:
            told.set_exception(error)

    # Where the loop is closed nobody waits any more.
    with contextlib.suppress(RuntimeError):
        told.get_loop().call_soon_threadsafe(say)
