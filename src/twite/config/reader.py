"""Build the settings structs from a TOML tree: types, unknown keys, `env:` and `file:` values."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import inspect

from twite.config.shape import ROOT, Kind, SettingsFile, some
from twite.config.toml import Tree, nearest, scalar
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret

_ELSEWHERE = ("env:", "file:")
_LONGEST_FILE = 65_536


class Reader:
    """Builds the structs, and collects warnings.

    `folder` is the base of `file:` paths; `overridden` are the places that environment variables
    set; without `credentials`, an unreadable secret is empty instead of an error.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        folder: Path,
        overridden: frozenset[str] = frozenset(),
        credentials: bool = True,
    ) -> None:
        self.warnings: list[str] = []
        # Values from the environment or files, which must not be shown.
        self.hidden: set[str] = set()
        self._environ = environ
        self._folder = folder
        self._overridden = overridden
        self._credentials = credentials

    def build(self, tree: Tree) -> SettingsFile:
        """Raises SettingsError at the first place that does not fit."""
        shape = self._made(ROOT, tree, "")
        assert isinstance(shape, SettingsFile)  # noqa: S101  # what ROOT builds; told to the type checker
        return shape

    def _made(self, kind: Kind, value: object, place: str) -> object:
        kind = some(kind)
        if isinstance(kind, inspect.StructType):
            return self._table(kind, value, place)
        if isinstance(kind, inspect.VarTupleType):
            if not isinstance(value, list):
                raise _wrong(place, kind, value)
            return tuple(
                self._made(kind.item_type, element, f"{place}[{index}]")
                for index, element in enumerate(value)
            )
        if isinstance(kind, inspect.DictType):
            if not isinstance(value, dict):
                raise _wrong(place, kind, value)
            return {
                key: self._made(kind.value_type, element, f"{place}.{key}")
                for key, element in value.items()
            }
        return self._text(kind, value, place)

    def _text(self, kind: Kind, value: object, place: str) -> object:
        """Return a scalar value."""
        if isinstance(kind, inspect.Metadata):
            return self._key_file(kind, value, place)
        if isinstance(kind, inspect.CustomType):
            return self._secret(kind, value, place)
        if isinstance(kind, inspect.AnyType):
            return self._anything(value, place)
        return self._plain(kind, value, place)

    def _table(self, kind: inspect.StructType, value: object, place: str) -> msgspec.Struct:
        if not isinstance(value, dict):
            raise _wrong(place, kind, value)
        fields = {field.name: field for field in kind.fields}
        for key in value:
            if key not in fields:
                raise SettingsError(
                    place=f"{place}.{key}" if place else key,
                    message=f"unknown key. {nearest(key, list(fields))}",
                )
        made: dict[str, object] = {}
        for name, field in fields.items():
            inner = f"{place}.{name}" if place else name
            if name in value:
                made[name] = self._made(field.type, value[name], inner)
            elif field.required:
                raise SettingsError(
                    place=inner, message=f"is missing. Write {name} = {_example(field.type)}"
                )
        built = kind.cls(**made)
        assert isinstance(built, msgspec.Struct)  # noqa: S101  # StructType.cls is one
        return built

    def _anything(self, value: object, place: str) -> object:
        """Return any JSON value, with its `env:` and `file:` texts resolved."""
        if isinstance(value, dict):
            return {
                key: self._anything(element, f"{place}.{key}") for key, element in value.items()
            }
        if isinstance(value, list):
            return [self._anything(element, f"{place}[{at}]") for at, element in enumerate(value)]
        if isinstance(value, str) and value.startswith(_ELSEWHERE):
            return self._secret_text(value, place)
        if isinstance(value, bool | int | float | str):
            return value
        raise SettingsError(
            place=place, message="is a date or time, which templates do not know. Write a text"
        )

    def _key_file(self, kind: inspect.Metadata, value: object, place: str) -> Secret:
        """Return a secret that may have several lines, or a keyword."""
        if isinstance(value, str) and value in (kind.extra or {}).get("words", ()):
            return Secret(value)
        return self._secret(kind.type, value, place, lines=True)

    def _secret(self, kind: Kind, value: object, place: str, *, lines: bool = False) -> Secret:
        if not isinstance(value, str):
            raise _wrong(place, kind, value)
        if not value.startswith(_ELSEWHERE):
            if place not in self._overridden and value:
                self.warnings.append(
                    f"{place}: a secret in clear text. "
                    'Put it into the environment or a file, and write "env:NAME" or "file:PATH"'
                )
            empty = "is empty. Write the secret, or leave the key out"
            return Secret(_present(value, place, empty, lines=lines))
        return Secret(self._secret_text(value, place, lines=lines))

    def _secret_text(self, value: str, place: str, *, lines: bool = False) -> str:
        try:
            return self.elsewhere(value, place, lines=lines)
        except SettingsError:
            if self._credentials:
                raise
            return ""

    def _plain(self, kind: Kind, value: object, place: str) -> object:
        if isinstance(value, str) and value.startswith(_ELSEWHERE):
            value = self.elsewhere(value, place)
            if not isinstance(kind, inspect.StrType | inspect.LiteralType):
                value = scalar(value)
        if isinstance(kind, inspect.BoolType):
            if not isinstance(value, bool):
                raise _wrong(place, kind, value)
            return value
        if isinstance(kind, inspect.IntType):
            return _number(kind, value, place)
        if not isinstance(value, str):
            raise _wrong(place, kind, value)
        if isinstance(kind, inspect.LiteralType) and value not in kind.values:
            known = [str(choice) for choice in kind.values]
            raise SettingsError(
                place=place,
                message=f"{value!r} is not known. {nearest(value, known)}",
            )
        return _present(value, place, "is empty. Write a value, or leave the key out")

    def elsewhere(self, value: str, place: str, *, lines: bool = False) -> str:
        """Return the value of an `env:NAME` or `file:PATH`. Raises SettingsError."""
        way, _, name = value.partition(":")
        if way == "env":
            if name not in self._environ:
                raise SettingsError(
                    place=place,
                    message=f"the environment variable {name!r} is not set. "
                    "Set it where Twite is started",
                )
            text = self._environ[name].strip()
        else:
            text = self._file(name, place)
        what = "environment variable" if way == "env" else "file"
        self.hidden.add(text)
        empty = f"the {what} {name!r} is empty. Put the value there"
        return _present(text, place, empty, lines=lines)

    def _file(self, name: str, place: str) -> str:
        try:
            with (self._folder / name).open("rb") as file:
                held = file.read(_LONGEST_FILE + 1)
            text = held.decode("utf-8-sig").strip()
        except (OSError, ValueError) as failure:
            why = getattr(failure, "strerror", None) or "not UTF-8 text"
            raise SettingsError(
                place=place,
                message=f"the file {name!r} cannot be read ({why}). Check the path (it is relative "
                "to the settings file) and who may read it",
            ) from None
        if len(held) > _LONGEST_FILE:
            raise SettingsError(
                place=place,
                message=f"the file {name!r} is larger than 64 KiB. It must hold the value alone",
            )
        return text


