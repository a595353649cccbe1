"""Apply the `TWITE_…__…` environment variables to the TOML tree of the settings."""

import re
from collections.abc import Mapping
from typing import Final

from twite.config.kinds import Kind, ListOf, MapOf, Table
from twite.config.schema import ROOT
from twite.config.toml import Tree, nearest, scalar
from twite.domain.errors import SettingsError

PREFIX: Final = "TWITE_"
_STEP: Final = "__"
_NUMBER: Final = re.compile(r"[0-9]{1,3}", re.ASCII)


def override(tree: Tree, environ: Mapping[str, str]) -> dict[str, str]:
    """Put the `TWITE_…__…` variables into the tree; return the places they set, with their names.

    Variables that the file reads itself (`env:TWITE_…`) are left alone. Raises SettingsError for a
    variable that names no setting.
    """
    own = set(_read_by_file(tree))
    places = {}
    for name in sorted(environ):
        if name.startswith(PREFIX) and _STEP in name[len(PREFIX) :] and name not in own:
            steps = name[len(PREFIX) :].lower().split(_STEP)
            places[_put(tree, ROOT, steps, (name, environ[name]), "")] = name
    return places


def variable(key: str, index: str = "0") -> str:
    """Spell a key of the schema as an environment variable; `index` stands for `[]`."""
    return PREFIX + key.replace("[]", f".{index}").replace(".", _STEP).upper()


def _put(node: object, kind: Kind, steps: list[str], given: tuple[str, str], place: str) -> str:
    """Walk down to the place of a variable (name, text), set it, and return the place."""
    name, text = given
    step = steps[0]
    below: Kind | None = None
    key: str | int | None = None
    if isinstance(kind, Table) and isinstance(node, dict) and step in kind.fields:
        below = kind.fields[step].kind
        key, place = step, f"{place}.{step}" if place else step
    elif isinstance(kind, MapOf) and isinstance(node, dict):
        below = kind.item
        key = next((old for old in node if str(old).lower() == step), step)
        place = f"{place}.{key}"
    elif isinstance(kind, ListOf) and isinstance(node, list) and _NUMBER.fullmatch(step):
        below, key, place = kind.item, _index(node, step, name), f"{place}[{int(step)}]"
    if below is None or not step:
        raise _no_setting(name)
    if len(steps) == 1:
        node[key] = text if below.is_text else scalar(text)  # type: ignore[index]  # dict by name, list by number: chosen above
        return place
    if isinstance(node, dict):
        node.setdefault(key, [] if isinstance(below, ListOf) else {})
    return _put(node[key], below, steps[1:], given, place)  # type: ignore[index]  # as above


def _index(node: list[object], step: str, name: str) -> int:
    """Return the index; the one after the last creates a new table."""
    index = int(step)
    if index > len(node):
        raise SettingsError(
            place=name, message=f"there are only {len(node)}. Number them from 0 without a gap"
        )
    if index == len(node):
        node.append({})
    return index


def _no_setting(name: str) -> SettingsError:
    digits = re.search(r"__(\d+)__", name)
    known = [variable(key, digits[1] if digits else "0") for key, _ in ROOT.settings()]
    return SettingsError(place=name, message=f"names no setting. {nearest(name, known)}")


def _read_by_file(node: object) -> list[str]:
    if isinstance(node, dict):
        return [name for value in node.values() for name in _read_by_file(value)]
    if isinstance(node, list):
        return [name for value in node for name in _read_by_file(value)]
    return [node[4:]] if isinstance(node, str) and node.startswith("env:") else []
