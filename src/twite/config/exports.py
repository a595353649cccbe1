"""`[[export]]`: where the gateway writes conversions with their states, on a schedule."""

import re
from typing import Final
from urllib.parse import urlsplit

import msgspec

from twite.config import values
from twite.config.collected_errors import CollectedErrors
from twite.config.kinds import REQUIRED, Text, TimeWithZone, duration, setting
from twite.config.syncs import STORAGE, LocationUrl, is_storage_url, table_name
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.domain.times import DAY, MINUTE, SECOND

DEFAULT_TABLE: Final = "twite_conversions"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_POSTGRES: Final = frozenset({"postgresql", "postgres"})
_TARGETS: Final = (
    "Write postgresql://USER@HOST/DATABASE, or a prefix such as s3://BUCKET/twite/ that ends in /"
)


def _name(text: str, place: str) -> str:
    if not _NAME.fullmatch(values.name(text, place, "an export")):
        raise SettingsError(
            place,
            f"{text!r} cannot be the name of an export. Write letters, digits, hyphens, dots and "
            "underscores",
        )
    return text


class ExportTargetTable(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[[export]]`."""

    name: str = setting(REQUIRED, "name of the export, for `twite export NAME`", Text(_name))
    to: Secret = setting(
        REQUIRED,
        "the URL of a PostgreSQL database, or a prefix of objects: `s3://`, `gs://`, `az://`",
        LocationUrl(),
        example="env:WAREHOUSE_URL",
    )
    table: str = setting(DEFAULT_TABLE, "the table in the database", Text(table_name))
    interval: int = setting(
        "15m", "how often Twite exports what has changed", duration(10 * SECOND, 7 * DAY)
    )
    since: int | None = setting(
        None,
        "the first conversions, by the time of receipt; all without it",
        TimeWithZone(),
        example="2026-11-01T00:00:00Z",
    )


class ExportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A checked `[[export]]`. Times are in milliseconds."""

    name: str
    secret_url: Secret
    table: str = DEFAULT_TABLE
    interval: int = 15 * MINUTE
    since: int = 0

    @property
    def is_storage(self) -> bool:
        return is_storage_url(self.secret_url)


def exports(written: tuple[ExportTargetTable, ...]) -> tuple[ExportSettings, ...]:
    """Check every export, and return the exports."""
    wrong = CollectedErrors()
    for index, each in enumerate(written):
        with wrong.collect():
            require_target(each.to, f"export[{index}].to")
    with wrong.collect():
        values.differ([each.name for each in written], "export[{}].name", "export")
    with wrong.collect():
        _require_own_prefixes(written)
    wrong.raise_any()
    return tuple(
        ExportSettings(
            name=each.name,
            secret_url=each.to,
            table=each.table,
            interval=each.interval,
            since=each.since or 0,
        )
        for each in written
    )


def _require_own_prefixes(written: tuple[ExportTargetTable, ...]) -> None:
    """Refuse two exports to one prefix: each would overwrite the other's position."""
    names: dict[tuple[str, str, str], str] = {}
    for index, each in enumerate(written):
        parts = urlsplit(each.to.reveal())
        prefix = parts.scheme, parts.netloc, parts.path
        if parts.scheme in STORAGE and names.setdefault(prefix, each.name) != each.name:
            raise SettingsError(
                f"export[{index}].to",
                f"is also the prefix of the export {names[prefix]!r}. Give each its own",
            )


def require_target(secret_url: Secret, place: str) -> None:
    """Raise SettingsError for the URL of anything else than a database or a prefix."""
    text = secret_url.reveal()
    if not text:
        return  # it cannot be read here
    parts = urlsplit(text)
    if parts.scheme in _POSTGRES:
        return
    if parts.scheme not in STORAGE:
        raise SettingsError(place, f"is not the URL of a target. {_TARGETS}")
    if not parts.netloc or not parts.path.endswith("/"):
        raise SettingsError(place, f"does not name a prefix of objects. {_TARGETS}")
