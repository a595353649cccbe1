"""Kinds of settings: how a value is read from TOML, and its name in errors.

`Setting` describes one key. The loader, the test of the reference page and the file that
`twite init` writes are derived from these descriptions.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from twite.config import values
from twite.config.collected_errors import CollectedErrors
from twite.config.toml import Reader, nearest, present
from twite.domain.errors import SettingsError
from twite.domain.fault import Fault
from twite.domain.secret import Secret
from twite.domain.times import LATEST, moment

_NO_LIMIT: Final = 2**53
REQUIRED: Final = object()  # the default of a key that must be written


class Kind(msgspec.Struct, frozen=True):
    """How to read one kind of value."""

    name: ClassVar[str] = "a string"
    example: ClassVar[str] = '"…"'
    is_text: ClassVar[bool] = False

    def read(self, value: object, place: str, reader: Reader) -> object:
        """Convert a TOML value. Raises SettingsError."""
        raise NotImplementedError

    def wrong(self, value: object, place: str) -> SettingsError:
        """Return an error that gives both types, but not the value, which may be secret."""
        return SettingsError(
            place, f"must be {self.name}, not {_type_of(value)}. Write it as {self.example}"
        )


_OF_ITS_TYPE: Final = Kind()


class Setting(msgspec.Struct, frozen=True):
    """One key: its default in TOML (None for none), its meaning in a sentence, and its kind.

    If no kind is given, it follows from the field's type. `twite init` shows `example` instead of
    the default. Calling a setting returns the default, converted for the gateway.
    """

    default: object
    meaning: str
    kind: Kind = _OF_ITS_TYPE
    example: object = None

    @property
    def is_secret(self) -> bool:
        """Whether the value, or each value of a list or table, is a secret."""
        return isinstance(getattr(self.kind, "item", self.kind), SecretText)

    def __call__(self) -> object:
        if self.default is None or self.kind is _OF_ITS_TYPE:
            return tuple(self.default) if isinstance(self.default, list) else self.default
        return self.kind.read(self.default, "", Reader(environ={}, folder=Path()))


def setting(
    default: object, meaning: str, kind: Kind = _OF_ITS_TYPE, example: object = None
) -> Any:  # noqa: ANN401  # can be any default
    """Describe a field of a table's struct."""
    return msgspec.field(default_factory=Setting(default, meaning, kind, example))


class Text(Kind, frozen=True):
    """A string; `parse` converts it, given the string and its place."""

    parse: Callable[[str, str], object] | None = None

    is_text: ClassVar[bool] = True

    def read(self, value: object, place: str, reader: Reader) -> object:
        text = reader.resolved(value, place)
        if not isinstance(text, str):
            raise self.wrong(text, place)
        text = present(text, place, "is empty. Write a value, or leave the key out")
        return text if self.parse is None else self.parse(text, place)


class Choice(Kind, frozen=True):
    """One of several strings; `make` converts it."""

    words: tuple[str, ...]
    make: Callable[[str], object] = str

    is_text: ClassVar[bool] = True

    def read(self, value: object, place: str, reader: Reader) -> object:
        word = reader.resolved(value, place)
        if not isinstance(word, str):
            raise self.wrong(word, place)
        if word not in self.words:
            known = nearest(word, sorted(self.words))
            raise SettingsError(place, f"{word!r} is not known. {known}")
        return self.make(word)


class Number(Kind, frozen=True):
    """A whole number between two bounds."""

    least: int
    most: int

    name: ClassVar[str] = "a whole number"
    example: ClassVar[str] = "60"

    def read(self, value: object, place: str, reader: Reader) -> int:
        number = reader.resolved(value, place, is_text=False)
        if isinstance(number, bool) or not isinstance(number, int):
            raise self.wrong(number, place)
        if not self.least <= number <= self.most:
            bounds = f"Write a number from {self.least} to {self.most}"
            raise SettingsError(place, f"{number} is out of range. {bounds}")
        return number


