"""`[[client]]`: client templates from the settings, and from a server container."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from twite.config.schema import ClientTable
from twite.config.templates import checked_template
from twite.domain.destination import Source
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.gateway.tags.clients.clients import TemplateClient
from twite.gtm.container.parts import Container
from twite.gtm.container.secrets import hidden as hidden_in
from twite.gtm.template.field_rules import remarks_on
from twite.gtm.template.fields import fill
from twite.gtm.template.template import TemplateKind


def clients(
    written: Iterable[ClientTable],
    *,
    folder: Path,
    sources: Sequence[Source],
    hidden: Iterable[str] = (),
) -> tuple[tuple[TemplateClient, ...], tuple[str, ...]]:
    """Return the clients of `twite.toml` and warnings. Raises SettingsError.

    `hidden` are values read from the environment or files.
    """
    secrets = tuple(Secret(text) for text in sorted(hidden))
    made: list[TemplateClient] = []
    warnings: list[str] = []
    for index, table in enumerate(written):
        place = f"client[{index}]"
        client, doubts = _client(table, place=place, folder=folder, sources=sources)
        if client.name in {other.name for other in made}:
            raise SettingsError(
                place=f"{place}.name",
                message=f"{client.name!r} is another client's name. Give this one its own",
            )
        made.append(msgspec.structs.replace(client, secrets=secrets))
        warnings += doubts
    return tuple(made), tuple(warnings)


def with_those_of(
    own: Sequence[TemplateClient],
    containers: Iterable[Container],
    *,
    source: str | None,
    sources: Sequence[Source],
    allow_hosts: frozenset[str] = frozenset(),
) -> tuple[TemplateClient, ...]:
    """Add the clients of containers; `source` is the source of their events.

    `allow_hosts` are hosts that they may reach in spite of private addresses.

    A container's clients without a template are Google's own, which our tag routes replace. Raises
    SettingsError.
    """
    found = list(own)
    for container in containers:
        secrets = tuple(Secret(text) for text in sorted(set(hidden_in(container))))
        for client in container.clients:
            if not client.template:
                continue
            if client.name in {other.name for other in found}:
                raise SettingsError(
                    place="client",
                    message="a [[client]] and one of the container are both called "
                    f"{client.name!r}. "
                    "Rename one",
                )
            found.append(
                TemplateClient(
                    name=client.name,
                    template=container.templates[client.template],
                    source=_source(source, sources, "container.client_source"),
                    fields=client.fields,
                    priority=client.priority,
                    container=container,
                    defaults=client.defaults,
                    secrets=secrets,
                    allow_hosts=allow_hosts,
                )
            )
    return tuple(found)


def _client(
    written: ClientTable, *, place: str, folder: Path, sources: Sequence[Source]
) -> tuple[TemplateClient, list[str]]:
    template = checked_template(folder / written.template)
    if template.kind is not TemplateKind.CLIENT:
        raise SettingsError(
            place=f"{place}.template",
            message=f"{written.template} is not a client template: its INFO says "
            f"{template.kind.value}. Only a CLIENT can claim a request",
        )
    doubts = []
    for remark in remarks_on(template.fields, written.fields):
        if not remark.doubt:
            raise SettingsError(place=f"{place}.fields.{remark.field}", message=remark.message)
        doubts.append(f"{place}.fields.{remark.field}: {remark.message}")
    client = TemplateClient(
        name=written.name or template.name or written.template,
        template=template,
        source=_source(written.source, sources, f"{place}.source"),
        fields=fill(template.fields, written.fields),
        priority=written.priority,
        allow_hosts=written.allow_hosts,
    )
    return client, doubts


def _source(name: str | None, sources: Sequence[Source], place: str) -> Source:
    """Return the source of the client's events: the one it names, or the only one."""
    if name is None:
        if len(sources) == 1:
            return sources[0]
        raise SettingsError(
            place=place,
            message="is missing: there is more than one source. Name the one whose events these "
            f"are: {', '.join(source.name for source in sources)}"
            if sources
            else "is missing, and there is no [[source]]. Add the one whose events these are",
        )
    found = next((source for source in sources if source.name == name), None)
    if found is None:
        raise SettingsError(place=place, message=f"{name!r} is not a source")
    return found
