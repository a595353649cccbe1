"""Settings → a running gateway."""

import asyncio
import gc
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from twite.assembly.client_serving import ServingClients
from twite.assembly.clients import with_those_of
from twite.assembly.console import Behind, console
from twite.assembly.google import google_of
from twite.assembly.guarding import Guarding
from twite.assembly.lending import lent_to
from twite.assembly.logins import Safe, connect, given, login_desk, safe_of
from twite.assembly.resealing import sealed_anew
from twite.assembly.settings import Settings
from twite.assembly.tagging import Tagging, accepting, companies_of, hmac_keys_of, to_x_of
from twite.assembly.watching import Watching
from twite.collector.application import Collector
from twite.collector.limits import Limits
from twite.collector.server import Server
from twite.domain.alert import Kind
from twite.domain.destination import Destination
from twite.domain.errors import StoreUnusable
from twite.domain.secret import Secret
from twite.domain.times import SECOND
from twite.gateway.accept import X_SOURCE, Accept
from twite.gateway.choose import Choose
from twite.gateway.dispatch import Pace
from twite.gateway.key_ring import KeyRing
from twite.gateway.lookout import Ears
from twite.gateway.notices import Troubled, TroublePlace, Warned
from twite.gateway.people import Passwords
from twite.gateway.post import Post
from twite.gateway.proxy import Proxy
from twite.gateway.readings import STORE
from twite.gateway.reconsider import Reconsider
from twite.gateway.replay import WakingDesk
from twite.gateway.run import Run
from twite.gateway.steady import SteadyClock
from twite.gateway.tags.lanes import TagLanes
from twite.gateway.tags.to_x import ToX
from twite.machine import SystemChance, SystemClock
from twite.machine.descriptors import room_for_connections
from twite.machine.passwords import Argon2Passwords
from twite.observers import Several
from twite.observers.log import Log, logger
from twite.observers.metrics import Metrics
from twite.senders.http import HttpTransport
from twite.stores.sqlite import SQLiteStore

if TYPE_CHECKING:
    from twite.console.application import Console
    from twite.gateway.connect import Connect
    from twite.gateway.lent import Lent

# The longest a stop may take: what is in flight then is resent as ambiguous after the next start.
STOP_WITHIN: Final = 20 * SECOND
# Seconds that a busy loop keeps the interpreter's lock from the writer, who asks for it some twenty
# times a commit. Python's own 5 ms made 28 submissions a second of 2,300 beside two connections
# that asked without a pause; a busy sender's pace is the same with both (docs: performance).
_TURN: Final = 0.0005


