"""Run each `[[export]]` by its interval. On PostgreSQL, only the leader of the gateways does so."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from twite.app.export.open import event_names, export_to
from twite.app.export.run import ExportBasis, ExportRange, ExportRun
from twite.app.export.state import load_run, run_record
from twite.config.exports import ExportSettings
from twite.config.settings import Settings
from twite.domain.alert import AlertKind
from twite.domain.errors import LedgerUnavailable, TwiteError
from twite.domain.times import SECOND
from twite.gateway.alerts.failing_runs import FailingRuns
from twite.gateway.alerts.webhook_traffic import EXPORT_RUNS
from twite.gateway.operations.export_rows import store_id
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.store import Store

_LOOK: Final = SECOND
_UNEXPECTED: Final = "an unexpected error ({}): a bug in Twite, please report it"


class ExportSchedule:
    """Runs exports, from `start` to `stop`. Each export has at most one run at a time."""

    def __init__(
        self, store: Store, clock: Clock, observer: Observer, *, in_use: Callable[[], Settings]
    ) -> None:
        self._store = store
        self._clock = clock
        self._observer = observer
        self._in_use = in_use
        self._failing = FailingRuns(observer, AlertKind.EXPORT_FAILING)
        # When each export is due (ms), as far as this process knows.
        self._due: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._runs: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        self._task = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """End all runs. What they have written stays, and they continue after the next start."""
        tasks = [*self._runs.values(), *([] if self._task is None else [self._task])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _look(self) -> None:
        while True:
            exports = self._in_use().exports if self._leads() else ()
            self._failing.keep(export.name for export in exports)
            for export in exports:
                if export.name not in self._runs:
                    with suppress(LedgerUnavailable):  # the workers report the failure
                        if await self._is_due(export):
                            self._begin(export)
            await self._clock.sleep(_LOOK)

    def _leads(self) -> bool:
        ownership = self._store.ownership
        return ownership is None or ownership.is_leader

    async def _is_due(self, export: ExportSettings) -> bool:
        now = self._clock.now()
        if self._due.get(export.name, 0) > now:
            return False
        # Another gateway may have run it meanwhile.
        last = await load_run(self._store, export.name)
        self._failing.report(export.name, "" if last is None else last.error)
        due = 0 if last is None else last.at + export.interval
        # A clock that was ahead does not delay a run by more than its interval.
        self._due[export.name] = min(due, now + export.interval)
        return due <= now or due > now + export.interval

    def _begin(self, export: ExportSettings) -> None:
        task = asyncio.create_task(self._run(export))
        self._runs[export.name] = task
        task.add_done_callback(lambda done: self._ended(export.name, done))

    def _ended(self, name: str, task: "asyncio.Task[None]") -> None:
        del self._runs[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            # The run itself reports what an operator can change: this is a bug, or the store.
            assert isinstance(error, Exception)  # noqa: S101  # others end the process
            self._observer.see(ProblemSeen.of(ProblemPlace.EXPORT, error))

    async def _run(self, export: ExportSettings) -> None:
        run = ExportRun(at=self._clock.now())
        self._due[export.name] = run.at + export.interval
        basis = ExportBasis(
            queries=self._store,
            store_id=store_id(self._store.salt),
            clock=self._clock,
            event_names=event_names(self._in_use()),
        )
        try:
            await export_to(export, basis, ExportRange(since=export.since), run)
        except Exception as error:  # noqa: BLE001  # a bug must not stop the export silently
            # The text of another error may have values of rows.
            known = isinstance(error, TwiteError)
            run.error = str(error) if known else _UNEXPECTED.format(type(error).__name__)
            self._observer.see(
                ProblemSeen(where=ProblemPlace.EXPORT, reason=f"{export.name}: {run.error}")
            )
        await self._store.put([run_record(export.name, run)])
        successes = {export.name: 0 if run.error else 1}
        await EXPORT_RUNS.store(self._store, now=self._clock.now(), counts=successes)
        self._failing.report(export.name, run.error)
