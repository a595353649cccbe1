"""Write an event mapping (`events` of a pixel) into the settings file, keeping comments."""

import contextlib
import difflib
import re
import secrets
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable, String

from twite.config import toml, values
from twite.config.schema import ROOT
from twite.config.toml import Tree
from twite.domain.errors import SettingsError
from twite.machine.private_file import replace_file

_BLANK: Final = " \t"
_ELSEWHERE: Final = ("env:", "file:")
# Keys of the settings whose values must not be shown.
_SECRET: Final = frozenset(
    key.removesuffix(".*").rpartition(".")[2] for key, found in ROOT.settings() if found.is_secret
) | {"consumer_key", "token"}
_CONTEXT: Final = 2
_OF_THIS_RUN: Final = secrets.token_bytes(32)
_LONE: Final = re.compile(r"(?<!\r)\n")


class TomlBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A block of the file: its text, and its parsed content. `tree` includes the parent tables."""

    text: str
    tree: Tree

    def parted(self) -> tuple[str, str]:
        """Split the block after its last key; return the text and the rest (blank, comments)."""
        lines = _lines(self.text)
        upper = len(lines)
        while upper > 1 and _is_aside(lines[upper - 1]):
            if _parsed("".join(lines[: upper - 1])) != self.tree:
                break  # the end of a multi-line string, not a comment
            upper -= 1
        return "".join(lines[:upper]), "".join(lines[upper:])


def blocks(text: str) -> tuple[TomlBlock, ...]:
    """Split TOML text into blocks.

    Raises tomllib.TOMLDecodeError or ValueError if it is not TOML.
    """
    tomllib.loads(text)
    return tuple(_cut(text))


def _cut(text: str) -> Iterator[TomlBlock]:
    held = ""
    for line in _lines(text):
        # Inside an unclosed string or list, such a line is not a header.
        tree = _parsed(held) if line.lstrip(_BLANK).startswith("[") else None
        if tree is not None:
            yield TomlBlock(text=held, tree=tree)
            held = ""
        held += line
    yield TomlBlock(text=held, tree=tomllib.loads(held))


def _lines(text: str) -> list[str]:
    """Split text into lines as TOML defines them, keeping the line ends."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])


def _is_aside(line: str) -> bool:
    return line.strip(_BLANK + "\r\n")[:1] in {"", "#"}


def _parsed(text: str) -> Tree | None:
    try:
        return tomllib.loads(text)
    except ValueError:
        return None


class SettingsFileDraft:
    """The settings file, before and after. `text` is the new content."""

    def __init__(self, path: Path, *, pixel: str, name: str, event: str) -> None:
        """Map a name in the settings to a pixel's event.

        Raises SettingsError if it cannot be written.
        """
        values.name(name, "--as", "an event")
        self.pixel, self.name, self.event = pixel, name, event
        self._path = path
        self._before, self._bom = read_text(path)
        found = blocks_of(path, self._before)
        self._secrets = sorted(_secrets_of(found), key=len, reverse=True)
        self.text = self._mapped(found)

    @property
    def mark(self) -> str:
        """A token that identifies this draft in a confirmation.

        It is valid while the process runs.
        """
        # Keyed for the process: the token must reveal nothing about the file, which holds secrets.
        digest = blake2b(self._bom, key=_OF_THIS_RUN, digest_size=16)
        for text in (self._before, self.text):
            digest.update(blake2b(text.encode(), key=_OF_THIS_RUN).digest())
        return digest.hexdigest()

    @property
    def is_changed(self) -> bool:
        return self.text != self._before

    def diff(self) -> list[str]:
        lines = difflib.unified_diff(
            self._before.splitlines(),
            self.text.splitlines(),
            fromfile=str(self._path),
            tofile=f"{self._path} (new)",
            lineterm="",
            n=_CONTEXT,
        )
        return [self._masked(line) for line in lines]

    def write(self) -> None:
        """Replace the file atomically, with its owner and permissions.

        Raises SettingsError if that fails, or if the file was changed since it was read.
        """
        if read_text(self._path) != (self._before, self._bom):
            raise SettingsError(
                str(self._path),
                "was changed in the meantime, so Twite wrote nothing. Review the change again",
            )
        try:
            mode = self._path.stat().st_mode & 0o777
            replace_file(self._path, self._bom + self.text.encode(), mode=mode)
        except OSError as failure:
            raise SettingsError(
                str(self._path), f"cannot be written ({failure.strerror}). Add the line by hand"
            ) from None

    def _mapped(self, found: Sequence[TomlBlock]) -> str:
        """Return the text with the mapping added. Raises SettingsError if Twite cannot add it."""
        place = _place_of_events(found, self.pixel)
        if place is None:
            raise SettingsError(
                str(self._path),
                f"the pixel {self.pixel!r} is not defined in this file (does an "
                "environment variable define it?). Add the event where the pixel is "
                "defined",
            )
        wanted = tomllib.loads(self._before)
        events = _events_of(wanted, self.pixel)
        if events is None or events.get(self.name) == self.event:
            return self._before
        events[self.name] = self.event
        texts = [block.text for block in found]
        try:
            texts[place] = _changed(found[place], self.pixel, self.name, self.event)
            after = "".join(texts)
            if "\n" in self._before and not _LONE.search(self._before):
                after = _LONE.sub("\r\n", after)
            if tomllib.loads(after) == wanted:
                return after
        except (TOMLKitError, tomllib.TOMLDecodeError):
            pass
        raise SettingsError(
            str(self._path),
            f"Twite cannot edit the events of {self.pixel} in this notation. Add "
            f"{self.name} by hand, with the id {self.event}",
        )

    def _masked(self, line: str) -> str:
        for text in self._secrets:
            line = line.replace(text, "***")
        return line


