"""Diagnostics of tags: list them, and report what their templates cannot do here."""

from collections.abc import Iterator
from typing import Final

from twite.config.settings import Settings
from twite.diagnostics.hashed_persons import sent_otherwise
from twite.gateway.ports.findings import CheckFinding, amber, green
from twite.gateway.ports.tags import PersonHandling
from twite.gateway.tags.run.readable_request import readable
from twite.gtm.container.parts import Container, ContainerTag

_PERSONS: Final = 'persons = "sealed"'


def tags(settings: Settings) -> Iterator[CheckFinding]:
    """Check each tag of the settings; template and fields were checked before."""
    if settings.tags is None:
        return
    container = settings.tags.container
    for tag in container.tags:
        rule = settings.tags.rules[tag.name]
        sources = ", ".join(sorted(rule.sources)) if rule.sources is not None else "all sources"
        persons = "hashed" if rule.persons is PersonHandling.HASHED else "sealed"
        repeat = rule.repeat.value.replace("_", " ")
        yield green("tags", f"{tag.name}: {tag.template}, {sources}, persons {persons}, {repeat}")
        if rule.persons is PersonHandling.HASHED:
            setting = f"{_PERSONS} in its [[tag]]"
            yield from read_in_clear(container, tag, setting=setting)
            yield from sent_otherwise(container, tag, setting=setting)


def read_in_clear(
    container: Container, tag: ContainerTag, *, setting: str
) -> Iterator[CheckFinding]:
    """Report what a tag with hashed data may read under no name: that data is not stored for it."""
    unnamed = readable(container, tag).unnamed
    if unnamed:
        any_of = " and any ".join(kind.removesuffix("s") for kind in unnamed)
        yield amber(
            "tags",
            f"{tag.name}: it may read any {any_of}, and persons are hashed",
            (
                "Its queued events are unencrypted, so cookies and headers that no permission "
                "names are not stored, and the template does not get them."
            ),
            "Name in the template's permissions what it reads; or, for all of it to wait "
            f"encrypted, set {setting}.",
        )
