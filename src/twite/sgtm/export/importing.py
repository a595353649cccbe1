"""An export → a container of ours, with a line for every part.

What cannot run is left out, and with it what needs it: a tag without its variable, a trigger
without its condition. Where leaving something out would send more than before (an exception, a
transformation that takes data away), the tags that it held back are paused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from twite.sgtm.apis import APIS, State
from twite.sgtm.container.faults import faults, needed_by
from twite.sgtm.container.parts import (
    EVENT,
    Client,
    Container,
    ContainerUnusable,
    Tag,
    Transformation,
    Trigger,
    Variable,
)
from twite.sgtm.container.references import names_in
from twite.sgtm.export import simple_parts
from twite.sgtm.export.coverage import BESIDE, BUILT_INS, Fit
from twite.sgtm.export.lines import LeftOut, Line, Report
from twite.sgtm.export.reading import Export, Piece
from twite.sgtm.export.secret_signs import looks_secret
from twite.sgtm.export.secrets_out import Taken, without_secrets
from twite.sgtm.export.tags import Here, read_tag
from twite.sgtm.template import Kind, Template, TemplateUnusable, read_template
from twite.sgtm.tree import Tree


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import brings. `texts` are the templates as they stand in the export, by name."""

    container: Container
    texts: Mapping[str, str]
    lines: tuple[Line, ...]
    secrets: tuple[Taken, ...]

    @property
    def is_whole(self) -> bool:
        """Whether everything that the export holds will run."""
        return all(one.fit not in {Fit.PAUSED, Fit.LEFT_OUT} for one in self.lines)


def imported(
    export: Export,
    *,
    named: frozenset[str] = frozenset(),
    place_of: Callable[[str], str],
    try_out: Callable[[Template], object] = str,
) -> Imported:
    """Import. `named` are names whose values are secrets; `place_of` says where one is kept.

    `try_out` raises TemplateUnusable for a template whose code cannot be run.

    Raises ContainerUnusable for what no tag manager would have exported.
    """
    return _Import(export, try_out).whole(named, place_of)


