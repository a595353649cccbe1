"""Load the settings: read `twite.toml` and the environment, check them, build values.

Files: `toml` reads the text, `shape` defines the keys, `reader` combines the two, `values` parses
texts, `pixels` and `sources` check a pixel and a source.
"""

import os
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

import msgspec

from twite.config import shape, toml, values
from twite.config.clients import clients
from twite.config.google import GoogleSettings, google_settings
from twite.config.pixels import destinations
from twite.config.reader import Reader
from twite.config.secret_key import (
    key_file,
    refuse_unsealed,
    with_former_key,
    with_persons,
    with_secret_key,
)
from twite.config.sources import sources, weak_keys
from twite.config.tags import ImportedContainer, container_config, imported
from twite.config.values import HostPort, Network
from twite.domain.dedup import LEAST_WINDOW
from twite.domain.destination import Destination, Source, XApp
from twite.domain.errors import SettingsError
from twite.domain.loopback import is_own_name
from twite.domain.secret import Secret
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.alerts.checks import Thresholds
from twite.gateway.alerts.notifier import Webhook
from twite.gateway.alerts.webhook_message import unreadable
from twite.gateway.ports.store_engine import Retention
from twite.gateway.ports.tags import PREFIX, ContainerConfig
from twite.gateway.tags.clients.clients import TemplateClient
from twite.stores.factory import ENGINES

FILE: Final = Path("twite.toml")
_LONGEST_KEPT: Final = 3_650 * DAY


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`max_body` is in bytes, `receive_deadline` in milliseconds.

    `browser_rate` is requests a minute from one address. Without a `public_url`, the Host header is
    trusted. `local_listen` is for this machine alone.
    """

    listen: HostPort
    local_listen: HostPort | None = None
    public_url: str | None
    trusted_proxies: tuple[Network, ...]
    max_body: int
    receive_deadline: int
    metrics_key: Secret | None = None
    browser_rate: int = 600
    secret_key: Secret | None = None
    former_secret_keys: tuple[Secret, ...] = ()
    hmac_keys: Mapping[str, Secret] = {}  # templates sign with these, by id
    # The file of the key, if any: twite rotate-key writes a new key there.
    secret_key_file: Path | None = None


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Durations are milliseconds, `reserve` bytes; `queue` is requests waiting for the disk."""

    path: Path
    dedup_window: int
    queue: int
    engine: str = "sqlite"  # the scheme of store.url
    keep_bodies: int = 3 * DAY
    keep_lives: int = 30 * DAY
    keep_dead: int = 30 * DAY
    reserve: int = 16 << 20

    @property
    def keeping(self) -> Retention:
        """Retention times."""
        return Retention(bodies=self.keep_bodies, lives=self.keep_lives, dead=self.keep_dead)

    @property
    def gateway_file(self) -> Path:
        """The address file of a running gateway, readable by its owner alone."""
        return Path(f"{self.path}.gateway")

    @property
    def alerted_file(self) -> Path:
        """Records that the alert on an unusable store was sent."""
        return Path(f"{self.path}.alerted")


class XSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`rate` is conversions in fifteen minutes, `timeout` milliseconds.

    Without an `app`, nobody can sign in to X.
    """

    api_url: str
    oauth_url: str
    api_version: str
    rate: int
    timeout: int
    batch: int
    in_flight: int
    app: XApp | None = None


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The webhook, if any, and the thresholds of alerts."""

    webhook: Webhook | None
    thresholds: Thresholds


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who may open the console, and a session's idle and maximum duration in milliseconds."""

    url: str | None = None
    networks: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    idle: int = 30 * MINUTE
    session: int = 12 * HOUR


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. `container` is the file of a server container, if one is to run.

    `tags` are those of `twite.toml`, `imported` says how the container's tags run.

    `warnings` are sentences for the operator.
    """

    path: Path
    server: ServerSettings
    store: StoreSettings
    x: XSettings
    alerts: AlertSettings
    log: shape.LogTable
    pixels: tuple[Destination, ...]
    submitters: tuple[Source, ...]
    console: ConsoleSettings = ConsoleSettings()
    google: GoogleSettings = GoogleSettings()
    container: Path | None = None
    clients: tuple[TemplateClient, ...] = ()
    tags: ContainerConfig | None = None
    imported: ImportedContainer | None = None
    warnings: tuple[str, ...] = ()

    @property
    def known_as(self) -> str:
        """The gateway's name in messages."""
        return self.server.public_url or str(self.server.listen)

    @property
    def console_url(self) -> str:
        """The console's URL for users."""
        known = self.console.url or self.server.public_url or f"http://{self.server.listen}"
        return f"{known.rstrip('/')}/console"

    def destinations(self) -> tuple[Destination, ...]:
        """Return the pixels with their credentials."""
        return self.pixels

    def sources(self) -> tuple[Source, ...]:
        """Return the sources."""
        return self.submitters

    def is_cautious(self, pixel: str) -> bool:
        """Return whether ambiguous deliveries of a pixel or tag are held for a person."""
        if not pixel.startswith(PREFIX):
            return any(
                destination.pixel == pixel and destination.is_cautious
                for destination in self.pixels
            )
        rule = None if self.tags is None else self.tags.rules.get(pixel.removeprefix(PREFIX))
        if rule is None and self.imported is not None:
            rule = self.imported.rule
        return rule is not None and rule.is_cautious


