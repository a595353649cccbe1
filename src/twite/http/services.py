"""The parts of the gateway that routes use."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.types import ASGIApp

from twite.domain.conversion import DEFAULT_WINDOW
from twite.domain.destination import Destination, Source
from twite.domain.history import ConversionCounts
from twite.domain.loopback import is_own_name
from twite.domain.people.erasure import ErasureIdentifier
from twite.domain.secret import Secret
from twite.formats.webhook_kind import IncomingWebhook
from twite.gateway.identity.key_uses import KeyUses
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.consent_choice import RecordConsentChoice
from twite.gateway.ingest.stape_proxy import StapeProxy
from twite.gateway.ingest.webhook_log import WebhookLog
from twite.gateway.operations.control import PositionChoice, ReloadReport, SyncReport
from twite.gateway.operations.dedup_count import DedupCount
from twite.gateway.operations.replays import Replays
from twite.gateway.ports.directory import AccountDirectory
from twite.gateway.ports.events import Observer, SilentObserver
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.outbox import Moves
from twite.gateway.ports.privacy import Privacy
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.tags import ResponseAddition
from twite.gateway.results.read import ResultsReport
from twite.gateway.x_account.credential_store import CredentialCommands
from twite.http.addresses import Front, Network, host_of
from twite.http.authorization import Authorization, NonceMemory, SourceKeys
from twite.http.cookies import BrowserCookies
from twite.http.feature import HttpFeature
from twite.http.limits import AdmissionGate, HttpLimits
from twite.http.origins import Origins
from twite.http.responses import HttpResponse
from twite.http.script import BEACON_PATH, PATH, PageScript
from twite.http.webhook_call import WebhookSources


async def no_results(_sees: Callable[[str], bool], _days: int) -> ResultsReport:
    """Return no account's results."""
    return ResultsReport(accounts=(), warnings=())


def no_tag(_name: str) -> bool:
    """Know no tag."""
    return False


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of the gateway.

    `public_url` is its URL for clients, `console_url` the URL of the console, if different;
    `console_networks` are those that may open the console;
    `local_port` is a port that no proxy uses. `container_headers` are the `x-gtm-…` headers that
    trusted proxies set or clear. `browser_rate` is the limit of requests per minute from one
    address on the browser routes.
    """

    public_url: str | None = None
    console_url: str | None = None
    console_networks: tuple[Network, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    container_headers: tuple[str, ...] = ()
    local_port: int | None = None
    browser_rate: int = 600
    script_path: str = PATH
    beacon_path: str = BEACON_PATH
    metrics_key: Secret | None = None
    limits: HttpLimits = HttpLimits()

    @property
    def console_host(self) -> str | None:
        """The host name of the console; None if the console has no host of its own."""
        host = None if self.console_url is None else host_of(self.console_url)
        other = None if self.public_url is None else host_of(self.public_url)
        return None if host == other else host

    @property
    def front(self) -> Front:
        """Recognizes requests from this machine; loopback URLs are taken to mean no proxy."""
        urls = (self.public_url, self.console_url)
        is_public = any(url is not None and not is_own_name(host_of(url) or "") for url in urls)
        return Front(
            trusted=self.trusted_proxies,
            is_proxied=is_public or bool(self.trusted_proxies),
            local_port=self.local_port,
        )


class GatewayServices(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of the gateway that routes use.

    `ready` returns the reason why requests cannot be accepted now, or None. `metrics` renders the
    Prometheus text, and `add_up` adds the metrics of other processes. `control_token` authenticates
    `POST /-/control`, which does not exist without one. `credential_commands` is None if the
    gateway has no vault key, `proxy` if no route is configured for Stape's auth proxy. `console`
    serves all paths under /console. `erase_person` erases whom the sender of a webhook names.
    `reload` reads the settings again; with True, it only compares them. `run_sync` runs a
    `[[sync]]` by its name. `read_results` returns the results of some days, for a visible account.
    `has_tag` returns whether the settings may have a tag of this name (`tag:NAME`).
    """

    accept: Accept
    queries: Queries
    dedup_count: DedupCount
    moves: Moves
    replays: Replays
    record_choice: RecordConsentChoice
    clock: Clock
    sources: tuple[Source, ...]
    destinations: Mapping[str, Destination]
    ready: Callable[[], str | None]
    metrics: Callable[[Iterable[ConversionCounts]], bytes]
    privacy: Privacy
    directory: AccountDirectory
    webhooks: tuple[IncomingWebhook[Any], ...] = ()
    dedup_window: int = DEFAULT_WINDOW  # in milliseconds
    webhook_log: WebhookLog | None = None
    erase_person: Callable[[str, Sequence[ErasureIdentifier]], Awaitable[None]] | None = None
    add_up: Callable[[bytes], Awaitable[bytes]] | None = None
    credential_commands: CredentialCommands | None = None
    proxy: StapeProxy | None = None
    make_feature: "Callable[[HttpServices, AdmissionGate], HttpFeature] | None" = None
    console: ASGIApp | None = None
    is_traced: bool = False
    control_token: Secret | None = None
    reload: Callable[[bool], Awaitable[ReloadReport]] | None = None
    run_sync: Callable[[str, PositionChoice | None], Awaitable[SyncReport]] | None = None
    read_results: Callable[[Callable[[str], bool], int], Awaitable[ResultsReport]] = no_results
    has_tag: Callable[[str], bool] = no_tag
    key_uses: KeyUses = msgspec.field(default_factory=KeyUses)
    observer: Observer = SilentObserver()


class HttpServices(GatewayServices, frozen=True, kw_only=True):
    """The services of routes.

    `gate` is for requests with a key, `page_gate` for browser requests, and `signature_gate` for
    requests that only their body proves.
    """

    keys: SourceKeys
    authorization: Authorization
    origins: Origins
    script: PageScript
    nonces: NonceMemory
    gate: AdmissionGate
    page_gate: AdmissionGate
    signature_gate: AdmissionGate
    webhook_sources: WebhookSources
    front: Front
    settings: HttpSettings
    limits: HttpLimits
    public_host: str | None
    feature: HttpFeature | None = None

    def with_additions(
        self,
        response: HttpResponse,
        additions: Sequence[ResponseAddition],
        browser_cookies: BrowserCookies,
    ) -> HttpResponse:
        """Return the response with the additions of tags."""
        if self.feature is None or not additions:
            return response
        return self.feature.with_additions(response, additions, browser_cookies)
