"""Run each `[[sync]]` by its interval, and when a command asks for it.

On PostgreSQL, only the leader of the gateways runs them by the interval.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from twite.app.http_parts import SettingsInUse
from twite.app.row_check import find_received, row_check
from twite.app.store_access import may_send
from twite.app.sync.objects import ObjectRun
from twite.app.sync.run import QueryRun, SyncBasis
from twite.app.sync.state import PAUSED, SyncRun, decide_position, load_pause, load_state
from twite.app.sync.submit import SyncTarget
from twite.config.syncs import SyncSettings
from twite.domain.alert import AlertKind
from twite.domain.times import SECOND
from twite.gateway.alerts.failing_runs import FailingRuns
from twite.gateway.alerts.webhook_traffic import SYNC_ROWS
from twite.gateway.operations.control import PositionChoice, SyncReport, SyncSummary
from twite.gateway.operations.schedule_loop import ScheduleLoop
from twite.gateway.ports.events import Observer, ProblemPlace
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.store import Store

_LOOK_AT_PAUSED: Final = 10 * SECOND
# A command waits for a part of a run, and asks for the next one.
COMMAND_WITHIN: Final = 20 * SECOND
_BUSY: Final = "the sync is running already. `twite sync list` shows its result"
_UNKNOWN: Final = "no [[sync]] has this name. Run twite reload if it is new"


class SyncSchedule(ScheduleLoop):
    """Runs syncs. What a run has submitted is durable, and comes again if need be."""

    place = ProblemPlace.SYNC
    every = SECOND

    def __init__(
        self,
        store: Store,
        clock: Clock,
        observer: Observer,
        *,
        in_use: Callable[[], SettingsInUse],
    ) -> None:
        super().__init__(store, clock, observer)
        self._in_use = in_use
        # A command may run a sync, too.
        self._running: dict[str, asyncio.Lock] = {}
        self._failing = FailingRuns(observer, AlertKind.SYNC_FAILING)

    async def run_now(self, name: str, position: PositionChoice | None = None) -> SyncReport:
        """Run a sync for a command, or a part of it. Raises LedgerUnavailable."""
        sync = self._sync(name)
        if sync is None:
            return SyncReport(error=_UNKNOWN)
        lock = self._running.get(name)
        if lock is not None and lock.locked():
            return SyncReport(error=_BUSY)
        end = self._clock.elapsed() + COMMAND_WITHIN
        run = await self._run(
            sync, until=lambda: self._clock.elapsed() > end, resumes=True, position=position
        )
        return SyncReport(
            rows=run.rows,
            files=run.files,
            verdicts=run.verdicts,
            refused=tuple(msgspec.to_builtins(row) for row in run.refused),
            error=run.error,
            is_done=run.is_done or bool(run.error),
        )

    async def list_syncs(self) -> Sequence[SyncSummary]:
        """Return the syncs of the settings with their last runs. Raises LedgerUnavailable."""
        found = []
        for sync in self._in_use().settings.syncs:
            state = await load_state(self._store, sync.name)
            pause, run = await load_pause(self._store, state), state.last_run
            found.append(
                SyncSummary(
                    name=sync.name,
                    source=sync.source,
                    at=run.at if run else None,
                    rows=run.rows if run else 0,
                    verdicts=run.verdicts if run else {},
                    problem=PAUSED if pause else run.error if run else "",
                )
            )
        return found

    async def _look(self, *, leads: bool) -> None:
        syncs = self._in_use().settings.syncs if leads else ()
        self._failing.keep(sync.name for sync in syncs)
        for sync in syncs:
            lock = self._running.get(sync.name)
            is_running = sync.name in self._runs or (lock is not None and lock.locked())
            if not is_running and self._may_be_due(sync.name, sync.interval):
                await self._begin_if_due(sync)

    async def _begin_if_due(self, sync: SyncSettings) -> None:
        state = await load_state(self._store, sync.name)
        if await load_pause(self._store, state):
            self._due[sync.name] = self._clock.now() + _LOOK_AT_PAUSED
            return
        last = state.last_run
        self._failing.report(sync.name, "" if last is None else last.error)
        ended = None if last is None or not last.is_done else last.at
        if self._is_due(sync.name, ended, sync.interval):
            self._begin(sync.name, self._run(sync, until=lambda: False))

    async def _run(
        self,
        sync: SyncSettings,
        *,
        until: Callable[[], bool],
        resumes: bool = False,
        position: PositionChoice | None = None,
    ) -> SyncRun:
        async with self._running.setdefault(sync.name, asyncio.Lock()):
            run = SyncRun(at=self._clock.now())
            self._due[sync.name] = run.at + sync.interval
            if position is not None:
                await decide_position(self._store, sync, position)
            state = await load_state(self._store, sync.name)
            pause = await load_pause(self._store, state) if resumes else ""
            if pause:
                state = msgspec.structs.replace(state, resumed=pause)
            runner = (ObjectRun if sync.is_storage else QueryRun)(sync, self._basis())
            try:
                await runner.run(state, run, until=until)
            except Exception as error:  # noqa: BLE001  # a bug must not stop the sync silently
                run.error = self._explain(sync.name, error)
            state = await load_state(self._store, sync.name)
            state = msgspec.structs.replace(state, last_run=run)
            await self._store.put([state.record(sync.name)])
            now = self._clock.now()
            await SYNC_ROWS.store(self._store, now=now, counts={sync.name: run.rows})
            self._failing.report(sync.name, run.error)
            return run

    def _basis(self) -> SyncBasis:
        return SyncBasis(
            state=self._store,
            clock=self._clock,
            find_target=self._target,
            dedup_window=self._in_use().settings.store.dedup_window,
            history=self._in_use().settings.store.keeping.history,
            may_write=may_send(self._store),
        )

    def _target(self, name: str) -> SyncTarget:
        in_use = self._in_use()
        check = row_check(in_use.settings, name, now=self._clock.now())
        return SyncTarget(
            accept=in_use.accept,
            source=check.source,
            find_received=partial(find_received, check=check, queries=self._store),
        )

    def _sync(self, name: str) -> SyncSettings | None:
        return next((each for each in self._in_use().settings.syncs if each.name == name), None)
