"""`[[sync]]`: queries and object storage whose new rows the gateway sends by itself."""

import re
from collections.abc import Collection, Mapping
from datetime import tzinfo
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

import msgspec

from twite.config import toml, values
from twite.config.collected_errors import CollectedErrors
from twite.config.kinds import REQUIRED, Choice, SecretText, Text, duration, setting
from twite.config.references import checked_tables
from twite.config.toml import Reader
from twite.domain.destination import Source
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.domain.times import DAY, SECOND
from twite.formats.files.cells import Decimal
from twite.formats.files.rows import RowOptions
from twite.formats.files.table import NAMES

STORAGE: Final = frozenset({"s3", "gs", "az"})
# Names of subcommands of `twite sync`.
_RESERVED: Final = frozenset({"list", "run", "woocommerce"})
# A host with a port, perhaps an IPv6 address in brackets.
_PORT: Final = re.compile(r"(?:\[[^]]*\]|[^:]*):(.+)")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_TABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?", re.ASCII)


class LocationUrl(SecretText, frozen=True):
    """The URL of a database or of objects. Only one with a password is a secret."""

    def read(self, value: object, place: str, reader: Reader) -> Secret:
        if isinstance(value, str) and "://" in value and "@" not in value:
            secret_url = Secret(value)
        else:
            secret_url = super().read(value, place, reader)
        try:
            parts = urlsplit(secret_url.reveal())
        except ValueError:
            raise SettingsError(place, "is not a URL: its host is not valid") from None
        if parts.scheme in STORAGE and "@" in parts.netloc:
            raise SettingsError(
                place,
                "has credentials, which are no part of a bucket's URL. Put them into the "
                "provider's variables, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        if not _has_ports(parts):
            raise SettingsError(
                place,
                "has a port that is not a number from 1 to 65535, as in db.shop.example:5432",
            )
        return secret_url


def _has_ports(parts: SplitResult) -> bool:
    """Whether each port in a URL, perhaps of several hosts, can be one."""
    if "@" in parts.path and "@" not in parts.netloc:
        return True  # a password with a slash, which the driver's connection explains
    found = [_PORT.fullmatch(host) for host in parts.netloc.rpartition("@")[2].split(",")]
    ports = [match[1] for match in found if match is not None]
    return all(port.isascii() and port.isdigit() and 0 < int(port[:9]) <= 65_535 for port in ports)


class _Query(Text, frozen=True):
    """A query of several lines, or `env:NAME` or `file:PATH`."""

    def read(self, value: object, place: str, reader: Reader) -> object:
        if isinstance(value, str) and value.startswith(("env:", "file:")):
            return reader.secret(value, place, lines=True).reveal()
        return value if isinstance(value, str) and value else super().read(value, place, reader)


def _name(text: str, place: str) -> str:
    if not _NAME.fullmatch(values.name(text, place, "a sync")) or text in _RESERVED:
        raise SettingsError(
            place,
            f"{text!r} cannot be the name of a sync. Write letters, digits, hyphens, dots and "
            f"underscores, but not {', '.join(sorted(_RESERVED))}",
        )
    return text


def _zone(text: str, place: str) -> tzinfo:
    try:
        return ZoneInfo(text)
    except (OSError, ValueError, KeyError):
        raise SettingsError(
            place, f"{text!r} is not a time zone. Write a name such as Europe/London or UTC"
        ) from None


def table_name(text: str, place: str) -> str:
    if not _TABLE.fullmatch(text):
        raise SettingsError(place, f"{text!r} is not the name of a table, such as twite_sent")
    return text


class SyncTable(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[[sync]]`."""

    name: str = setting(REQUIRED, "name of the sync, for `twite sync NAME`", Text(_name))
    source: str = setting(REQUIRED, "the source to which the conversions belong")
    url: Secret = setting(
        REQUIRED,
        "the database's URL, or that of objects: `s3://`, `gs://`, `az://`",
        LocationUrl(),
        example="env:DATABASE_URL",
    )
    query: str | None = setting(
        None,
        "the query, or `file:PATH`",
        _Query(),
        example="file:orders.sql",
    )
    cursor: str | None = setting(
        None, "a column of the query that only grows, such as a time", example="updated_at"
    )
    key: str | None = setting(
        None, "a column of the query that is different in each row", example="conversion_id"
    )
    interval: int = setting(
        "5m", "how often Twite looks for new rows", duration(10 * SECOND, 7 * DAY)
    )
    look_back: int = setting(
        "5m",
        "how long Twite looks back, for transactions that commit late",
        duration(10 * SECOND, DAY),
    )
    history: bool = setting(
        default=False, meaning="whether the first run sends what is there already"
    )
    older: Literal["skip", "send"] = setting(
        "skip", "what to do with rows that the gateway may have forgotten"
    )
    event: str | None = setting(None, "the event of rows that name none", example="purchase")
    currency: str | None = setting(
        None, "the currency of amounts without one", Text(values.currency_code), example="EUR"
    )
    decimal: Decimal | None = setting(
        None,
        "the decimal separator, for amounts such as 1,234",
        Choice(("comma", "point")),
        example="comma",
    )
    timezone: tzinfo | None = setting(
        None, "the time zone of times without one", Text(_zone), example="Europe/London"
    )
    map: Mapping[str, str] = setting(
        {}, "Twite's field → your column", example={"email": "Contact", "url": ""}
    )
    write_back: str | None = setting(
        None, "a table of the database for the result of each row", Text(table_name), "twite_sent"
    )


class SyncSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A checked `[[sync]]`. `query`, `cursor` and `key` are "" for objects."""

    name: str
    source: str
    secret_url: Secret
    query: str
    cursor: str
    key: str
    interval: int
    look_back: int
    history: bool
    older: Literal["skip", "send"]
    rows: RowOptions
    map: Mapping[str, str]
    write_back: str | None

    @property
    def is_storage(self) -> bool:
        return is_storage_url(self.secret_url)


def is_storage_url(secret_url: Secret) -> bool:
    return urlsplit(secret_url.reveal()).scheme in STORAGE


def syncs(
    written: tuple[SyncTable, ...],
    *,
    sources: tuple[Source, ...],
    pixels: Mapping[str, Collection[str]],
) -> tuple[SyncSettings, ...]:
    """Check every sync against the sources and their events, and return the syncs."""
    return checked_tables("sync", written, _sync, sources=sources, pixels=pixels)


def _sync(table: SyncTable, place: str, errors: CollectedErrors) -> SyncSettings:
    for field in table.map:
        with errors.collect():
            if field not in NAMES:
                known = toml.nearest(field, NAMES)
                raise SettingsError(
                    f"{place}.map", f"{field!r} is not a field of a conversion. {known}"
                )
    for key in ("query", "cursor", "key", "write_back"):
        with errors.collect():
            _require_for_kind(table, key, place)
    errors.raise_any()
    return SyncSettings(
        name=table.name,
        source=table.source,
        secret_url=table.url,
        query=table.query or "",
        cursor=table.cursor or "",
        key=table.key or "",
        interval=table.interval,
        look_back=table.look_back,
        history=table.history,
        older=table.older,
        rows=RowOptions(
            event=table.event,
            currency=table.currency,
            decimal=table.decimal,
            zone=table.timezone,
        ),
        map=table.map,
        write_back=table.write_back,
    )


def _require_for_kind(table: SyncTable, key: str, place: str) -> None:
    """Require a query for a database, and none for objects."""
    is_given = getattr(table, key) is not None
    if not table.url.reveal():
        return  # it cannot be read here
    if is_storage_url(table.url):
        if is_given:
            raise SettingsError(f"{place}.{key}", "is for databases, and url names objects")
    elif not is_given and key != "write_back":
        raise SettingsError(
            f"{place}.{key}", "is missing: a database needs a query with a cursor and a key"
        )
