"""Build what answers requests from the settings: at the start, and again at each reload."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from starlette.types import Receive, Scope, Send

from twite.app.feature import FeatureRun
from twite.app.gateway_parts import GatewayParts
from twite.app.reports.results import reads_results
from twite.app.workers import GatewayAddress
from twite.config.settings import Settings
from twite.domain.destination import Destination
from twite.domain.times import SECOND
from twite.gateway.identity.source_keys import StoredSourceKeys, with_stored_keys
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.consent_choice import RecordConsentChoice
from twite.gateway.ingest.stape_proxy import StapeProxy, TagCredentials
from twite.http import GatewayServices, HttpApplication, HttpLimits, HttpSettings, Server
from twite.http.addresses import Front
from twite.machine.system import room_for_connections

if TYPE_CHECKING:
    from twite.console.application import Console


class OnDemandConsole:
    """Loads the console on another thread, so that the event loop continues meanwhile."""

    def __init__(
        self, load: "Callable[[], Console]", old_console: "OnDemandConsole | None" = None
    ) -> None:
        """`load` imports the console and builds it. `old_console` is what a reload replaces."""
        self._load = load
        self._before = old_console.latest if old_console else None
        self._console: Console | None = None
        self._opening = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        console = self._console
        if console is None:
            console = await asyncio.to_thread(self.opened)
        await console(scope, receive, send)

    @property
    def latest(self) -> "Console | None":
        """The console, or if it is not loaded, the one before it."""
        return self._console or self._before

    def opened(self) -> "Console":
        """Return the console. The first call loads it, with the notices of the one before."""
        with self._opening:
            if self._console is None:
                console = self._load()
                if self._before is not None:
                    console.notices = self._before.notices
                self._console, self._before = console, None
            return self._console


class SettingsInUse(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a gateway, with the parts that a reload replaces together with them."""

    settings: Settings
    destinations: dict[str, Destination]
    accept: Accept
    feature_run: FeatureRun
    tag_credentials: TagCredentials | None
    source_keys: StoredSourceKeys
    console: OnDemandConsole
    application: HttpApplication

    @classmethod
    def built(
        cls,
        settings: Settings,
        parts: GatewayParts,
        accept: Accept,
        destinations: dict[str, Destination],
        *,
        feature_run: FeatureRun,
        tag_credentials: TagCredentials | None,
        source_keys: StoredSourceKeys,
        old_settings: "SettingsInUse | None" = None,
    ) -> "SettingsInUse":
        """Build the HTTP application and the console. `old_settings` are replaced by a reload."""
        settings_of_http = http_settings(settings)
        store = parts.store
        console = OnDemandConsole(
            partial(_console, settings, parts, accept, destinations, settings_of_http.front),
            old_console=old_settings.console if old_settings else None,
        )
        memory = old_settings.application.memory if old_settings else None
        services = GatewayServices(
            accept=accept,
            queries=store,
            dedup_count=parts.dedup_count,
            moves=parts.moves,
            replays=parts.replays,
            record_choice=RecordConsentChoice(privacy=store, clock=parts.clock, salt=store.salt),
            clock=parts.clock,
            sources=tuple(with_stored_keys(settings.sources(), source_keys)),
            webhooks=settings.webhooks,
            dedup_window=settings.store.dedup_window,
            webhook_log=parts.webhook_log,
            erase_person=partial(parts.webhook_erasure.erase, settings),
            destinations=destinations,
            ready=lambda: accept.problem or parts.runner.problem,
            metrics=parts.metrics.rendered,
            add_up=parts.address.add_up,
            privacy=store,
            directory=store.people,
            credential_commands=parts.credential_commands,
            proxy=StapeProxy(
                accept=accept,
                clock=parts.wall_clock,
                salt=store.salt,
                destinations=destinations,
                tag_credentials=tag_credentials,
            ),
            make_feature=feature_run.http,
            console=console,
            is_traced=accept.traces is not None,
            control_token=parts.address.token,
            reload=parts.reload,
            run_sync=parts.run_sync,
            read_results=reads_results(settings, store, parts.clock, destinations),
            has_tag=settings.has_destination,
            key_uses=parts.key_uses,
            observer=parts.observer,
        )
        return cls(
            settings=settings,
            destinations=destinations,
            accept=accept,
            feature_run=feature_run,
            tag_credentials=tag_credentials,
            source_keys=source_keys,
            console=console,
            application=HttpApplication(services, settings_of_http, memory=memory),
        )


def server_of(in_use: SettingsInUse, address: GatewayAddress) -> Server:
    """Return the HTTP server, which does not listen yet."""
    settings = in_use.settings
    server, local = settings.server, settings.server.local_listen
    return Server(
        in_use.application,
        host=server.listen.host,
        port=address.port,
        local=None if local is None else (local.host, local.port),
        limits=http_settings(settings).limits,
        shares_port=address.is_shared,
        emulated=settings.x.emulator is not None,
    )


def http_settings(settings: Settings) -> HttpSettings:
    """Return the addresses and limits of the HTTP server."""
    server, local = settings.server, settings.server.local_listen
    return HttpSettings(
        public_url=server.public_url,
        console_url=settings.console.url,
        console_networks=settings.console.networks,
        trusted_proxies=server.trusted_proxies,
        container_headers=server.container_headers,
        local_port=None if local is None else local.port,
        browser_rate=server.browser_rate,
        script_path=server.script_path,
        beacon_path=server.beacon_path,
        metrics_key=server.metrics_key,
        limits=HttpLimits(
            connections=room_for_connections(HttpLimits().connections),
            body=server.max_body,
            body_seconds=server.receive_deadline / SECOND,
        ),
    )


def _console(
    settings: Settings,
    parts: GatewayParts,
    accept: Accept,
    destinations: Mapping[str, Destination],
    front: Front,
) -> "Console":
    from twite.app.console import console  # noqa: PLC0415  # few starts need the console

    return console(settings, parts, accept, destinations, front)
