"""Read the settings file, and apply environment variables to it.

The result is a TOML tree, not yet checked against the shape.
"""

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from msgspec import inspect

from twite.config.shape import ROOT, Kind, keys, some
from twite.domain.errors import SettingsError

Tree = dict[str, object]

PREFIX: Final = "TWITE_"
_STEP: Final = "__"
_NUMBER: Final = re.compile(r"[0-9]{1,3}", re.ASCII)
_WHERE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def read(path: Path) -> Tree:
    """Read the file. Raises SettingsError with line and column if it is not TOML."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text)
    except FileNotFoundError:
        raise SettingsError(
            place=str(path),
            message="there is no such file. `twite init` writes one; --config names another",
        ) from None
    except OSError as failure:
        raise SettingsError(
            place=str(path), message=f"cannot be read: {failure.strerror or failure}"
        ) from None
    except UnicodeDecodeError as failure:
        line = failure.object[: failure.start].count(b"\n") + 1
        raise SettingsError(
            place=f"{path}, line {line}", message="not UTF-8 text. Save the file as UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as failure:
        raise not_toml(path, failure) from None
    except ValueError:
        # Python refuses numbers of more than 4,300 digits, and tomllib passes that error on.
        raise SettingsError(
            place=str(path), message="holds a number that is too long. Write it shorter"
        ) from None
    except RecursionError:
        raise SettingsError(
            place=str(path), message="nested too deep to be settings. Write the tables out flat"
        ) from None


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
    """Spell a key of the shape as an environment variable; `index` stands for `[]`."""
    return PREFIX + key.replace("[]", f".{index}").replace(".", _STEP).upper()


def scalar(text: str) -> object:
    """Parse text as one TOML value (a number, true, a list …), or return it as it is."""
    try:
        return tomllib.loads(f"value = {text}\n")["value"]
    except (ValueError, RecursionError):
        return text


def nearest(name: str, known: list[str]) -> str:
    """Suggest the closest known name, or list them. `known` is not empty."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known here: {', '.join(known)}"


def _put(node: object, kind: Kind, steps: list[str], given: tuple[str, str], place: str) -> str:
    """Walk down to the place of a variable (name, text), set it, and return the place."""
    kind = some(kind)
    name, text = given
    step = steps[0]
    below: Kind | None = None
    key: str | int | None = None
    if isinstance(kind, inspect.StructType) and isinstance(node, dict):
        below = next((field.type for field in kind.fields if field.name == step), None)
        key, place = step, f"{place}.{step}" if place else step
    elif isinstance(kind, inspect.DictType) and isinstance(node, dict):
        below = kind.value_type
        key = next((old for old in node if str(old).lower() == step), step)
        place = f"{place}.{key}"
    elif (
        isinstance(kind, inspect.VarTupleType)
        and isinstance(node, list)
        and _NUMBER.fullmatch(step)
    ):
        below, key, place = kind.item_type, _index(node, step, name), f"{place}[{int(step)}]"
    if below is None or not step:
        raise _no_setting(name)
    below = some(below)
    if len(steps) == 1:
        plain = isinstance(below, inspect.StrType | inspect.LiteralType | inspect.CustomType)
        node[key] = text if plain else scalar(text)  # type: ignore[index]  # dict by name, list by number: chosen above
        return place
    if isinstance(node, dict):
        node.setdefault(key, [] if isinstance(below, inspect.VarTupleType) else {})
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
    known = [variable(key, digits[1] if digits else "0") for key in keys()]
    return SettingsError(place=name, message=f"names no setting. {nearest(name, known)}")


def _read_by_file(node: object) -> list[str]:
    if isinstance(node, dict):
        return [name for value in node.values() for name in _read_by_file(value)]
    if isinstance(node, list):
        return [name for value in node for name in _read_by_file(value)]
    return [node[4:]] if isinstance(node, str) and node.startswith("env:") else []


def not_toml(path: Path, failure: tomllib.TOMLDecodeError) -> SettingsError:
    where = _WHERE.search(str(failure))
    what = _WHERE.sub("", str(failure))
    place = (
        f"{path}, the end"
        if where is None or where[1] is None
        else (f"{path}, line {where[1]}, column {where[2]}")
    )
    cure = "Texts stand in quotes, tables in [brackets]"
    return SettingsError(place=place, message=f"not TOML: {what[:1].lower()}{what[1:]}. {cure}")
