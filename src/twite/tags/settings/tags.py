"""`[[tag]]` and the tags of `[container]`: build container configurations."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from twite.config import toml, values
from twite.config.collected_errors import CollectedErrors, combined
from twite.consent.google import DECIDING, OTHERS
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.gateway.ports.secret_store import SecretStore
from twite.tags.container import parts
from twite.tags.container.secrets import hidden
from twite.tags.engines.process.code_check import CodeCheck
from twite.tags.json_tree import Tree
from twite.tags.ports.tags import ContainerConfig, ImportedContainer, PersonHandling, TagRule
from twite.tags.settings.containers import (
    load_container,
    plaintext_secrets,
    sealed_secrets,
    secrets_in_fields,
    with_secrets,
)
from twite.tags.settings.tables import ContainerTable, TagTable
from twite.tags.settings.templates import checked_template, load_template
from twite.tags.template.field_rules import remarks_on
from twite.tags.template.fields import flat
from twite.tags.template.template import Template, TemplateKind
from twite.tags.template.texts import names_in

_SIGNALS: Final = (*DECIDING, *OTHERS)
_EVENT: Final = "{{" + parts.EVENT + "}}"


def container_config(
    written: tuple[TagTable, ...],
    *,
    folder: Path,
    sources: Sequence[str],
    hidden: Iterable[str] = (),
    whole: bool = True,
) -> tuple[ContainerConfig | None, tuple[str, ...]]:
    """Return the tags of `twite.toml`, and warnings; None if there are no tags.

    `hidden` contains values read from the environment or files. Without `whole`, secrets may be
    empty, and neither code nor fields are checked. Raises SettingsError.
    """
    if not written:
        return None, ()
    wrong = CollectedErrors()
    with wrong.collect():
        values.differ([table.name for table in written], "tag[{}].name", "tag")
    secrets = tuple(Secret(text) for text in sorted(hidden))
    in_fields = secrets_in_fields(secrets, [table.fields for table in written])
    written_out: list[Secret] = []
    warnings: list[str] = []
    templates: dict[str, Template] = {}
    triggers: list[parts.ContainerTrigger] = []
    tags: list[parts.ContainerTag] = []
    rules: dict[str, TagRule] = {}
    with CodeCheck() as code_check:
        for index, table in enumerate(written):
            if table.template not in templates:
                with wrong.collect():
                    templates[table.template] = _template(
                        folder / table.template,
                        f"tag[{index}].template",
                        code_check if whole else None,
                    )
    for index, table in enumerate(written):
        place = f"tag[{index}]"
        if table.template in templates:
            template, here = templates[table.template], f"{place}.fields"
            if whole:
                with wrong.collect():
                    warnings += _fitting(template, table.fields, here)
            found, clear = plaintext_secrets(template, table.fields, here, hidden=hidden)
            written_out += found
            warnings += clear
        own = tuple(_triggers(table))
        triggers += own
        with wrong.collect():
            tags.append(
                parts.ContainerTag(
                    name=table.name,
                    template=table.template,
                    triggers=tuple(trigger.name for trigger in own),
                    fields=table.fields,
                    consent=tuple(_signal(name, f"{place}.consent") for name in table.consent),
                )
            )
        with wrong.collect():
            rules[table.name] = msgspec.structs.replace(
                _rule(table, place, sources),
                name=table.name,
                rate=table.rate,
            )
    wrong.raise_any()
    rules = {
        name: msgspec.structs.replace(
            rule, secrets=(*secrets, *written_out), field_secrets=(*in_fields, *written_out)
        )
        for name, rule in rules.items()
    }
    container = parts.Container(
        name="twite.toml",
        tags=tuple(tags),
        triggers=tuple(triggers),
        variables=tuple(_variables(tags, triggers)),
        templates=templates,
    )
    return ContainerConfig(container=container, rules=rules), tuple(warnings)


def imported(
    table: ContainerTable, *, folder: Path, sources: Sequence[str]
) -> ImportedContainer | None:
    """Return the settings of the container; None without a container."""
    if table.file is None:
        return None
    return ImportedContainer(
        path=folder / table.file,
        rule=_rule(table, "container", sources),
        client_source=table.client_source,
    )


async def company_of(
    imported: ImportedContainer,
    *,
    environ: Mapping[str, str],
    secret_store: SecretStore | None,
    taken: Iterable[str] = (),
) -> ContainerConfig:
    """Return a container's tags with its secrets. `taken` contains the names of other tags.

    Raises SettingsError, NotOpened.
    """
    closed = load_container(imported.path)
    sealed = await sealed_secrets(secret_store)
    container = with_secrets(closed, path=imported.path, environ=environ, sealed=sealed)
    secrets = tuple(Secret(text) for text in sorted(set(hidden(container))))
    both = {tag.name for tag in container.tags} & set(taken)
    if both:
        raise SettingsError(
            str(imported.path),
            f"a [[tag]] and a tag of the container are both named {min(both)!r}. "
            "Rename one of them: each name is a destination",
        )
    rules = {
        tag.name: msgspec.structs.replace(
            imported.rule, name=tag.name, secrets=secrets, field_secrets=secrets
        )
        for tag in container.tags
        if tag.triggers
    }
    return ContainerConfig(container=container, rules=rules)


def _template(path: Path, place: str, code_check: CodeCheck | None) -> Template:
    template = load_template(path) if code_check is None else checked_template(path, code_check)
    if template.kind is not TemplateKind.TAG:
        raise SettingsError(
            place,
            f"{path.name} is not a tag template: its INFO section has the type "
            f"{template.kind.value}. Only TAG templates can receive events",
        )
    return template


def _fitting(template: Template, given: Mapping[str, Tree], place: str) -> list[str]:
    """Return warnings about fields that the template may not accept. Raises SettingsError."""
    known = sorted({field.name for field in flat(template.fields)})
    warnings: list[str] = []
    wrong: list[SettingsError] = []
    for remark in remarks_on(template.fields, given):
        where = f"{place}.{remark.field}: {remark.message}"
        if remark.field not in known:
            hint = toml.nearest(remark.field, known, none="The template has no fields")
            warnings.append(f"{where}. {hint}")
        elif remark.doubt:
            warnings.append(
                f"{where}. Ignore this if a variable sets the field; otherwise correct the value"
            )
        else:
            message = f"{remark.message}. {template.name or 'The template'} requires it"
            wrong.append(SettingsError(f"{place}.{remark.field}", message))
    if wrong:
        raise combined(wrong)
    return warnings


def _triggers(tag: TagTable) -> Iterator[parts.ContainerTrigger]:
    """Yield a trigger for each event; any of them fires the tag, if all conditions hold."""
    when = tuple(
        parts.Condition(
            left="{{" + condition.field + "}}",
            operator=condition.operator,
            right=condition.value,
            negate=condition.negate,
            ignore_case=condition.ignore_case,
        )
        for condition in tag.when
    )
    if not tag.events:
        yield parts.ContainerTrigger(name=f"{tag.name}: any event", when=when)
    for name in tag.events:
        named = parts.Condition(left=_EVENT, operator=parts.Operator.EQUALS, right=name)
        yield parts.ContainerTrigger(name=f"{tag.name}: event is {name}", when=(named, *when))


def _variables(
    tags: Iterable[parts.ContainerTag], triggers: Iterable[parts.ContainerTrigger]
) -> Iterator[parts.Variable]:
    """Yield a variable for each name in fields and conditions: a path in the event data."""
    names = {name for tag in tags for name in names_in(dict(tag.fields))}
    names |= {name for trigger in triggers for cond in trigger.when for name in names_in(cond.left)}
    for name in sorted(names - {parts.EVENT}):
        yield parts.Variable(name=name, type=parts.VariableSource.EVENT_DATA, key=name)


def _rule(written: TagTable | ContainerTable, place: str, sources: Sequence[str]) -> TagRule:
    for index, name in enumerate(written.sources):
        if name not in sources:
            known = toml.nearest(name, sources, none="There is no [[source]] yet. Add one")
            raise SettingsError(f"{place}.sources[{index}]", f"{name!r} is not a source. {known}")
    return TagRule(
        name="",
        sources=frozenset(written.sources) if written.sources else None,
        repeat=written.repeat,
        persons=written.persons or PersonHandling.HASHED,
        timeout=written.timeout,
        in_flight=written.in_flight,
        allow_hosts=written.allow_hosts,
        redirect=written.redirect,
    )


def _signal(name: str, place: str) -> str:
    if name in _SIGNALS:
        return name
    raise SettingsError(place, f"{name!r} is not a consent signal. {toml.nearest(name, _SIGNALS)}")
