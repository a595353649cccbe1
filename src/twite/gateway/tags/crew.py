"""The threads that run templates: each has an engine of its own for each template.

Whose turn it is goes round among those that wait, so that one that asks for much keeps nobody else
waiting for more than a turn.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import msgspec

from twite.gateway.notices import Observer, Silent
from twite.gateway.tags.trials import Trials
from twite.sgtm.container.texts import UNDEFINED, Value
from twite.sgtm.container.values import Occasion
from twite.sgtm.permissions import Policy, policy
from twite.sgtm.sandbox import Call, Engine, Limits
from twite.sgtm.template import Template
from twite.sgtm.tree import Tree

T = TypeVar("T")
PROVEN: Final = 20  # runs in a row within the limits
_WIDER: Final = 4.0  # twice what a run on trial burns, if it is tried again


class Make(Protocol):
    """Makes the engine of a template. Raises TemplateUnusable."""

    def __call__(self, template: Template, *, limits: Limits) -> Engine: ...


class Engines:
    """The engines of one thread, made when they are first needed. It is used by that thread alone.

    Making one raises TemplateUnusable, for code that is not JavaScript.
    """

    def __init__(self, make: Callable[[Template], Engine]) -> None:
        self._make = make
        self._passed_a_limit = False
        self._made: dict[int, tuple[Template, Engine]] = {}

    def of(self, template: Template) -> Engine:
        """Return the engine of a template."""
        # By its place in memory, which the second part of the value keeps from being used again.
        found = self._made.get(id(template))
        if found is None:
            found = self._made[id(template)] = template, self._make(template)
        return found[1]

    def value(self, template: Template, fields: dict[str, Tree], occasion: Occasion) -> Value:
        """Return what a variable's template returned: see sgtm.container.values.Variables."""
        engine = self.of(template)
        turn = engine.start(
            Call(
                fields=fields,
                now=occasion.now,
                event=dict(occasion.event),
                request=occasion.request,
                client=occasion.client,
            )
        )
        if not turn.done:
            # It waits for an answer, and there is nobody to give it one.
            engine.end(turn.run)
        self._passed_a_limit = self._passed_a_limit or turn.spent
        return UNDEFINED if turn.error is not None or turn.returned is None else turn.returned

    def passed_a_limit(self) -> bool:
        """Return whether a variable has passed a limit since this was last asked."""
        passed, self._passed_a_limit = self._passed_a_limit, False
        return passed


class _Waiting(msgspec.Struct, frozen=True, kw_only=True):
    act: Callable[[Engines], object]
    told: "asyncio.Future[object]"


class Worker:
    """One thread."""

    def __init__(
        self, make: Callable[[Template], Engine], *, loop: asyncio.AbstractEventLoop, name: str
    ) -> None:
        self._loop = loop
        self._engines = Engines(make)
        self._turns: dict[str, deque[_Waiting]] = {}
        self._news = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def do(self, whose: str, act: Callable[[Engines], T]) -> T:
        """Have the thread do something, when it is the turn of whoever asks."""
        told: asyncio.Future[T] = self._loop.create_future()
        with self._news:
            self._turns.setdefault(whose, deque()).append(_Waiting(act=act, told=told))  # type: ignore[arg-type]  # a future of what `act` returns
            self._news.notify()
        return await told

    def stop(self) -> None:
        """End the thread once it has done what it is doing."""
        with self._news:
            self._over = True
            self._news.notify()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def _work(self) -> None:
        while (waiting := self._next()) is not None:
            try:
                came = waiting.act(self._engines)
            except Exception as error:  # noqa: BLE001  whoever asked is told of it
                self._tell(waiting.told, error=error)
            else:
                self._tell(waiting.told, came=came)

    def _next(self) -> _Waiting | None:
        with self._news:
            while not self._turns and not self._over:
                self._news.wait()
            if self._over:
                return None
            whose = next(iter(self._turns))
            queue = self._turns.pop(whose)
            waiting = queue.popleft()
            if queue:
                # To the end: the others come first.
                self._turns[whose] = queue
            return waiting

    def _tell(
        self,
        told: "asyncio.Future[object]",
        *,
        came: object = None,
        error: Exception | None = None,
    ) -> None:
        def say() -> None:
            if told.done():
                return
            if error is None:
                told.set_result(came)
            else:
                told.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(say)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            return


class Crew:
    """A thread for tags that are proven, one for the door, and one for each tag that is not proven.

    At the door it is decided which tags fire, and whoever submits waits for that: variables have a
    thread there that no tag holds up.

    What hangs does so alone. Its limits are the narrower ones: an engine's clock is the whole
    process's, and what one thread burns must not run out the time of the proven. `make` makes the
    engine of a template, in the thread that will run it. Whoever passed a limit rests after its
    runs: `trials` say for how long.
    """

    def __init__(
        self,
        make: Make,
        *,
        elapsed: Callable[[], int],
        limits: Limits | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._make = make
        self.trials = Trials(elapsed=elapsed, observer=observer or Silent())
        self._narrow = limits or Limits()
        self._steady: Worker | None = None
        self._door: Worker | None = None
        # Of tags that are not proven, or were not at some time; made when they are first needed.
        self._own: dict[str, Worker] = {}
        # How many runs of a tag have ended well since one passed a limit.
        self._ended_well: dict[str, int] = {}
        self._policies: dict[int, tuple[Template, Policy]] = {}

    def start(self) -> None:
        """Start the threads. To be called in the loop that will ask them."""
        wide = msgspec.structs.replace(self._narrow, time=self._narrow.time * _WIDER)
        self._door = self._worker("twite-tags-door", self._narrow)
        self._steady = self._worker("twite-tags", wide)

    async def stop(self) -> None:
        """End the threads; a turn that runs is waited for."""
        found = (self._steady, self._door, *self._own.values())
        workers = [one for one in found if one is not None]
        for worker in workers:
            worker.stop()
        for worker in workers:
            await asyncio.to_thread(worker.join)
        self._steady = self._door = None
        self._own.clear()

    @property
    def door(self) -> Worker:
        """Who decides which tags fire. Raises RuntimeError where nothing was started."""
        if self._door is None:
            raise RuntimeError("the crew has not been started")
        return self._door

    def worker(self, tag: str) -> Worker:
        """Return whose turn a tag's run is. Raises RuntimeError where nothing was started."""
        if self._steady is None:
            raise RuntimeError("the crew has not been started")
        if self._ended_well.get(tag, 0) >= PROVEN:
            return self._steady
        if tag not in self._own:
            self._own[tag] = self._worker(f"twite-{tag}", self._narrow)
        return self._own[tag]

    def hear(self, tag: str, *, is_spent: bool) -> None:
        """Hear how a run of a tag ended: within its limits, or not."""
        self._ended_well[tag] = 0 if is_spent else min(PROVEN, self._ended_well.get(tag, 0) + 1)

    def policy(self, template: Template) -> Policy:
        """Return what a template may do."""
        found = self._policies.get(id(template))
        if found is None:
            found = self._policies[id(template)] = template, policy(template.grants)
        return found[1]

    def _worker(self, name: str, limits: Limits) -> Worker:
        return Worker(
            lambda template: self._make(template, limits=limits),
            loop=asyncio.get_running_loop(),
            name=name,
        )
