"""`twite check`: diagnostics of settings, store, network and X. They change nothing."""

from collections.abc import AsyncIterator, Iterable, Mapping
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
from twite.diagnostics.feature_checks import Check, FeatureChecks
from twite.diagnostics.network import OF_X, network
from twite.diagnostics.results import live_results, results
from twite.diagnostics.site import site
from twite.diagnostics.site_visit import SiteTest
from twite.diagnostics.store import alerts, store
from twite.diagnostics.syncs import syncs
from twite.diagnostics.traces import traces
from twite.diagnostics.webhooks import webhook_ids, webhook_messages, webhooks
from twite.domain.errors import SettingsError
from twite.features import contributed
from twite.gateway.ports.findings import CheckFinding, CheckStatus, failed

__all__ = ["CheckFinding", "CheckStatus", "SiteTest", "TestConversion", "examine", "examine_site"]

# The checks, in the order of the report. These read the settings alone; those of features follow.
SETTINGS_CHECKS: Final = (pixels, sources, webhooks)
# These also read files, the store and the network, after those of features.
CHECKS: Final = (
    alerts,
    store,
    source_keys,
    webhook_messages,
    webhook_ids,
    syncs,
    results,
    exports,
    key,
    traces,
    network,
)


async def examine(
    path: Path,
    environ: Mapping[str, str],
    *,
    test: TestConversion | None = None,
    is_live: bool = False,
) -> AsyncIterator[CheckFinding]:
    """Yield findings one by one. `test` is the conversion to send to X.

    With `is_live`, X is asked for one day of results.

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
    added = list(contributed("checks", FeatureChecks))
    of_settings = [check for feature in added for check in feature.of_settings]
    for part in (*SETTINGS_CHECKS, *of_settings, pages):
        for finding in part(settings):
            yield finding
    others = [check for feature in added for check in feature.others]
    async for finding in _looked(settings, (*others, *CHECKS)):
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


async def _looked(settings: Settings, checks: Iterable[Check]) -> AsyncIterator[CheckFinding]:
    reached = True
    for look in checks:
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
