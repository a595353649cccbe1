"""The tables and keys of `twite.toml`, as they are written, with their defaults.

Durations and sizes are text here ("7d", "1MiB"); `settings` turns them into numbers.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, inspect

from twite.domain.click_cookie import DEFAULT_DAYS
from twite.domain.destination import DEFAULT_RATE
from twite.domain.secret import Secret
from twite.x.spec import API_URL, MAX_CONVERSIONS, OAUTH_URL, VERSION


class ServerTable(msgspec.Struct, frozen=True, kw_only=True):
    listen: str = "127.0.0.1:8080"
    local_listen: str | None = None
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    max_body: str = "1MiB"
    receive_deadline: str = "30s"
    metrics_key: Secret | None = None
    browser_rate: Annotated[int, Meta(ge=1, le=1_000_000)] = 600
    secret_key: Secret | None = None
    former_secret_keys: tuple[Secret, ...] = ()
    hmac_keys: dict[str, Secret] = {}


class StoreTable(msgspec.Struct, frozen=True, kw_only=True):
    url: str = "sqlite:twite.db"
    dedup_window: str = "7d"
    queue: Annotated[int, Meta(ge=1_000, le=1_000_000)] = 20_000
    keep_bodies: str = "72h"
    keep_lives: str = "30d"
    keep_dead: str = "30d"
    reserve: str = "16MiB"


class XTable(msgspec.Struct, frozen=True, kw_only=True):
    """`consumer_key` and `consumer_secret` belong to the app that people sign in to."""

    api_url: str = API_URL
    oauth_url: str = OAUTH_URL
    api_version: Literal["12", "11"] = VERSION
    rate: Annotated[int, Meta(ge=1, le=10_000_000)] = DEFAULT_RATE
    timeout: str = "15s"
    batch: Annotated[int, Meta(ge=1, le=MAX_CONVERSIONS)] = MAX_CONVERSIONS
    in_flight: Annotated[int, Meta(ge=1, le=64)] = 4
    restricted_data_use: Literal["conversion", "unsupported"] = "conversion"
    consumer_key: str | None = None
    consumer_secret: Secret | None = None


METADATA: Final = "metadata"  # keyword for the machine's own service account
# A multi-line text, or one of these keywords, which are not secret.
KeyFile = Annotated[Secret, Meta(extra={"words": (METADATA,)})]


class GoogleTable(msgspec.Struct, frozen=True, kw_only=True):
    """`credentials` is the JSON of a service account's key, or METADATA."""

    credentials: KeyFile | None = None
    project: str | None = None
    api_url: str | None = None


class ConsoleTable(msgspec.Struct, frozen=True, kw_only=True):
    url: str | None = None
    networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    idle: str = "30m"
    session: str = "12h"


class AlertsTable(msgspec.Struct, frozen=True, kw_only=True):
    webhook: Secret | None = None
    secret: Secret | None = None
    dead_letters: Annotated[int, Meta(ge=1, le=1_000_000)] = 10
    disk_free: str = "1GiB"