class Gateway:
    """Collector and sender in one process, on one store."""

    def __init__(self, settings: Settings, *, passwords: Passwords | None = None) -> None:
        """`passwords` hashes those of who signs in; None for Argon2id."""
        self._settings = settings
        self._passwords = passwords or Argon2Passwords()
        self._wall = SystemClock()
        # Windows, leases and due moments go by this one, which does not jump.
        self._clock = SteadyClock(self._wall)
        self._chance = SystemChance()
        self._metrics = Metrics(
            sources=[*(source.name for source in settings.sources()), X_SOURCE],
            pixels=[pixel.pixel for pixel in settings.destinations()],
        )
        self.log = logger(level=settings.log.level, as_json=settings.log.format == "json")
        self._ears = Ears(self._clock)
        self._observer = Several((Log(self.log), self._metrics, self._ears))
        self._store: SQLiteStore | None = None
        self._transport = HttpTransport(timeout=settings.x.timeout)
        self._google = google_of(settings.google, self._clock)
        self._run: Run | None = None
        self._server: Server | None = None
        self._watching: Watching | None = None
        self._tagging: Tagging | None = None
        self._lent: Lent | None = None
        self._guarding: Guarding | None = None
        self._clients: ServingClients | None = None
        self._looking_after: asyncio.Task[None] | None = None
        self._sealing: asyncio.Task[None] | None = None
        self._token = Secret("")
        self.console: Console | None = None
        # Who signs people in, once it runs.
        self.connect: Connect | None = None

    @property
    def url(self) -> str:
        """Where it answers, once it runs."""
        if self._server is None:
            raise RuntimeError("the gateway has not been started")
        return self._server.url

    async def start(self) -> None:
        """Open the store, listen, and send.

        Raises StoreInUse, StoreUnusable, SettingsError (the address cannot be had).
        """
        settings = self._settings
        store = self._store = await SQLiteStore.open(
            str(settings.store.path),
            dedup_window=settings.store.dedup_window,
            queue_limit=settings.store.queue,
            reserve=settings.store.reserve,
            keeping=settings.store.keeping,
            now=self._clock.vouched,
            observer=self._observer,
            timed=self._metrics.committed,
            counted=self._metrics.counted,
        )
        for sentence in store.told:
            self._observer.see(Troubled(where=TroublePlace.STORE, reason=sentence))
        if store.told:
            self._observer.see(
                Warned(kind=Kind.STORE_RESTORED, subject=STORE, reason="; ".join(store.told))
            )
        try:
            await self._transport.start()
            safe = safe_of(settings, store.vault)
            stored = await given(settings, safe.strongroom if safe else None)
            tagging = self._tagging = Tagging(
                await companies_of(settings, safe.strongroom if safe else None),
                settings,
                store=store,
                clock=self._clock,
                chance=self._chance,
                observer=self._observer,
                google=self._google,
                seal=safe.seal if safe else None,
            )
            tagging.start()
            self._metrics.know(tagging.names)
            guarding = self._guarding = await Guarding.begin(
                settings, norms=store, clock=self._clock
            )
            destinations = {one.pixel: one for one in stored}
            accept = accepting(
                settings,
                store=store,
                clock=self._clock,
                wall=self._wall,
                chance=self._chance,
                observer=self._observer,
                destinations=destinations,
                wake=self._wake,
                fire=tagging.fire(),
                guards=guarding.guards,
            )
            to_x = to_x_of(
                accept, settings, salt=store.salt, wall=self._wall, destinations=destinations
            )
            run = self._run = self._sender(store, stored, tagging.lanes(to_x))
            self._serve_clients(accept, destinations, to_x)
            server = self._server = self._collector(store, run, safe, accept, destinations)
            watching = self._watching = Watching(
                settings,
                store=store,
                ears=self._ears,
                clock=self._clock,
                chance=self._chance,
                observer=self._observer,
            )
            await watching.start()
            await Reconsider(
                sources=settings.sources(),
                consents=store,
                clock=self._clock,
                observer=self._observer,
            ).once()
            await run.start()
            if self._lent is not None:
                await self._lent.load()
                self._looking_after = asyncio.create_task(self._lent.run())
            if safe is not None and settings.server.former_secret_keys:
                self._sealing = asyncio.create_task(
                    sealed_anew(safe, store.letters, observer=self._observer)
                )
            await server.start()
            self._leave_word()
        except BaseException:
            await self.stop()
            raise
        sys.setswitchinterval(_TURN)
        _calm_the_collector_of_garbage()

    async def failed(self) -> StoreUnusable:
        """Wait until the store can do nothing more, and return why."""
        if self._store is None:
            raise RuntimeError("the gateway has not been started")
        return await asyncio.shield(self._store.failed)

    async def stop(self) -> bool:
        """Stop taking in, let what flies land, close the store; return whether all landed."""
        landed = True
        if self._server is not None:
            await self._server.stop()
        if self._clients is not None:
            await self._clients.stop()
        if self._run is not None:
            landed = await self._run.stop(within=STOP_WITHIN)
        for task in (self._looking_after, self._sealing):
            if task is not None:
                task.cancel()
        if self._tagging is not None:
            await self._tagging.stop()
        await self._transport.stop()
        await self._google.stop()
        if self._watching is not None:
            await self._watching.stop()
        if self._guarding is not None:
            await self._guarding.stop()
        if self._store is not None:
            self._settings.store.gateway_file.unlink(missing_ok=True)
            await self._store.close()
        self._server = self._run = self._store = self._watching = self._guarding = None
        return landed

    def _wake(self, pixel: str) -> None:
        if self._run is not None:
            self._run.wake(pixel)

    def _sender(
        self, store: SQLiteStore, destinations: Sequence[Destination], tags: TagLanes | None
    ) -> Run:
        x = self._settings.x
        post = Post(
            transport=self._transport,
            clock=self._clock,
            chance=self._chance,
            api_url=x.api_url,
            version=x.api_version,
        )
        return Run(
            destinations=destinations,
            outbox=store,
            post=post,
            clock=self._clock,
            chance=self._chance,
            observer=self._observer,
            # A lease outlasts three of the longest requests, so that none lapses under its sender.
            pace=Pace(batch=x.batch, in_flight=x.in_flight, lease=max(60 * SECOND, 3 * x.timeout)),
            tags=tags,
        )

    def _serve_clients(
        self, accept: Accept, destinations: dict[str, Destination], to_x: ToX
    ) -> None:
        settings = self._settings
        imported = settings.imported
        claimants = with_those_of(
            settings.clients,
            () if self._tagging is None else self._tagging.containers,
            source=None if imported is None else imported.client_source,
            sources=settings.sources(),
            allow_hosts=frozenset() if imported is None else imported.rule.allow_hosts,
        )
        if claimants:
            self._clients = ServingClients(
                claimants,
                accept=accept,
                destinations=destinations,
                clock=self._wall,
                chance=self._chance,
                observer=self._observer,
                to_x=to_x,
                google=self._google,
                keys=hmac_keys_of(settings),
                max_body=settings.server.max_body,
            )

    def _collector(
        self,
        store: SQLiteStore,
        run: Run,
        safe: Safe | None,
        accept: Accept,
        destinations: dict[str, Destination],
    ) -> Server:
        settings = self._settings
        lent = self._lent = lent_to(
            settings,
            strongroom=safe.strongroom if safe else None,
            outlook=store,
            destinations=destinations,
            run=run,
            clock=self._clock,
            observer=self._observer,
        )
        logins = login_desk(
            settings, safe, store=store, accept=accept, destinations=destinations, run=run
        )
        self.connect = connect(settings, logins, clock=self._clock)
        self._token = Secret(self._chance.nonce() + self._chance.nonce())
        self.console = console(
            settings,
            Behind(
                store=store,
                run=run,
                accept=accept,
                connect=self.connect,
                destinations=destinations,
                strongroom=safe.strongroom if safe else None,
                passwords=self._passwords,
                clock=self._clock,
                observer=self._observer,
                token=self._token,
            ),
        )
        limits = Limits(
            connections=room_for_connections(Limits().connections),
            body=settings.server.max_body,
            body_seconds=settings.server.receive_deadline / SECOND,
        )
        listen, local = settings.server.listen, settings.server.local_listen
        collector = Collector(
            accept=accept,
            records=store,
            desk=WakingDesk(desk=store, wake_all=run.wake_all),
            logins=logins,
            eraser=store,
            choose=Choose(opt_outs=store, clock=self._clock, salt=store.salt),
            sightings=store,
            clock=self._clock,
            sources=settings.sources(),
            destinations=destinations,
            ready=lambda: accept.trouble or run.trouble,
            metrics=self._metrics.rendered,
            desk_token=self._token,
            metrics_key=settings.server.metrics_key,
            public_url=settings.server.public_url,
            trusted_proxies=settings.server.trusted_proxies,
            local_port=None if local is None else local.port,
            browser_rate=settings.server.browser_rate,
            proxy=Proxy(
                accept=accept,
                clock=self._wall,
                salt=store.salt,
                destinations=destinations,
                lent=lent,
            ),
            limits=limits,
            console=self.console,
            key_ring=KeyRing(store.people),
            clients=None if self._clients is None else self._clients.clients,
            observer=self._observer,
        )
        return Server(
            collector,
            host=listen.host,
            port=listen.port,
            local=None if local is None else (local.host, local.port),
            limits=limits,
        )

    def _leave_word(self) -> None:
        """Tell commands of this machine, and of this user alone, how to reach us."""
        word = {"pid": os.getpid(), "url": self.url, "token": self._token.reveal()}
        path = self._settings.store.gateway_file
        # Written beside and moved into place, so that nobody ever reads half of it.
        draft = path.with_name(f"{path.name}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(word, file)
        draft.replace(path)


def _calm_the_collector_of_garbage() -> None:
    """Spare what lives for ever, and look at the rest less often: it makes hardly any cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