def written_events(path: Path, pixel: str) -> Mapping[str, object]:
    """Return the events that the file gives to a pixel; none if it cannot be read."""
    try:
        return _events_of(tomllib.loads(read_text(path)[0]), pixel) or {}
    except (SettingsError, ValueError, RecursionError):
        return {}


def read_text(path: Path) -> tuple[str, bytes]:
    """Return the file's text, with its line ends unchanged, and its byte order mark."""
    try:
        held = path.read_bytes()
        bom = b"\xef\xbb\xbf"
        marked = held.startswith(bom)
        return held.removeprefix(bom).decode(), bom if marked else b""
    except (OSError, UnicodeDecodeError) as failure:
        why = getattr(failure, "strerror", None) or "not UTF-8 text"
        raise SettingsError(str(path), f"cannot be read ({why})") from None


def blocks_of(path: Path, text: str) -> tuple[TomlBlock, ...]:
    try:
        return blocks(text)
    except tomllib.TOMLDecodeError as failure:
        raise toml.not_toml(path, failure) from None
    except (ValueError, RecursionError):
        raise SettingsError(str(path), "cannot be read (twite check shows the line)") from None


def _place_of_events(found: Sequence[TomlBlock], pixel: str) -> int | None:
    is_ours = False
    for place, block in enumerate(found):
        written = block.tree.get("pixel")
        if isinstance(written, list):
            is_ours = any(_is(table, pixel) for table in written)
            if _events_of(block.tree, pixel) is not None:
                return place
        elif is_ours and isinstance(written, dict) and isinstance(written.get("events"), dict):
            return place
    return None


def _events_of(tree: Mapping[str, object], pixel: str) -> dict[str, object] | None:
    """Return a pixel's events. A block such as [pixel.events] belongs to the pixel above it."""
    written = tree.get("pixel")
    if isinstance(written, dict):
        return _table(written.get("events"))
    for table in written if isinstance(written, list) else ():
        if _is(table, pixel):
            return _table(table.get("events"))
    return None


def _table(found: object) -> dict[str, object] | None:
    return found if isinstance(found, dict) else None


def _is(table: object, pixel: str) -> bool:
    return isinstance(table, dict) and table.get("id") == pixel


def _changed(block: TomlBlock, pixel: str, name: str, event: str) -> str:
    """Return the text of a block with an event added. Raises TOMLKitError."""
    upper, below = block.parted()
    document = tomlkit.parse(upper)
    events = _events_of(document, pixel)
    if events is not None:
        _put(events, name, event)
    return tomlkit.dumps(document) + below


def _put(events: dict[str, object], name: str, event: str) -> None:
    written = tomlkit.string(event)
    if isinstance(events, InlineTable):
        # A comment before the closing brace stays there.
        spelled = events.as_string().removesuffix("}")
        written.trivia.trail = spelled[len(spelled.rstrip()) :] if events else " "
    events[name] = written


def _secrets_of(found: Sequence[TomlBlock]) -> set[str]:
    """Return the values that are plain-text secrets."""
    kept: set[str] = set()
    for block in found:
        read: Mapping[str, object] = block.tree
        with contextlib.suppress(TOMLKitError):
            read = tomlkit.parse(block.text)
        kept.update(_secrets_in(read))
    return kept


def _secrets_in(node: object, *, below: bool = False) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _secrets_in(value, below=below or key in _SECRET)
    elif isinstance(node, list):
        for value in node:
            yield from _secrets_in(value, below=below)
    elif below and isinstance(node, str) and node and not node.startswith(_ELSEWHERE):
        yield str(node)
        if isinstance(node, String):
            # In the file, the value may be escaped and span several lines.
            spelled = (line.strip() for line in node.as_string().strip("\"'").splitlines())
            yield from filter(None, spelled)