class LogTable(msgspec.Struct, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class AuthTable(msgspec.Struct, frozen=True, kw_only=True):
    """`pixel_token`, or the four parts of OAuth 1.0a; or both, while a pixel moves to the token."""

    pixel_token: Secret | None = None
    consumer_key: str | None = None
    consumer_secret: Secret | None = None
    token: str | None = None
    token_secret: Secret | None = None


class PixelTable(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    events: dict[str, str]
    auth: AuthTable | None = None
    account: str | None = None
    on_ambiguous: Literal["resend", "hold"] = "resend"
    value_guard: Literal["off", "flag", "hold"] = "flag"


class CookieTable(msgspec.Struct, frozen=True, kw_only=True):
    names: tuple[Literal["_twite", "_twclid", "twclid"], ...] = ("_twite",)
    days: Annotated[int, Meta(ge=1, le=400)] = DEFAULT_DAYS
    http_only: bool = False
    client_id: bool = True


Purpose = Annotated[int, Meta(ge=1, le=24)]
Repeats = Literal["at_least_once", "at_most_once"]
Persons = Literal["hashed", "sealed"]
InFlight = Annotated[int, Meta(ge=1, le=64)]


class ConsentPolicyTable(msgspec.Struct, frozen=True, kw_only=True):
    storage_denied: Literal["suppress", "strip"] = "suppress"
    user_data_denied: Literal["suppress", "strip"] = "suppress"
    personalization_denied: Literal["restrict", "suppress", "send"] = "restrict"
    us_opt_out: Literal["suppress", "restrict"] = "suppress"
    unclear: Literal["suppress", "hold", "ignore"] = "suppress"
    missing: Literal["suppress", "hold"] = "suppress"
    strict_regions: tuple[str, ...] = ("EEA", "GB", "CH")
    tcf_purposes: tuple[Purpose, ...] = (1, 7)
    tcf_optimization_purposes: tuple[Purpose, ...] = (3, 4)
    tcf_vendor_id: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    ac_provider_id: Annotated[int, Meta(ge=1, le=999_999_999)] | None = None
    cmp_vendor: str | None = None


class SourceTable(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    pixel: str
    key: Secret | None = None
    origins: tuple[str, ...] = ()
    pixels: tuple[str, ...] = ()
    consent: Literal["optional", "required"] = "optional"
    consent_policy: ConsentPolicyTable = ConsentPolicyTable()
    region: str | None = None
    events: dict[str, str] = msgspec.field(default_factory=dict)
    cookie: CookieTable = CookieTable()
    browser_value_limit: str | None = None
    browser_rate: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    twin: Literal["use", "load", "off"] = "use"
    value_guard: Literal["off", "flag", "hold"] | None = None
    stape_credentials: Literal["configured", "stored", "passing"] = "configured"


class ContainerTable(msgspec.Struct, frozen=True, kw_only=True):
    file: str | None = None
    client_source: str | None = None
    sources: tuple[str, ...] = ()
    repeat: Repeats = "at_least_once"
    persons: Persons | None = None
    timeout: str = "30s"
    in_flight: InFlight = 8
    allow_hosts: tuple[str, ...] = ()


class WhenTable(msgspec.Struct, frozen=True, kw_only=True):
    """One condition; `field` is a path in the event data, as in `user_data.email_address`."""

    field: str
    value: str
    operator: Literal[
        "equals", "contains", "starts_with", "ends_with", "matches",
        "greater", "greater_or_equal", "less", "less_or_equal",
    ] = "equals"  # fmt: skip
    negate: bool = False
    ignore_case: bool = False


class TagTable(msgspec.Struct, frozen=True, kw_only=True):
    """`fields` are the template's own: any JSON values."""

    name: str
    template: str
    fields: dict[str, Any] = msgspec.field(default_factory=dict)
    sources: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    when: tuple[WhenTable, ...] = ()
    consent: tuple[str, ...] = ()
    repeat: Repeats = "at_least_once"
    persons: Persons | None = None
    timeout: str = "30s"
    rate: Annotated[int, Meta(ge=1, le=10_000_000)] = 60_000
    in_flight: InFlight = 8
    allow_hosts: tuple[str, ...] = ()


class ClientTable(msgspec.Struct, frozen=True, kw_only=True):
    """`fields` are the template's own: any JSON values."""

    template: str
    name: str | None = None
    source: str | None = None
    priority: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] = 0
    fields: dict[str, Any] = msgspec.field(default_factory=dict)
    allow_hosts: tuple[str, ...] = ()


class SettingsFile(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    server: ServerTable = ServerTable()
    store: StoreTable = StoreTable()
    x: XTable = XTable()
    google: GoogleTable = GoogleTable()
    alerts: AlertsTable = AlertsTable()
    console: ConsoleTable = ConsoleTable()
    log: LogTable = LogTable()
    pixel: tuple[PixelTable, ...] = ()
    source: tuple[SourceTable, ...] = ()
    tag: tuple[TagTable, ...] = ()
    client: tuple[ClientTable, ...] = ()
    container: ContainerTable = ContainerTable()


Kind = inspect.Type
ROOT: Final[Kind] = inspect.type_info(SettingsFile)


def some(kind: Kind) -> Kind:
    """Return the type without None: `str` for `str | None`."""
    if isinstance(kind, inspect.UnionType):
        return next(part for part in kind.types if not isinstance(part, inspect.NoneType))
    return kind


def keys(kind: Kind = ROOT, place: str = "") -> Iterator[str]:
    """Yield every key that holds a value, as in `server.listen` and `pixel[].auth.pixel_token`.

    A table with free names ends in `.*`.
    """
    kind = some(kind)
    if isinstance(kind, inspect.StructType):
        for field in kind.fields:
            yield from keys(field.type, f"{place}.{field.name}" if place else field.name)
    elif isinstance(kind, inspect.DictType):
        yield f"{place}.*"
    elif isinstance(kind, inspect.VarTupleType) and isinstance(kind.item_type, inspect.StructType):
        yield from keys(kind.item_type, f"{place}[]")
    else:
        yield place
