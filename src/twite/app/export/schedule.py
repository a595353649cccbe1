"""Run each `[[export]]` by its interval. On PostgreSQL, only the leader of the gateways does so."""

from collections.abc import Callable

from twite.app.export.open import event_names, export_to
from twite.app.export.run import ExportBasis, ExportRange, ExportRun
from twite.app.export.state import load_run, run_record
from twite.config.exports import ExportSettings
from twite.config.settings import Settings
from twite.domain.alert import AlertKind
from twite.domain.times import SECOND
from twite.gateway.alerts.failing_runs import FailingRuns
from twite.gateway.alerts.webhook_traffic import EXPORT_RUNS
from twite.gateway.operations.export_rows import store_id
from twite.gateway.operations.schedule_loop import ScheduleLoop
from twite.gateway.ports.events import Observer, ProblemPlace
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.store import Store
from twite.readers.database.connection import shown_place


class ExportSchedule(ScheduleLoop):
    """Runs exports. What a run has written stays, and the next one continues."""

    place = ProblemPlace.EXPORT
    every = SECOND

    def __init__(
        self, store: Store, clock: Clock, observer: Observer, *, in_use: Callable[[], Settings]
    ) -> None:
        super().__init__(store, clock, observer)
        self._in_use = in_use
        self._failing = FailingRuns(observer, AlertKind.EXPORT_FAILING)
        # Where each export writes. After a change, it is due at once.
        self._places: dict[str, str] = {}

    async def _look(self, *, leads: bool) -> None:
        exports = self._in_use().exports if leads else ()
        self._failing.keep(export.name for export in exports)
        for export in exports:
            place = _place(export)
            if self._places.setdefault(export.name, place) != place:
                self._places[export.name] = place
                self._due.pop(export.name, None)
            if export.name in self._runs or not self._may_be_due(export.name, export.interval):
                continue
            last = await load_run(self._store, export.name)
            self._failing.report(export.name, "" if last is None else last.error)
            began = last.at if last is not None and last.place == place else None
            if self._is_due(export.name, began, export.interval):
                self._begin(export.name, self._run(export))

    async def _run(self, export: ExportSettings) -> None:
        run = ExportRun(at=self._clock.now(), place=_place(export))
        if self._places[export.name] == run.place:
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
            run.error = self._explain(export.name, error)
        await self._store.put([run_record(export.name, run)])
        successes = {export.name: 0 if run.error else 1}
        await EXPORT_RUNS.store(self._store, now=self._clock.now(), counts=successes)
        self._failing.report(export.name, run.error)


def _place(export: ExportSettings) -> str:
    """Return where an export writes, without the password."""
    place = shown_place(export.secret_url.reveal())
    return place if export.is_storage else f"{place} {export.table}"