def _number(kind: inspect.IntType, value: object, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(place, kind, value)
    least, most = kind.ge, kind.le
    if (least is not None and value < least) or (most is not None and value > most):
        raise SettingsError(
            place=place, message=f"{value} is out of range. Write a number from {least} to {most}"
        )
    return value


def _present(text: str, place: str, complaint: str, *, lines: bool = False) -> str:
    if not text:
        raise SettingsError(place=place, message=complaint)
    if not text.isprintable() and not lines:
        raise SettingsError(
            place=place, message="holds a control character or a line break. Write it on one line"
        )
    return text


def _wrong(place: str, kind: Kind, value: object) -> SettingsError:
    """Name both types, never the value: it may be a secret in the wrong place."""
    return SettingsError(
        place=place,
        message=f"must be {_named(kind)}, not {_kind_of(value)}. Write it as {_example(kind)}",
    )


def _named(kind: Kind) -> str:
    if isinstance(kind, inspect.StructType | inspect.DictType):
        return "a table"
    if isinstance(kind, inspect.VarTupleType):
        tables = isinstance(kind.item_type, inspect.StructType)
        return "a list of tables" if tables else "a list of texts"
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    return "a whole number" if isinstance(kind, inspect.IntType) else "a text"


def _kind_of(value: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return names.get(type(value), "a date or time")


def _example(kind: Kind) -> str:
    """Spell a value of this type in TOML."""
    kind = some(kind)
    if isinstance(kind, inspect.StructType | inspect.DictType):
        return "{ … }"
    if isinstance(kind, inspect.VarTupleType):
        return "[[…]]" if isinstance(kind.item_type, inspect.StructType) else '["…"]'
    if isinstance(kind, inspect.BoolType):
        return "true"
    return "60" if isinstance(kind, inspect.IntType) else '"…"'
