"""The report of an import: a line for every part, and notes on what is not imported."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.plural import plural
from twite.tags.importer.coverage import Support
from twite.tags.importer.documented import RESOURCES, KeyTreatment
from twite.tags.importer.reading import KINDS, Export, ExportPart, LeftOut, spelled
from twite.tags.json_tree import Tree
from twite.tags.redaction.secrets import masked

_KINDS: Final = ("template", "client", "variable", "trigger", "tag", "transformation")
_PAUSING = frozenset({"tag", "setupTag", "teardownTag", "consentSettings"})
_UNKNOWN = "this part of an export is not known to Twite"


class ReportLine(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one part.

    `kind` is a word such as `tag`, `word` the export's word for the part's type. Because lines are
    printed, likely secrets in names and notes are masked.
    """

    kind: str
    name: str
    word: str
    fit: Support
    notes: tuple[str, ...] = ()


class ImportReport:
    def __init__(self) -> None:
        self._lines: list[ReportLine] = []

    def add(
        self,
        kind: str,
        name: str,
        word: str,
        *,
        support: Support = Support.RUNS,
        notes: Sequence[str] = (),
    ) -> None:
        if notes and support is Support.RUNS:
            support = Support.DIFFERS
        self._lines.append(
            ReportLine(kind=kind, name=name, word=word, fit=support, notes=tuple(notes))
        )

    def left_out(self, kind: str, name: str, word: str, why: str) -> None:
        self.add(kind, name, word, support=Support.LEFT_OUT, notes=[why])

    def extend(self, lines: Iterable[ReportLine]) -> None:
        self._lines += lines

    def lines(self) -> tuple[ReportLine, ...]:
        kinds = list(dict.fromkeys([*_KINDS, *(line.kind for line in self._lines)]))
        fits = list(Support)
        ordered = sorted(
            self._lines, key=lambda line: (kinds.index(line.kind), fits.index(line.fit))
        )
        return tuple(_shown(line) for line in ordered)


def _shown(line: ReportLine) -> ReportLine:
    return msgspec.structs.replace(
        line,
        kind=masked(line.kind),
        name=masked(line.name),
        word=masked(line.word),
        notes=tuple(masked(note) for note in line.notes),
    )


def unread(resource: str, part: ExportPart, *, narrows: bool = False) -> list[str]:
    """Return notes on keys of a part, and of its parameters, that are not imported.

    `narrows` is for parts in which any key may restrict firing: such a part is left out if it has
    an unknown key. Raises LeftOut.
    """
    notes = list(_keys_of(resource, part, narrows=narrows))
    for parameter in part.pieces("parameter"):
        notes += _of_parameter(parameter, narrows=narrows)
    notes += _twice(part.pieces("parameter"))
    return list(dict.fromkeys(notes))


def held_back(piece: ExportPart) -> list[str]:
    found = list(_paused_by("tag", piece.tree))
    for key in ("setupTag", "teardownTag"):
        for part in piece.pieces(key):
            found += _paused_by(key, part.tree)
    consent = piece.tree.get("consentSettings")
    if isinstance(consent, dict):
        found += _paused_by("consentSettings", consent)
    return list(dict.fromkeys(f"{reason}: review the tag, then unpause it" for reason in found))


def unknown_keys(resource: str, tree: Mapping[str, Tree]) -> list[str]:
    return [key for key, held in tree.items() if key not in RESOURCES[resource] and holds(held)]


def holds(tree: Tree) -> bool:
    """Return whether a tree contains data: `{"type": "MAP"}` and `false` do not."""
    if isinstance(tree, dict):
        return any(holds(child) for key, child in tree.items() if key not in {"type", "key"})
    if isinstance(tree, list):
        return bool(tree)
    return tree not in (None, "", "false", False)


def _keys_of(resource: str, part: ExportPart, *, narrows: bool) -> Iterator[str]:
    for key, held in part.tree.items():
        found = RESOURCES[resource].get(key)
        if not holds(held) or (found is None and resource in _PAUSING):
            continue
        if found is None:
            yield _reported(
                f"its key {key!r} is not known to Twite, and is not kept", narrows=narrows
            )
        elif found.treatment is KeyTreatment.LEFT_OUT:
            raise LeftOut(f"it has {_some(key)} {key}: {found.reason}")
        elif found.treatment is KeyTreatment.NOTED:
            yield f"its {key} is not kept: {found.reason}"


