"""Load a server container with its templates and secrets, and the `[[client]]` templates."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from twite.config.collected_errors import CollectedErrors, combined
from twite.config.secret_key import VARIABLE
from twite.config.toml import IN_CLEAR_TEXT, Reader
from twite.domain.destination import Source
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.gateway.ports.secret_store import CONTAINER, SecretStore
from twite.tags.container.faults import faults
from twite.tags.container.parts import Container, ContainerUnusable
from twite.tags.container.secrets import hidden as hidden_in
from twite.tags.container.secrets import opened
from twite.tags.engines.process.code_check import CodeCheck
from twite.tags.importer.plaintext_secrets import is_secret, suspected
from twite.tags.json_tree import Tree
from twite.tags.redaction.mask_line import texts_in
from twite.tags.redaction.secrets import masked
from twite.tags.settings.tables import ClientTable
from twite.tags.settings.templates import checked_template, load_template
from twite.tags.template.field_rules import remarks_on
from twite.tags.template.fields import fill, flat
from twite.tags.template.template import Template, TemplateKind
from twite.tags.template.texts import literals

if TYPE_CHECKING:
    from twite.tags.clients.conversation import TemplateClient
    from twite.tags.container.toml_file import TemplateFile

SEALED: Final = "sealed:"


def load_container(path: Path) -> Container:
    """Read a container and its templates, without secrets. Raises SettingsError."""
    container, _ = read_container(path)
    wrong = list(faults(container))
    if wrong:
        raise combined(_placed(path, each) for each in wrong)
    return container


def read_container(path: Path) -> "tuple[Container, tuple[TemplateFile, ...]]":
    """Read a container without checking whether its parts fit together. Raises SettingsError."""
    from twite.tags.container.toml_file import (  # noqa: PLC0415  # few gateways have a container
        container_of_toml,
    )

    try:
        container, files = container_of_toml(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(
            str(path),
            f"cannot be read ({error.strerror}). `twite import` creates the file; "
            "container.file in twite.toml gives its path",
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(str(path), "not UTF-8 text") from None
    except ContainerUnusable as error:
        raise _placed(path, error) from None
    templates = {file.name: load_template(path.parent / file.file) for file in files}
    if len(templates) != len(files):
        raise SettingsError(f"{path}: template", "two templates have the same name")
    return msgspec.structs.replace(container, templates=templates), files


async def sealed_secrets(secret_store: SecretStore | None) -> dict[str, str]:
    """Return the container's sealed secrets from the store, by name. Raises NotOpened."""
    held = [] if secret_store is None else await secret_store.all(CONTAINER)
    return {name: plain.decode() for name, plain in held}


def secret_reader(
    path: Path, environ: Mapping[str, str], sealed: Mapping[str, str]
) -> Callable[[str], str]:
    """Return a function that reads a secret of the container in `path`. It raises SettingsError."""
    reader = Reader(environ=environ, folder=path.parent)

    def secret_at(kept: str) -> str:
        if not kept.startswith(SEALED):
            if not kept.startswith(("env:", "file:")):
                raise SettingsError(
                    f"{path}: secrets",
                    'a secret must be a reference: "sealed:NAME", "env:NAME" or "file:PATH"',
                )
            return reader.elsewhere(kept, f"{path}: secrets")
        name = kept.removeprefix(SEALED)
        if name not in sealed:
            raise SettingsError(
                f"{path}: secrets",
                f"the store has no secret {name!r}. Run `twite import` (with the "
                f"same {VARIABLE} as here) to store it",
            )
        return sealed[name]

    return secret_at


def with_secrets(
    container: Container, *, path: Path, environ: Mapping[str, str], sealed: Mapping[str, str]
) -> Container:
    """Insert the container's secrets. Raises SettingsError if one is missing.

    A secret may refer to variables. If a variable is unknown, the error names the secret's place,
    and never shows the secret.
    """
    try:
        whole = opened(container, secret_reader(path, environ, sealed))
    except ContainerUnusable as error:
        raise _placed(path, error) from None
    wrong = next(faults(whole), None) if next(faults(container), None) is None else None
    if wrong is not None:
        raise SettingsError(
            f"{path}: {wrong.place}",
            "the inserted secret refers to an unknown variable, or is not a valid regular "
            "expression",
        )
    return whole


def _placed(path: Path, unusable: ContainerUnusable) -> SettingsError:
    place = f"{path}: {unusable.place}" if unusable.place else str(path)
    return SettingsError(place, unusable.message)