def load(path: Path, environ: Mapping[str, str], *, credentials: bool = True) -> Settings:
    """Read the settings. Relative paths in the file are relative to the file.

    Without `credentials`, for commands that only read, an unreadable secret is empty instead of an
    error. Raises SettingsError, with place and fix.
    """
    tree = toml.read(path)
    overridden = toml.override(tree, environ)
    folder = path.resolve().parent if path.is_file() else Path.cwd()
    reader = Reader(
        environ=environ, folder=folder, overridden=frozenset(overridden), credentials=credentials
    )
    try:
        kept_in = key_file(tree, folder)
        written = with_former_key(with_secret_key(reader.build(tree), environ), kept_in)
        if credentials:
            refuse_unsealed(written)
        written = with_persons(written)
        return _checked(written, path, folder, reader, kept_in=kept_in, whole=credentials)
    except SettingsError as error:
        if error.place not in overridden:
            raise
        place = f"{error.place} (set by {overridden[error.place]})"
        raise SettingsError(place=place, message=error.message) from None


def _checked(
    written: shape.SettingsFile,
    path: Path,
    folder: Path,
    reader: Reader,
    *,
    kept_in: Path | None,
    whole: bool,
) -> Settings:
    server = msgspec.structs.replace(_server(written.server), secret_key_file=kept_in)
    store, x = _store(written.store, folder), _x(written.x)
    alerts, google = _alerts(written.alerts), google_settings(written.google, whole=whole)
    pixels = destinations(written.pixel, rate=x.rate)
    submitters = sources(
        written.source,
        pixels={pixel.pixel: pixel.events for pixel in pixels},
        can_restrict=written.x.restricted_data_use == "conversion",
    )
    claimants, doubts = clients(
        written.client, folder=folder, sources=submitters, hidden=reader.hidden
    )
    names = [submitter.name for submitter in submitters]
    tags, of_tags = container_config(
        written.tag, folder=folder, sources=names, hidden=reader.hidden, whole=whole
    )
    return Settings(
        path=path,
        server=server,
        store=store,
        x=x,
        alerts=alerts,
        console=_console(written.console),
        google=google,
        log=written.log,
        pixels=pixels,
        submitters=submitters,
        container=None if written.container.file is None else folder / written.container.file,
        clients=claimants,
        tags=tags,
        imported=imported(written.container, folder=folder, sources=names),
        warnings=(
            *reader.warnings,
            *_doubts(server, x, alerts, google),
            *weak_keys(submitters),
            *doubts,
            *of_tags,
        ),
    )


def _doubts(
    server: ServerSettings, x: XSettings, alerts: AlertSettings, google: GoogleSettings
) -> Iterator[str]:
    if any(network.prefixlen == 0 for network in server.trusted_proxies):
        yield (
            "server.trusted_proxies: any sender's X-Forwarded-For is believed. "
            "Name your proxy's own network"
        )
    for key, url in (("api_url", x.api_url), ("oauth_url", x.oauth_url)):
        if values.unprotected(url):
            yield f"x.{key}: credentials would travel unencrypted. Use https"
    if google.api_url is not None and values.unprotected(google.api_url):
        yield "google.api_url: tokens would travel unencrypted. Use https"
    hook = alerts.webhook
    if hook is not None and values.unprotected(hook.address.reveal()):
        yield "alerts.webhook: what it is told would travel unencrypted. Use https"


def _server(written: shape.ServerTable) -> ServerSettings:
    listen = values.address(written.listen, "server.listen")
    return ServerSettings(
        listen=listen,
        local_listen=_local(written),
        public_url=(
            None
            if written.public_url is None
            else values.url(written.public_url, "server.public_url")
        ),
        trusted_proxies=tuple(
            values.network(listed, f"server.trusted_proxies[{index}]")
            for index, listed in enumerate(written.trusted_proxies)
        ),
        max_body=values.size(written.max_body, "server.max_body", least=1 << 10, most=64 << 20),
        receive_deadline=values.duration(
            written.receive_deadline, "server.receive_deadline", least=SECOND, most=10 * MINUTE
        ),
        metrics_key=written.metrics_key,
        browser_rate=written.browser_rate,
        secret_key=written.secret_key,
        former_secret_keys=written.former_secret_keys,
        hmac_keys=written.hmac_keys,
    )