class TimeWithZone(Kind, frozen=True):
    """A time with a zone, as a string or as TOML's own, in milliseconds."""

    name: ClassVar[str] = "a time"
    example: ClassVar[str] = '"2026-12-02T18:00:00Z"'
    is_text: ClassVar[bool] = True

    def read(self, value: object, place: str, reader: Reader) -> int:
        text = reader.resolved(value, place)
        if isinstance(text, datetime):
            text = text.isoformat()
        if not isinstance(text, str):
            raise self.wrong(text, place)
        read = moment(text, now=LATEST, path=place)
        if isinstance(read, Fault):
            raise SettingsError(place, f"is {read.message}")
        return read


class Flag(Kind, frozen=True):
    """True or false."""

    name: ClassVar[str] = "true or false"
    example: ClassVar[str] = "true"

    def read(self, value: object, place: str, reader: Reader) -> bool:
        flag = reader.resolved(value, place, is_text=False)
        if not isinstance(flag, bool):
            raise self.wrong(flag, place)
        return flag


class SecretText(Kind, frozen=True):
    """A secret, or one of `words`, which are not secret. `lines` allows several lines."""

    words: tuple[str, ...] = ()
    lines: bool = False

    is_text: ClassVar[bool] = True

    def read(self, value: object, place: str, reader: Reader) -> Secret:
        if not isinstance(value, str):
            raise self.wrong(value, place)
        if value in self.words:
            return Secret(value)
        return reader.secret(value, place, lines=self.lines)


class Anything(Kind, frozen=True):
    """Any JSON value; strings that begin with `env:` or `file:` are resolved."""

    def read(self, value: object, place: str, reader: Reader) -> object:
        if isinstance(value, dict):
            return {key: self.read(below, f"{place}.{key}", reader) for key, below in value.items()}
        if isinstance(value, list):
            return [self.read(below, f"{place}[{at}]", reader) for at, below in enumerate(value)]
        if isinstance(value, bool | int | float | str):
            return reader.secret_text(value, place)
        raise SettingsError(
            place, "is a date or time, which templates do not support. Write a string"
        )


class ListOf(Kind, frozen=True):
    """A list; `then` converts it, given the elements and the place.

    If duplicates are forbidden, `distinct` is what the error calls an element.
    """

    name: ClassVar[str] = "a list of strings"
    example: ClassVar[str] = '["…"]'
    item: Kind
    then: Callable[[tuple[Any, ...], str], object] | None = None
    distinct: str = ""

    def read(self, value: object, place: str, reader: Reader) -> object:
        if not isinstance(value, list):
            raise self.wrong(value, place)
        elements = []
        wrong = CollectedErrors()
        for at, element in enumerate(value):
            with wrong.collect():
                elements.append(self.item.read(element, f"{place}[{at}]", reader))
        wrong.raise_any()
        read = tuple(elements)
        if self.distinct:
            values.differ([str(element) for element in read], f"{place}[{{}}]", self.distinct)
        return read if self.then is None else self.then(read, place)


class Tables(ListOf, frozen=True):
    name: ClassVar[str] = "a list of tables"
    example: ClassVar[str] = "[[…]]"


class MapOf(Kind, frozen=True):
    """A table with any keys."""

    item: Kind

    name: ClassVar[str] = "a table"
    example: ClassVar[str] = "{ … }"

    def read(self, value: object, place: str, reader: Reader) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.wrong(value, place)
        read = {}
        wrong = CollectedErrors()
        for key, below in value.items():
            with wrong.collect():
                read[key] = self.item.read(below, f"{place}.{key}", reader)
        wrong.raise_any()
        return read


