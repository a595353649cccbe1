"""`events` of a pixel, written into the settings file: comments and all else stay as they are."""

import difflib
import os
import secrets
from hashlib import blake2b
from pathlib import Path
from typing import Final

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AbstractTable, InlineTable, String

from twite.assembly import values
from twite.domain.errors import SettingsError

_ELSEWHERE: Final = ("env:", "file:")
# Keys of the settings whose values nobody may read over a shoulder.
_SECRET: Final = frozenset(
    {
        "key",
        "pixel_token",
        "consumer_key",
        "consumer_secret",
        "token",
        "token_secret",
        "metrics_key",
        "secret_key",
        "former_secret_keys",
        "hmac_keys",
        "webhook",
        "secret",
    }
)
_CONTEXT: Final = 2
_OF_THIS_RUN: Final = secrets.token_bytes(32)


class Draft:
    """The settings file, before and after. `text` is what would be written."""

    def __init__(self, path: Path, *, pixel: str, name: str, event: str) -> None:
        """Map our name to a pixel's event. Raises SettingsError where that cannot be written."""
        values.name(name, "--as", "an event")
        self.pixel, self.name, self.event = pixel, name, event
        self._path = path
        self._before, bom = _read(path)
        document = _parsed(path, self._before)
        _put(_events_of(document, pixel, path), name, event)
        after = tomlkit.dumps(document)
        self._secrets = sorted(_secrets_in(document), key=len, reverse=True)
        self._bom = bom
        self.text = after

    @property
    def mark(self) -> str:
        """What tells it from a draft of another file, or of another change, while this runs."""
        # With a key of the moment: of the file, which holds secrets, the mark tells nothing.
        told = blake2b(self._bom, key=_OF_THIS_RUN, digest_size=16)
        for text in (self._before, self.text):
            told.update(blake2b(text.encode(), key=_OF_THIS_RUN).digest())
        return told.hexdigest()

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to write."""
        return self.text != self._before

    def diff(self) -> list[str]:
        """Return what would change, as `diff -u` shows it; secrets in it are masked."""
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
        """Put it in the file's place, whole or not at all, for the same eyes as before.

        Raises SettingsError where that cannot be, or where the file was changed since it was read.
        """
        if _read(self._path) != (self._before, self._bom):
            raise SettingsError(
                place=str(self._path),
                message="was changed meanwhile, so nothing was written. Look at the change again",
            )
        path = self._path.resolve()
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            mode = path.stat().st_mode & 0o777
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._bom + self.text.encode())
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as failure:
            draft.unlink(missing_ok=True)
            raise SettingsError(
                place=str(self._path),
                message=f"cannot be written ({failure.strerror}). Add the line by hand",
            ) from None

    def _masked(self, line: str) -> str:
        for text in self._secrets:
            line = line.replace(text, "***")
        return line


def _read(path: Path) -> tuple[str, bytes]:
    """Return the text, with the line ends that it has, and its byte order mark."""
    try:
        held = path.read_bytes()
        bom = b"\xef\xbb\xbf"
        marked = held.startswith(bom)
        return held.removeprefix(bom).decode(), bom if marked else b""
    except (OSError, UnicodeDecodeError) as failure:
        why = getattr(failure, "strerror", None) or "not UTF-8 text"
        raise SettingsError(place=str(path), message=f"cannot be read ({why})") from None


def _parsed(path: Path, text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as failure:
        raise SettingsError(place=str(path), message=f"not TOML: {failure}") from None


def _events_of(document: tomlkit.TOMLDocument, pixel: str, path: Path) -> AbstractTable:
    """Return the table of the pixel's events, as it is written there."""
    pixels = document.get("pixel")
    for one in pixels if isinstance(pixels, list) else ():
        events = one.get("events")
        if one.get("id") == pixel and isinstance(events, AbstractTable):
            return events
    raise SettingsError(
        place=str(path),
        message=f"the pixel {pixel!r} is not written out there (is it set by the environment?). "
        "Add the event where the pixel is set",
    )


def _put(events: AbstractTable, name: str, event: str) -> None:
    written = tomlkit.string(event)
    if isinstance(events, InlineTable) and (not events or events.as_string().endswith(" }")):
        written.trivia.trail = " "
    events[name] = written


def _secrets_in(node: object, *, below: bool = False) -> set[str]:
    """Return the texts that are secrets in clear."""
    if isinstance(node, dict):
        return {
            text for key, value in node.items() for text in _secrets_in(value, below=key in _SECRET)
        }
    if isinstance(node, list):
        return {text for value in node for text in _secrets_in(value, below=below)}
    if not below or not isinstance(node, str) or not node or node.startswith(_ELSEWHERE):
        return set()
    # In the file it may stand with escapes.
    return {str(node), node.as_string()[1:-1]} if isinstance(node, String) else {str(node)}
