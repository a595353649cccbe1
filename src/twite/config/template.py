"""Render the settings file that `twite init` writes: every key, with its meaning."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from twite.config.kinds import REQUIRED, Choice, Kind, Setting, Table, Tables
from twite.config.schema import FEATURES, ROOT
from twite.config.secret_key import KEY_FILE

_WIDTH: Final = 100
SQLITE: Final = "sqlite:"
STORE: Final = "twite.db"
# Conversions for the emulator have a store of their own, which the switch to X leaves behind.
EMULATED_STORE: Final = "emulator.db"
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
# Shown as comments, including the heading: the instructions add whole tables, and a second heading
# of the same name is a TOML error.
_ADDED_WHOLE: Final = frozenset(name for feature in FEATURES for name in feature.commented)
_HEAD: Final = """\
# Settings of Twite. Lines that begin with "# " and a key show its default, or an example.
# Twite can read any value from elsewhere: "env:NAME" from the environment, "file:PATH" from a file.
# Variables such as TWITE_SERVER__LISTEN override any key. `twite check` checks the file.
"""


def rendered(
    *,
    pixel: str,
    events: Mapping[str, str],
    key_file: str,
    secret: str = f"file:{KEY_FILE}",
    emulator: str | None = None,
    state: Path | None = None,
) -> str:
    """Return the text of a settings file; with `emulator` (HOST:PORT), for the emulator.

    `state` is the folder of the store. None: next to the settings.
    """
    store = STORE if emulator is None else EMULATED_STORE
    pairs = ", ".join(f"{_quoted(name)} = {_quoted(event)}" for name, event in events.items())
    written = {
        "server.listen": _quoted("127.0.0.1:8080"),
        "server.secret_key": _quoted(secret),
        "store.url": _quoted(f"{SQLITE}{store if state is None else state / store}"),
        "pixel.id": _quoted(pixel),
        "pixel.auth": '{ pixel_token = "env:X_PIXEL_TOKEN" }',
        "pixel.events": f"{{ {pairs} }}",
        "source.name": _quoted("shop"),
        "source.key": _quoted(f"file:{key_file}"),
        "source.pixel": _quoted(pixel),
    }
    if emulator is not None:
        written["x.emulator"] = _quoted(emulator)
        # The emulator knows the pixel, with a token of its own.
        del written["pixel.auth"]
    return "\n".join((_HEAD, *(line for name in ROOT.fields for line in _table(name, written))))


def _table(name: str, written: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a table, or those of an example for an empty list of tables."""
    setting = ROOT.fields[name]
    yield from _comment(setting.meaning)
    if isinstance(setting.kind, Tables):
        is_written = any(key.startswith(f"{name}.") for key in written)
        yield f"[[{name}]]" if is_written else f"# [[{name}]]"
    else:
        yield f"# [{name}]" if name in _ADDED_WHOLE else f"[{name}]"
    yield from _keys(setting.kind, name, "", written)
    yield ""


def _keys(kind: Kind, table: str, prefix: str, written: Mapping[str, str]) -> Iterator[str]:
    kind = kind.item if isinstance(kind, Tables) else kind
    for name, setting in kind.fields.items() if isinstance(kind, Table) else ():
        value = written.get(f"{table}.{prefix}{name}")
        if isinstance(setting.kind, Table) and value is None:
            yield from _keys(setting.kind, table, f"{prefix}{name}.", written)
            continue
        yield from _comment(_meaning(setting))
        if value is not None:
            yield f"{prefix}{name} = {value}"
        if value is None or setting.example is not None:
            shown = setting.default if setting.example is None else setting.example
            text = setting.kind.example if shown in (REQUIRED, None) else toml_value(shown)
            if text != value:
                yield f"# {prefix}{name} = {text}"


def _meaning(setting: Setting) -> str:
    """Return what a key means, and its choices."""
    if not isinstance(setting.kind, Choice):
        return setting.meaning
    words = ", ".join(setting.kind.words)
    return f"{setting.meaning} ({words})" if setting.meaning else f"one of {words}"


def _comment(meaning: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(meaning[:1].upper() + meaning[1:], _WIDTH - 2)]


def toml_value(value: object) -> str:
    """Format a value as TOML, on one line."""
    if isinstance(value, dict):
        pairs = (f"{toml_key(key)} = {toml_value(below)}" for key, below in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(toml_value(element) for element in value)}]"
    return _quoted(value)


def toml_key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)


def _quoted(value: object) -> str:
    """Format a scalar as TOML: JSON's spelling is valid, except for DEL."""
    return json.dumps(value).replace("\x7f", "\\u007f")
