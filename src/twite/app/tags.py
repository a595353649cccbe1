"""Wire tags and client templates: containers, engines, workers, credentials that tags send."""

import os
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Final

import msgspec

from twite.app.http_clients import OnDemandWeb
from twite.config.settings import Settings
from twite.config.tags import company_of
from twite.domain.destination import Destination
from twite.domain.secret import Secret
from twite.engines.process.engine_server import EngineServer
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.stape_proxy import StapeProxy, TagCredentials
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ingest.watch import Watch, watched
from twite.gateway.ports.engines import EngineProcesses
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.secret_store import Seal, SecretStore
from twite.gateway.ports.store import Store
from twite.gateway.ports.tags import ContainerConfig, SuppliedHeaders
from twite.gateway.preview.sessions import PreviewSessions
from twite.gateway.tags.clients.clients import Clients, TemplateClient
from twite.gateway.tags.clients.effects import ClientEvents, ClientOutbound
from twite.gateway.tags.google.requests import GoogleClient
from twite.gateway.tags.run.batch_sender import TagWorkers
from twite.gateway.tags.run.container_calls import ContainerCalls
from twite.gateway.tags.run.dispatcher import TagDispatcher
from twite.gateway.tags.run.dry_runs import DryRuns
from twite.gateway.tags.run.outbound import RunContext
from twite.gateway.tags.run.to_x import ToX
from twite.gateway.tags.runtime.client_engines import ClientEngines
from twite.gateway.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.gtm.container.parts import Container
from twite.gtm.template.sandbox import RunLimits
from twite.http.cookies import registrable_domain
from twite.machine.system import SystemClock


async def companies_of(
    settings: Settings, secret_store: SecretStore | None
) -> tuple[ContainerConfig, ...]:
    """Return the tags of the settings, and of their container.

    Raises SettingsError, NotOpened.
    """
    own = settings.tags
    found = [] if own is None else [own]
    if settings.imported is not None:
        taken = () if own is None else own.rules
        found.append(
            await company_of(
                settings.imported, environ=os.environ, secret_store=secret_store, taken=taken
            )
        )
    headers = settings.server.stape.headers
    return tuple(_with_headers(container_config, headers) for container_config in found)


def _with_headers(container_config: ContainerConfig, headers: SuppliedHeaders) -> ContainerConfig:
    rules = {
        name: msgspec.structs.replace(rule, secrets=(*rule.secrets, *_keys(headers)))
        for name, rule in container_config.rules.items()
    }
    return msgspec.structs.replace(container_config, rules=rules, headers=headers)


def clients_with_headers(
    clients: Iterable[TemplateClient], headers: SuppliedHeaders
) -> tuple[TemplateClient, ...]:
    """Return the clients with `server.stape` headers for requests that have none of them."""
    return tuple(
        msgspec.structs.replace(client, headers=headers, secrets=(*client.secrets, *_keys(headers)))
        for client in clients
    )


def _keys(headers: SuppliedHeaders) -> tuple[Secret, ...]:
    return tuple(value for name, value in headers if name.endswith("key"))


def hmac_keys_of(settings: Settings) -> dict[str, str]:
    """Return the signing keys for templates, by id. A template's permissions select its keys."""
    return {id_: key.reveal() for id_, key in settings.server.hmac_keys.items()}


class TagRuntime:
    """Running tags: they fire for accepted events, and each has its own delivery workers."""

    def __init__(
        self,
        container_configs: Sequence[ContainerConfig],
        settings: Settings,
        *,
        store: Store,
        clock: MonotonicClock,
        randomness: Randomness,
        observer: Observer,
        google: GoogleClient,
        seal: Seal | None,
        previews: PreviewSessions | None = None,
    ) -> None:
        """`seal` is the gateway's own: queued payloads must open after a key rotation."""
        self._container_configs = container_configs
        self._settings = settings
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._observer = observer
        # One fork server, also for client templates.
        self.engines: EngineProcesses = EngineServer(keys=hmac_keys_of(settings))
        self._engine_pool = EnginePool(self.engines, elapsed=clock.elapsed, observer=observer)
        self._storage = TemplateStorage()
        self._web = OnDemandWeb()
        self._google = google
        self._seal = seal
        self._previews = previews
        self._dry_runs: DryRuns | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The tags' destination names, which are used in place of a pixel id."""
        return tuple(
            rule.pixel
            for container_config in self._container_configs
            for rule in container_config.rules.values()
        )

    @property
    def containers(self) -> tuple[Container, ...]:
        """The containers of the tags."""
        return tuple(container_config.container for container_config in self._container_configs)

    def start(self) -> None:
        """Accept runs."""
        if self._container_configs:
            self._engine_pool.start()

    async def stop(self) -> None:
        """End the engine processes, and close outbound connections.

        Call it after the last tag run.
        """
        if self._dry_runs is not None:
            await self._dry_runs.stop()
        await self._engine_pool.stop()
        await self._web.stop()

    def dispatcher(self) -> TagDispatcher | None:
        """Return the dispatcher that decides which tags fire; None without tags."""
        if not self._container_configs:
            return None
        return TagDispatcher(
            self._container_configs,
            engine_pool=self._engine_pool,
            salt=self._store.salt,
            opt_outs=self._store,
            seal=self._seal,
            known=_event_names(self._settings, self._container_configs),
            storage=self._storage,
            observer=self._observer,
            first_turn_within=self._settings.server.tag_response_wait,
        )

    def workers(self, to_x: ToX, container_calls: ContainerCalls) -> TagWorkers | None:
        """Return the workers of the tags; None without tags."""
        if not self._container_configs:
            return None
        run_context = RunContext(
            engine_pool=self._engine_pool,
            web=self._web,
            google=self._google,
            to_x=to_x,
            storage=self._storage,
            clock=self._clock,
            observer=self._observer,
            may_send=may_send(self._store),
            previews=self._previews,
            container_calls=container_calls,
        )
        if self._previews is not None:
            self._dry_runs = DryRuns(self._container_configs, run_context, seal=self._seal)
            self._previews.dry_run = self._dry_runs.start
        return TagWorkers(
            self._container_configs,
            run_context=run_context,
            delivery_store=self._store,
            clock=self._clock,
            randomness=self._randomness,
            observer=self._observer,
            seal=self._seal,
        )


