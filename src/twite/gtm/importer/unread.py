"""Find keys of a part that are not imported: irrelevant, worth a note, or a reason to pause."""

from collections.abc import Iterator, Mapping

from twite.domain.json_tree import Tree
from twite.gtm.importer.documented import RESOURCES, DocumentedKey, KeyTreatment
from twite.gtm.importer.lines import LeftOut
from twite.gtm.importer.reading import ExportPart, spelled


def unread(resource: str, piece: ExportPart, *, narrows: bool = False) -> list[str]:
    """Return notes on keys of a part, and of its parameters, that are not imported.

    `narrows` is for parts whose every key may restrict firing: an unknown key leaves such a part
    out. Raises LeftOut.
    """
    notes = list(_keys_of(resource, piece, narrows=narrows))
    for parameter in piece.pieces("parameter"):
        notes += _of_parameter(parameter, narrows=narrows)
    notes += _twice(piece.pieces("parameter"))
    return list(dict.fromkeys(notes))


def held_back(piece: ExportPart) -> list[str]:
    """Return why a tag is paused until a person has looked: a restriction is not imported."""
    found = list(_paused_by("tag", piece.tree))
    for key in ("setupTag", "teardownTag"):
        for part in piece.pieces(key):
            found += _paused_by(key, part.tree)
    consent = piece.tree.get("consentSettings")
    if isinstance(consent, dict):
        found += _paused_by("consentSettings", consent)
    return list(dict.fromkeys(f"{reason}: decide, and unpause it" for reason in found))


def strangers(resource: str, tree: Mapping[str, Tree]) -> list[str]:
    """Return the keys that hold something and are not documented."""
    return [key for key, held in tree.items() if key not in RESOURCES[resource] and holds(held)]


def holds(tree: Tree) -> bool:
    """Return whether a tree holds anything: `{"type": "MAP"}` and `false` do not."""
    if isinstance(tree, dict):
        return any(holds(child) for key, child in tree.items() if key not in {"type", "key"})
    if isinstance(tree, list):
        return bool(tree)
    return tree not in (None, "", "false", False)


def _keys_of(resource: str, piece: ExportPart, *, narrows: bool) -> Iterator[str]:
    for key, held in piece.tree.items():
        found = RESOURCES[resource].get(key)
        if not holds(held) or (found is None and resource in _PAUSING):
            continue
        if found is None:
            yield _told(f"its key {key!r} is not known to Twite, and is not kept", narrows=narrows)
        elif found.treatment is KeyTreatment.LEFT_OUT:
            raise LeftOut(f"it has {_some(key)} {key}: {found.how}")
        elif found.treatment is KeyTreatment.NOTED:
            yield f"its {key} is not kept: {found.how}"


def _told(note: str, *, narrows: bool) -> str:
    if narrows:
        raise LeftOut(note)
    return note


def _some(key: str) -> str:
    return "an" if key[0] in "aeiou" else "a"


def _paused_by(resource: str, tree: Mapping[str, Tree]) -> Iterator[str]:
    for key, held in tree.items():
        found: DocumentedKey | None = RESOURCES[resource].get(key)
        if not holds(held):
            continue
        if found is None:
            yield f"its key {key!r} is not known to Twite, and could say when it fires"
        elif found.treatment is KeyTreatment.PAUSED:
            yield found.how


def _of_parameter(piece: ExportPart, *, narrows: bool) -> Iterator[str]:
    name = piece.text("key") or "(in a list)"
    for key in strangers("parameter", piece.tree):
        note = f"in its parameter {name!r} the key {key!r} is not known to Twite, and is not kept"
        yield _told(note, narrows=narrows)
    word = spelled(piece.text("type"))
    own = {"LIST": "list", "MAP": "map"}.get(word, "value")
    for key in ("value", "list", "map"):
        if key != own and holds(piece.tree.get(key)):
            note = f"its parameter {name!r} has a {key} besides its type {word}, which is not kept"
            yield _told(note, narrows=narrows)
    below = piece.pieces(own) if own != "value" else []
    for parameter in below:
        yield from _of_parameter(parameter, narrows=narrows)
    if own == "map":
        yield from _twice(below)


def _twice(parameters: list[ExportPart]) -> Iterator[str]:
    keys = [parameter.text("key") for parameter in parameters]
    for key in dict.fromkeys(keys):
        if keys.count(key) > 1:
            yield f"its parameter {key!r} stands {keys.count(key)} times; the last one counts"


_PAUSING = frozenset({"tag", "setupTag", "teardownTag", "consentSettings"})
