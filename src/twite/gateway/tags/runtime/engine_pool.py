"""Engine pool: the threads, engines and stored items (`templateDataStorage`) of templates."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from twite.domain.json_tree import Tree
from twite.gateway.ports.events import Observer, SilentObserver
from twite.gateway.tags.runtime.probation import Probations
from twite.gateway.tags.runtime.thread_worker import AbandonedThread, ThreadWorker
from twite.gtm.template.effects import Forget, Keep
from twite.gtm.template.permissions import PermissionPolicy, policy
from twite.gtm.template.sandbox import Call, Engine, RunLimits, Turn
from twite.gtm.template.template import Template

PROVEN: Final = 20  # runs in a row within the limits
# Times the limit: a run that is somewhat slow, or tried twice, has ended by then.
PATIENCE: Final = 12
# Seconds of CPU that a turn takes on average: a tag that takes more leaves the thread that others
# share, and comes back below the half of it.
SLOW: Final = 0.005
_WEIGHT: Final = 0.2  # of the last turn in the average
_WIDER: Final = 4.0  # twice what a run on trial burns, if it is tried again


class EngineFactory(Protocol):
    """Creates the engine of a template, given the number of its runs. Raises TemplateUnusable."""

    def __call__(self, template: Template, *, limits: RunLimits, begun: int) -> Engine: ...


class EngineAbandoned(Exception):
    """The thread was abandoned: no run may start in it."""


class TemplateEngines:
    """The engines of one thread, created on first use. Only that thread uses them.

    `make` gets a template and the number of its runs, and raises TemplateUnusable for code that is
    not JavaScript. A new thread takes over the engines of an abandoned one, except the engine that
    hangs. Implements `thread_worker.ThreadState`.
    """

    def __init__(
        self, make: Callable[[Template, int], Engine], former: "TemplateEngines | None" = None
    ) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._passed_a_limit = False
        self._left = False
        self.beats = 0
        self.at: Template | None = None
        self.making = 0.0  # seconds of CPU that went to making engines
        self._made: dict[int, tuple[Template, Engine]] = {}
        # Of engines that were lost, how many runs they had had.
        self._begun: dict[int, int] = {}
        if former is not None:
            self._made, self._begun = former.handed_over()
            for _, engine in self._made.values():
                engine.adopt()

    def of(self, template: Template) -> Engine:
        """Return the engine of a template, for one turn."""
        with self._lock:
            if self._left:
                raise EngineAbandoned
            self.beats += 1
            self.at = template
        # By its place in memory, which the second part of the value keeps from being used again.
        found = self._made.get(id(template))
        if found is None:
            began = time.thread_time()
            engine = self._make(template, self._begun.get(id(template), 0))
            found = self._made[id(template)] = template, engine
            self.making += time.thread_time() - began
        return found[1]

    def end(self, template: Template, run: int) -> None:
        """End a run in the engine of a template, if there is one."""
        if id(template) in self._made:
            self.of(template).end(run)

    def relieve(self) -> None:
        """Implements thread_worker.ThreadState."""
        found = self._made.get(id(self.at))
        if found is not None:
            found[1].relieve()

    def leave(self, beats: int) -> bool:
        """Implements thread_worker.ThreadState."""
        with self._lock:
            self._left = self.beats == beats
        found = self._made.get(id(self.at))
        if self._left and found is not None:
            found[1].starve()
        return self._left

    @property
    def is_left(self) -> bool:
        """Whether the thread was abandoned."""
        return self._left

    def handed_over(self) -> tuple[dict[int, tuple[Template, Engine]], dict[int, int]]:
        """Return the usable engines, for the thread that replaces an abandoned one."""
        sound, begun = {}, dict(self._begun)
        for key, (template, engine) in self._made.items():
            if template is self.at:
                begun[key] = engine.begun
            else:
                sound[key] = template, engine
        return sound, begun

    def ask(self, template: Template, call: Call) -> Turn:
        """Start the run of a variable's template."""
        turn = self.of(template).start(call)
        self._passed_a_limit = self._passed_a_limit or turn.spent
        return turn

    def passed_a_limit(self) -> bool:
        """Return whether a variable exceeded a limit since the last call."""
        passed, self._passed_a_limit = self._passed_a_limit, False
        return passed


class _Pace:
    """The average CPU time of a tag's turns."""

    def __init__(self) -> None:
        self.is_slow = False
        self._mean = 0.0  # seconds

    def record(self, took: float) -> None:
        self._mean += (took - self._mean) * _WEIGHT
        self.is_slow = self._mean > (SLOW / 2 if self.is_slow else SLOW)


