"""The console: which pages there are, on what they stand, and who may come near."""

import os
from collections.abc import Mapping
from functools import partial

import msgspec

from twite.assembly.ads import events_desk
from twite.assembly.doctor import examine
from twite.assembly.insight import insight_pages
from twite.assembly.settings import Settings
from twite.collector.addresses import Front, front_of
from twite.console.account import AccountPage
from twite.console.application import Console
from twite.console.audit import AuditPage
from twite.console.codes import CodesPage
from twite.console.confirming import Confirming
from twite.console.connect import ConnectPage
from twite.console.doctor import DoctorPage
from twite.console.entrance import Entrance
from twite.console.events import EventsPage
from twite.console.keys import KeysPage
from twite.console.people_desk import PeopleDesk
from twite.console.pixels import PixelsPage
from twite.console.sign_in import SignInPage
from twite.console.trial import TrialPage
from twite.console.users import UsersPage
from twite.domain.destination import Destination
from twite.domain.secret import Secret
from twite.gateway.accept import Accept
from twite.gateway.connect import Connect
from twite.gateway.doorkeeper import Doorkeeper, Times
from twite.gateway.notices import Observer
from twite.gateway.people import Passwords
from twite.gateway.ports import Clock
from twite.gateway.run import Run
from twite.gateway.second_factor import SecondFactor
from twite.gateway.staff import Staff
from twite.gateway.vault import Strongroom
from twite.stores.sqlite import SQLiteStore


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """What a running gateway is made of, as far as pages show it."""

    store: SQLiteStore
    run: Run
    accept: Accept
    connect: Connect
    destinations: Mapping[str, Destination]
    strongroom: Strongroom | None
    passwords: Passwords
    clock: Clock
    observer: Observer
    token: Secret


def console(settings: Settings, behind: Behind) -> Console:
    """Return it, with every page."""
    store, strongroom, clock = behind.store, behind.strongroom, behind.clock
    staff = Staff(people=store.people, passwords=behind.passwords, clock=clock)
    doorkeeper = Doorkeeper(
        people=store.people,
        passwords=behind.passwords,
        clock=clock,
        strongroom=strongroom,
        times=Times(idle=settings.console.idle, longest=settings.console.session),
    )
    confirming = Confirming(doorkeeper)
    pixels = [one.pixel for one in settings.destinations()]
    destinations, sources = behind.destinations, settings.sources()
    # In the order of the navigation.
    pages = (
        *insight_pages(
            settings,
            store=store,
            destinations=destinations,
            wake_all=behind.run.wake_all,
            clock=clock,
        ),
        PixelsPage(
            destinations=destinations,
            sources=sources,
            records=store,
            standing=store,
            sends=behind.run,
        ),
        TrialPage(accept=behind.accept, records=store, destinations=destinations, sources=sources),
        ConnectPage(
            connect=behind.connect,
            destinations=destinations,
            written=settings.destinations(),
            confirming=confirming,
        ),
        EventsPage(
            desk=events_desk(settings, destinations, note=store.people.note),
            destinations=destinations,
        ),
        DoctorPage(examine=partial(examine, settings.path, os.environ)),
        UsersPage(staff=staff, confirming=confirming, pixels=pixels),
        KeysPage(staff=staff, confirming=confirming, pixels=pixels),
        AuditPage(trail=store.people),
        AccountPage(
            staff=staff, sessions=store.people, doorkeeper=doorkeeper, confirming=confirming
        ),
        CodesPage(
            second_factor=None
            if strongroom is None
            else SecondFactor(people=store.people, strongroom=strongroom, clock=clock),
            doorkeeper=doorkeeper,
        ),
        SignInPage(doorkeeper=doorkeeper),
    )
    return Console(
        pages=pages,
        entrance=Entrance(
            client_of=_front(settings).client,
            networks=settings.console.networks,
            url=settings.console.url or settings.server.public_url,
        ),
        doorkeeper=doorkeeper,
        trail=store.people,
        clock=clock,
        observer=behind.observer,
        desk=PeopleDesk(people=store.people, token=behind.token),
        known_as=settings.known_as,
    )


def _front(settings: Settings) -> Front:
    server = settings.server
    return front_of(
        # Browsers may know the console by an address of its own.
        public_url=server.public_url or settings.console.url,
        trusted=server.trusted_proxies,
        local_port=None if server.local_listen is None else server.local_listen.port,
    )
