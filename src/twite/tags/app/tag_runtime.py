"""Run tags and client templates: engines, workers, outbound connections.

Imported only by gateways that have tags or client templates.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from twite.app.feature import FeatureBasis, FeaturePlan, FeatureRun, MakeHttpFeature, RunBasis
from twite.app.store_access import may_send
from twite.config.settings import Settings
from twite.domain.destination import Destination, Source
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.stape_proxy import StapeProxy
from twite.http.cookies import registrable_domain
from twite.machine.system import SystemClock
from twite.tags.clients.clients import Clients
from twite.tags.clients.conversation import TemplateClient
from twite.tags.clients.effects import ClientEvents, ClientOutbound
from twite.tags.engines.process.engine_server import EngineServer
from twite.tags.google.requests import GoogleClient
from twite.tags.ports.tags import ContainerConfig, rules_of
from twite.tags.preview.sessions import PreviewSessions
from twite.tags.routes.tag_requests import TagRequests
from twite.tags.run.batch_sender import TagWorkers
from twite.tags.run.container_calls import ContainerCalls
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.run.dry_runs import DryRuns
from twite.tags.run.first_turn import prepare_first_turns
from twite.tags.run.outbound import RunContext
from twite.tags.run.to_x import ToX
from twite.tags.runtime.client_engines import ClientEngines
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.tags.runtime.on_demand_web import OnDemandWeb
from twite.tags.settings.tag_settings import TagSettings
from twite.tags.template.sandbox import RunLimits

_ESCAPED: Final = 3  # text becomes at most twice as long in JSON, plus some overhead
_COPIES: Final = 32  # bytes for a character's copies: body as text, parsed, event, effects
_MOST_MEMORY: Final = 256 * 1024 * 1024


class TagRuntime(FeatureRun):
    """Running tags: they fire for accepted events, and each has its own delivery workers."""

    def __init__(
        self,
        plan: FeaturePlan,
        settings: Settings,
        *,
        containers: Sequence[ContainerConfig],
        templates: Sequence[TemplateClient],
        basis: FeatureBasis,
        run_basis: RunBasis,
        engines: EngineServer,
        google: GoogleClient,
        previews: PreviewSessions,
    ) -> None:
        """`run_basis.seal` can decrypt payloads after a key rotation too."""
        super().__init__(plan)
        self.container_configs = containers
        self._templates = templates
        self._settings = settings
        self._store = run_basis.store
        self._seal = run_basis.seal
        self._clock = basis.clock
        self._randomness = basis.randomness
        self._observer = basis.observer
        self._google = google
        self._previews = previews
        self._engines = engines
        self._engine_pool = EnginePool(
            self._engines, elapsed=self._clock.elapsed, observer=self._observer
        )
        self._storage = TemplateStorage()
        self._web = OnDemandWeb()
        self._dry_runs: DryRuns | None = None
        # The client templates, after `serve`, and their engines; None if there are none.
        self._clients: Clients | None = None
        self._client_engines: ClientEngines | None = None
        self._preparing: asyncio.Task[None] | None = None
        # The parts that accept conversions and events.
        self._intakes: list[ToX | ClientEvents] = []
        self._container_calls: ContainerCalls | None = None
        if self.container_configs:
            self._engine_pool.start()

    @property
    def names(self) -> tuple[str, ...]:
        """The tags' destination names, which are used in place of a pixel id."""
        return tuple(rule.pixel for _, rule in rules_of(self.container_configs))

    @property
    def http(self) -> MakeHttpFeature:
        return partial(TagRequests, clients=self._clients, previews=self._previews)

    def use(self, accept: Accept, sources: Iterable[Source]) -> None:
        """Accept conversions and events with other settings, after a reload."""
        for intake in self._intakes:
            intake.use(accept)
        if self._container_calls is not None:
            self._container_calls.use(accept, sources)

    async def stop_serving(self) -> None:
        """Cancel the pending work of client templates."""
        if self._clients is not None:
            await self._clients.stop()
        if self._client_engines is not None:
            await self._client_engines.stop()

    async def stop(self) -> None:
        """End the engine processes, and close outbound connections."""
        if self._preparing is not None:
            self._preparing.cancel()
        if self._dry_runs is not None:
            await self._dry_runs.stop()
        await self._engine_pool.stop()
        await self._web.stop()

    def dispatcher(self) -> TagDispatcher | None:
        """Return the dispatcher that decides which tags fire; None without tags."""
        if not self.container_configs:
            return None
        return TagDispatcher(
            self.container_configs,
            engine_pool=self._engine_pool,
            salt=self._store.salt,
            opt_outs=self._store,
            seal=self._seal,
            known=_event_names(self._settings, self.container_configs),
            storage=self._storage,
            observer=self._observer,
            first_turn_within=self._settings.feature(TagSettings).templates.response_wait,
        )

    def serve(self, accept: Accept, destinations: Mapping[str, Destination]) -> None:
        """Let client templates claim requests, and load templates of tags that set cookies."""
        if self._settings.feature(TagSettings).templates.response_wait:
            self._preparing = asyncio.create_task(
                prepare_first_turns(self._engine_pool, self.container_configs)
            )
        if not self._templates:
            return
        clock, observer = SystemClock(), self._observer
        engines = self._client_engines = ClientEngines(
            {client.name: client.template for client in self._templates},
            engines=self._engines,
            clock=clock,
            observer=observer,
            limits=limits_for(self._settings.server.max_body),
        )
        events = ClientEvents(accept=accept, destinations=destinations, clock=clock)
        self._intakes.append(events)
        self._clients = Clients(
            self._templates,
            runs=engines,
            container=events,
            outbound=ClientOutbound(self._web, self._to_x(accept, destinations), self._google),
            storage=TemplateStorage(),
            registrable=registrable_domain,
            clock=clock,
            randomness=self._randomness,
            observer=observer,
        )

    def workers(self, accept: Accept, destinations: Mapping[str, Destination]) -> TagWorkers | None:
        """Return the workers of the tags; None without tags."""
        if not self.container_configs:
            return None
        calls = self._container_calls = ContainerCalls(
            accept=accept, sources=self._settings.sources(), destinations=destinations
        )
        run_context = RunContext(
            engine_pool=self._engine_pool,
            web=self._web,
            google=self._google,
            to_x=self._to_x(accept, destinations),
            storage=self._storage,
            clock=self._clock,
            observer=self._observer,
            may_send=may_send(self._store),
            previews=self._previews,
            container_calls=calls,
        )
        self._dry_runs = DryRuns(self.container_configs, run_context, seal=self._seal)
        self._previews.dry_run = self._dry_runs.start
        return TagWorkers(
            self.container_configs,
            run_context=run_context,
            delivery_store=self._store,
            clock=self._clock,
            randomness=self._randomness,
            observer=self._observer,
            seal=self._seal,
        )

    def _to_x(self, accept: Accept, destinations: Mapping[str, Destination]) -> ToX:
        """Return the intake of conversions that templates send to X."""
        # Credentials from a template are not stored: it has no access to the credential store.
        proxy = StapeProxy(
            accept=accept, clock=SystemClock(), salt=self._store.salt, destinations=destinations
        )
        api_url = self._settings.x.api_url
        to_x = ToX(accept=accept, proxy=proxy, destinations=destinations, api_url=api_url)
        self._intakes.append(to_x)
        return to_x


def _event_names(settings: Settings, container_configs: Iterable[ContainerConfig]) -> set[str]:
    names = {name for pixel in settings.destinations() for name in pixel.events}
    for container_config in container_configs:
        for trigger in container_config.container.triggers:
            names |= {condition.right for condition in trigger.when if "{{" not in condition.right}
    return names


def limits_for(max_body: int) -> RunLimits:
    """Return a client's memory limits: enough for the largest accepted request as nested JSON."""
    usual = RunLimits()
    return msgspec.structs.replace(
        usual,
        memory=max(usual.memory, min(_COPIES * max_body, _MOST_MEMORY)),
        output=max(usual.output, _ESCAPED * max_body),
    )
