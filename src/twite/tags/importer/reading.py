"""Parse the JSON of an export into parts and parameters.

Errors name the place of the malformed part.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from twite.tags.container.parts import ContainerUnusable
from twite.tags.json_tree import Tree, WrongShape, as_list, as_mapping, as_text
from twite.tags.template.texts import UNDEFINED, Value

Shape = TypeVar("Shape")

LARGEST: Final = 32 << 20  # bytes; the largest containers that Google accepts are far smaller
MOST: Final = 10_000  # parts of one kind
DEEPEST: Final = 60
_VERSION: Final = 2
KINDS: Final = (
    "customTemplate",
    "builtInVariable",
    "variable",
    "trigger",
    "tag",
    "client",
    "transformation",
)
_PLAIN: Final = frozenset({"TEMPLATE", "TAG_REFERENCE", "TRIGGER_REFERENCE", "TYPE_UNSPECIFIED"})


class LeftOut(Exception):
    """A part that cannot run here; the text says why, and what to use instead."""


def refuse_unknown(names: Iterable[str], variables: frozenset[str]) -> None:
    """Raise LeftOut for a name that is not in `variables`."""
    for name in names:
        if name not in variables:
            raise LeftOut(lacks_variable(name))


def lacks_variable(name: str) -> str:
    return f"it needs the variable {name!r}, which is not in the container"


class ExportPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the export, and its place, such as `tag[3]`."""

    place: str
    tree: Mapping[str, Tree]

    def text(self, key: str) -> str:
        """Return a text. Raises ContainerUnusable."""
        return _shaped(as_text, self.tree.get(key), f"{self.place}.{key}")

    def texts(self, key: str) -> list[str]:
        """Return a list of strings. Raises ContainerUnusable."""
        place = f"{self.place}.{key}"
        listed = _shaped(as_list, self.tree.get(key), place)
        return [_shaped(as_text, text, place) for text in listed]

    def pieces(self, key: str) -> list["ExportPart"]:
        """Return a list of objects. Raises ContainerUnusable."""
        return _pieces(self.tree.get(key), f"{self.place}.{key}")

    @property
    def word(self) -> str:
        text = self.text("type")
        return text if text.startswith("cvt_") else text.strip()


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """The whole export.

    `parts` has the parts by key; `about` is the export's `container`. `beside` has the other keys
    of `containerVersion`, `outside` the keys next to `containerVersion`.
    """

    name: str
    public_id: str
    container_id: str
    version: str
    parts: Mapping[str, tuple[ExportPart, ...]]
    about: ExportPart
    beside: Mapping[str, Tree]
    outside: Mapping[str, Tree]