class _Import:
    def __init__(self, export: Export, try_out: Callable[[Template], object]) -> None:
        self._export = export
        self._try_out = try_out
        self._report = Report()
        self._names: dict[str, set[str]] = {}
        self._templates: dict[str, Template] = {}
        self._texts: dict[str, str] = {}
        self._by_word: dict[str, str] = {}  # a part's type → the name of its template
        self._broken: dict[str, str] = {}  # a part's type → why its template cannot be used

    def whole(self, named: frozenset[str], place_of: Callable[[str], str]) -> Imported:
        self._read_templates()
        variables = self._read_variables()
        known = frozenset({EVENT, *variables})
        triggers, missing_triggers = self._read_triggers(known)
        here = Here(
            variables=known,
            triggers=triggers,
            missing_triggers=missing_triggers,
            template_of=self._template_of,
        )
        tags, tag_lines = self._read_tags(here)
        changes, held_back = self._read_transformations(known, tags)
        clients = self._read_clients(known)
        tags = self._paused(tags, tag_lines, held_back)
        self._tell_of_the_rest()
        container = Container(
            name=self._export.name,
            public_id=self._export.public_id or "GTM-TWITE",
            version=self._export.version,
            tags=tuple(tags.values()),
            triggers=tuple(triggers.values()),
            variables=tuple(variables.values()),
            clients=tuple(clients),
            transformations=tuple(changes),
            templates=self._templates,
        )
        wrong = next(faults(container), None)
        if wrong is not None:
            raise ContainerUnusable(
                place=wrong.place, message=f"{wrong.message} (counted as parts are kept)"
            )
        container, taken = without_secrets(container, named=named, place_of=place_of)
        return Imported(
            container=container, texts=self._texts, lines=self._report.lines(), secrets=taken
        )

    def _read_templates(self) -> None:
        for piece in self._export.parts["customTemplate"]:
            text = piece.text("templateData")
            words = list(self._words_of(piece))
            name = self._name("template", piece.text("name") or words[0])
            try:
                template = read_template(text.encode())
                self._try_out(template)
            except TemplateUnusable as error:
                self._broken |= dict.fromkeys(words, f"its template {name!r} cannot be used")
                notes = [str(error)]
                self._report.add("template", name, words[0], fit=Fit.LEFT_OUT, notes=notes)
                continue
            self._templates[name] = template
            self._texts[name] = text
            if template.id.startswith("cvt_") and template.id != "cvt_temp_public_id":
                words.append(template.id)
            for word in words:
                self._by_word.setdefault(word, name)
            notes = list(_apis_of(template))
            self._report.add("template", name, words[0], notes=notes)

    def _words_of(self, piece: Piece) -> Iterator[str]:
        """Yield the types by which parts speak of a template."""
        yield f"cvt_{self._export.container_id}_{piece.text('templateId')}"
        gallery = piece.tree.get("galleryReference")
        if isinstance(gallery, dict) and isinstance(gallery.get("galleryTemplateId"), str):
            yield f"cvt_{gallery['galleryTemplateId']}"

    def _template_of(self, word: str, kind: Kind) -> str:
        """Return the name of a part's template, "" for a part that has none. Raises LeftOut."""
        if not word.startswith("cvt_"):
            return ""
        if word in self._broken:
            raise LeftOut(self._broken[word])
        name = self._by_word.get(word)
        if name is None:
            raise LeftOut(f"its template ({word}) is not in the export")
        if self._templates[name].kind is not kind:
            raise LeftOut(f"its template {name!r} is one for a {self._templates[name].kind}")
        return name

    def _read_variables(self) -> dict[str, Variable]:
        read: dict[str, tuple[Variable, str, list[str]]] = {}
        out: dict[str, tuple[str, str]] = {}
        for kind in ("builtInVariable", "variable"):
            for piece in self._export.parts[kind]:
                shown = BUILT_INS.get(piece.word)
                called = piece.text("name") or (shown.shown if shown else piece.word)
                name = self._name("variable", called)
                try:
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
                out[name] = read.pop(name)[1], _lacks(needed)
            if not lacking:
                break
        for name, (_, word, notes) in read.items():
            self._report.add("variable", name, word, notes=notes)
        for name, (word, told) in out.items():
            self._report.add("variable", name, word, fit=Fit.LEFT_OUT, notes=[told])
        return {name: made for name, (made, _, _) in read.items()}

    def _variable(self, kind: str, piece: Piece, name: str) -> tuple[Variable, list[str]]:
        if kind == "builtInVariable":
            return simple_parts.built_in(piece, name)
        template = self._template_of(piece.word, Kind.VARIABLE)
        return simple_parts.variable(piece, name, template)

    def _read_triggers(
        self, variables: frozenset[str]
    ) -> tuple[dict[str, Trigger], dict[str, str]]:
        """Return the triggers by id, and the names of those that are left out, by id."""
        triggers: dict[str, Trigger] = {}
        missing: dict[str, str] = {}
        for piece in self._export.parts["trigger"]:
            name = self._name("trigger", piece.text("name"))
            try:
                made, notes = simple_parts.trigger(piece, name)
                sides = [side for one in made.when for side in (one.left, one.right)]
                _refuse_unknown(names_in(list(sides)), variables)
            except LeftOut as why:
                missing[piece.text("triggerId")] = name
                notes = [str(why)]
                self._report.add("trigger", name, piece.word, fit=Fit.LEFT_OUT, notes=notes)
            else:
                triggers[piece.text("triggerId")] = made
                notes = [*notes, *_in_clear(sides)]
                self._report.add("trigger", name, piece.word, notes=notes)
        return triggers, missing

    def _read_tags(self, here: Here) -> tuple[dict[str, Tag], dict[str, tuple[str, list[str]]]]:
        """Return the tags by their names in the export, and of each (word, notes)."""
        tags: dict[str, Tag] = {}
        told: dict[str, tuple[str, list[str]]] = {}
        for piece in self._export.parts["tag"]:
            name = self._name("tag", piece.text("name"))
            try:
                tags[name], notes = read_tag(piece, name, here)
                told[name] = piece.word, notes
            except LeftOut as why:
                notes = [str(why)]
                self._report.add("tag", name, piece.word, fit=Fit.LEFT_OUT, notes=notes)
        while True:
            lacking = [name for name, tag in tags.items() if not _beside_are_here(tag, tags)]
            for name in lacking:
                tag, (word, notes) = tags[name], told[name]
                needed = [one for one in (tag.setup, tag.teardown) if one and one.tag not in tags]
                if any(one.needed for one in needed):
                    del tags[name], told[name]
                    notes = [f"it needs the tag {needed[0].tag!r}, which is left out"]
                    self._report.add("tag", name, word, fit=Fit.LEFT_OUT, notes=notes)
                else:
                    tags[name] = _without_beside(tag, tags)
                    notes += [f"the tag {one.tag!r} beside it is left out" for one in needed]
            if not lacking:
                return tags, told

    def _read_transformations(
        self, variables: frozenset[str], tags: Mapping[str, Tag]
    ) -> tuple[list[Transformation], dict[str, str]]:
        """Return them, and the tags that one that is left out was for, with its name."""
        changes = []
        held_back: dict[str, str] = {}
        for piece in self._export.parts["transformation"]:
            name = self._name("transformation", piece.text("name"))
            try:
                made, notes = simple_parts.transformation(
                    piece, name, tags={one: one for one in tags}, templates=self._by_word
                )
                sides = [side for one in made.when for side in (one.left, one.right)]
                _refuse_unknown(names_in([*sides, dict(made.set)]), variables)
            except LeftOut as why:
                notes = [str(why)]
                kind = "transformation"
                self._report.add(kind, name, piece.word, fit=Fit.LEFT_OUT, notes=notes)
                used_by = {one.name: one.template for one in tags.values()}
                missed = simple_parts.concerned(piece, tags=used_by, templates=self._by_word)
                held_back |= dict.fromkeys(missed, name)
            else:
                changes.append(made)
                notes = [*notes, *_in_clear([*sides, *made.set.values()])]
                self._report.add("transformation", name, piece.word, notes=notes)
        return changes, held_back

    def _read_clients(self, variables: frozenset[str]) -> list[Client]:
        clients = []
        for piece in self._export.parts["client"]:
            name = self._name("client", piece.text("name"))
            try:
                template = self._template_of(piece.word, Kind.CLIENT)
                made, notes = simple_parts.client(piece, name, template)
                _refuse_unknown(names_in(dict(made.fields)), variables)
            except LeftOut as why:
                self._report.add("client", name, piece.word, fit=Fit.LEFT_OUT, notes=[str(why)])
            else:
                clients.append(made)
                self._report.add("client", name, piece.word, notes=notes)
        return clients

    def _paused(
        self,
        tags: Mapping[str, Tag],
        told: Mapping[str, tuple[str, list[str]]],
        held_back: Mapping[str, str],
    ) -> dict[str, Tag]:
        """Tell of the tags; return them, paused where they would see more than they should."""
        found = {}
        for name, tag in tags.items():
            word, notes = told[name]
            missed = held_back.get(name)
            if missed is not None and not tag.paused:
                notes = [*notes, f"the transformation {missed!r}, which is left out, may be for it"]
            found[name] = msgspec.structs.replace(tag, paused=tag.paused or missed is not None)
            rests = tag.paused and not notes
            fit = Fit.RESTS if rests else Fit.PAUSED if found[name].paused else Fit.RUNS
            self._report.add("tag", name, word, fit=fit, notes=notes)
        return found

    def _tell_of_the_rest(self) -> None:
        for key in self._export.beside:
            note = BESIDE.get(key, "this part of an export is not known to Twite")
            self._report.add(
                key, "", key, fit=Fit.LEFT_OUT if key != "folder" else Fit.DIFFERS, notes=[note]
            )

        noted = sum(bool(one.text("notes")) for kind in self._export.parts.values() for one in kind)
        if noted:
            note = f"the notes of {noted} parts are for people, and are not kept"
            self._report.add("notes", "", "notes", notes=[note])

    def _name(self, kind: str, name: str) -> str:
        """Return the name, or one like it where another has it already."""
        used = self._names.setdefault(kind, set())
        free, times = name, 1
        while free in used:
            times += 1
            free = f"{name} ({times})"
        used.add(free)
        return free