def _local(written: shape.ServerTable) -> HostPort | None:
    """Return the address for this machine alone; it must be on loopback."""
    if written.local_listen is None:
        return None
    place = "server.local_listen"
    local = values.address(written.local_listen, place)
    if not local.port or not is_own_name(f"[{local.host}]" if ":" in local.host else local.host):
        raise SettingsError(
            place=place,
            message="must be an address of this machine alone, with a port of its own: "
            'write one as in "127.0.0.1:8081"',
        )
    return local


def _store(written: shape.StoreTable, folder: Path) -> StoreSettings:
    engine, _, name = written.url.partition(":")
    if engine not in ENGINES or not name:
        raise SettingsError(
            place="store.url",
            message="not a store that Twite has. Write sqlite: and a path: "
            '"sqlite:twite.db", "sqlite:/var/lib/twite/twite.db"',
        )
    # sqlite:///absolute is the usual spelling of URLs.
    name = name.removeprefix("//") if name.startswith("///") else name
    if ":memory:" in name:
        raise SettingsError(
            place="store.url",
            message="a store in memory would lose what was acknowledged. Write the path of a file",
        )
    window = values.duration(
        written.dedup_window, "store.dedup_window", least=LEAST_WINDOW, most=365 * DAY
    )
    return StoreSettings(
        path=Path(os.path.realpath(folder / name)),
        dedup_window=window,
        engine=engine,
        queue=written.queue,
        keep_bodies=values.duration(
            written.keep_bodies, "store.keep_bodies", least=HOUR, most=_LONGEST_KEPT
        ),
        # A dedup key is deleted with its history, which must last as long as the window.
        keep_lives=max(
            window,
            values.duration(written.keep_lives, "store.keep_lives", least=DAY, most=_LONGEST_KEPT),
        ),
        keep_dead=values.duration(
            written.keep_dead, "store.keep_dead", least=DAY, most=_LONGEST_KEPT
        ),
        reserve=values.size(written.reserve, "store.reserve", least=0, most=1 << 34),
    )


def _console(written: shape.ConsoleTable) -> ConsoleSettings:
    url = None if written.url is None else values.url(written.url, "console.url")
    if url is not None and not url.startswith("https:"):
        raise SettingsError(
            place="console.url",
            message="passwords would travel unencrypted. Write the https address that your proxy "
            "answers; on its own machine the console is at localhost anyway",
        )
    return ConsoleSettings(
        url=url,
        networks=tuple(
            values.network(listed, f"console.networks[{index}]")
            for index, listed in enumerate(written.networks)
        ),
        idle=values.duration(written.idle, "console.idle", least=MINUTE, most=DAY),
        session=values.duration(written.session, "console.session", least=5 * MINUTE, most=7 * DAY),
    )


def _alerts(written: shape.AlertsTable) -> AlertSettings:
    if written.secret and unreadable(written.secret):
        raise SettingsError(
            place="alerts.secret",
            message="begins with whsec_ and is not base64 behind it. Copy it again, or write a "
            "text of your own without whsec_",
        )
    webhook = None
    if written.webhook:
        values.webhook(written.webhook, "alerts.webhook")
        webhook = Webhook(address=written.webhook, secret=written.secret or None)
    free = values.size(written.disk_free, "alerts.disk_free", least=1 << 20, most=1 << 40)
    return AlertSettings(
        webhook=webhook,
        thresholds=Thresholds(dead_letters=written.dead_letters, disk_free=free),
    )


def _x(written: shape.XTable) -> XSettings:
    return XSettings(
        api_url=values.url(written.api_url, "x.api_url"),
        oauth_url=values.url(written.oauth_url, "x.oauth_url"),
        api_version=written.api_version,
        rate=written.rate,
        timeout=values.duration(written.timeout, "x.timeout", least=SECOND, most=MINUTE),
        batch=written.batch,
        in_flight=written.in_flight,
        app=_app(written),
    )


def _app(written: shape.XTable) -> XApp | None:
    key, secret = written.consumer_key, written.consumer_secret
    if key is None and secret is None:
        return None
    if key is None or secret is None:
        missing = "consumer_key" if key is None else "consumer_secret"
        raise SettingsError(
            place=f"x.{missing}",
            message="is missing: an app has a key and a secret. X's developer console shows both",
        )
    return XApp(consumer_key=key, consumer_secret=secret)
