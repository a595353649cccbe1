"""Build what answers requests from the settings: at the start, and again at each reload."""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import msgspec

from twite.app.console_services import ConsoleServices, OnDemandConsole
from twite.app.feature import FeatureRun, RunBasis, RunningFeature
from twite.app.logins import CredentialVault
from twite.app.reload_command import ReloadCommand
from twite.app.workers import GatewayAddress
from twite.config.settings import Settings
from twite.domain.destination import Destination
from twite.domain.times import SECOND
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.consent_choice import RecordConsentChoice
from twite.gateway.ingest.stape_proxy import StapeProxy, TagCredentials
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.operations.moves import WakingMoves
from twite.gateway.ports.directory import Passwords
from twite.gateway.ports.events import Observer
from twite.gateway.ports.findings import CheckFinding
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.store import Store
from twite.gateway.x_account.credential_store import CredentialCommands
from twite.gateway.x_account.sign_in import XSignIn
from twite.http import GatewayServices, HttpApplication, HttpLimits, HttpSettings, Server
from twite.http.application import RequestMemory
from twite.machine.system import room_for_connections
from twite.observers.metrics import Metrics

if TYPE_CHECKING:
    from twite.console.application import Console


class GatewayParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a running gateway that stay when its settings are reloaded."""

    store: Store
    vault: CredentialVault | None
    runner: DeliveryRunner
    clock: MonotonicClock
    wall_clock: Clock
    observer: Observer
    metrics: Metrics
    guards: ValueGuards
    feature: RunningFeature
    run_basis: RunBasis
    address: GatewayAddress
    passwords: Passwords | None
    examine: Callable[[], AsyncIterator[CheckFinding]] | None
    credential_commands: CredentialCommands | None
    sign_in: XSignIn
    reload: ReloadCommand


class SettingsInUse(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a gateway, with the parts that a reload replaces together with them."""

    settings: Settings
    destinations: dict[str, Destination]
    accept: Accept
    feature_run: FeatureRun
    tag_credentials: TagCredentials | None
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
        memory: RequestMemory | None = None,
    ) -> "SettingsInUse":
        """Build the HTTP application and the console.

        `memory` is that of the application before a reload.
        """
        settings_of_http = http_settings(settings)
        store, runner = parts.store, parts.runner
        behind = ConsoleServices(
            store=store,
            runner=runner,
            accept=accept,
            sign_in=parts.sign_in,
            destinations=destinations,
            secret_store=parts.vault.secret_store if parts.vault else None,
            passwords=parts.passwords,
            examine=parts.examine,
            feature=parts.feature,
            front=settings_of_http.front,
            clock=parts.clock,
            observer=parts.observer,
        )
        console = OnDemandConsole(lambda: _console(settings, behind))
        services = GatewayServices(
            accept=accept,
            queries=store,
            moves=WakingMoves(moves=store, wake_all=runner.wake_all),
            record_choice=RecordConsentChoice(privacy=store, clock=parts.clock, salt=store.salt),
            clock=parts.clock,
            sources=settings.sources(),
            webhooks=settings.webhooks,
            destinations=destinations,
            ready=lambda: accept.problem or runner.problem,
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
            observer=parts.observer,
        )
        return cls(
            settings=settings,
            destinations=destinations,
            accept=accept,
            feature_run=feature_run,
            tag_credentials=tag_credentials,
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
        metrics_key=server.metrics_key,
        limits=HttpLimits(
            connections=room_for_connections(HttpLimits().connections),
            body=server.max_body,
            body_seconds=server.receive_deadline / SECOND,
        ),
    )


def _console(settings: Settings, services: ConsoleServices) -> "Console":
    from twite.app.console import console  # noqa: PLC0415  # few starts need the console

    return console(settings, services)
