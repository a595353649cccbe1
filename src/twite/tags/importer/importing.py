"""Import an export: build the container, with a report line for every part.

A part that cannot run is left out, and so are the parts that need it, such as a tag that needs a
variable. If more data would be sent without the part (an exception, a transformation that removes
data), the affected tags are paused.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from twite.tags.container.faults import faults, names_in_conditions, needed_by
from twite.tags.container.parts import (
    ALL_EVENTS,
    EVENT,
    Container,
    ContainerClient,
    ContainerTrigger,
    ContainerUnusable,
    Transformation,
    Variable,
)
from twite.tags.importer import simple_parts
from twite.tags.importer.coverage import ALL_EVENTS_ID, BUILT_INS, Support
from twite.tags.importer.plaintext_secrets import PlaintextSecret, left_in_plain_text
from twite.tags.importer.reading import (
    Export,
    ExportPart,
    LeftOut,
    lacks_variable,
    refuse_unknown,
    spelled,
)
from twite.tags.importer.report import ImportReport, ReportLine, lines_of_the_rest
from twite.tags.importer.secrets_out import ExtractedSecrets, without_secrets
from twite.tags.importer.tags import ImportContext, ImportedTag, read_tags, reported_tags
from twite.tags.importer.templates import AskingVariables, ExportTemplates
from twite.tags.importer.transformations import concerned, transformation
from twite.tags.template.template import Template, TemplateKind
from twite.tags.template.texts import DEEPEST, names_in


class ImportResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an import. `texts` contains the templates as exported, by name."""

    container: Container
    texts: Mapping[str, str]
    lines: tuple[ReportLine, ...]
    secrets: tuple[ExtractedSecrets, ...]
    in_plain_text: tuple[PlaintextSecret, ...] = ()

    @property
    def is_whole(self) -> bool:
        return all(line.fit not in {Support.PAUSED, Support.LEFT_OUT} for line in self.lines)


def imported(
    export: Export,
    *,
    named: frozenset[str] = frozenset(),
    place_of: Callable[[str], str],
    try_out: Callable[[Template], object] = str,
) -> ImportResult:
    """Import an export.

    `named` contains names of secrets; `place_of` returns a secret's storage place. `try_out` raises
    TemplateUnusable for a template whose code cannot run. Raises ContainerUnusable if the export is
    invalid.
    """
    return _Import(export, try_out).whole(named, place_of)


