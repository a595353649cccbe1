"""Change settings for the built-in emulator into settings for X."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import tomlkit
from tomlkit.exceptions import TOMLKitError

from twite.config.template import EMULATED_STORE, SQLITE, STORE
from twite.config.toml import Tree
from twite.domain.errors import SettingsError

_EMULATED: Final = re.compile(rf"{SQLITE}(.*/)?{re.escape(EMULATED_STORE)}")


def switched_to_x(
    text: str, *, path: Path, old_pixel: str, pixel: str, events: Mapping[str, str]
) -> str:
    """Return the text of the settings without the emulator, and with X's ids. Comments stay.

    `old_pixel` gets the id `pixel` and X's `events`; sources that name it follow. Its `auth` is
    removed, because the token is stored encrypted. The store of `twite init --emulator` becomes
    another one, so that no conversion for the emulator is sent to X. Raises SettingsError if the
    file is written in a way that Twite cannot edit.
    """
    wanted = tomllib.loads(text)
    _switch(wanted, old_pixel, pixel, events)
    try:
        document = tomlkit.parse(text)
        _switch(document, old_pixel, pixel, events)
        switched = tomlkit.dumps(document)
        if tomllib.loads(switched) == wanted:
            return switched
    except (TOMLKitError, tomllib.TOMLDecodeError):
        pass
    raise SettingsError(
        str(path),
        f"Twite cannot edit this notation. Remove x.emulator, set the id of the pixel and "
        f"its events by hand, and store the token with twite login --pixel {pixel} --pixel-token",
    )


def _switch(tree: Tree, old_pixel: str, pixel: str, events: Mapping[str, str]) -> None:
    x, store = tree.get("x"), tree.get("store")
    if isinstance(x, dict):
        x.pop("emulator", None)
    url = store.get("url") if isinstance(store, dict) else None
    if isinstance(store, dict) and isinstance(url, str) and _EMULATED.fullmatch(url):
        store["url"] = url.removesuffix(EMULATED_STORE) + STORE
    for table in _tables(tree, "pixel"):
        if table.get("id") == old_pixel:
            table["id"] = pixel
            table.pop("auth", None)
            table["events"] = _inline(events)
    for table in _tables(tree, "source"):
        if table.get("pixel") == old_pixel:
            table["pixel"] = pixel


def _tables(tree: Tree, name: str) -> list[Tree]:
    found = tree.get(name)
    return [table for table in found if isinstance(table, dict)] if isinstance(found, list) else []


def _inline(events: Mapping[str, str]) -> tomlkit.items.InlineTable:
    table = tomlkit.inline_table()
    table.update(events)
    return table
