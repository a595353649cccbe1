"""The doctor on tags: which there are, and what their templates cannot have here."""

from collections.abc import Iterator
from typing import Final

from twite.assembly.settings import Settings
from twite.gateway.findings import Finding, amber, green
from twite.gateway.tags.rule import Persons

_OF_GOOGLE: Final = ("getGoogleAuth", "BigQuery", "Firestore", "sendEventToGoogleAnalytics")


def tags(settings: Settings) -> Iterator[Finding]:
    """Look at each tag of the settings; that its template and fields fit was looked at before."""
    if settings.tags is None:
        return
    container = settings.tags.container
    for tag in container.tags:
        rule = settings.tags.rules[tag.name]
        sources = ", ".join(sorted(rule.sources)) if rule.sources is not None else "all sources"
        persons = "hashed" if rule.persons is Persons.HASHED else "sealed"
        repeat = rule.repeat.value.replace("_", " ")
        yield green("tags", f"{tag.name}: {tag.template}, {sources}, persons {persons}, {repeat}")
        code = container.templates[tag.template].code.text
        wanted = [name for name in _OF_GOOGLE if f"'{name}'" in code or f'"{name}"' in code]
        if wanted:
            yield amber(
                "tags",
                f"{tag.name}: {tag.template} calls {', '.join(wanted)}",
                "Google's services are not configured here: the template is told that it failed.",
                "Use it only where it can do without.",
            )
