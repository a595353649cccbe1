"""Engine pool: the engine processes of tags, and stored items (`templateDataStorage`)."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from twite.gateway.ports.events import Observer, SilentObserver
from twite.tags.json_tree import Tree
from twite.tags.ports.engines import EngineProcesses
from twite.tags.runtime.engine_worker import EngineWorker
from twite.tags.runtime.probation import Probations
from twite.tags.template.effects import Forget, Keep
from twite.tags.template.permissions import PermissionPolicy, policy
from twite.tags.template.sandbox import RunLimits
from twite.tags.template.template import Template

PROVEN: Final = 20  # consecutive runs within the limits
# The average CPU seconds per turn above which a tag leaves the shared process. Below half of this,
# the tag returns.
SLOW: Final = 0.005
AT_ONCE: Final = 8  # turns of proven tags, so that the process is never idle between turns
_WEIGHT: Final = 0.2  # the weight of the last turn in the average
_WIDER: Final = 4.0  # times the CPU limit, for proven tags
MOST_BYTES: Final = 1024 * 1024  # of one template's items, as JSON


class _TemplatePace:
    def __init__(self) -> None:
        self.is_slow = False
        self._mean = 0.0  # seconds

    def record(self, took: float) -> None:
        self._mean += (took - self._mean) * _WEIGHT
        self.is_slow = self._mean > (SLOW / 2 if self.is_slow else SLOW)


class EnginePool:
    """One process for all proven tags, one for ingest, and one for each other tag.

    At ingest, Twite decides which tags fire while the client waits, so variables have their own
    process there. Slow and unproven tags run alone, with narrower limits. A template that exceeded
    a limit is paused after each of its runs (`trials`).
    """

    def __init__(
        self,
        engines: EngineProcesses,
        *,
        elapsed: Callable[[], int],
        limits: RunLimits | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._engines = engines
        self.elapsed = elapsed
        self.trials = Probations(elapsed=elapsed, observer=observer or SilentObserver())
        self._narrow = limits or RunLimits()
        self._shared: EngineWorker | None = None
        self._ingest_worker: EngineWorker | None = None
        # Workers of tags that are or once were unproven; created on demand.
        self._own: dict[str, EngineWorker] = {}
        # The number of runs of each tag since it last exceeded a limit, at most PROVEN.
        self._ended_well: dict[str, int] = {}
        self._prepared: dict[str, Sequence[Template]] = {}
        self._paces: dict[str, _TemplatePace] = {}
        self._policies: dict[int, tuple[Template, PermissionPolicy]] = {}

    def start(self) -> None:
        """Accept runs. Processes are started on demand."""
        self._engines.start()
        wide = msgspec.structs.replace(self._narrow, time=self._narrow.time * _WIDER)
        self._ingest_worker = EngineWorker(self._engines.process(self._narrow))
        self._shared = EngineWorker(self._engines.process(wide), at_once=AT_ONCE)

    async def stop(self) -> None:
        """End the processes, and cancel the turns in progress."""
        for worker in (self._shared, self._ingest_worker, *self._own.values()):
            if worker is not None:
                worker.stop()
        is_started = self._shared is not None
        self._shared = self._ingest_worker = None
        self._own.clear()
        if is_started:
            await self._engines.stop()

    @property
    def ingest_worker(self) -> EngineWorker:
        """The worker for deciding which tags fire. Raises RuntimeError before `start`."""
        if self._ingest_worker is None:
            raise RuntimeError("the engine pool has not been started")
        return self._ingest_worker

    def worker(self, tag: str) -> EngineWorker:
        """Return the worker for the runs of a tag. Raises RuntimeError before `start`."""
        if self._shared is None:
            raise RuntimeError("the engine pool has not been started")
        if self._ended_well.get(tag, 0) >= PROVEN and not self._pace_of(tag).is_slow:
            return self._shared
        if tag not in self._own:
            self._own[tag] = EngineWorker(self._engines.process(self._narrow))
        return self._own[tag]

    def prepare(
        self, tag: str, templates: Sequence[Template], *, for_triggers: Sequence[Template] = ()
    ) -> None:
        """Load the templates of a tag, and those of its triggers' variables, for the first run.

        The processes then stay when idle, also after the tag has moved to the shared process.
        """
        self._prepared[tag] = templates
        for worker, loaded in (
            (self.worker(tag), templates),
            (self.ingest_worker, for_triggers),
        ):
            for template in loaded:
                worker.process.prepare(template)

    def record_run(self, tag: str, *, is_spent: bool) -> None:
        """Record whether a run of a tag stayed within its limits."""
        self._ended_well[tag] = 0 if is_spent else min(PROVEN, self._ended_well.get(tag, 0) + 1)
        if self._ended_well[tag] == PROVEN - 1 and self._shared is not None:
            for template in self._prepared.get(tag, ()):
                self._shared.process.prepare(template)
        if is_spent:
            self.worker(tag).process.demote()
        own = self._own.get(tag)
        if own is not None and tag in self._prepared:
            own.process.stays = self.worker(tag) is own

    def took(self, tag: str, seconds: float) -> None:
        self._pace_of(tag).record(seconds)

    def policy(self, template: Template) -> PermissionPolicy:
        found = self._policies.get(id(template))
        if found is None:
            found = self._policies[id(template)] = template, policy(template.grants)
        return found[1]

    def _pace_of(self, tag: str) -> _TemplatePace:
        found = self._paces.get(tag)
        if found is None:
            found = self._paces[tag] = _TemplatePace()
        return found


class TemplateStorage:
    """The stored items of all templates. All runs of a template share its items."""

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
