"""Diagnostics of the server container: its file, its templates' code, its secrets."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Final

from twite.app.compare import sealed_of
from twite.config.containers import load_container, with_secrets
from twite.config.settings import Settings
from twite.config.templates import engine_of, placed
from twite.diagnostics.google import without_google
from twite.diagnostics.hashed_persons import sent_otherwise
from twite.diagnostics.tags import read_in_clear
from twite.domain.errors import NotOpened, SettingsError
from twite.gateway.ports.findings import CheckFinding, amber, green, red
from twite.gateway.ports.tags import PersonHandling
from twite.gtm.container.parts import Container
from twite.gtm.container.secrets import places
from twite.gtm.template.template import Template, TemplateUnusable

_STOPS: Final = "The gateway would not start."
_SEALED: Final = 'container.persons = "sealed"'


async def container(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Check the container that the settings name, if any."""
    path = settings.container
    if path is None:
        return
    try:
        found = load_container(path)
        _try_out(path, found.templates)
        kept = list(places(found))
        sealed = await sealed_of(settings)
        opened = with_secrets(found, path=path, environ=os.environ, sealed=sealed)
    except SettingsError as error:
        problem, _, cure = str(error).partition(". ")
        yield red("container", problem, _STOPS, f"{cure or 'Fix it there'}.")
        return
    except NotOpened as error:
        yield red("container", "a secret cannot be opened", _STOPS, f"{error}.")
        return
    paused = [tag.name for tag in found.tags if tag.paused]
    summary = f"{len(found.tags) - len(paused)} tags can fire, {len(kept)} secrets are there"
    yield green("container", f"{path.name}: {summary}")
    if paused:
        yield amber(
            "container",
            f"paused: {', '.join(paused)}",
            "Paused tags do not fire.",
            f"Where that is not meant, take paused = true away in {path.name}.",
        )
    used = {tag.template for tag in found.tags} | {client.template for client in found.clients}
    for name in sorted(used - {""}):
        for finding in without_google(settings, f"the template {name}", found.templates[name]):
            yield finding
    if settings.imported is not None and settings.imported.rule.persons is PersonHandling.HASHED:
        for finding in _hashed(opened):
            yield finding


def _hashed(opened: Container) -> Iterator[CheckFinding]:
    for tag in opened.tags:
        yield from read_in_clear(opened, tag, setting=_SEALED)
        if tag.triggers and not tag.paused:
            yield from sent_otherwise(opened, tag, setting=_SEALED)


def _try_out(path: Path, templates: Mapping[str, Template]) -> None:
    for name, template in templates.items():
        try:
            engine_of(template)
        except TemplateUnusable as error:
            raise placed(Path(f"{path}: template {name!r}"), error) from None
