"""A running gateway: HTTP server, delivery, alerts, console and feature."""

import asyncio
import sys
from contextlib import AsyncExitStack, suppress
from typing import Final

from twite.app.export.schedule import ExportSchedule
from twite.app.feature import RunningFeature
from twite.app.gateway_parts import GatewayParts
from twite.app.http_parts import OnDemandConsole
from twite.app.monitoring import Monitoring
from twite.app.reload import SettingsReload
from twite.app.results.schedule import ResultsSchedule
from twite.app.sealing import sealed_anew
from twite.app.sync.schedule import SyncSchedule
from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.domain.times import DAY, SECOND
from twite.gateway.ingest.consent_choice import PolicyChange
from twite.gateway.operations.control import ReloadReport
from twite.gateway.operations.dry_run import DryRun
from twite.gateway.operations.replays import ReplayRunner
from twite.gateway.ports.ownership import RELOADS, SECRETS
from twite.http import Server

# The maximum duration of a shutdown. Requests still in flight are ambiguous at the next start.
STOP_WITHIN: Final = 20 * SECOND
# How often the leader looks for replays that another gateway has started.
_LOOK: Final = 2 * SECOND
# Seconds that the store's writer waits before a busy thread releases the GIL. The writer needs the
# GIL some twenty times per commit. With Python's default of 5 ms, throughput fell from 2,300
# requests a second to 28 while two connections ran a tight loop (docs: performance).
_TURN: Final = 0.0005


class RunningGateway:
    """The HTTP server and the senders in one process, on one store."""

    def __init__(
        self,
        parts: GatewayParts,
        reload: SettingsReload,
        *,
        server: Server,
        monitoring: Monitoring,
        opened: AsyncExitStack,
    ) -> None:
        """`opened` closes what the gateway uses."""
        self._parts = parts
        self._reload = reload
        self._server = server
        self._monitoring = monitoring
        self._opened = opened
        self._tasks: list[asyncio.Task[None]] = []
        self._syncs = SyncSchedule(
            parts.store, parts.clock, parts.observer, in_use=lambda: self._reload.in_use
        )
        self._exports = ExportSchedule(
            parts.store,
            parts.clock,
            parts.observer,
            in_use=lambda: self._reload.in_use.settings,
        )

        self._results = ResultsSchedule(
            parts.store, parts.clock, parts.observer, in_use=lambda: self._reload.in_use
        )
        self._replay_runner = ReplayRunner(
            parts.replays,
            parts.observer,
            make_dry_run=self._dry_run,
            leads=self._leads,
            # Without other gateways, this process starts all replays itself.
            look_every=DAY if parts.store.ownership is None else _LOOK,
        )

    def _dry_run(self) -> DryRun:
        in_use = self._reload.in_use
        return self._parts.dry_run(in_use.settings, in_use.destinations)

    def _leads(self) -> bool:
        ownership = self._parts.store.ownership
        return ownership is None or ownership.is_leader

    @property
    def url(self) -> str:
        """The URL of the HTTP server."""
        return self._server.url

    @property
    def console(self) -> OnDemandConsole:
        return self._reload.in_use.console

    @property
    def feature(self) -> RunningFeature:
        return self._parts.feature

    async def begin(self) -> None:
        """Listen and send. Raises LedgerUnavailable, and SettingsError if the address is in use."""
        parts, in_use = self._parts, self._reload.in_use
        parts.runner.listeners[RELOADS] = self._reload.follow
        parts.runner.listeners[SECRETS] = self._reload.follow_secrets
        await self._monitoring.start()
        await PolicyChange(
            sources=in_use.settings.sources(),
            store=parts.store,
            clock=parts.clock,
            observer=parts.observer,
        ).once()
        await parts.runner.start()
        if in_use.tag_credentials is not None:
            await in_use.tag_credentials.load()
            self._tasks.append(asyncio.create_task(in_use.tag_credentials.run()))
        if parts.vault is not None and in_use.settings.server.former_secret_keys:
            sealing = sealed_anew(parts.vault, parts.store, observer=parts.observer)
            self._tasks.append(asyncio.create_task(sealing))
        await self._server.start()
        await parts.address.leave(self.url, self.reload_alone)
        parts.reload.begin(self._reload.run, self._reload.take_up_keys)
        parts.run_sync.begin(self._syncs.run_now, self._syncs.list_syncs)
        self._syncs.start()
        self._results.start()
        self._exports.start()
        self._replay_runner.start()
        uses = parts.key_uses.run(parts.store, parts.clock)
        self._tasks.append(asyncio.create_task(uses))
        if parts.address.is_reloaded:  # perhaps while this worker started
            await self._reload.run(is_quiet=True)
        sys.setswitchinterval(_TURN)

    async def reload_alone(self, dry_run: bool = False) -> ReloadReport:  # noqa: FBT001, FBT002
        """Read the settings again in this process, and use what does not need a restart."""
        return await self._parts.reload.alone(dry_run)

    async def has_admin(self) -> bool:
        """Return whether the console has an admin. Raises LedgerUnavailable."""
        return any(user.is_admin for user in await self._parts.store.people.users())

    async def failed(self) -> StoreUnusable:
        """Wait until the store fails permanently, and return the error."""
        return await asyncio.shield(self._parts.store.failed)

    async def stop(self) -> bool:
        """Finish requests, close the store; return whether all requests finished."""
        parts = self._parts
        parts.reload.end()
        async with self._opened:
            await self._reload.stop()
            await self._syncs.stop()
            await self._results.stop()
            await self._exports.stop()
            await self._replay_runner.stop()
            await self._server.stop()
            with suppress(LedgerUnavailable):  # the store reports the failure
                await parts.key_uses.store(parts.store, now=parts.clock.now())
            await parts.feature.stop_serving()
            finished = await parts.runner.stop(within=STOP_WITHIN)
            for task in self._tasks:
                task.cancel()
        return finished
