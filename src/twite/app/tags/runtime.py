"""Settings → what runs tags in a gateway."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from twite.config.settings import Settings
from twite.config.tags import company_of
from twite.domain.destination import Destination
from twite.engines.quickjs.engine import QuickJsEngine
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.sightings import Watch, watched
from twite.gateway.ingest.stape_proxy import StapeProxy
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ports.events import Observer
from twite.gateway.ports.secret_store import Seal, SecretStore
from twite.gateway.ports.store import Randomness
from twite.gateway.ports.tags import ContainerConfig
from twite.gateway.tags.google.requests import GoogleClient
from twite.gateway.tags.run.context import RunContext
from twite.gateway.tags.run.dispatcher import TagDispatcher
from twite.gateway.tags.run.to_x import ToX
from twite.gateway.tags.run.workers import TagWorkers
from twite.gateway.tags.runtime.engine_pool import EnginePool
from twite.gateway.tags.runtime.template_storage import TemplateStorage
from twite.gtm.container.parts import Container
from twite.machine import SystemClock
from twite.senders.web import PublicWeb
from twite.stores.sqlite import SQLiteStore


async def companies_of(
    settings: Settings, secret_store: SecretStore | None
) -> tuple[ContainerConfig, ...]:
    """Return the tags of the settings, and of the container that they name.

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
    return tuple(found)


def hmac_keys_of(settings: Settings) -> dict[str, str]:
    """Return what templates sign with, by id: each is given those that its permission names."""
    return {id_: key.reveal() for id_, key in settings.server.hmac_keys.items()}


class TagRuntime:
    """Tags at work: they hear of what is accepted, and have lanes of their own."""

    def __init__(
        self,
        container_configs: Sequence[ContainerConfig],
        settings: Settings,
        *,
        store: SQLiteStore,
        clock: MonotonicClock,
        randomness: Randomness,
        observer: Observer,
        google: GoogleClient,
        seal: Seal | None,
    ) -> None:
        """`seal` is the gateway's own: what waits must open after its key was changed."""
        self._container_configs = container_configs
        self._settings = settings
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._observer = observer
        make = partial(QuickJsEngine, keys=hmac_keys_of(settings))
        self._engine_pool = EnginePool(make, elapsed=clock.elapsed, observer=observer)
        self._storage = TemplateStorage()
        self._web = PublicWeb()
        self._google = google
        self._seal = seal

    @property
    def names(self) -> tuple[str, ...]:
        """What their deliveries have in place of a pixel."""
        return tuple(
            rule.pixel
            for container_config in self._container_configs
            for rule in container_config.rules.values()
        )

    @property
    def containers(self) -> tuple[Container, ...]:
        """What the tags are parts of."""
        return tuple(container_config.container for container_config in self._container_configs)

    def start(self) -> None:
        """Start the threads."""
        if self._container_configs:
            self._engine_pool.start()

    async def stop(self) -> None:
        """End the threads, and close the way out. Nothing may run any more."""
        await self._engine_pool.stop()
        await self._web.stop()

    def fire(self) -> TagDispatcher | None:
        """Return what decides which tags fire; None where there are none."""
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
        )

    def lanes(self, to_x: ToX) -> TagWorkers | None:
        """Return their lanes; None where there are none."""
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
        )
        return TagWorkers(
            self._container_configs,
            run_context=run_context,
            delivery_store=self._store,
            clock=self._clock,
            randomness=self._randomness,
            observer=self._observer,
            seal=self._seal,
        )


def to_x_of(
    accept: Accept,
    settings: Settings,
    *,
    salt: bytes,
    wall: SystemClock,
    destinations: Mapping[str, Destination],
) -> ToX:
    """Return what takes in what templates send to X."""
    # Credentials that a template brings stay unused: nothing is lent to it.
    proxy = StapeProxy(accept=accept, clock=wall, salt=salt, destinations=destinations)
    return ToX(accept=accept, proxy=proxy, destinations=destinations, api_url=settings.x.api_url)


def accepting(
    settings: Settings,
    *,
    store: SQLiteStore,
    clock: MonotonicClock,
    wall: SystemClock,
    randomness: Randomness,
    observer: Observer,
    destinations: Mapping[str, Destination],
    wake: Callable[[str], None],
    fire: TagDispatcher | None,
    guards: ValueGuards,
) -> Accept:
    """Return what takes submissions in."""
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
        fire=fire,
        guards=guards,
    )


def _event_names(settings: Settings, container_configs: Iterable[ContainerConfig]) -> set[str]:
    """Return the names of events that the settings speak of."""
    names = {name for pixel in settings.destinations() for name in pixel.events}
    for container_config in container_configs:
        for trigger in container_config.container.triggers:
            names |= {one.right for one in trigger.when if "{{" not in one.right}
    return names
