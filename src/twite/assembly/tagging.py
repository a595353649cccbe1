"""Settings → what runs tags in a gateway."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from twite.assembly.settings import Settings
from twite.assembly.tag_settings import company_of
from twite.domain.destination import Destination
from twite.engines.quickjs.engine import QuickJsEngine
from twite.gateway.accept import Accept
from twite.gateway.google.google import Google
from twite.gateway.guards import Guards
from twite.gateway.notices import Observer
from twite.gateway.ports import Chance
from twite.gateway.proxy import Proxy
from twite.gateway.sightings import Watch, watched
from twite.gateway.steady import SteadyClock
from twite.gateway.tags.crew import Crew
from twite.gateway.tags.fire import Fire
from twite.gateway.tags.lanes import TagLanes
from twite.gateway.tags.rule import Company
from twite.gateway.tags.storage import Storage
from twite.gateway.tags.to_x import ToX
from twite.gateway.tags.tools import Tools
from twite.gateway.vault import Seal, Strongroom
from twite.machine import SystemClock
from twite.senders.web import PublicWeb
from twite.sgtm.container.parts import Container
from twite.stores.sqlite import SQLiteStore


async def companies_of(settings: Settings, strongroom: Strongroom | None) -> tuple[Company, ...]:
    """Return the tags of the settings, and of the container that they name.

    Raises SettingsError, NotOpened.
    """
    own = settings.tags
    found = [] if own is None else [own]
    if settings.imported is not None:
        taken = () if own is None else own.rules
        found.append(
            await company_of(
                settings.imported, environ=os.environ, strongroom=strongroom, taken=taken
            )
        )
    return tuple(found)


def hmac_keys_of(settings: Settings) -> dict[str, str]:
    """Return what templates sign with, by id: each is given those that its permission names."""
    return {id_: key.reveal() for id_, key in settings.server.hmac_keys.items()}


class Tagging:
    """Tags at work: they hear of what is accepted, and have lanes of their own."""

    def __init__(
        self,
        companies: Sequence[Company],
        settings: Settings,
        *,
        store: SQLiteStore,
        clock: SteadyClock,
        chance: Chance,
        observer: Observer,
        google: Google,
        seal: Seal | None,
    ) -> None:
        """`seal` is the gateway's own: what waits must open after its key was changed."""
        self._companies = companies
        self._settings = settings
        self._store = store
        self._clock = clock
        self._chance = chance
        self._observer = observer
        make = partial(QuickJsEngine, keys=hmac_keys_of(settings))
        self._crew = Crew(make, elapsed=clock.elapsed, observer=observer)
        self._storage = Storage()
        self._web = PublicWeb()
        self._google = google
        self._seal = seal

    @property
    def names(self) -> tuple[str, ...]:
        """What their deliveries have in place of a pixel."""
        return tuple(rule.pixel for one in self._companies for rule in one.rules.values())

    @property
    def containers(self) -> tuple[Container, ...]:
        """What the tags are parts of."""
        return tuple(one.container for one in self._companies)

    def start(self) -> None:
        """Start the threads."""
        if self._companies:
            self._crew.start()

    async def stop(self) -> None:
        """End the threads, and close the way out. Nothing may run any more."""
        await self._crew.stop()
        await self._web.stop()

    def fire(self) -> Fire | None:
        """Return what decides which tags fire; None where there are none."""
        if not self._companies:
            return None
        return Fire(
            self._companies,
            crew=self._crew,
            salt=self._store.salt,
            opt_outs=self._store,
            seal=self._seal,
            known=_event_names(self._settings, self._companies),
            storage=self._storage,
            observer=self._observer,
        )

    def lanes(self, to_x: ToX) -> TagLanes | None:
        """Return their lanes; None where there are none."""
        if not self._companies:
            return None
        tools = Tools(
            crew=self._crew,
            web=self._web,
            google=self._google,
            to_x=to_x,
            storage=self._storage,
            clock=self._clock,
            observer=self._observer,
        )
        return TagLanes(
            self._companies,
            tools=tools,
            depot=self._store,
            clock=self._clock,
            chance=self._chance,
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
    proxy = Proxy(accept=accept, clock=wall, salt=salt, destinations=destinations)
    return ToX(accept=accept, proxy=proxy, destinations=destinations, api_url=settings.x.api_url)


def accepting(
    settings: Settings,
    *,
    store: SQLiteStore,
    clock: SteadyClock,
    wall: SystemClock,
    chance: Chance,
    observer: Observer,
    destinations: Mapping[str, Destination],
    wake: Callable[[str], None],
    fire: Fire | None,
    guards: Guards,
) -> Accept:
    """Return what takes submissions in."""
    watch = Watch(pixels=watched(settings.sources()), destinations=destinations, salt=store.salt)
    return Accept(
        ledger=store,
        clock=clock,
        chance=chance,
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


def _event_names(settings: Settings, companies: Iterable[Company]) -> set[str]:
    """Return the names of events that the settings speak of."""
    names = {name for pixel in settings.destinations() for name in pixel.events}
    for company in companies:
        for trigger in company.container.triggers:
            names |= {one.right for one in trigger.when if "{{" not in one.right}
    return names
