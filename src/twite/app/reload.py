"""Reload the settings of a running gateway, without losing a request or a connection.

Everything that depends on the settings is built anew, and replaces the old parts between two
requests. Requests that have begun are answered with the old parts.
"""

import asyncio
import dataclasses
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from twite.app.feature import FeaturePlan, FeatureRun
from twite.app.gateway_parts import GatewayParts
from twite.app.http_parts import SettingsInUse
from twite.app.logins import (
    FollowSecrets,
    given,
    stored_source_keys,
    tag_credentials_of,
    vault_seal,
)
from twite.app.monitoring import Monitoring
from twite.app.value_rules.table_files import TableFiles
from twite.config.collected_errors import located
from twite.config.difference import SettingsChange, SettingsDifference, difference, with_reloaded
from twite.config.settings import Settings, load
from twite.domain.destination import Destination, with_tests
from twite.domain.errors import OperatorError, SettingsError, TransientError
from twite.domain.test_mode import with_test_names
from twite.domain.times import SECOND
from twite.gateway.identity.source_keys import StoredSourceKeys
from twite.gateway.ingest.consent_choice import PolicyChange, joined_pixels
from twite.gateway.ingest.dedup_rows import DedupRowBuilder, watched
from twite.gateway.ingest.stape_proxy import TagCredentials
from twite.gateway.operations.control import ReloadReport
from twite.gateway.ports.events import ProblemPlace, ProblemSeen, Reloaded, ReloadResult
from twite.http import Server
from twite.machine.service_manager import notify, reloading

_AGAIN: Final = 5 * SECOND
_LATE_WORK: Final = 30 * SECOND
_KEYS: Final = frozenset({"server.secret_key", "server.former_secret_keys"})
_OTHER_X: Final = (
    "the settings are for another X, so the gateway kept the old ones. Restart the gateway"
)


