"""Read values that stand elsewhere: `env:NAME` and `file:PATH`. Collect warnings about secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from twite.config.toml import scalar
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret

_ELSEWHERE = ("env:", "file:")
_LONGEST_FILE = 65_536


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Reader:
    """Reads values from the environment and files, and collects warnings.

    `folder` is the base of `file:` paths; `overridden` are the places that environment variables
    set; without `credentials`, an unreadable secret is empty instead of an error.
    """

    environ: Mapping[str, str]
    folder: Path
    overridden: frozenset[str] = frozenset()
    credentials: bool = True
    warnings: list[str] = field(init=False, default_factory=list)
    # Values from the environment or files, which must not be shown.
    hidden: set[str] = field(init=False, default_factory=set)

    def resolved(self, value: object, place: str, *, is_text: bool = True) -> object:
        """Return the value, read from elsewhere if it says so; as TOML, if it is no text."""
        if not isinstance(value, str) or not value.startswith(_ELSEWHERE):
            return value
        text = self.elsewhere(value, place)
        return text if is_text else scalar(text)

    def secret(self, value: str, place: str, *, lines: bool = False) -> Secret:
        """Return a secret, which may have several `lines`. Warns of one in clear text."""
        if value.startswith(_ELSEWHERE):
            return Secret(self._unless_unreadable(value, place, lines=lines))
        if place not in self.overridden and value:
            self.warnings.append(
                f"{place}: a secret in clear text. "
                'Put it into the environment or a file, and write "env:NAME" or "file:PATH"'
            )
        empty = "is empty. Write the secret, or leave the key out"
        return Secret(present(value, place, empty, lines=lines))

    def secret_text(self, value: float | str, place: str) -> float | str:
        """Return a scalar; a text from elsewhere is a secret."""
        if not isinstance(value, str) or not value.startswith(_ELSEWHERE):
            return value
        return self._unless_unreadable(value, place)

    def _unless_unreadable(self, value: str, place: str, *, lines: bool = False) -> str:
        try:
            return self.elsewhere(value, place, lines=lines)
        except SettingsError:
            if self.credentials:
                raise
            return ""

    def elsewhere(self, value: str, place: str, *, lines: bool = False) -> str:
        """Return the value of an `env:NAME` or `file:PATH`. Raises SettingsError."""
        way, _, name = value.partition(":")
        if way == "env":
            if name not in self.environ:
                raise SettingsError(
                    place=place,
                    message=f"the environment variable {name!r} is not set. "
                    "Set it where Twite is started",
                )
            text = self.environ[name].strip()
        else:
            text = self._file(name, place)
        what = "environment variable" if way == "env" else "file"
        self.hidden.add(text)
        empty = f"the {what} {name!r} is empty. Put the value there"
        return present(text, place, empty, lines=lines)

    def _file(self, name: str, place: str) -> str:
        try:
            with (self.folder / name).open("rb") as file:
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


def present(text: str, place: str, complaint: str, *, lines: bool = False) -> str:
    """Return a text. Raises SettingsError if it is empty, or has lines where none may be."""
    if not text:
        raise SettingsError(place=place, message=complaint)
    if not text.isprintable() and not lines:
        raise SettingsError(
            place=place, message="holds a control character or a line break. Write it on one line"
        )
    return text
