"""Compare the settings in use with those of the file: what a reload changes, and what it cannot."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeVar

import msgspec

from twite.config.exports import ExportSettings
from twite.config.settings import Settings
from twite.config.store_url import StoreUrl
from twite.config.syncs import SyncSettings
from twite.config.values import HostPort
from twite.domain.destination import (
    Destination,
    MissingCredentials,
    OAuthKeys,
    PixelToken,
    Source,
)
from twite.formats.value_rules import ValueRule
from twite.formats.webhook_kind import IncomingWebhook, WebhookKind
from twite.gateway.alerts.notifier import Webhook

# Tables of the file that a gateway reads only when it starts.
_AT_START: Final = ("server", "store", "x", "alerts", "console", "log", "traces", "results")
# If one of these changes, the credentials of the file belong to another X.
_OTHER_X: Final = frozenset({"x.emulator", "x.api_url", "x.oauth_url"})
# Attributes whose key in the file has another name.
_KEYS: Final[Mapping[str, str]] = {
    "server.secret_key_file": "server.secret_key",
    "secrets": "secret",
    "zone": "timezone",
    "secret_url": "url",
}
_PIXEL_KEYS: Final[Mapping[str, str]] = {
    "credentials": "auth",
    "fallback": "auth",
    "is_cautious": "on_ambiguous",
}
_CONSENT: Final = "consent"
# Structs that are the value of one key, and a struct whose fields are keys of the table around it.
_VALUES: Final = (
    HostPort, StoreUrl, Webhook, PixelToken, OAuthKeys, MissingCredentials, WebhookKind,
)  # fmt: skip
_INLINE: Final = frozenset({"thresholds", "options", "rows"})
ItemT = TypeVar("ItemT")


class SettingsChange(msgspec.Struct, frozen=True, kw_only=True):
    """A table that a reload adds, changes or removes. `keys` are the changed keys of the table."""

    table: str
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


def difference(running_settings: Settings, written_settings: Settings) -> SettingsDifference:
    """Compare the settings in use with newly read ones."""
    restart = [
        key
        for table in _AT_START
        for key in _differing(
            getattr(running_settings, table), getattr(written_settings, table), table
        )
    ]
    for before, after in zip(running_settings.features, written_settings.features, strict=True):
        values = after.at_start()
        restart += [key for key, value in before.at_start().items() if values[key] != value]
    is_other_x = not _OTHER_X.isdisjoint(restart)
    if "x.emulator" in restart:  # it determines both URLs
        restart = [key for key in restart if key not in {"x.api_url", "x.oauth_url"}]
    reloaded = running_settings if is_other_x else with_reloaded(running_settings, written_settings)
    return SettingsDifference(
        changes=tuple(_changes(running_settings, reloaded)),
        restart=tuple(dict.fromkeys(restart)),
        is_other_x=is_other_x,
    )


def with_reloaded(running_settings: Settings, written_settings: Settings) -> Settings:
    """Return the settings in use with everything that a reload takes from newly read ones."""
    can_restrict = running_settings.x.restricted_data_use == "conversion"
    return msgspec.structs.replace(
        running_settings,
        pixels=tuple(
            msgspec.structs.replace(pixel, rate=running_settings.x.rate)
            for pixel in written_settings.pixels
        ),
        submitters=tuple(
            msgspec.structs.replace(
                source,
                consent=msgspec.structs.replace(source.consent, can_restrict=can_restrict),
            )
            for source in written_settings.submitters
        ),
        webhooks=written_settings.webhooks,
        syncs=written_settings.syncs,
        value_rules=written_settings.value_rules,
        value_tables=written_settings.value_tables,
        exports=written_settings.exports,
        features=tuple(
            before.reloaded(after)
            for before, after in zip(
                running_settings.features, written_settings.features, strict=True
            )
        ),
    )


def _changes(running_settings: Settings, new_settings: Settings) -> Iterator[SettingsChange]:
    before, after = running_settings, new_settings
    yield from _of_table("pixel", _pixels(before), _pixels(after), keys=_pixel_keys)
    yield from _of_table("source", _sources(before), _sources(after), keys=_source_keys)
    yield from _of_table("webhook", _webhooks(before), _webhooks(after), keys=_webhook_keys)
    yield from _of_table("sync", _syncs(before), _syncs(after), keys=_sync_keys)
    yield from _of_table("value_rule", _rules(before), _rules(after), keys=_rule_keys)
    yield from _of_table("value_table", before.value_tables, after.value_tables)
    yield from _of_table("export", _exports(before), _exports(after), keys=_export_keys)
    for feature, written in zip(before.features, after.features, strict=True):
        changed = written.items()
        for table, items in feature.items().items():
            yield from _of_table(table, items, changed[table])


def _pixels(settings: Settings) -> dict[str, Destination]:
    return {pixel.pixel: pixel for pixel in settings.destinations()}


def _sources(settings: Settings) -> dict[str, Source]:
    return {source.name: source for source in settings.sources()}


def _webhooks(settings: Settings) -> dict[str, IncomingWebhook[Any]]:
    return {webhook.name: webhook for webhook in settings.webhooks}


def _syncs(settings: Settings) -> dict[str, SyncSettings]:
    return {sync.name: sync for sync in settings.syncs}


def _rules(settings: Settings) -> dict[str, ValueRule]:
    return {rule.name: rule for rule in settings.value_rules}


def _exports(settings: Settings) -> dict[str, ExportSettings]:
    return {export.name: export for export in settings.exports}


def _of_table(
    table: str,
    before: Mapping[str, ItemT],
    after: Mapping[str, ItemT],
    *,
    keys: Callable[[ItemT, ItemT], tuple[str, ...]] = lambda _before, _after: (),
) -> Iterator[SettingsChange]:
    """Yield the changes of one kind of table, in the order of the file."""
    for name in [name for name in before if name not in after]:
        yield SettingsChange(table=table, name=name, change="removed")
    for name, item in after.items():
        if name not in before:
            yield SettingsChange(table=table, name=name, change="added")
        elif item != before[name]:
            yield SettingsChange(
                table=table, name=name, change="changed", keys=keys(before[name], item)
            )


def _pixel_keys(old_destination: Destination, new_destination: Destination) -> tuple[str, ...]:
    found = (_PIXEL_KEYS.get(key, key) for key in _differing(old_destination, new_destination))
    return tuple(dict.fromkeys(found))


def _source_keys(old_source: Source, new_source: Source) -> tuple[str, ...]:
    keys = []
    for key in _differing(old_source, new_source):
        table, _, below = key.partition(".")
        if table != _CONSENT:
            keys.append(key)
        else:
            keys.append(_CONSENT if below == "required" else f"consent_policy.{below}")
    return tuple(keys)


def _webhook_keys(
    old_webhook: IncomingWebhook[Any], new_webhook: IncomingWebhook[Any]
) -> tuple[str, ...]:
    return tuple(_differing(old_webhook, new_webhook))


def _sync_keys(old_sync: SyncSettings, new_sync: SyncSettings) -> tuple[str, ...]:
    return tuple(_differing(old_sync, new_sync))


def _rule_keys(old_rule: ValueRule, new_rule: ValueRule) -> tuple[str, ...]:
    return tuple(_differing(old_rule, new_rule))


def _export_keys(old_export: ExportSettings, new_export: ExportSettings) -> tuple[str, ...]:
    keys = _differing(old_export, new_export)
    return tuple("to" if key == "url" else key for key in keys)


def _differing(before: object, after: object, place: str = "") -> Iterator[str]:
    """Yield the keys whose values differ, such as `log.level`.

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
