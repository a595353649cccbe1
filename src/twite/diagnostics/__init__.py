"""`twite check`: diagnostics of settings, store, network and X. They change nothing."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from twite.config.settings import Settings, load
from twite.config.toml import position
from twite.diagnostics.access import access
from twite.diagnostics.canary import TestConversion, canary
from twite.diagnostics.configuration import configuration, key, pixels, source_keys, sources
from twite.diagnostics.endpoint import pages, public_address
from twite.diagnostics.exports import exports
from twite.diagnostics.feature_checks import FeatureChecks
from twite.diagnostics.network import OF_X, network
from twite.diagnostics.results import live_results, results
from twite.diagnostics.site import site
from twite.diagnostics.site_visit import SiteTest
from twite.diagnostics.store import alerts, disk_speed, store
from twite.diagnostics.syncs import syncs
from twite.diagnostics.traces import traces
from twite.diagnostics.value_rules import value_rules
from twite.diagnostics.webhooks import webhook_ids, webhook_messages, webhooks
from twite.domain.errors import SettingsError
from twite.features import contributed
from twite.gateway.ports.findings import CheckFinding, CheckStatus, failed

__all__ = ["CheckFinding", "CheckStatus", "SiteTest", "TestConversion", "examine", "examine_site"]

# The checks, in the order of the report. These read the settings alone; those of features follow.
SETTINGS_CHECKS: Final = (pixels, sources, webhooks)
# These also read files and the store, after those of features.
CHECKS: Final = (
    alerts, store, source_keys, webhook_messages, webhook_ids, value_rules, results, key,
)  # fmt: skip
# These write a temporary file, or send requests, after those of features.
PROBES: Final = (disk_speed, syncs, exports, traces, network)


async def examine(
    path: Path,
    environ: Mapping[str, str],
    *,
    test: TestConversion | None = None,
    is_live: bool = False,
    is_offline: bool = False,
) -> AsyncIterator[CheckFinding]:
    """Yield findings one by one. `test` is the conversion to send to X.

    With `is_live`, X is asked for one day of results. With `is_offline`, only the settings, files
    and the store are read: nothing is written, and no request is sent.

    A missing credential skips only the checks that need it; any other wrong setting ends the run.
    """
    try:
        settings = load(path, environ)
        for finding in configuration(settings):
            yield finding
    except SettingsError as error:
        for each in error.each:
            yield _wrong(path, each)
        try:
            settings = load(path, environ, credentials=False)
        except SettingsError:
            return
    async for finding in _local(settings):
        yield finding
    if is_offline:
        return
    async for finding in _probed(settings):
        yield finding
    asked = [live_results(settings)] if is_live else []
    asked += [] if test is None else [canary(settings, test)]
    for run in asked:
        async for finding in run:
            yield finding


async def examine_site(
    path: Path, environ: Mapping[str, str], test: SiteTest, *, pixel: str | None = None
) -> AsyncIterator[CheckFinding]:
    """Yield findings about a page. Raises SettingsError for wrong settings."""
    async for finding in site(load(path, environ, credentials=False), test, pixel=pixel):
        yield finding


async def _local(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Yield the findings about the settings, files and the store."""
    added = list(contributed("checks", FeatureChecks))
    of_settings = [check for feature in added for check in feature.of_settings]
    for part in (*SETTINGS_CHECKS, *of_settings, pages):
        for finding in part(settings):
            yield finding
    others = [check for feature in added for check in feature.others]
    for check in (*others, *CHECKS):
        async for finding in check(settings):
            yield finding


async def _probed(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Yield the findings that need a temporary file or requests."""
    probes = [probe for each in contributed("checks", FeatureChecks) for probe in each.probes]
    reached = True
    for look in (*probes, *PROBES):
        async for finding in look(settings):
            has_failed = finding.status is CheckStatus.FAILED
            reached = reached and not (finding.topic in OF_X and has_failed)
            yield finding
    # Without a connection to X, credentials cannot be checked. The emulator needs no check.
    reached = reached and settings.x.emulator is None
    for look in (access, public_address) if reached else (public_address,):
        async for finding in look(settings):
            yield finding


def _wrong(path: Path, error: SettingsError) -> CheckFinding:
    found, _, fix = str(error).partition(". ")
    fix = fix or "Fix it in the settings file"
    end = "" if fix.endswith("?") else "."
    line, column = position(path, error.place) or (0, 0)
    where = f"{path}, line {line}, column {column}, " if line else ""
    finding = failed("settings", f"{where}{found}", "The gateway would not start.", f"{fix}{end}")
    return msgspec.structs.replace(finding, line=line, column=column)