def _apis_of(template: Template) -> Iterator[str]:
    for name, api in APIS.items():
        asked = f"require('{name}')", f'require("{name}")'
        if any(one in template.code.text for one in asked):
            if api.state is State.REFUSED:
                yield f"it calls {name}, which is refused here: {api.note}"
            elif name in _CONFIGURED:
                yield f"it calls {name}, which is refused until it is configured"


def _in_clear(texts: Iterable[Tree]) -> Iterator[str]:
    """Yield a note where a text that cannot be kept elsewhere looks like a secret."""
    if any(isinstance(one, str) and looks_secret(one) for one in texts):
        yield "it holds what looks like a secret, which stands in the file in clear"


def _refuse_unknown(names: Iterator[str], variables: frozenset[str]) -> None:
    for name in names:
        if name not in variables:
            raise LeftOut(_lacks(name))


def _lacks(name: str) -> str:
    return f"it needs the variable {name!r}, which is not here"


def _beside_are_here(tag: Tag, tags: Mapping[str, Tag]) -> bool:
    return all(one is None or one.tag in tags for one in (tag.setup, tag.teardown))


def _without_beside(tag: Tag, tags: Mapping[str, Tag]) -> Tag:
    return msgspec.structs.replace(
        tag,
        setup=tag.setup if tag.setup and tag.setup.tag in tags else None,
        teardown=tag.teardown if tag.teardown and tag.teardown.tag in tags else None,
    )


_CONFIGURED: Final = frozenset(
    {"BigQuery", "Firestore", "getGoogleAuth", "getGoogleScript", "sendEventToGoogleAnalytics"}
)
