"""The checks that a feature adds to `twite check`: see `twite.features`."""

from collections.abc import AsyncIterator, Callable, Iterator

import msgspec

from twite.config.settings import Settings
from twite.gateway.ports.findings import CheckFinding

SettingsCheck = Callable[[Settings], Iterator[CheckFinding]]
Check = Callable[[Settings], AsyncIterator[CheckFinding]]


class FeatureChecks(msgspec.Struct, frozen=True, kw_only=True):
    """The checks of a feature: those that read only the settings, and the others.

    `probes` write a temporary file, or send requests.
    """

    of_settings: tuple[SettingsCheck, ...]
    others: tuple[Check, ...]
    probes: tuple[Check, ...]
