"""Tables of `twite.toml` that features add, and the settings made of them: see `twite.features`."""

from collections.abc import Callable, Mapping
from typing import Any, Self

import msgspec

from twite.config.toml import Reader
from twite.domain.destination import Source


class FeatureSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a feature. `warnings` are sentences for the operator."""

    warnings: tuple[str, ...] = ()

    def destinations(self) -> tuple[str, ...]:
        """Return the feature's own destinations, each named like a pixel."""
        return ()

    def may_have(self, pixel: str) -> bool:
        """Return whether the feature may have a destination that `destinations` does not list."""
        del pixel
        return False

    def is_cautious(self, pixel: str) -> bool:
        """Return whether ambiguous deliveries of one of the feature's destinations are held."""
        del pixel
        return False

    def at_start(self) -> Mapping[str, object]:
        """Return the values that a gateway reads only when it starts, by key."""
        return {}

    def items(self) -> Mapping[str, Mapping[str, object]]:
        """Return the items that a reload adds, changes or removes, by table and name."""
        return {}

    def reloaded(self, written: Self) -> Self:
        """Return these settings with everything that a reload takes from newly read ones."""
        return written


class SettingsBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What a feature needs to read its tables.

    `names` are the names of all sources; `sources` is None if there are errors in them. `has_key`
    is whether personal data can be stored encrypted.
    """

    reader: Reader
    names: tuple[str, ...]
    sources: tuple[Source, ...] | None
    has_key: bool


class FeatureTables(msgspec.Struct, frozen=True, kw_only=True):
    """Tables that a feature adds. The fields of `tables` are settings, as in `SettingsFile`.

    `read` makes the settings of the written tables. It raises SettingsError. `before` has the table
    of the gateway that follows an added one; the others come last. `twite init` writes the headings
    of `commented` as comments.
    """

    tables: type[msgspec.Struct]
    read: Callable[[Any, SettingsBasis], FeatureSettings]
    before: Mapping[str, str] = {}
    commented: frozenset[str] = frozenset()