class SettingsReload:
    """Replaces the settings in use (`in_use`) with those of the file."""

    def __init__(
        self, parts: GatewayParts, in_use: SettingsInUse, *, server: Server, monitoring: Monitoring
    ) -> None:
        self.in_use = in_use
        self._parts = parts
        self._server = server
        self._monitoring = monitoring
        self._turn = asyncio.Lock()
        self._follows = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, *, dry_run: bool = False, is_quiet: bool = False) -> ReloadReport:
        """Read the file, and use its settings; in a dry run, only compare them.

        If the file has mistakes, the old settings stay in use. With `is_quiet`, nothing is logged
        if nothing has changed.
        """
        async with self._turn:
            if dry_run:
                return await self._reloaded(dry_run=True)
            is_main = not self._parts.address.is_shared
            if is_main:
                notify(reloading())
            try:
                report = await self._reloaded(dry_run=False)
            finally:
                if is_main:
                    notify("READY=1")
        if not (is_quiet and report.result is ReloadResult.UNCHANGED):
            self._parts.observer.see(
                Reloaded(
                    result=report.result,
                    tables=Counter(change.split(maxsplit=1)[0] for change in report.changes),
                    restart=report.restart,
                    problems=report.problems,
                )
            )
        return report

    async def follow(self) -> None:
        """Reload because a command at another gateway says so. A `listener` of the runner."""
        if not self._follows:
            self._follows = True  # called once after the start
            return
        await self.run(is_quiet=True)

    async def follow_secrets(self) -> None:
        """Use the secrets that another gateway or a command has stored. A `listener`."""
        parts, tag_credentials = self._parts, self.in_use.tag_credentials
        await FollowSecrets(parts.credential_commands, tag_credentials, parts.observer)()
        try:
            await self.take_up_keys()
        except OperatorError as error:  # a key that this gateway does not have
            parts.observer.see(ProblemSeen(where=ProblemPlace.VAULT, reason=str(error)))

    async def take_up_keys(self) -> None:
        """Use the stored source keys, with the same settings. Raises as SourceKeyStore.all."""
        async with self._turn:
            in_use = self.in_use
            if await stored_source_keys(self._parts.secret_store) != in_use.source_keys:
                await self._use(in_use.settings, in_use.feature_run.plan)

    async def stop(self) -> None:
        """Wait for a reload, and end the work that it has left."""
        async with self._turn:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _reloaded(self, *, dry_run: bool) -> ReloadReport:
        parts, running = self._parts, self.in_use.settings
        try:
            written = await asyncio.to_thread(load, running.path, os.environ)
            found = self._without_turned_keys(difference(running, written), written)
            if not found.is_other_x:
                settings = with_reloaded(running, written)
                plan = await parts.feature.plan(settings, parts.secret_store)
                found = _with_changes(found, plan.changes(self.in_use.feature_run.plan, settings))
                files = await parts.value_rules.prepare(settings)
                found = _with_changes(found, parts.value_rules.changes(files))
                if found.changes and not dry_run:
                    await self._use(settings, plan, files)
                    parts.address.mark_reloaded()
        except SettingsError as wrong:
            return ReloadReport(result=ReloadResult.FAILED, problems=located(running.path, wrong))
        except (OperatorError, TransientError) as error:
            return ReloadReport(result=ReloadResult.FAILED, problems=(str(error),))
        except Exception as fault:  # noqa: BLE001  a bug must not end the gateway's reloads
            problem = f"internal error in Twite ({type(fault).__name__})"
            return ReloadReport(result=ReloadResult.FAILED, problems=(problem,))
        return _report(found)

    def _without_turned_keys(
        self, difference: SettingsDifference, written_settings: Settings
    ) -> SettingsDifference:
        """Leave out the secret key if the gateway already uses it, after `twite rotate-key`."""
        safe, seal = self._parts.vault, vault_seal(written_settings)
        if safe is None or seal is None or _KEYS.isdisjoint(difference.restart):
            return difference
        if not safe.seal.is_current(seal.close("", b"")):
            return difference
        restart = tuple(key for key in difference.restart if key not in _KEYS)
        return msgspec.structs.replace(difference, restart=restart)

    async def _use(
        self, settings: Settings, plan: FeaturePlan, files: TableFiles | None = None
    ) -> None:
        """Replace the settings. Raises OperatorError and TransientError: nothing has changed."""
        parts, before = self._parts, self.in_use
        if settings.x.emulator is not None:
            from twite.app.emulated_x import add_pixels  # noqa: PLC0415  # few gateways have it

            await asyncio.to_thread(add_pixels, settings)
        stored = await given(settings, parts.secret_store)
        source_keys = await stored_source_keys(parts.secret_store)
        destinations = {destination.pixel: destination for destination in stored}
        tag_credentials = before.tag_credentials
        if tag_credentials is not None:
            destinations = tag_credentials.stored(destinations) | destinations
        else:
            tag_credentials = tag_credentials_of(
                settings,
                secret_store=parts.secret_store,
                queries=parts.store,
                destinations=destinations,
                runner=parts.runner,
                clock=parts.clock,
                observer=parts.observer,
            )
        changed = _changed_policies(before.settings, settings)
        # Nothing waits from here until the swap is complete, so no request sees a part of it.
        feature_run = before.feature_run
        if plan != feature_run.plan:
            feature_run = parts.feature.run(plan, settings, parts.run_basis)
        parts.value_rules.use(settings, files)
        in_use = self._swap(settings, destinations, tag_credentials, feature_run, source_keys)
        await self._follow_up(before, in_use, changed)

    def _swap(
        self,
        settings: Settings,
        destinations: dict[str, Destination],
        tag_credentials: TagCredentials | None,
        feature_run: FeatureRun,
        source_keys: StoredSourceKeys,
    ) -> SettingsInUse:
        parts, before = self._parts, self.in_use
        sources = settings.sources()
        is_new = feature_run is not before.feature_run
        dispatcher = before.accept.tag_dispatcher
        if is_new:
            dispatcher = feature_run.dispatcher()
        accept = dataclasses.replace(
            before.accept,
            tag_dispatcher=dispatcher,
            destinations=destinations,
            dedup_rows=DedupRowBuilder(
                pixels=watched(sources), destinations=destinations, salt=parts.store.salt
            ),
        )
        workers = None
        if is_new:
            workers = feature_run.workers(accept, destinations)
            feature_run.serve(accept, destinations)
        in_use = SettingsInUse.built(
            settings,
            parts,
            accept,
            destinations,
            feature_run=feature_run,
            tag_credentials=tag_credentials,
            source_keys=source_keys,
            old_settings=before,
        )
        # The rest cannot fail.
        self.in_use = in_use
        parts.metrics.know(
            sources=with_test_names(source.name for source in sources),
            pixels=with_test_names(destinations),
        )
        parts.guards.use(
            sources={source.name: source.value_guard for source in sources},
            pixels={pixel.pixel: pixel.value_guard for pixel in settings.destinations()},
        )
        if is_new:
            self._retire(before, parts.runner.replace_tags(workers))
        else:
            feature_run.use(accept, sources)
        if parts.credential_commands is not None:
            parts.credential_commands.use(settings.destinations(), destinations)
        parts.sign_in.destinations = {pixel.pixel: pixel for pixel in settings.destinations()}
        if before.tag_credentials is not None:
            before.tag_credentials.replace(destinations)
        parts.test_emulator.use(settings.destinations())
        parts.runner.replace(with_tests(destinations.values()))
        self._server.use(in_use.application)
        before.accept.is_replaced = True
        self._monitoring.use(settings)
        return in_use

    def _retire(self, old_settings: SettingsInUse, ending: asyncio.Task[None]) -> None:
        """End a run of the feature once its last deliveries have ended."""

        async def retire() -> None:
            await asyncio.shield(ending)
            await old_settings.application.drained()
            await old_settings.accept.passed()
            # Templates may still do work that no request waits for.
            await self._parts.clock.sleep(_LATE_WORK)
            await self._parts.feature.retire(old_settings.feature_run)

        self._keep(retire())

    async def _follow_up(
        self, old_settings: SettingsInUse, in_use: SettingsInUse, changed: frozenset[str]
    ) -> None:
        """Apply the settings to what is queued, and to requests that had begun before."""
        parts = self._parts
        if in_use.tag_credentials is not None:
            await self._repeated(in_use.tag_credentials.load)
            if old_settings.tag_credentials is None:
                self._keep(in_use.tag_credentials.run())
        if parts.credential_commands is not None:
            # A command may have stored credentials after they were read.
            await self._repeated(parts.credential_commands.take_up)
        sources = in_use.settings.sources()
        unjoined = joined_pixels(old_settings.settings.sources()) - joined_pixels(sources)
        policy = PolicyChange(
            sources=sources,
            store=parts.store,
            clock=parts.clock,
            observer=parts.observer,
            unjoined=unjoined,
        )

        async def judge() -> None:
            await policy.once(again=changed)

        async def judge_late() -> None:
            await old_settings.application.drained()
            await old_settings.accept.passed()
            await self._repeated(judge)

        await self._repeated(judge)
        if changed or unjoined:
            self._keep(judge_late())

    async def _repeated(self, act: Callable[[], Awaitable[object]]) -> None:
        """Do something, and repeat it in the background until it succeeds."""
        try:
            await act()
        except (OperatorError, TransientError) as error:
            self._parts.observer.see(ProblemSeen(where=ProblemPlace.STORE, reason=str(error)))
            self._keep(self._later(act))

    async def _later(self, act: Callable[[], Awaitable[object]]) -> None:
        while True:
            await self._parts.clock.sleep(_AGAIN)
            with suppress(OperatorError, TransientError):
                await act()
                return

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _with_changes(
    difference: SettingsDifference, changes: Sequence[SettingsChange]
) -> SettingsDifference:
    """Add changes of tables that have none."""
    known = {change.table for change in difference.changes}
    added = [change for change in changes if change.table not in known]
    return msgspec.structs.replace(difference, changes=(*difference.changes, *added))


def _changed_policies(old_settings: Settings, new_settings: Settings) -> frozenset[str]:
    """Return the sources whose consent policy has changed."""
    policies = {source.name: source.consent for source in old_settings.sources()}
    return frozenset(
        source.name
        for source in new_settings.sources()
        if policies.get(source.name, source.consent) != source.consent
    )


def _report(difference: SettingsDifference) -> ReloadReport:
    if difference.is_other_x:
        return ReloadReport(
            result=ReloadResult.NEEDS_RESTART,
            restart=difference.restart,
            problems=(_OTHER_X,),
        )
    return ReloadReport(
        result=ReloadResult.RELOADED if difference.changes else ReloadResult.UNCHANGED,
        changes=tuple(map(str, difference.changes)),
        restart=difference.restart,
    )
