"""The settings file as a TOML tree: read it, resolve `env:` and `file:`, find a key's position."""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from twite.domain.errors import SettingsError
from twite.domain.secret import Secret

Tree = dict[str, object]

_WHERE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_REPEATED: Final = re.compile("overwrite|twice|Duplicate|immutable")
_ELSEWHERE = ("env:", "file:")
_LONGEST_FILE = 65_536
IN_CLEAR_TEXT: Final = (
    "a secret in plain text. Put it into an environment variable or a file, and write "
    '"env:NAME" or "file:PATH"'
)
# A file with more lines was not written by hand, and searching it would be slow.
_MOST_LINES: Final = 2_000
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def read(path: Path) -> Tree:
    """Read the file. Raises SettingsError with line and column if it is not TOML."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(
            str(path), "the file does not exist. `twite init` creates it; --config selects another"
        ) from None
    except OSError as failure:
        raise SettingsError(str(path), f"cannot be read: {failure.strerror or failure}") from None
    except UnicodeDecodeError as failure:
        line = failure.object[: failure.start].count(b"\n") + 1
        raise SettingsError(
            f"{path}, line {line}", "not UTF-8 text. Save the file as UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as failure:
        raise not_toml(path, failure) from None
    except ValueError:
        # Python rejects numbers of more than 4,300 digits, and tomllib passes its error on.
        raise SettingsError(
            str(path), "contains a number with too many digits. Shorten it"
        ) from None
    except RecursionError:
        raise SettingsError(str(path), "nested too deeply. Flatten the tables") from None


def scalar(text: str) -> object:
    """Parse text as one TOML value (a number, true, a list …), or return the text unchanged."""
    try:
        return tomllib.loads(f"value = {text}\n")["value"]
    except (ValueError, RecursionError):
        return text


def nearest(name: str, known: Collection[str], *, none: str = "") -> str:
    """Suggest the closest known name, or list all known names; return `none` if there are none."""
    if not known:
        return none
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Available: {', '.join(known)}"


def not_toml(path: Path, failure: tomllib.TOMLDecodeError) -> SettingsError:
    where = _WHERE.search(str(failure))
    what = _WHERE.sub("", str(failure))
    place = (
        f"{path}, the end"
        if where is None or where[1] is None
        else (f"{path}, line {where[1]}, column {where[2]}")
    )
    fix = (
        "Set each key and table only once"
        if _REPEATED.search(what)
        else "Put strings in quotes and table names in [brackets]"
    )
    return SettingsError(place, f"not TOML: {what[:1].lower()}{what[1:]}. {fix}")


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Reader:
    """Reads values from the environment and files, and collects warnings.

    `folder` is the base of `file:` paths; `overridden` are the places that environment variables
    set; without `credentials`, an unreadable secret is empty instead of an error, and one in the
    fields of a template is `stand_in`.
    """

    environ: Mapping[str, str]
    folder: Path
    overridden: frozenset[str] = frozenset()
    credentials: bool = True
    stand_in: str = ""
    warnings: list[str] = field(init=False, default_factory=list)
    # Values from the environment or files, which must not be shown.
    hidden: set[str] = field(init=False, default_factory=set)

    def resolved(self, value: object, place: str, *, is_text: bool = True) -> object:
        """Return the value, or what an `env:` or `file:` reference points to.

        Without `is_text`, the referenced text is parsed as TOML.
        """
        if not isinstance(value, str) or not value.startswith(_ELSEWHERE):
            return value
        text = self.elsewhere(value, place)
        return text if is_text else scalar(text)

    def secret(self, value: str, place: str, *, lines: bool = False) -> Secret:
        """Return a secret; with `lines`, it may have several lines.

        A plain-text secret adds a warning.
        """
        if value.startswith(_ELSEWHERE):
            return Secret(self._unless_unreadable(value, place, lines=lines))
        if place not in self.overridden and value:
            self.warnings.append(f"{place}: {IN_CLEAR_TEXT}")
        empty = "is empty. Write the secret, or leave the key out"
        return Secret(present(value, place, empty, lines=lines))

    def secret_text(self, value: float | str, place: str) -> float | str:
        """Return a scalar; for `env:` or `file:`, return the referenced text."""
        if not isinstance(value, str) or not value.startswith(_ELSEWHERE):
            return value
        return self._unless_unreadable(value, place) or self.stand_in

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
                    place,
                    f"the environment variable {name!r} is not set. Set it before you start Twite",
                )
            text = self.environ[name].strip()
        else:
            text = self._file(name, place)
        what = "environment variable" if way == "env" else "file"
        self.hidden.add(text)
        empty = f"the {what} {name!r} is empty. Write the value into it"
        return present(text, place, empty, lines=lines)

    def _file(self, name: str, place: str) -> str:
        try:
            with (self.folder / name).open("rb") as file:
                held = file.read(_LONGEST_FILE + 1)
            text = held.decode("utf-8-sig").strip()
        except (OSError, ValueError) as failure:
            why = getattr(failure, "strerror", None) or "not UTF-8 text"
            raise SettingsError(
                place,
                f"the file {name!r} cannot be read ({why}). Check its permissions "
                "and the path, which is relative to the settings file",
            ) from None
        if len(held) > _LONGEST_FILE:
            raise SettingsError(
                place, f"the file {name!r} is larger than 64 KiB. It must contain only the value"
            )
        return text


def present(text: str, place: str, complaint: str, *, lines: bool = False) -> str:
    """Return the text.

    Raises SettingsError if the text is empty, or if it has several lines and `lines` is False.
    """
    if not text:
        raise SettingsError(place, complaint)
    if not text.isprintable() and not lines:
        raise SettingsError(
            place, "contains a control character or a line break. Write it on one line"
        )
    return text


def position(path: Path, place: str) -> tuple[int, int] | None:
    """Return (line, column) of a place like `pixel[0].auth.token`, counted from 1.

    If the key is not in the file, the position is that of its nearest parent table. None if the
    file has no such table.
    """
    steps = [name or int(index) for name, index in _STEP.findall(place)]
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    if len(lines) > _MOST_LINES:
        return None
    while steps:
        found = _first(lines, steps)
        if found is not None:
            return found
        steps.pop()
    return None


def _first(lines: list[str], steps: list[str | int]) -> tuple[int, int] | None:
    begins = 0
    for end in range(1, len(lines) + 1):
        try:
            tree = tomllib.loads("\n".join(lines[:end]) + "\n")
        except (ValueError, RecursionError):
            continue  # within a statement of several lines, or after a syntax error
        if _has(tree, steps):
            return _within(lines, begins, end, steps)
        begins = end
    return None


def _has(node: object, steps: list[str | int]) -> bool:
    for step in steps:
        if isinstance(step, int):
            if not isinstance(node, list) or step >= len(node):
                return False
            node = node[step]
        elif isinstance(node, dict) and step in node:
            node = node[step]
        else:
            return False
    return True


def _within(lines: list[str], begins: int, end: int, steps: list[str | int]) -> tuple[int, int]:
    """Return the position of the key within its statement, or the start of the statement."""
    names = [step for step in steps if isinstance(step, str)]
    name = (
        re.compile(rf"(?<![\w-])[\"']?{re.escape(names[-1])}[\"']?(?=\s*[=.\]])") if names else None
    )
    for number in range(begins, end):
        spelled = name.search(lines[number]) if name else None
        if spelled:
            return number + 1, spelled.start() + 1
    written = (number for number in range(begins, end) if lines[number].strip())
    first = next((n for n in written if not lines[n].lstrip().startswith("#")), end - 1)
    return first + 1, len(lines[first]) - len(lines[first].lstrip()) + 1
