"""The doctor: is everything in place for conversions to reach X? It changes nothing."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from twite.assembly.doctor.alerts import alerts
from twite.assembly.doctor.configuration import configuration, pixels, sources
from twite.assembly.doctor.finding import Finding, Light, red
from twite.assembly.doctor.network import way_in, way_to_x
from twite.assembly.doctor.pages import pages
from twite.assembly.doctor.store import store
from twite.assembly.settings import load
from twite.domain.errors import SettingsError

__all__ = ["Finding", "Light", "examine"]


async def examine(path: Path, environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Yield findings as they are made.

    What does not depend on a missing credential is looked at all the same; after any other wrong
    setting there is nothing left to look at.
    """
    try:
        settings = load(path, environ)
        for finding in configuration(settings):
            yield finding
    except SettingsError as error:
        found, _, cure = str(error).partition(". ")
        cure = cure or "Mend it in the settings file"
        end = "" if cure.endswith("?") else "."
        yield red("settings", found, "The gateway would not start.", f"{cure}{end}")
        try:
            settings = load(path, environ, credentials=False)
        except SettingsError:
            return
    for part in (pixels, sources, pages):
        for finding in part(settings):
            yield finding
    for look in (alerts, store, way_to_x, way_in):
        async for finding in look(settings):
            yield finding