def clients(
    written: Iterable[ClientTable],
    *,
    folder: Path,
    sources: Sequence[Source],
    hidden: Iterable[str] = (),
) -> "tuple[tuple[TemplateClient, ...], tuple[str, ...]]":
    """Return the clients of `twite.toml` and warnings. Raises SettingsError.

    `hidden` contains values read from the environment or files.
    """
    secrets = tuple(Secret(text) for text in sorted(hidden))
    made: list[TemplateClient] = []
    warnings: list[str] = []
    wrong = CollectedErrors()
    with CodeCheck() as code_check:
        for index, table in enumerate(written):
            with wrong.collect():
                place = f"client[{index}]"
                template = checked_template(folder / table.template, code_check)
                client, doubts = _client(table, template, place=place, sources=sources)
                if client.name in {other.name for other in made}:
                    raise SettingsError(
                        f"{place}.name",
                        f"another client is already named {client.name!r}. Choose a different name",
                    )
                written_out, clear = plaintext_secrets(
                    template, table.fields, f"{place}.fields", hidden=hidden
                )
                in_fields = (*secrets_in_fields(secrets, [client.fields]), *written_out)
                made.append(
                    msgspec.structs.replace(
                        client, secrets=(*secrets, *written_out), field_secrets=in_fields
                    )
                )
                warnings += (*doubts, *clear)
    wrong.raise_any()
    return tuple(made), tuple(warnings)


def secrets_in_fields(
    secrets: Iterable[Secret], fields: Iterable[Mapping[str, Tree]]
) -> tuple[Secret, ...]:
    """Return the secrets that are values of the given fields, of tags or of a client."""
    texts = set(texts_in([dict(each) for each in fields]))
    return tuple(secret for secret in secrets if secret.reveal() in texts)


def plaintext_secrets(
    template: Template, fields: Mapping[str, Tree], place: str, *, hidden: Iterable[str]
) -> tuple[list[Secret], list[str]]:
    """Return the likely secrets that are written in fields, and a warning for each.

    The name of a field and the form of its value decide. `hidden` contains values read from the
    environment or files. Choices and defaults of the template are public.
    """
    forms = tuple(flat(template.fields))
    public = [field.default for field in forms]
    public += [choice.value for field in forms for choice in field.choices]
    known = {*hidden, *texts_in(public)}
    found: list[Secret] = []
    warnings: list[str] = []
    for path, text, is_suspect in suspected(fields, template.fields, frozenset()):
        if text in known or not is_secret(text, suspect=is_suspect):
            continue
        # Of a text with references to variables, what stands beside them.
        found += map(Secret, literals(text))
        warnings.append(f"{place}.{masked(path)}: {IN_CLEAR_TEXT}")
    return found, warnings


def with_those_of(
    own: "Sequence[TemplateClient]",
    containers: Iterable[Container],
    *,
    source: str | None,
    sources: Sequence[Source],
    allow_hosts: frozenset[str] = frozenset(),
) -> "tuple[TemplateClient, ...]":
    """Add the clients of containers; `source` is the source of their events.

    `allow_hosts` lists hosts that clients may reach even at private addresses. Clients without a
    template are Google's own: Twite's tag routes replace them. Raises SettingsError.
    """
    from twite.tags.clients.conversation import TemplateClient  # noqa: PLC0415  # see above

    found = list(own)
    for container in containers:
        secrets = tuple(Secret(text) for text in sorted(set(hidden_in(container))))
        for client in container.clients:
            if not client.template:
                continue
            if client.name in {other.name for other in found}:
                raise SettingsError(
                    "client",
                    "a [[client]] and a client of the container are both named "
                    f"{client.name!r}. Rename one of them",
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
                    field_secrets=secrets,
                    allow_hosts=allow_hosts,
                )
            )
    return tuple(found)


def _client(
    table: ClientTable, template: Template, *, place: str, sources: Sequence[Source]
) -> "tuple[TemplateClient, list[str]]":
    from twite.tags.clients.conversation import TemplateClient  # noqa: PLC0415  # see above

    if template.kind is not TemplateKind.CLIENT:
        raise SettingsError(
            f"{place}.template",
            f"{table.template} is not a client template: its INFO section has the "
            f"type {template.kind.value}. Only CLIENT templates can claim requests",
        )
    remarks = remarks_on(template.fields, table.fields)
    wrong = [
        SettingsError(f"{place}.fields.{remark.field}", remark.message)
        for remark in remarks
        if not remark.doubt
    ]
    if wrong:
        raise combined(wrong)
    doubts = [f"{place}.fields.{remark.field}: {remark.message}" for remark in remarks]
    client = TemplateClient(
        name=table.name or template.name or table.template,
        template=template,
        source=_source(table.source, sources, f"{place}.source"),
        fields=fill(template.fields, table.fields),
        priority=table.priority,
        allow_hosts=table.allow_hosts,
    )
    return client, doubts


def _source(name: str | None, sources: Sequence[Source], place: str) -> Source:
    """Return the source of the client's events: the one it names, or the only one."""
    if name is None:
        if len(sources) == 1:
            return sources[0]
        raise SettingsError(
            place,
            "is missing, and there is more than one source. Set it to the source "
            f"of these events, one of: {', '.join(source.name for source in sources)}"
            if sources
            else "is missing, and there is no [[source]]. Add the source of these events",
        )
    found = next((source for source in sources if source.name == name), None)
    if found is None:
        raise SettingsError(place, f"{name!r} is not a source")
    return found
