"""Compare the settings in use with those of the file: what a reload changes, and what it cannot."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeVar

import msgspec

from twite.config.settings import Settings
from twite.config.store_url import StoreUrl
from twite.config.values import HostPort
from twite.domain.destination import (
    Destination,
    MissingCredentials,
    OAuthKeys,
    PixelToken,
    Source,
)
from twite.gateway.alerts.notifier import Webhook

# Tables of the file that a gateway reads only when it starts.
_AT_START: Final = ("server", "store", "x", "google", "alerts", "console", "log")
# If one of these changes, the credentials of the file belong to another X.
_OTHER_X: Final = frozenset({"x.emulator", "x.api_url", "x.oauth_url"})
# Attributes whose key in the file has another name.
_KEYS: Final[Mapping[str, str]] = {
    "server.secret_key_file": "server.secret_key",
    "google.key": "google.credentials",
    "google.is_machine": "google.credentials",
}
_PIXEL_KEYS: Final[Mapping[str, str]] = {
    "credentials": "auth",
    "fallback": "auth",
    "is_cautious": "on_ambiguous",
}
_CONSENT: Final = "consent"
# Structs that are the value of one key, and a struct whose fields are keys of the table around it.
_VALUES: Final = (HostPort, StoreUrl, Webhook, PixelToken, OAuthKeys, MissingCredentials)
_INLINE: Final = frozenset({"thresholds"})
ItemT = TypeVar("ItemT", Destination, Source)


class SettingsChange(msgspec.Struct, frozen=True, kw_only=True):
    """A table that a reload adds, changes or removes. `keys` are the changed keys of the table."""

    table: Literal["pixel", "source", "tag", "client"]
    name: str
    change: Literal["added", "changed", "removed"]
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        keys = f": {', '.join(self.keys)}" if self.keys else ""
        return f"{self.table} {self.name} {self.change}{keys}"


class SettingsDifference(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload changes, and the keys whose new values need a restart.

    With `is_other_x`, the file's credentials are for another X, so a reload changes nothing.
    """

    changes: tuple[SettingsChange, ...]
    restart: tuple[str, ...]
    is_other_x: bool = False


def difference(running: Settings, written: Settings) -> SettingsDifference:
    """Compare the settings in use with newly read ones."""
    restart = [
        key
        for table in _AT_START
        for key in _differing(getattr(running, table), getattr(written, table), table)
    ]
    if _tags_differ(running, written):
        restart += ["tag", "client", "container"]
    is_other_x = not _OTHER_X.isdisjoint(restart)
    if "x.emulator" in restart:  # it determines both URLs
        restart = [key for key in restart if key not in {"x.api_url", "x.oauth_url"}]
    reloaded = running if is_other_x else with_reloaded(running, written)
    return SettingsDifference(
        changes=tuple(_changes(running, reloaded)),
        restart=tuple(dict.fromkeys(restart)),
        is_other_x=is_other_x,
    )


def with_reloaded(running: Settings, written: Settings) -> Settings:
    """Return the settings in use with everything that a reload takes from newly read ones."""
    can_restrict = running.x.restricted_data_use == "conversion"
    return msgspec.structs.replace(
        running,
        pixels=tuple(
            msgspec.structs.replace(pixel, rate=running.x.rate) for pixel in written.pixels
        ),
        submitters=tuple(
            msgspec.structs.replace(
                source,
                consent=msgspec.structs.replace(source.consent, can_restrict=can_restrict),
            )
            for source in written.submitters
        ),
    )


def _changes(running: Settings, reloaded: Settings) -> Iterator[SettingsChange]:
    yield from _of_table(
        "pixel", running.pixels, reloaded.pixels, name=lambda pixel: pixel.pixel, keys=_pixel_keys
    )
    yield from _of_table(
        "source",
        running.submitters,
        reloaded.submitters,
        name=lambda source: source.name,
        keys=_source_keys,
    )


def _of_table(
    table: Literal["pixel", "source"],
    before: Sequence[ItemT],
    after: Sequence[ItemT],
    *,
    name: Callable[[ItemT], str],
    keys: Callable[[ItemT, ItemT], tuple[str, ...]],
) -> Iterator[SettingsChange]:
    """Yield the changes of one kind of table, in the order of the file."""
    old = {name(item): item for item in before}
    new = {name(item): item for item in after}
    for known in old.keys() - new.keys():
        yield SettingsChange(table=table, name=known, change="removed")
    for known, item in new.items():
        if known not in old:
            yield SettingsChange(table=table, name=known, change="added")
        elif item != old[known]:
            yield SettingsChange(
                table=table, name=known, change="changed", keys=keys(old[known], item)
            )


def _pixel_keys(before: Destination, after: Destination) -> tuple[str, ...]:
    found = (_PIXEL_KEYS.get(key, key) for key in _differing(before, after))
    return tuple(dict.fromkeys(found))


def _source_keys(before: Source, after: Source) -> tuple[str, ...]:
    keys = []
    for key in _differing(before, after):
        table, _, below = key.partition(".")
        if table != _CONSENT:
            keys.append(key)
        else:
            keys.append(_CONSENT if below == "required" else f"consent_policy.{below}")
    return tuple(keys)


def _tags_differ(running: Settings, written: Settings) -> bool:
    return any(
        getattr(running, part) != getattr(written, part)
        for part in ("tags", "clients", "container", "imported")
    )


def _differing(before: object, after: object, place: str = "") -> Iterator[str]:
    """Yield the keys whose values differ, such as `server.stape.identifier`.

    Two structs of one type differ in some of their fields; any other values differ as a whole.
    """
    if before == after:
        return
    is_table = isinstance(before, msgspec.Struct) and not isinstance(before, _VALUES)
    if not is_table or type(before) is not type(after):
        yield _KEYS.get(place, place)
        return
    for field in type(before).__struct_fields__:  # type: ignore[attr-defined]  # a struct
        below = place if field in _INLINE else f"{place}.{field}" if place else field
        yield from _differing(getattr(before, field), getattr(after, field), below)
