"""Build and run a gateway from the settings: HTTP server, delivery, tags, alerts, console."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Final

from twite.app.console_services import OnDemandConsole
from twite.app.http_clients import OnDemandTransport
from twite.app.http_parts import GatewayParts, SettingsInUse, engines_of, server_of
from twite.app.logins import FollowSecrets, credential_vault, given, safe_of, shared_sign_in
from twite.app.monitoring import Monitoring, ValueGuardSetup, report_opened
from twite.app.observation import Observation
from twite.app.reload import SettingsReload
from twite.app.sealing import sealed_anew
from twite.app.store_access import engine_of
from twite.app.workers import GatewayAddress, WorkerPlace
from twite.config.settings import Settings
from twite.domain.destination import Destination
from twite.domain.errors import StoreUnusable
from twite.domain.times import SECOND
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.consent_choice import PolicyChange
from twite.gateway.ingest.dedup_rows import DedupRowBuilder, watched
from twite.gateway.ingest.request_traces import RequestTraces
from twite.gateway.operations.control import ReloadReport
from twite.gateway.ports.directory import Passwords
from twite.gateway.ports.events import ReloadResult
from twite.gateway.ports.findings import CheckFinding
from twite.gateway.ports.ownership import RELOADS, SECRETS
from twite.gateway.ports.store import Store, StoreOptions
from twite.machine.system import SystemClock, SystemRandomness
from twite.tags.app.tags import companies_of, lent_to, may_send
from twite.tags.ports.tags import ContainerConfig
from twite.tags.preview.sessions import PreviewSessions
from twite.tags.settings.google import google_of
from twite.tags.settings.tag_settings import TagSettings

if TYPE_CHECKING:
    from twite.app.logins import CredentialVault
    from twite.gateway.x_account.sign_in import XSignIn
    from twite.http import Server
    from twite.tags.app.tag_runtime import TagRuntime
    from twite.tags.engines.process.engine_server import EngineServer

# The maximum duration of a shutdown. Requests still in flight are ambiguous at the next start.
STOP_WITHIN: Final = 20 * SECOND
# Seconds that the store's writer waits before a busy thread releases the GIL. The writer needs the
# GIL some twenty times per commit. With Python's default of 5 ms, throughput fell from 2,300
# requests a second to 28 while two connections ran a tight loop (docs: performance).
_TURN: Final = 0.0005


class Gateway:
    """The HTTP server and the senders in one process, on one store."""

    def __init__(
        self,
        settings: Settings,
        *,
        passwords: Passwords | None = None,
        examine: Callable[[], AsyncIterator[CheckFinding]] | None = None,
        worker: WorkerPlace | None = None,
    ) -> None:
        """`passwords` hashes passwords (None: Argon2id); `examine` runs the diagnostics.

        Without `examine` the console has no diagnostics page. `worker` is for one of several
        processes that share a port.
        """
        self._examine = examine
        self._settings = settings
        self._passwords = passwords
        self._wall = SystemClock()
        # Rate limit windows, leases and due times use this clock, which never jumps.
        self._clock = MonotonicClock(self._wall)
        self._randomness = SystemRandomness()
        self.previews = PreviewSessions(
            clock=self._clock, randomness=self._randomness, shares_port=worker is not None
        )
        observation = self._observation = Observation(settings, self._clock)
        self._metrics, self._observer = observation.metrics, observation.observer
        self._address = GatewayAddress(settings, worker, self._metrics.latest)
        self._store: Store | None = None
        self._transport = OnDemandTransport(timeout=settings.x.timeout)
        self._google = google_of(settings.feature(TagSettings).google, self._clock)
        self._run: DeliveryRunner | None = None
        self._server: Server | None = None
        self._monitoring: Monitoring | None = None
        self._engines: EngineServer | None = None
        self._tags: TagRuntime | None = None
        self._safe: CredentialVault | None = None
        self._value_guard_setup: ValueGuardSetup | None = None
        self._looking_after: asyncio.Task[None] | None = None
        self._sealing: asyncio.Task[None] | None = None
        self._reload: SettingsReload | None = None
        self._is_up = False
        self.connect: XSignIn | None = None

    @property
    def url(self) -> str:
        """The URL of the running HTTP server."""
        if self._server is None:
            raise RuntimeError("the gateway has not been started")
        return self._server.url

    async def start(self) -> None:
        """Open the store, listen, and send.

        Raises StoreInUse, StoreUnusable, and SettingsError if the address cannot be bound.
        """
        settings = self._settings
        # The engines start while the store opens, so that the first tags do not wait for them.
        self._engines = engines_of(settings, self._observer)
        try:
            store = self._store = await engine_of(settings).open(
                settings.store.place,
                StoreOptions(
                    dedup_window=settings.store.dedup_window,
                    queue_limit=settings.store.queue,
                    reserve=settings.store.reserve,
                    size_limit=settings.store.size_limit,
                    accept_weak_durability=settings.store.accept_weak_durability,
                    keeping=settings.store.keeping,
                    now=self._clock.vouched,
                    observer=self._observer,
                    timed=self._metrics.committed,
                    counted=self._metrics.counted,
                ),
            )
            report_opened(store, self._observer)
            self._observation.start_traces(store)
            tracing = self._observation.tracing
            safe = self._safe = safe_of(settings, store)
            stored = await given(settings, safe.secret_store if safe else None)
            tags = self._tags = await self._tags_of(safe)
            value_guard_setup = self._value_guard_setup = await ValueGuardSetup.begin(
                settings, state=store, clock=self._clock
            )
            destinations = {destination.pixel: destination for destination in stored}
            accept = Accept(
                ledger=store,
                clock=self._clock,
                randomness=self._randomness,
                destinations=destinations,
                salt=store.salt,
                wake=self._wake,
                opt_outs=store,
                dedup_rows=DedupRowBuilder(
                    pixels=watched(settings.sources()), destinations=destinations, salt=store.salt
                ),
                observer=self._observer,
                wall=self._wall,
                tag_dispatcher=None if tags is None else tags.dispatcher(),
                traces=None if tracing is None else RequestTraces(tracing),
                guards=value_guard_setup.guards,
            )
            run = self._run = self._sender(store, stored, accept, destinations)
            if tags is not None:
                tags.serve_clients(accept, destinations)
                tags.prepare()
            parts, in_use = self._parts_of_http(store, run, safe, accept, destinations)
            server = self._server = server_of(in_use, self._address)
            monitoring = self._monitoring = Monitoring(
                settings,
                store=store,
                listener=self._observation.listener,
                clock=self._clock,
                randomness=self._randomness,
                observer=self._observer,
            )
            self._reload = SettingsReload(parts, in_use, server=server, monitoring=monitoring)
            run.listeners[RELOADS] = self._reload.follow
            await monitoring.start()
            await PolicyChange(
                sources=settings.sources(), store=store, clock=self._clock, observer=self._observer
            ).once()
            await run.start()
            if in_use.tag_credentials is not None:
                await in_use.tag_credentials.load()
                self._looking_after = asyncio.create_task(in_use.tag_credentials.run())
            if safe is not None and settings.server.former_secret_keys:
                self._sealing = asyncio.create_task(
                    sealed_anew(safe, store, observer=self._observer)
                )
            await server.start()
            await self._address.leave(self.url, self.reload_alone)
            self._is_up = True
            if self._address.is_reloaded:  # perhaps while this worker started
                await self._reload.run(is_quiet=True)
        except BaseException:
            await self.stop()
            raise
        sys.setswitchinterval(_TURN)

    @property
    def console(self) -> OnDemandConsole | None:
        """The console; None before the start."""
        return None if self._reload is None else self._reload.in_use.console

    async def reload(self, dry_run: bool = False) -> ReloadReport:  # noqa: FBT001, FBT002
        """Reload the settings of all workers, and tell the gateways on other machines to do so."""
        own = await self.reload_alone(dry_run)
        report = await self._address.reload_others(own, dry_run=dry_run)
        ownership = None if self._store is None else self._store.ownership
        if ownership is not None and not dry_run and own.result is not ReloadResult.FAILED:
            await ownership.announce(RELOADS)
        return report

    async def reload_alone(self, dry_run: bool = False) -> ReloadReport:  # noqa: FBT001, FBT002
        """Read the settings again in this process, and use what does not need a restart."""
        if self._reload is None or not self._is_up:
            return ReloadReport(
                result=ReloadResult.FAILED, problems=("the gateway is starting or stopping",)
            )
        return await self._reload.run(dry_run=dry_run)

    async def has_admin(self) -> bool:
        """Return whether the console has an admin. Raises LedgerUnavailable."""
        return self._store is None or any(
            user.is_admin for user in await self._store.people.users()
        )

    async def failed(self) -> StoreUnusable:
        """Wait until the store fails permanently, and return the error."""
        if self._store is None:
            raise RuntimeError("the gateway has not been started")
        return await asyncio.shield(self._store.failed)

    async def stop(self) -> bool:
        """Finish requests, close the store; return whether all requests finished."""
        landed, self._is_up = True, False
        if self._reload is not None:
            await self._reload.stop()
        if self._server is not None:
            await self._server.stop()
        for tags in self._all_tags():
            await tags.stop_clients()
        if self._run is not None:
            landed = await self._run.stop(within=STOP_WITHIN)
        for task in (self._looking_after, self._sealing):
            if task is not None:
                task.cancel()
        await self._stop_templates()
        await self._transport.stop()
        await self._google.stop()
        if self._monitoring is not None:
            await self._monitoring.stop()
        if self._value_guard_setup is not None:
            await self._value_guard_setup.stop()
        await self._observation.stop()
        if self._store is not None:
            await self._address.withdraw()
            await self._store.close()
        self._server = self._run = self._store = self._monitoring = self._value_guard_setup = None
        return landed

    def _all_tags(self) -> "list[TagRuntime]":
        """Return the running tags, with those that a reload has replaced and that still run."""
        if self._reload is None:
            return [] if self._tags is None else [self._tags]
        current = self._reload.in_use.tags
        return [*self._reload.retired, *(() if current is None else (current,))]

    async def _stop_templates(self) -> None:
        for tags in self._all_tags():
            await tags.stop()
        if self._engines is not None:
            await self._engines.stop()

    def _wake(self, pixel: str) -> None:
        if self._run is not None:
            self._run.wake(pixel)

    async def _tags_of(self, vault: "CredentialVault | None") -> "TagRuntime | None":
        """Start the tags and client templates; None if there are none. Raises SettingsError."""
        if self._engines is None:
            return None
        secret_store = vault.secret_store if vault else None
        return self._start_tags(self._settings, await companies_of(self._settings, secret_store))

    def _start_tags(
        self, settings: Settings, container_configs: Sequence[ContainerConfig]
    ) -> "TagRuntime | None":
        engines = self._engines = self._engines or engines_of(settings, self._observer)
        store, safe = self._store, self._safe
        if (
            engines is None
            or store is None
            or not (container_configs or settings.feature(TagSettings).clients)
        ):
            return None
        from twite.tags.app.tag_runtime import TagRuntime  # noqa: PLC0415  # few gateways have tags

        tags = TagRuntime(
            container_configs,
            settings,
            engines=engines,
            store=store,
            clock=self._clock,
            randomness=self._randomness,
            observer=self._observer,
            google=self._google,
            seal=safe.seal if safe else None,
            previews=self.previews,
        )
        tags.start()
        # If a template sends a conversion to X, its source is the tag.
        self._metrics.know(sources=tags.names, pixels=tags.names)
        return tags

    def _sender(
        self,
        store: Store,
        stored: Sequence[Destination],
        accept: Accept,
        destinations: dict[str, Destination],
    ) -> DeliveryRunner:
        x = self._settings.x
        x_client = XClient(
            transport=self._transport,
            clock=self._clock,
            randomness=self._randomness,
            api_url=x.api_url,
            version=x.api_version,
            may_send=may_send(store),
            tracing=self._observation.tracing,
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
            tags=None if self._tags is None else self._tags.workers(accept, destinations),
            ownership=store.ownership,
            longest_request=x.timeout,
        )

    def _parts_of_http(
        self,
        store: Store,
        runner: DeliveryRunner,
        vault: "CredentialVault | None",
        accept: Accept,
        destinations: dict[str, Destination],
    ) -> tuple[GatewayParts, SettingsInUse]:
        settings = self._settings
        tag_credentials = lent_to(
            settings,
            secret_store=vault.secret_store if vault else None,
            records=store,
            destinations=destinations,
            run=runner,
            clock=self._clock,
            observer=self._observer,
        )
        logins = credential_vault(
            settings, vault, store=store, accept=accept, destinations=destinations, runner=runner
        )
        self.connect = shared_sign_in(settings, vault, logins, store=store, clock=self._clock)
        runner.listeners[SECRETS] = FollowSecrets(logins, tag_credentials, self._observer)
        parts = GatewayParts(
            store=store,
            safe=vault,
            run=runner,
            clock=self._clock,
            wall=self._wall,
            observer=self._observer,
            metrics=self._metrics,
            guards=accept.guards,
            previews=self.previews,
            address=self._address,
            passwords=self._passwords,
            examine=self._examine,
            logins=logins,
            connect=self.connect,
            reload=self.reload,
            start_tags=self._start_tags,
        )
        in_use = SettingsInUse.built(
            settings,
            parts,
            accept,
            destinations,
            tags=self._tags,
            tag_credentials=tag_credentials,
        )
        return parts, in_use