class _Import:
    def __init__(self, export: Export, try_out: Callable[[Template], object]) -> None:
        self._export = export
        self._report = ImportReport()
        # The names of Twite's built-in parts are taken.
        self._names: dict[str, set[str]] = {"trigger": {ALL_EVENTS}, "variable": {EVENT}}
        self._templates = ExportTemplates(export, try_out)

    def whole(self, named: frozenset[str], place_of: Callable[[str], str]) -> ImportResult:
        self._templates.read(self._report, self._name)
        variables = self._read_variables()
        known = frozenset({EVENT, *variables})
        asking = AskingVariables(variables, self._templates.by_name)
        triggers, missing_triggers = self._read_triggers(known, asking)
        here = ImportContext(
            variables=known,
            triggers=triggers,
            missing_triggers=missing_triggers,
            template_of=self._templates.named_by,
        )
        pieces = [
            (self._name("tag", piece.text("name") or "tag"), piece)
            for piece in self._export.parts["tag"]
        ]
        tags = read_tags(pieces, here, self._report)
        changes, missed = self._read_transformations(known, tags)
        clients = self._read_clients(known, asking)
        self._report.extend(lines_of_the_rest(self._export))
        container = Container(
            name=self._export.name,
            public_id=self._export.public_id or "GTM-TWITE",
            version=self._export.version,
            tags=reported_tags(tags, missed, self._report),
            triggers=tuple(triggers.values()),
            variables=tuple(variables.values()),
            clients=tuple(clients),
            transformations=tuple(changes),
            templates=self._templates.by_name,
        )
        self._templates.report(self._report, container)
        wrong = next(faults(container), None)
        if wrong is not None:
            raise ContainerUnusable(wrong.place, f"{wrong.message} (counted as parts are kept)")
        container, taken, left = without_secrets(container, named=named, place_of=place_of)
        texts, public = self._templates.texts, frozenset(self._templates.public)
        return ImportResult(
            container=container,
            texts=texts,
            lines=self._report.lines(),
            secrets=taken,
            in_plain_text=(
                *left,
                *left_in_plain_text(container, texts, public=public, besides=left),
            ),
        )

    def _read_variables(self) -> dict[str, Variable]:
        read: dict[str, tuple[Variable, str, list[str]]] = {}
        out: dict[str, tuple[str, str]] = {}
        for kind in ("builtInVariable", "variable"):
            for piece in self._export.parts[kind]:
                shown = BUILT_INS.get(piece.word)
                called = piece.text("name") or (shown.shown if shown else piece.word)
                name = self._name("variable", called)
                try:
                    _refuse_second(f"variable called {called!r}", there=name != called)
                    made, notes = self._variable(kind, piece, name)
                    read[name] = made, piece.word, notes
                except LeftOut as why:
                    out[name] = piece.word, str(why)
        while True:
            lacking = {
                name: needed
                for name, (made, _, _) in read.items()
                for needed in needed_by(made)
                if needed not in read and needed != EVENT
            }
            for name, needed in lacking.items():
                out[name] = read.pop(name)[1], lacks_variable(needed)
            if not lacking:
                break
        for name, (_, word, notes) in read.items():
            self._report.add("variable", name, word, notes=notes)
        for name, (word, reason) in out.items():
            self._report.left_out("variable", name, word, reason)
        return {name: made for name, (made, _, _) in read.items()}

    def _variable(self, kind: str, part: ExportPart, name: str) -> tuple[Variable, list[str]]:
        if kind == "builtInVariable":
            return simple_parts.built_in(part, name)
        template = self._templates.named_by(part.word, TemplateKind.VARIABLE)
        return simple_parts.variable(part, name, template)

    def _read_triggers(
        self, variables: frozenset[str], asking: AskingVariables
    ) -> tuple[dict[str, ContainerTrigger], dict[str, str]]:
        triggers: dict[str, ContainerTrigger] = {}
        missing: dict[str, str] = {}
        names = {ALL_EVENTS_ID: ALL_EVENTS}
        for name, piece in self._triggers_before_groups():
            id_ = piece.text("triggerId") or f"(none, {piece.place})"
            try:
                _refuse_second(f"trigger with its id ({id_})", there=id_ in {*triggers, *missing})
                made, notes = simple_parts.trigger(piece, name, names, missing)
                read_here = names_in_conditions(made.when)
                refuse_unknown(read_here, variables)
            except LeftOut as why:
                missing.setdefault(id_, name)
                self._report.left_out("trigger", name, piece.word, str(why))
            else:
                triggers[id_], names[id_] = made, name
                notes = [*notes, *asking.notes_of_trigger(read_here)]
                self._report.add("trigger", name, piece.word, notes=notes)
        return triggers, missing

    def _triggers_before_groups(self) -> list[tuple[str, ExportPart]]:
        """Return the triggers with their names; groups follow the triggers that they list."""
        pieces = [
            (self._name("trigger", piece.text("name") or "trigger"), piece)
            for piece in self._export.parts["trigger"]
        ]
        ordered = [(name, piece) for name, piece in pieces if not _lists(piece)]
        groups = [(name, piece) for name, piece in pieces if _lists(piece)]
        for _ in range(DEEPEST):
            later = {piece.text("triggerId") for _, piece in groups}
            ordered += [pair for pair in groups if later.isdisjoint(_lists(pair[1]))]
            groups = [pair for pair in groups if not later.isdisjoint(_lists(pair[1]))]
        # Groups that contain each other cannot be read in any order, so they are left out.
        return [*ordered, *groups]

    def _read_transformations(
        self, variables: frozenset[str], tags: Mapping[str, ImportedTag]
    ) -> tuple[list[Transformation], dict[str, str]]:
        """Return the transformations, and by tag the omitted transformation that affects it."""
        changes = []
        missed: dict[str, str] = {}
        for piece in self._export.parts["transformation"]:
            name = self._name("transformation", piece.text("name") or "transformation")
            templates = self._templates.by_word
            try:
                made, notes = transformation(
                    piece, name, tags={tag: tag for tag in tags}, templates=templates
                )
                read_here = [*names_in_conditions(made.when), *names_in(dict(made.set))]
                refuse_unknown(read_here, variables)
            except LeftOut as why:
                self._report.left_out("transformation", name, piece.word, str(why))
                used_by = {name: read.tag.template for name, read in tags.items()}
                missed |= dict.fromkeys(concerned(piece, tags=used_by, templates=templates), name)
            else:
                changes.append(made)
                self._report.add("transformation", name, piece.word, notes=notes)
        return changes, missed

    def _read_clients(
        self, variables: frozenset[str], asking: AskingVariables
    ) -> list[ContainerClient]:
        clients = []
        for piece in self._export.parts["client"]:
            name = self._name("client", piece.text("name") or "client")
            try:
                template = self._templates.named_by(piece.word, TemplateKind.CLIENT)
                made, notes = simple_parts.client(piece, name, template)
                named = list(names_in(dict(made.fields)))
                refuse_unknown(named, variables)
            except LeftOut as why:
                self._report.left_out("client", name, piece.word, str(why))
            else:
                clients.append(made)
                notes = [*notes, *asking.notes_of_client(named)]
                self._report.add("client", name, piece.word, notes=notes)
        return clients

    def _name(self, kind: str, name: str) -> str:
        used = self._names.setdefault(kind, set())
        free, times = name, 1
        while free in used:
            times += 1
            free = f"{name} ({times})"
        used.add(free)
        return free


def _lists(part: ExportPart) -> list[str]:
    """Return the ids of the triggers that a trigger group lists; [] for other triggers."""
    if spelled(part.word) != simple_parts.GROUP:
        return []
    with suppress(LeftOut):
        return simple_parts.group_ids(part)
    return []


def _refuse_second(what: str, *, there: bool) -> None:
    if there:
        raise LeftOut(f"there is a {what} already, so the name is ambiguous")
