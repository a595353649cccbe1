"""The tables `[server]` to `[log]` of `twite.toml`, described key by key.

After reading, durations are in milliseconds and sizes in bytes.
"""

from functools import partial
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from twite.config import values
from twite.config.kinds import (
    ListOf,
    Number,
    SecretText,
    Setting,
    Table,
    Text,
    duration,
    setting,
    size,
)
from twite.config.store_url import StoreUrl, read_store_url
from twite.config.values import HostPort, Network
from twite.domain.conversion import LEAST_WINDOW
from twite.domain.destination import DEFAULT_RATE, XApp
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.formats.standard.signature import is_unreadable
from twite.gateway.alerts.checks import Thresholds
from twite.gateway.alerts.notifier import Webhook
from twite.gateway.ports.store import Retention
from twite.x.spec import API_URL, MAX_CONVERSIONS, OAUTH_URL, VERSION

_URL: Final = Text(values.url)
_NETWORKS: Final = ListOf(Text(values.network))
_SECRET: Final = SecretText()
_KEPT: Final = duration(DAY, 3_650 * DAY)


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[server]`. Without a `public_url`, the Host header is trusted."""

    listen: HostPort = setting(
        "127.0.0.1:8080", "host and port; IPv6 in brackets", Text(values.address)
    )
    local_listen: HostPort | None = setting(
        None,
        "a second address for this machine only",
        Text(values.local_address),
        example="127.0.0.1:8081",
    )
    workers: int = setting(
        1,
        "number of processes that share the port, as with `twite serve --workers`; 1 to 64",
        Number(1, 64),
    )
    public_url: str | None = setting(
        None, "the URL that browsers and servers use", _URL, example="https://t.shop.example"
    )
    trusted_proxies: tuple[Network, ...] = setting(
        [],
        "networks (CIDR) of proxies whose `X-Forwarded-For` Twite trusts",
        _NETWORKS,
        example=["127.0.0.1/32"],
    )
    container_headers: tuple[str, ...] = setting(
        [],
        "`x-gtm-…` headers that all trusted proxies set or clear; templates cannot read others",
        ListOf(Text(values.container_header)),
        example=["x-gtm-identifier", "x-gtm-default-domain", "x-gtm-api-key"],
    )
    max_body: int = setting(
        "1MiB", "maximum size of a request body after decompression", size(1 << 10, 64 << 20)
    )
    receive_deadline: int = setting(
        "30s", "deadline for receiving a request body", duration(SECOND, 10 * MINUTE)
    )
    metrics_key: Secret | None = setting(
        None,
        "the key for `/metrics`, sent as `Authorization: Bearer`",
        example="env:TWITE_METRICS_KEY",
    )
    browser_rate: int = setting(
        600,
        "maximum number of requests per minute from one IP address to the endpoints that pages use",
        Number(1, 1_000_000),
    )
    script_path: str = setting(
        "/twite.js",
        "another path of the script, if something blocks this one",
        Text(partial(values.page_path, suffix=".js")),
    )
    beacon_path: str = setting(
        "/t", "another path to which the script sends conversions", Text(values.page_path)
    )
    secret_key: Secret | None = setting(
        None,
        "encrypts stored credentials (`twite login`, Stape's tag) and queued tag events",
    )
    former_secret_keys: tuple[Secret, ...] = setting(
        [], "previous keys; at each start, Twite re-encrypts the data encrypted with them"
    )
    # The file of the key, if any: twite rotate-key writes a new key there.
    secret_key_file: Path | None = None


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[store]`."""

    url: StoreUrl = setting(
        "sqlite:twite.db",
        "`sqlite:` and a path, relative to the settings file; or the URL of a PostgreSQL database",
        Text(read_store_url),
    )
    local_folder: str | None = setting(
        None,
        "with PostgreSQL, the folder of this gateway's address file, through which commands reach "
        "the gateway; relative to, and by default, the folder of the settings file",
        example="/var/lib/twite",
    )
    accept_weak_durability: bool = setting(
        False,  # noqa: FBT003 - the default
        "whether Twite uses a PostgreSQL server with `fsync`, `full_page_writes` or "
        "`synchronous_commit` off",
    )
    size_limit: int | None = setting(
        None,
        "size of the PostgreSQL database at which new requests get 503; delivery continues",
        size(1 << 26, 1 << 50),
        example="50GiB",
    )
    dedup_window: int = setting(
        "7d",
        "how long Twite detects duplicates; at least 48 hours",
        duration(LEAST_WINDOW, 365 * DAY),
    )
    queue: int = setting(
        20_000,
        "maximum number of conversions in the write queue; if it is full, new requests get 429",
        Number(1_000, 1_000_000),
    )
    keep_bodies: int = setting(
        "72h",
        "how long the store keeps bodies and identifiers of conversions that are no longer pending",
        duration(HOUR, 3_650 * DAY),
    )
    keep_history: int = setting(
        "30d", "how long the store keeps the history of each conversion", _KEPT
    )
    keep_dead: int = setting(
        "30d", "age at which dead letters and held deliveries become suppressed", _KEPT
    )
    reserve: int = setting(
        "16MiB",
        "disk space that Twite reserves and releases when the disk is full",
        size(0, 1 << 34),
    )

    @property
    def engine(self) -> str:
        """The engine's name, from the scheme of the URL."""
        return self.url.engine

    @property
    def path(self) -> Path:
        """The file of the store. For a store on a server, the prefix of local file names."""
        return self.url.path

    @property
    def place(self) -> str:
        """The location for the engine. It may contain a password."""
        return str(self.path) if self.url.server is None else self.url.server.reveal()

    @property
    def shown(self) -> str:
        """The location for messages, without a password."""
        if self.url.server is None:
            return str(self.path)
        parts = urlsplit(self.url.server.reveal())
        user, _, hosts = parts.netloc.rpartition("@")
        name = user.partition(":")[0]
        return f"{self.engine}://{f'{name}@' if name else ''}{hosts}{parts.path}"

    @property
    def exists(self) -> bool:
        """Whether there is a store. A database server is assumed to have one."""
        return self.url.server is not None or self.path.exists()

    @property
    def keeping(self) -> Retention:
        """Retention times. Histories last at least as long as the dedup keys deleted with them."""
        history = max(self.dedup_window, self.keep_history)
        return Retention(bodies=self.keep_bodies, history=history, dead=self.keep_dead)

    @property
    def gateway_file(self) -> Path:
        """The file with the address of the running gateway. Only its owner can read it."""
        return Path(f"{self.path}.gateway")

    @property
    def alerted_file(self) -> Path:
        """The file that records that the alert about an unusable store was sent."""
        return Path(f"{self.path}.alerted")


class XSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[x]`. Without an `app`, nobody can sign in to X."""

    emulator: HostPort | None = setting(
        None,
        "address of the built-in emulator. `twite serve` starts it, and sends all conversions to "
        "it instead of X and `api_url`; `twite connect` switches to X",
        Text(values.local_address),
        example="127.0.0.1:8090",
    )
    api_url: str = setting(API_URL, "base URL of X's Conversion API", _URL)
    oauth_url: str = setting(OAUTH_URL, "base URL of X's sign-in", _URL)
    api_version: Literal["12", "11"] = setting(VERSION, "")
    rate: int = setting(
        DEFAULT_RATE,
        "maximum number of conversions that Twite sends in 15 minutes for each account",
        Number(1, 10_000_000),
    )
    timeout: int = setting(
        "15s", "timeout of a request to X; 1 s to 1 min", duration(SECOND, MINUTE)
    )
    batch: int = setting(
        MAX_CONVERSIONS,
        "maximum number of conversions in a request; X accepts at most 500",
        Number(1, MAX_CONVERSIONS),
    )
    in_flight: int = setting(
        4,
        "maximum number of concurrent requests for each pixel. Hanging requests do not count. With "
        "1, nor does a batch that Twite bisects, or that failed before",
        Number(1, 64),
    )
    restricted_data_use: Literal["conversion", "unsupported"] = setting(
        "conversion",
        "where a request to X contains `restricted_data_use`; X does not document where it belongs",
    )
    consumer_key: str | None = setting(
        None, "API key of the X app for signing in", example="env:X_CONSUMER_KEY"
    )
    consumer_secret: Secret | None = setting(
        None, "secret of that API key", example="env:X_CONSUMER_SECRET"
    )

    def __post_init__(self) -> None:
        """Replace X's URLs by the emulator's.

        Raises SettingsError if only one of the app's key and secret is set.
        """
        if self.emulator is not None:
            for name in ("api_url", "oauth_url"):
                msgspec.structs.force_setattr(self, name, f"http://{self.emulator}")
        if (self.consumer_key is None) != (self.consumer_secret is None):
            missing = "consumer_key" if self.consumer_key is None else "consumer_secret"
            raise SettingsError(
                f"x.{missing}",
                "is missing: an app has a key and a secret. Copy both from X's developer console",
            )

    @property
    def app(self) -> XApp | None:
        """The app that people sign in to."""
        if self.consumer_key is None or self.consumer_secret is None:
            return None
        return XApp(consumer_key=self.consumer_key, consumer_secret=self.consumer_secret)


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[console]`."""

    url: str | None = setting(
        None,
        "HTTPS URL of the console, if it differs from `server.public_url`",
        Text(values.https_url),
        example="https://console.shop.example",
    )
    networks: tuple[Network, ...] = setting(
        ["127.0.0.0/8", "::1/128"], "networks (CIDR) that may open the console", _NETWORKS
    )
    idle: int = setting(
        "30m", "idle timeout of a session; 1 minute to 1 day", duration(MINUTE, DAY)
    )
    session: int = setting(
        "12h", "maximum duration of a session; 5 minutes to 7 days", duration(5 * MINUTE, 7 * DAY)
    )


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[log]`."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "")
    format: Literal["text", "json"] = setting("text", "")


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The webhook, if any, and the thresholds of alerts."""

    webhook: Webhook | None
    thresholds: Thresholds


def _alerts(*, webhook: Secret | None, secret: Secret | None, **thresholds: int) -> AlertSettings:
    if secret and is_unreadable(secret):
        raise SettingsError(
            "alerts.secret",
            "starts with whsec_, but the rest is not base64. Copy it again, or choose a "
            "secret that does not start with whsec_",
        )
    if webhook:
        values.webhook(webhook, "alerts.webhook")
    return AlertSettings(
        webhook=Webhook(address=webhook, secret=secret or None) if webhook else None,
        thresholds=Thresholds(**thresholds),
    )


ALERTS: Final = Table(
    _alerts,
    {
        "webhook": Setting(
            None, "URL that receives alerts as JSON", _SECRET, example="env:TWITE_ALERT_WEBHOOK"
        ),
        "secret": Setting(None, "signs the messages", _SECRET, example="env:TWITE_ALERT_SECRET"),
        "dead_letters": Setting(
            10, "an alert opens when a pixel has this many dead letters", Number(1, 1_000_000)
        ),
        "disk_free": Setting(
            "1GiB",
            "free disk space of a SQLite store below which an alert opens",
            size(1 << 20, 1 << 40),
        ),
    },
)