def may_send(store: Store) -> Callable[[], bool]:
    """Return the check before each request: whether this gateway still owns what it claimed."""
    return (lambda: True) if store.ownership is None else store.ownership.may_send


def to_x_of(
    accept: Accept,
    settings: Settings,
    *,
    salt: bytes,
    wall: SystemClock,
    destinations: Mapping[str, Destination],
) -> ToX:
    """Return the intake of conversions that templates send to X."""
    # Credentials that a template sends are not stored: it has no access to the credential store.
    proxy = StapeProxy(accept=accept, clock=wall, salt=salt, destinations=destinations)
    return ToX(accept=accept, proxy=proxy, destinations=destinations, api_url=settings.x.api_url)


def accepting(
    settings: Settings,
    *,
    store: Store,
    clock: MonotonicClock,
    wall: SystemClock,
    randomness: Randomness,
    observer: Observer,
    destinations: Mapping[str, Destination],
    wake: Callable[[str], None],
    dispatcher: TagDispatcher | None,
    guards: ValueGuards,
) -> Accept:
    """Return the gateway's accept function."""
    watch = Watch(pixels=watched(settings.sources()), destinations=destinations, salt=store.salt)
    return Accept(
        ledger=store,
        clock=clock,
        randomness=randomness,
        destinations=destinations,
        salt=store.salt,
        wake=wake,
        opt_outs=store,
        watch=watch,
        observer=observer,
        wall=wall,
        tag_dispatcher=dispatcher,
        guards=guards,
    )


def _event_names(settings: Settings, container_configs: Iterable[ContainerConfig]) -> set[str]:
    """Return the event names in the settings."""
    names = {name for pixel in settings.destinations() for name in pixel.events}
    for container_config in container_configs:
        for trigger in container_config.container.triggers:
            names |= {condition.right for condition in trigger.when if "{{" not in condition.right}
    return names


_ESCAPED: Final = 3  # text as JSON is at most twice as long, plus some overhead
_COPIES: Final = 32  # bytes per character of a body: as text, parsed, as event, as effects
_MOST_MEMORY: Final = 256 * 1024 * 1024


class ServingClients:
    """The client templates of a gateway, until it stops."""

    def __init__(
        self,
        clients: Sequence[TemplateClient],
        *,
        accept: Accept,
        destinations: Mapping[str, Destination],
        clock: Clock,
        randomness: Randomness,
        observer: Observer,
        to_x: ToX,
        google: GoogleClient,
        engines: EngineProcesses,
        max_body: int,
        storage: TemplateStorage | None = None,
    ) -> None:
        self._engines = ClientEngines(
            {client.name: client.template for client in clients},
            engines=engines,
            clock=clock,
            observer=observer,
            limits=limits_for(max_body),
        )
        self._web = OnDemandWeb()
        self.clients = Clients(
            clients,
            runs=self._engines,
            container=ClientEvents(accept=accept, destinations=destinations, clock=clock),
            outbound=ClientOutbound(self._web, to_x, google),
            storage=storage or TemplateStorage(),
            registrable=registrable_domain,
            clock=clock,
            randomness=randomness,
            observer=observer,
        )

    async def stop(self) -> None:
        """Cancel the clients' pending work."""
        await self.clients.stop()
        await self._engines.stop()
        await self._web.stop()


def limits_for(max_body: int) -> RunLimits:
    """Return a client's memory limits: enough for the largest accepted request as nested JSON."""
    usual = RunLimits()
    return msgspec.structs.replace(
        usual,
        memory=max(usual.memory, min(_COPIES * max_body, _MOST_MEMORY)),
        output=max(usual.output, _ESCAPED * max_body),
    )


def lent_to(
    settings: Settings,
    *,
    secret_store: SecretStore | None,
    monitoring_store: Queries,
    destinations: MutableMapping[str, Destination],
    run: DeliveryRunner,
    clock: Clock,
    observer: Observer,
) -> TagCredentials | None:
    """Return the store for credentials that tags send; None if no source allows them."""
    asked = any(source.stape_credentials != "configured" for source in settings.sources())
    if secret_store is None or not asked:
        return None
    return TagCredentials(
        secret_store=secret_store,
        destinations=destinations,
        rate=settings.x.rate,
        sends=run,
        monitoring_store=monitoring_store,
        clock=clock,
        observer=observer,
    )