class EnginePool:
    """One thread for proven tags, one for ingest, and one for each other tag.

    Intake decides which tags fire while the client waits, so variables run in their own thread
    there.

    Slow and unproven tags run alone, with narrower limits: an engine's clock is the process's CPU
    time, and one thread must not use up the time of proven tags. `make` creates the engine of a
    template in the thread that will run it. A template that exceeded a limit pauses after its runs
    (`trials`). If a turn hangs, its thread is abandoned: see `thread_worker.py`.
    """

    def __init__(
        self,
        make: EngineFactory,
        *,
        elapsed: Callable[[], int],
        limits: RunLimits | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._make = make
        self._left = AbandonedThread()
        self.elapsed = elapsed
        self.trials = Probations(
            elapsed=elapsed, observer=observer or SilentObserver(), left=self._left
        )
        self._narrow = limits or RunLimits()
        self._patience = PATIENCE * self._narrow.time
        self._steady: ThreadWorker[TemplateEngines] | None = None
        self._ingest_worker: ThreadWorker[TemplateEngines] | None = None
        # Of tags that are not proven, or were not at some time; made when they are first needed.
        self._own: dict[str, ThreadWorker[TemplateEngines]] = {}
        # How many runs of a tag have ended well since one passed a limit.
        self._ended_well: dict[str, int] = {}
        self._paces: dict[str, _Pace] = {}
        self._policies: dict[int, tuple[Template, PermissionPolicy]] = {}

    def start(self) -> None:
        """Start the threads."""
        wide = msgspec.structs.replace(self._narrow, time=self._narrow.time * _WIDER)
        self._ingest_worker = self._worker("twite-tags-door", self._narrow)
        self._steady = self._worker("twite-tags", wide)

    async def stop(self) -> None:
        """End the threads, after their current turns. Hung turns are not waited for."""
        found = (self._steady, self._ingest_worker, *self._own.values())
        workers = [worker for worker in found if worker is not None]
        for worker in workers:
            worker.stop()
        for worker in workers:
            await asyncio.to_thread(worker.join, self._patience)
        self._steady = self._ingest_worker = None
        self._own.clear()

    @property
    def ingest_worker(self) -> ThreadWorker[TemplateEngines]:
        """The thread that decides which tags fire. Raises RuntimeError before `start`."""
        if self._ingest_worker is None:
            raise RuntimeError("the engine pool has not been started")
        return self._ingest_worker

    def worker(self, tag: str) -> ThreadWorker[TemplateEngines]:
        """Return the thread for a tag's runs. Raises RuntimeError before `start`."""
        if self._steady is None:
            raise RuntimeError("the engine pool has not been started")
        if self._ended_well.get(tag, 0) >= PROVEN and not self._pace_of(tag).is_slow:
            return self._steady
        if tag not in self._own:
            self._own[tag] = self._worker(f"twite-{tag}", self._narrow)
        return self._own[tag]

    def record_run(self, tag: str, *, is_spent: bool) -> None:
        """Record whether a run of a tag stayed within its limits."""
        self._ended_well[tag] = 0 if is_spent else min(PROVEN, self._ended_well.get(tag, 0) + 1)

    def took(self, tag: str, seconds: float) -> None:
        """Record the CPU time of a turn of a tag."""
        self._pace_of(tag).record(seconds)

    def policy(self, template: Template) -> PermissionPolicy:
        """Return the permissions of a template."""
        found = self._policies.get(id(template))
        if found is None:
            found = self._policies[id(template)] = template, policy(template.grants)
        return found[1]

    def _pace_of(self, tag: str) -> _Pace:
        found = self._paces.get(tag)
        if found is None:
            found = self._paces[tag] = _Pace()
        return found

    def _worker(self, name: str, limits: RunLimits) -> ThreadWorker[TemplateEngines]:
        def engine(template: Template, begun: int) -> Engine:
            return self._make(template, limits=limits, begun=begun)

        return ThreadWorker(
            lambda former: TemplateEngines(engine, former),
            name=name,
            patience=self._patience,
            left=self._left,
        )


MOST_BYTES: Final = 1024 * 1024  # of one template's items, as JSON


class TemplateStorage:
    """The storage of all templates. A template's runs share its items."""

    def __init__(self, *, most: int = MOST_BYTES) -> None:
        self._most = most
        self._kept: dict[int, tuple[Template, dict[str, Tree]]] = {}
        self._sizes: dict[int, dict[str, int]] = {}

    def of(self, template: Template) -> dict[str, Tree]:
        """Return a template's items, for one turn."""
        found = self._kept.get(id(template))
        return {} if found is None else dict(found[1])

    def change(self, template: Template, effect: Keep | Forget) -> bool:
        """Store or delete an item; return False if there is no room."""
        _, items = self._kept.setdefault(id(template), (template, {}))
        sizes = self._sizes.setdefault(id(template), {})
        if isinstance(effect, Forget):
            items.clear()
            sizes.clear()
            return True
        if effect.value is None:
            items.pop(effect.key, None)
            sizes.pop(effect.key, None)
            return True
        size = len(effect.key) + len(msgspec.json.encode(effect.value))
        if sum(sizes.values()) - sizes.get(effect.key, 0) + size > self._most:
            return False
        items[effect.key] = effect.value
        sizes[effect.key] = size
        return True