def read_export(content: bytes) -> Export:
    """Read an export. Raises ContainerUnusable."""
    if len(content) > LARGEST:
        raise ContainerUnusable("", f"is larger than {LARGEST >> 20} MiB")
    try:
        tree = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except RecursionError:
        raise ContainerUnusable("", "is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ContainerUnusable("", f"not JSON: {error}. Export the container again") from None
    _refuse_depth(tree)
    whole = _mapping(tree, "")
    if "containerVersion" not in whole:
        message = "is not a container export: it has no containerVersion. In the tag manager: "
        raise ContainerUnusable("", f"{message}Admin, Export container")
    if whole.get("exportFormatVersion") != _VERSION:
        message = f"only version {_VERSION} is supported. Export the container again"
        raise ContainerUnusable("exportFormatVersion", message)
    version = ExportPart(place="", tree=_mapping(whole["containerVersion"], "containerVersion"))
    return _export(version, whole)


def spelled(word: str) -> str:
    """Return a word as exports spell it: the API's `customEvent` becomes CUSTOM_EVENT."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word).upper()


def _export(part: ExportPart, whole: Mapping[str, Tree]) -> Export:
    about = ExportPart(
        place="container", tree=_mapping(part.tree.get("container", {}), "container")
    )
    contexts = about.texts("usageContext")
    if contexts and "SERVER" not in [spelled(context) for context in contexts]:
        raise ContainerUnusable(
            "container.usageContext",
            f"this is a container for {', '.join(contexts)}; Twite runs server containers",
        )
    return Export(
        name=about.text("name") or part.text("name"),
        public_id=about.text("publicId"),
        container_id=part.text("containerId"),
        version=part.text("containerVersionId") or "1",
        parts={key: tuple(_pieces(part.tree.get(key), key)) for key in KINDS},
        about=about,
        beside={key: held for key, held in part.tree.items() if key not in {*KINDS, "container"}},
        outside={key: held for key, held in whole.items() if key != "containerVersion"},
    )


def _pieces(tree: Tree, place: str) -> list[ExportPart]:
    held = _shaped(as_list, tree, place)
    if len(held) > MOST:
        raise ContainerUnusable(place, f"has {len(held)} parts; the limit is {MOST}")
    return [
        ExportPart(place=f"{place}[{at}]", tree=_mapping(element, f"{place}[{at}]"))
        for at, element in enumerate(held)
    ]


def _mapping(tree: Tree, place: str) -> Mapping[str, Tree]:
    return _shaped(as_mapping, tree, place)


def _shaped(read: Callable[[Tree], Shape], tree: Tree, place: str) -> Shape:
    try:
        return read(tree)
    except WrongShape as error:
        raise ContainerUnusable(place, str(error)) from None


def _refuse_depth(tree: Tree) -> None:
    level, deep = [tree], 0
    while level:
        deep += 1
        if deep > DEEPEST:
            raise ContainerUnusable("", "is nested too deeply")
        below: list[Tree] = []
        for child in level:
            if isinstance(child, dict):
                below.extend(child.values())
            elif isinstance(child, list):
                below.extend(child)
        level = below


def values(parameters: Sequence[ExportPart]) -> dict[str, Tree]:
    read = {parameter.text("key"): value(parameter) for parameter in parameters}
    return {key: tree for key, tree in read.items() if tree is not UNDEFINED}


def value(part: ExportPart) -> Value:
    """Return one parameter's value. Raises ContainerUnusable."""
    word = spelled(part.text("type"))
    if word == "LIST":
        # In a list, an undefined value must keep its position, so it becomes an empty text.
        items = [value(piece) for piece in part.pieces("list")]
        return ["" if item is UNDEFINED else item for item in items]
    if word == "MAP":
        return dict(values(part.pieces("map")))
    held = part.tree.get("value")
    if held is None:
        return UNDEFINED
    text = part.text("value")
    return _plain(word, text, part)


def _plain(word: str, text: str, part: ExportPart) -> Tree:
    if word == "BOOLEAN":
        # A parameter with a variable as its value has the type TEMPLATE in most exports, and
        # another type in some.
        return text == "true" if text in {"true", "false"} else text
    if word == "INTEGER":
        return _whole(text, part)
    if word in _PLAIN:
        return text
    message = f"the type {word!r} of a parameter is not known"
    raise ContainerUnusable(f"{part.place}.type", message)


def _whole(text: str, part: ExportPart) -> Tree:
    if "{{" in text:
        return text
    digits = text.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > len("9007199254740991"):
        raise ContainerUnusable(f"{part.place}.value", "an INTEGER was expected")
    return int(text)


def text_in(held: dict[str, Tree], key: str) -> str:
    found = held.get(key)
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found) if isinstance(found, str | int) else ""


def flag_in(held: dict[str, Tree], key: str) -> bool:
    return is_set(held.get(key))


def is_set(flag: Tree) -> bool:
    """Return whether a flag is set. Exports use a boolean, parameters a string."""
    return flag is True or flag == "true"


def rows_in(held: dict[str, Tree], key: str) -> list[dict[str, Tree]]:
    """Return the rows of the table with this key. Raises LeftOut if its value is not a table."""
    found = held.get(key)
    rows = found if isinstance(found, list) else [] if found in (None, "") else [found]
    if not all(isinstance(row, dict) for row in rows):
        raise LeftOut(f"its {key} is not a table")
    return [row for row in rows if isinstance(row, dict)]
