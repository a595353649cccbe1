"""The threads that run templates: each has an engine of its own for each template.

Whose turn it is goes round among those that wait, so that one that asks for much keeps nobody else
waiting for more than a turn.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from twite.sgtm.container.texts import UNDEFINED, Value
from twite.sgtm.container.values import Occasion
from twite.sgtm.permissions import Policy, policy
from twite.sgtm.sandbox import Call, Engine
from twite.sgtm.template import Template
from twite.sgtm.tree import Tree

T = TypeVar("T")
Make = Callable[[Template], Engine]
WORKERS: Final = 2


class Engines:
    """The engines of one thread, made when they are first needed. It is used by that thread alone.

    Making one raises TemplateUnusable, for code that is not JavaScript.
    """

    def __init__(self, make: Make) -> None:
        self._make = make
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
        return UNDEFINED if turn.error is not None or turn.returned is None else turn.returned


class _Waiting(msgspec.Struct, frozen=True, kw_only=True):
    act: Callable[[Engines], object]
    told: "asyncio.Future[object]"


class Worker:
    """One thread. `load` is how many turns wait for it or are under way."""

    def __init__(self, make: Make, *, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self.load = 0
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
        self.load += 1
        with self._news:
            self._turns.setdefault(whose, deque()).append(_Waiting(act=act, told=told))  # type: ignore[arg-type]  # a future of what `act` returns
            self._news.notify()
        try:
            return await told
        finally:
            self.load -= 1

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
    """All workers. `make` makes the engine of a template, in the thread that will run it."""

    def __init__(self, make: Make, *, workers: int = WORKERS) -> None:
        self._make = make
        self._size = workers
        self._workers: list[Worker] = []
        self._policies: dict[int, tuple[Template, Policy]] = {}

    def start(self) -> None:
        """Start the threads. To be called in the loop that will ask them."""
        loop = asyncio.get_running_loop()
        self._workers = [
            Worker(self._make, loop=loop, name=f"twite-tags-{number}")
            for number in range(self._size)
        ]

    async def stop(self) -> None:
        """End the threads; a turn that runs is waited for."""
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            await asyncio.to_thread(worker.join)
        self._workers = []

    def idlest(self) -> Worker:
        """Return the worker for whom the fewest wait."""
        return min(self._workers, key=lambda one: one.load)

    def policy(self, template: Template) -> Policy:
        """Return what a template may do."""
        found = self._policies.get(id(template))
        if found is None:
            found = self._policies[id(template)] = template, policy(template.grants)
        return found[1]
