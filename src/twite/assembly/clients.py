"""Client templates: from the settings, and from a server container."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from twite.assembly import shape, values
from twite.assembly.tags import checked_template
from twite.domain.destination import Source
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.gateway.clients import Client
from twite.sgtm.container.parts import Container
from twite.sgtm.container.secrets import hidden as hidden_in
from twite.sgtm.field_rules import remarks_on
from twite.sgtm.fields import fill
from twite.sgtm.template import Kind


def clients(
    written: Iterable[shape.Client],
    *,
    folder: Path,
    sources: Sequence[Source],
    hidden: Iterable[str] = (),
) -> tuple[tuple[Client, ...], tuple[str, ...]]:
    """Return the clients of `twite.toml` and warnings. Raises SettingsError.

    `hidden` are texts that were read from elsewhere.
    """
    secrets = tuple(Secret(text) for text in sorted(hidden))
    made: list[Client] = []
    warnings: list[str] = []
    for index, one in enumerate(written):
        place = f"client[{index}]"
        client, doubts = _client(one, place=place, folder=folder, sources=sources)
        if client.name in {other.name for other in made}:
            raise SettingsError(
                place=f"{place}.name",
                message=f"{client.name!r} is another client's name. Give this one its own",
            )
        made.append(msgspec.structs.replace(client, secrets=secrets))
        warnings += doubts
    return tuple(made), tuple(warnings)


def with_those_of(
    own: Sequence[Client],
    containers: Iterable[Container],
    *,
    source: str | None,
    sources: Sequence[Source],
    allow_hosts: frozenset[str] = frozenset(),
) -> tuple[Client, ...]:
    """Return the clients with those of containers; `source` is whose the events of these are.

    `allow_hosts` are hosts that these may reach though they have private addresses.

    Clients of a container without a template are Google's own, in whose place our doors stand.
    Raises SettingsError.
    """
    found = list(own)
    for container in containers:
        secrets = tuple(Secret(text) for text in sorted(set(hidden_in(container))))
        for one in container.clients:
            if not one.template:
                continue
            if one.name in {other.name for other in found}:
                raise SettingsError(
                    place="client",
                    message=f"a [[client]] and one of the container are both called {one.name!r}. "
                    "Rename one",
                )
            found.append(
                Client(
                    name=one.name,
                    template=container.templates[one.template],
                    source=_source(source, sources, "container.client_source"),
                    fields=one.fields,
                    priority=one.priority,
                    container=container,
                    defaults=one.defaults,
                    secrets=secrets,
                    allow_hosts=allow_hosts,
                )
            )
    return tuple(found)


def _client(
    written: shape.Client, *, place: str, folder: Path, sources: Sequence[Source]
) -> tuple[Client, list[str]]:
    template = checked_template(folder / written.template)
    if template.kind is not Kind.CLIENT:
        raise SettingsError(
            place=f"{place}.template",
            message=f"{written.template} is no client template: its INFO says "
            f"{template.kind.value}. Only a CLIENT can claim a request",
        )
    doubts = []
    for remark in remarks_on(template.fields, written.fields):
        if not remark.doubt:
            raise SettingsError(place=f"{place}.fields.{remark.field}", message=remark.message)
        doubts.append(f"{place}.fields.{remark.field}: {remark.message}")
    client = Client(
        name=written.name or template.name or written.template,
        template=template,
        source=_source(written.source, sources, f"{place}.source"),
        fields=fill(template.fields, written.fields),
        priority=written.priority,
        allow_hosts=values.hosts(written.allow_hosts),
    )
    return client, doubts


def _source(name: str | None, sources: Sequence[Source], place: str) -> Source:
    """Return whose the client's events are: the one that is named, or the only one."""
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
        raise SettingsError(place=place, message=f"{name!r} is no source")
    return found