def _reported(note: str, *, narrows: bool) -> str:
    if narrows:
        raise LeftOut(note)
    return note


def _some(key: str) -> str:
    return "an" if key[0] in "aeiou" else "a"


def _paused_by(resource: str, tree: Mapping[str, Tree]) -> Iterator[str]:
    for key, held in tree.items():
        if holds(held) and key not in RESOURCES[resource]:
            yield f"its key {key!r} is not known to Twite, and may affect when it fires"


def _of_parameter(part: ExportPart, *, narrows: bool) -> Iterator[str]:
    name = part.text("key") or "(in a list)"
    for key in unknown_keys("parameter", part.tree):
        note = f"in its parameter {name!r} the key {key!r} is not known to Twite, and is not kept"
        yield _reported(note, narrows=narrows)
    word = spelled(part.text("type"))
    own = {"LIST": "list", "MAP": "map"}.get(word, "value")
    for key in ("value", "list", "map"):
        if key != own and holds(part.tree.get(key)):
            note = f"its parameter {name!r} of type {word} also has a {key}, which is not kept"
            yield _reported(note, narrows=narrows)
    below = part.pieces(own) if own != "value" else []
    for parameter in below:
        yield from _of_parameter(parameter, narrows=narrows)
    if own == "map":
        yield from _twice(below)


def _twice(parameters: list[ExportPart]) -> Iterator[str]:
    keys = [parameter.text("key") for parameter in parameters]
    for key in dict.fromkeys(keys):
        if keys.count(key) > 1:
            yield f"its parameter {key!r} occurs {keys.count(key)} times; Twite uses the last"


def lines_of_the_rest(export: Export) -> Iterator[ReportLine]:
    """Yield a line for each folder and zone, for unknown parts, and for the container."""
    for key, held in export.beside.items():
        if holds(held):
            yield from _beside(key, held)
    for key in unknown_keys("export", export.outside):
        yield _left_out_line(key, "", Support.LEFT_OUT, _UNKNOWN)
    notes = list(_of_container(export))
    if notes:
        yield _left_out_line("container", export.name, Support.DIFFERS, *notes)
    noted = sum(bool(part.text("notes")) for kind in KINDS for part in export.parts[kind])
    if noted:
        what = plural(noted, "part")
        yield _left_out_line(
            "notes", "", Support.DIFFERS, f"notes on {what} are comments, which Twite does not keep"
        )


def _beside(key: str, held: Tree) -> Iterator[ReportLine]:
    found = RESOURCES["containerVersion"].get(key)
    if found is not None and found.treatment in {KeyTreatment.DONE, KeyTreatment.IDLE}:
        return
    noted = found is not None and found.treatment is KeyTreatment.NOTED
    fit = Support.DIFFERS if noted else Support.LEFT_OUT
    for condition in held if isinstance(held, list) else [held]:
        notes = [found.reason if found is not None else _UNKNOWN]
        tree = condition if isinstance(condition, dict) else {}
        if noted and key in RESOURCES:
            notes += [
                f"its key {unknown!r} is not known to Twite, and is not kept"
                for unknown in unknown_keys(key, tree)
            ]
        name = tree.get("name")
        yield _left_out_line(key, name if isinstance(name, str) else "", fit, *notes)


def _of_container(export: Export) -> Iterator[str]:
    for key, held in export.about.tree.items():
        found = RESOURCES["container"].get(key)
        if found is not None and holds(held) and found.treatment is KeyTreatment.NOTED:
            yield f"its {key} is not kept: {found.reason}"
    for key in unknown_keys("container", export.about.tree):
        yield f"its key {key!r} is not known to Twite, and is not kept"


def _left_out_line(kind: str, name: str, support: Support, *notes: str) -> ReportLine:
    return ReportLine(kind=kind, name=name, word=kind, fit=support, notes=notes)
