"""Build and run a gateway from the settings: HTTP server, delivery, alerts, console, feature."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from twite.app.console_services import OnDemandConsole
from twite.app.feature import FeatureBasis, RunBasis, RunningFeature, begin_feature
from twite.app.http_clients import OnDemandTransport
from twite.app.http_parts import GatewayParts, SettingsInUse, server_of
from twite.app.logins import (
    FollowSecrets,
    credential_vault,
    given,
    safe_of,
    shared_sign_in,
    tag_credentials_of,
)
from twite.app.monitoring import Monitoring, ValueGuardSetup, report_opened
from twite.app.observation import Observation
from twite.app.reload import SettingsReload
from twite.app.reload_command import ReloadCommand
from twite.app.sealing import sealed_anew
from twite.app.store_access import engine_of, may_send
from twite.app.workers import GatewayAddress, WorkerPlace
from twite.config.settings import Settings
from twite.domain.destination import Destination
from twite.domain.errors import StoreUnusable
from twite.domain.times import SECOND
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.pixel_workers import TagWorkerFactory
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.consent_choice import PolicyChange
from twite.gateway.ingest.dedup_rows import DedupRowBuilder, watched
from twite.gateway.ingest.request_traces import RequestTraces
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.operations.control import ReloadReport
from twite.gateway.ports.directory import Passwords
from twite.gateway.ports.findings import CheckFinding
from twite.gateway.ports.ownership import RELOADS, SECRETS
from twite.gateway.ports.store import Store, StoreOptions
from twite.gateway.x_account.sign_in import XSignIn
from twite.http import Server
from twite.machine.system import SystemClock, SystemRandomness

# The maximum duration of a shutdown. Requests still in flight are ambiguous at the next start.
STOP_WITHIN: Final = 20 * SECOND
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

    @property
    def connect(self) -> XSignIn:
        return self._parts.sign_in

    async def begin(self) -> None:
        """Listen and send. Raises LedgerUnavailable, and SettingsError if the address is in use."""
        parts, in_use = self._parts, self._reload.in_use
        parts.runner.listeners[RELOADS] = self._reload.follow
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
        parts.reload.begin(self._reload.run)
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
            await self._server.stop()
            await parts.feature.stop_serving()
            finished = await parts.runner.stop(within=STOP_WITHIN)
            for task in self._tasks:
                task.cancel()
        return finished


async def start_gateway(
    settings: Settings,
    *,
    passwords: Passwords | None = None,
    examine: Callable[[], AsyncIterator[CheckFinding]] | None = None,
    worker: WorkerPlace | None = None,
) -> RunningGateway:
    """Open the store, listen, and send.

    `passwords` hashes passwords (None: Argon2id); `examine` runs the diagnostics: without it, the
    console has no diagnostics page. `worker` is for one of several processes that share a port.
    Raises StoreInUse, StoreUnusable, and SettingsError if the address cannot be bound.
    """
    builder = GatewayBuilder(settings, worker)
    gateway = await builder.built(passwords, examine)
    try:
        await gateway.begin()
    except BaseException:
        await gateway.stop()
        raise
    return gateway


class GatewayBuilder:
    """Builds a gateway. It closes what it has opened if that fails."""

    def __init__(self, settings: Settings, worker: WorkerPlace | None) -> None:
        self._settings = settings
        self._wall = SystemClock()
        # Rate limit windows, leases and due times use this clock, which never jumps.
        self._clock = MonotonicClock(self._wall)
        self._randomness = SystemRandomness()
        self._observation = Observation(settings, self._clock)
        self._observer, self._metrics = self._observation.observer, self._observation.metrics
        self._address = GatewayAddress(settings, worker, self._metrics.latest)
        self._transport = OnDemandTransport(timeout=settings.x.timeout)

    async def built(
        self,
        passwords: Passwords | None,
        examine: Callable[[], AsyncIterator[CheckFinding]] | None,
    ) -> RunningGateway:
        """Return a gateway that does not listen yet."""
        # The feature begins while the store opens.
        feature = begin_feature(
            FeatureBasis(
                settings=self._settings,
                clock=self._clock,
                randomness=self._randomness,
                observer=self._observer,
                shares_port=self._address.is_shared,
            )
        )
        async with AsyncExitStack() as opened, AsyncExitStack() as begun:
            begun.push_async_callback(feature.stop)
            store = await self._open_store()
            opened.push_async_callback(store.close)
            opened.push_async_callback(self._address.withdraw)
            opened.push_async_callback(self._observation.stop)
            self._observation.start_traces(store)
            guard_setup = await ValueGuardSetup.begin(
                self._settings, state=store, clock=self._clock
            )
            opened.push_async_callback(guard_setup.stop)
            opened.push_async_callback(self._transport.stop)
            opened.push_async_exit(begun.pop_all())
            parts, in_use = await self._connected(
                store, feature, guard_setup.guards, passwords=passwords, examine=examine
            )
            monitoring = self._monitoring(store)
            opened.push_async_callback(monitoring.stop)
            server = server_of(in_use, self._address)
            reload = SettingsReload(parts, in_use, server=server, monitoring=monitoring)
            return RunningGateway(
                parts, reload, server=server, monitoring=monitoring, opened=opened.pop_all()
            )

    async def _open_store(self) -> Store:
        kept = self._settings.store
        store = await engine_of(self._settings).open(
            kept.place,
            StoreOptions(
                dedup_window=kept.dedup_window,
                queue_limit=kept.queue,
                reserve=kept.reserve,
                size_limit=kept.size_limit,
                accept_weak_durability=kept.accept_weak_durability,
                retention=kept.keeping,
                now=self._clock.vouched,
                observer=self._observer,
                timed=self._metrics.committed,
                counted=self._metrics.counted,
            ),
        )
        report_opened(store, self._observer)
        return store

    async def _connected(
        self,
        store: Store,
        feature: RunningFeature,
        guards: ValueGuards,
        *,
        passwords: Passwords | None,
        examine: Callable[[], AsyncIterator[CheckFinding]] | None,
    ) -> tuple[GatewayParts, SettingsInUse]:
        """Connect intake, senders and HTTP with the store."""
        settings = self._settings
        safe = safe_of(settings, store)
        secret_store = safe.secret_store if safe else None
        stored = await given(settings, secret_store)
        destinations = {destination.pixel: destination for destination in stored}
        run_basis = RunBasis(store=store, seal=safe.seal if safe else None, metrics=self._metrics)
        plan = await feature.plan(settings, secret_store)
        feature_run = feature.run(plan, settings, run_basis)
        runners: list[DeliveryRunner] = []

        def wake(pixel: str) -> None:
            for each in runners:
                each.wake(pixel)

        tracing = self._observation.trace_queue
        accept = Accept(
            intake=store,
            clock=self._clock,
            randomness=self._randomness,
            destinations=destinations,
            salt=store.salt,
            wake=wake,
            privacy=store,
            dedup_rows=DedupRowBuilder(
                pixels=watched(settings.sources()), destinations=destinations, salt=store.salt
            ),
            observer=self._observer,
            wall_clock=self._wall,
            tag_dispatcher=feature_run.dispatcher(),
            traces=None if tracing is None else RequestTraces(tracing),
            guards=guards,
        )
        runner = self._runner(store, stored, feature_run.workers(accept, destinations))
        runners.append(runner)
        feature_run.serve(accept, destinations)
        tag_credentials = tag_credentials_of(
            settings,
            secret_store=secret_store,
            queries=store,
            destinations=destinations,
            runner=runner,
            clock=self._clock,
            observer=self._observer,
        )
        logins = credential_vault(
            settings, safe, store=store, accept=accept, destinations=destinations, runner=runner
        )
        runner.listeners[SECRETS] = FollowSecrets(logins, tag_credentials, self._observer)
        parts = GatewayParts(
            store=store,
            vault=safe,
            runner=runner,
            clock=self._clock,
            wall_clock=self._wall,
            observer=self._observer,
            metrics=self._metrics,
            guards=guards,
            feature=feature,
            run_basis=run_basis,
            address=self._address,
            passwords=passwords,
            examine=examine,
            credential_commands=logins,
            sign_in=shared_sign_in(settings, safe, logins, store=store, clock=self._clock),
            reload=ReloadCommand(self._address, store.ownership),
        )
        in_use = SettingsInUse.built(
            settings,
            parts,
            accept,
            destinations,
            feature_run=feature_run,
            tag_credentials=tag_credentials,
        )
        return parts, in_use

    def _runner(
        self, store: Store, stored: Sequence[Destination], tags: TagWorkerFactory | None
    ) -> DeliveryRunner:
        x = self._settings.x
        x_client = XClient(
            transport=self._transport,
            clock=self._clock,
            randomness=self._randomness,
            api_url=x.api_url,
            version=x.api_version,
            may_send=may_send(store),
            tracing=self._observation.trace_queue,
        )
        return DeliveryRunner(
            destinations=stored,
            outbox=store,
            x_client=x_client,
            clock=self._clock,
            randomness=self._randomness,
            observer=self._observer,
            # A lease outlasts three of the longest requests, so that none expires during a request.
            worker_config=WorkerConfig(
                batch=x.batch, in_flight=x.in_flight, lease=max(60 * SECOND, 3 * x.timeout)
            ),
            tags=tags,
            ownership=store.ownership,
            longest_request=x.timeout,
        )

    def _monitoring(self, store: Store) -> Monitoring:
        return Monitoring(
            self._settings,
            store=store,
            listener=self._observation.listener,
            clock=self._clock,
            randomness=self._randomness,
            observer=self._observer,
        )
