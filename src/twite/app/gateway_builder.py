"""Build a gateway from the settings, and start it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack

from twite.app.feature import FeatureBasis, RunBasis, RunningFeature, begin_feature
from twite.app.gateway import RunningGateway
from twite.app.gateway_parts import GatewayParts
from twite.app.http_clients import OnDemandTransport
from twite.app.http_parts import SettingsInUse, server_of
from twite.app.logins import (
    credential_vault,
    given,
    safe_of,
    shared_sign_in,
    stored_source_keys,
    tag_credentials_of,
)
from twite.app.monitoring import Monitoring, ValueGuardSetup, report_opened
from twite.app.observation import Observation
from twite.app.reload import SettingsReload
from twite.app.reload_command import ReloadCommand
from twite.app.store_access import engine_of, may_send
from twite.app.sync_command import SyncCommand
from twite.app.value_rules.table_files import ValueRuleFiles
from twite.app.webhook_erasure import WebhookErasure
from twite.app.workers import GatewayAddress, WorkerPlace
from twite.config.settings import Settings
from twite.domain.destination import Destination, with_tests
from twite.domain.times import SECOND
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.pixel_workers import TagWorkerFactory
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.delivery.x_client import XClient
from twite.gateway.identity.key_uses import KeyUses
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.dedup_rows import DedupRowBuilder, watched
from twite.gateway.ingest.request_traces import RequestTraces
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ingest.webhook_log import WebhookLog
from twite.gateway.operations.dedup_count import DedupCount
from twite.gateway.operations.moves import WakingMoves
from twite.gateway.operations.replays import Replays
from twite.gateway.ports.directory import Passwords
from twite.gateway.ports.findings import CheckFinding
from twite.gateway.ports.store import Store, StoreOptions
from twite.machine.system import SystemClock, SystemRandomness
from twite.senders.in_process_emulator import InProcessEmulator


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
    gateway = await GatewayBuilder(settings, worker).built(passwords, examine)
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
        self._value_rules = ValueRuleFiles(clock=self._clock, observer=self._observer)
        self._test_emulator = InProcessEmulator(settings.destinations(), clock=self._wall)

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
            opened.push_async_callback(self._value_rules.stop)
            await self._value_rules.begin(self._settings)
            opened.push_async_callback(self._transport.stop)
            opened.push_async_exit(begun.pop_all())
            parts, in_use = await self._connected(
                store, feature, guard_setup.guards, passwords=passwords, examine=examine
            )
            opened.push_async_callback(parts.webhook_log.stop)
            opened.push_async_callback(parts.webhook_erasure.stop)
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
        feature_run = feature.run(await feature.plan(settings, secret_store), settings, run_basis)
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
            value_rules=self._value_rules.current,
        )
        runner = self._runner(store, with_tests(stored), feature_run.workers(accept, destinations))
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
        parts = GatewayParts(
            store=store,
            vault=safe,
            runner=runner,
            clock=self._clock,
            wall_clock=self._wall,
            observer=self._observer,
            metrics=self._metrics,
            guards=guards,
            value_rules=self._value_rules,
            feature=feature,
            run_basis=run_basis,
            address=self._address,
            passwords=passwords,
            examine=examine,
            credential_commands=logins,
            sign_in=shared_sign_in(settings, safe, logins, store=store, clock=self._clock),
            reload=ReloadCommand(self._address, store.ownership),
            run_sync=SyncCommand(),
            webhook_log=WebhookLog(
                state=store,
                clock=self._clock,
                randomness=self._randomness,
                observer=self._observer,
            ),
            webhook_erasure=WebhookErasure(store),
            test_emulator=self._test_emulator,
            dedup_count=DedupCount(queries=store, clock=self._clock),
            key_uses=KeyUses(),
            replays=Replays(
                state=store,
                queries=store,
                moves=WakingMoves(moves=store, wake_all=runner.wake_all),
                clock=self._clock,
                randomness=self._randomness,
            ),
        )
        in_use = SettingsInUse.built(
            settings,
            parts,
            accept,
            destinations,
            feature_run=feature_run,
            tag_credentials=tag_credentials,
            source_keys=await stored_source_keys(secret_store),
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
            test_transport=self._test_emulator,
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
