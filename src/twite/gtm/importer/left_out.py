"""Report the parts of an export that have no counterpart: folders, zones, unknown parts."""

from collections.abc import Iterator, Mapping

from twite.domain.json_tree import Tree
from twite.gtm.importer.coverage import Support
from twite.gtm.importer.documented import RESOURCES, KeyTreatment
from twite.gtm.importer.lines import ReportLine
from twite.gtm.importer.reading import KINDS, Export
from twite.gtm.importer.unread import holds, strangers


def lines_of_the_rest(export: Export) -> Iterator[ReportLine]:
    """Yield a line for each folder and zone, for unknown parts, and for the container."""
    for key, held in export.beside.items():
        if holds(held):
            yield from _beside(key, held)
    for key in strangers("export", export.outside):
        yield _line(key, "", Support.LEFT_OUT, _UNKNOWN)
    notes = list(_of_container(export))
    if notes:
        yield _line("container", export.name, Support.DIFFERS, *notes)
    noted = sum(bool(part.text("notes")) for kind in KINDS for part in export.parts[kind])
    if noted:
        what = "one part is" if noted == 1 else f"{noted} parts are"
        yield _line(
            "notes", "", Support.DIFFERS, f"the notes of {what} for people, and are not kept"
        )


def _beside(key: str, held: Tree) -> Iterator[ReportLine]:
    found = RESOURCES["containerVersion"].get(key)
    if found is not None and found.treatment in {KeyTreatment.DONE, KeyTreatment.IDLE}:
        return
    noted = found is not None and found.treatment is KeyTreatment.NOTED
    fit = Support.DIFFERS if noted else Support.LEFT_OUT
    for condition in held if isinstance(held, list) else [held]:
        notes = [found.how if found is not None else _UNKNOWN]
        tree = condition if isinstance(condition, dict) else {}
        if noted and key in RESOURCES:
            notes += [
                f"its key {strange!r} is not known to Twite, and is not kept"
                for strange in strangers(key, tree)
            ]
        name = tree.get("name")
        yield _line(key, name if isinstance(name, str) else "", fit, *notes)


def _of_container(export: Export) -> Iterator[str]:
    known: Mapping[str, object] = RESOURCES["container"]
    for key, held in export.about.tree.items():
        if (
            key in known
            and holds(held)
            and RESOURCES["container"][key].treatment is KeyTreatment.NOTED
        ):
            yield f"its {key} is not kept: {RESOURCES['container'][key].how}"
    for key in strangers("container", export.about.tree):
        yield f"its key {key!r} is not known to Twite, and is not kept"


def _line(kind: str, name: str, fit: Support, *notes: str) -> ReportLine:
    return ReportLine(kind=kind, name=name, word=kind, fit=fit, notes=notes)


_UNKNOWN = "this part of an export is not known to Twite"