class Table(Kind, frozen=True):
    """A table with known keys; `make` receives their values as keyword arguments."""

    make: Callable[..., object]
    fields: Mapping[str, Setting]

    name: ClassVar[str] = "a table"
    example: ClassVar[str] = "{ … }"

    def read(self, value: object, place: str, reader: Reader) -> object:
        if not isinstance(value, dict):
            raise self.wrong(value, place)
        wrong = CollectedErrors()
        for key in value:
            with wrong.collect():
                self._refuse_unknown(key, place)
        read = {}
        for key, field in self.fields.items():
            with wrong.collect():
                if key in value:
                    read[key] = field.kind.read(value[key], _below(place, key), reader)
                elif field.default is REQUIRED:
                    raise SettingsError(
                        _below(place, key), f"is missing. Set {key} = {field.kind.example}"
                    )
                else:
                    read[key] = field()
        wrong.raise_any()
        return self.make(**read)

    def _refuse_unknown(self, key: str, place: str) -> None:
        if key not in self.fields:
            raise SettingsError(_below(place, key), f"unknown key. {nearest(key, self.fields)}")

    def settings(self, place: str = "") -> Iterator[tuple[str, Setting]]:
        """Yield each key that holds a value, such as `server.listen` or `pixel[].auth.token`.

        A table with any keys ends in `.*`.
        """
        for name, field in self.fields.items():
            key = _below(place, name)
            if isinstance(field.kind, Table):
                yield from field.kind.settings(key)
            elif isinstance(field.kind, Tables) and isinstance(field.kind.item, Table):
                yield from field.kind.item.settings(f"{key}[]")
            else:
                yield (f"{key}.*" if isinstance(field.kind, MapOf) else key), field


def table(made: type[msgspec.Struct]) -> Table:
    """Return the table of a struct whose fields are settings.

    A struct of a lower layer annotates its fields instead, with a `msgspec.Meta` that has the
    meaning, and for numbers the bounds.
    """
    types = get_type_hints(made, include_extras=True)
    fields = {}
    for field in msgspec.structs.fields(made):
        described = field.default_factory
        if isinstance(described, Setting):
            if described.kind is _OF_ITS_TYPE:
                described = msgspec.structs.replace(described, kind=_kind_of(types[field.name]))
            fields[field.name] = described
        elif get_origin(types[field.name]) is Annotated:
            fields[field.name] = _annotated(field, types[field.name])
    return Table(made, fields)


def _annotated(field: msgspec.structs.FieldInfo, hint: Any) -> Setting:  # noqa: ANN401  # any type
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    elif default is msgspec.NODEFAULT:
        default = REQUIRED
    bare, meta = get_args(hint)
    if bare is int:
        kind: Kind = Number(meta.ge or 0, _NO_LIMIT if meta.le is None else meta.le)
    else:
        kind = _kind_of(bare)
    if isinstance(default, tuple):
        default = list(default)
    return Setting(default, meta.description, kind)


def _kind_of(hint: Any) -> Kind:  # noqa: ANN401  # any type
    """Return the kind of a field's type; None in the type means that the key may be missing."""
    parts = [part for part in get_args(hint) if part is not NoneType]
    origin = get_origin(hint)
    if origin is UnionType:
        return _kind_of(parts[0])
    if origin is Literal:
        return Choice(tuple(parts))
    if origin is tuple:
        item = _kind_of(parts[0])
        return Tables(item) if isinstance(item, Table) else ListOf(item)
    if origin is Mapping:
        return MapOf(_kind_of(parts[1]))
    plain = {Any: Anything(), Secret: SecretText(), bool: Flag(), str: Text()}
    if hint in plain:
        return plain[hint]
    return choice(hint) if issubclass(hint, StrEnum) else table(hint)


def choice(made: type[StrEnum]) -> Choice:
    return Choice(tuple(member.value for member in made), made)


def duration(least: int, most: int) -> Text:
    """Return a duration, such as "15s": milliseconds between two bounds."""
    return Text(partial(values.duration, least=least, most=most))


def size(least: int, most: int) -> Text:
    """Return a size, such as "1MiB": bytes between two bounds."""
    return Text(partial(values.size, least=least, most=most))


def _below(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _type_of(value: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return names.get(type(value), "a date or time")
