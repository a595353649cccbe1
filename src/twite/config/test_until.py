"""Write `test_until` of a source into the settings file, keeping comments."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from twite.config.event_mapping import TomlBlock, blocks_of, read_text
from twite.domain.errors import SettingsError
from twite.domain.times import spelled
from twite.machine.private_file import replace_file


def write_test_until(path: Path, source: str, until: int | None) -> None:
    """Set the end of a source's test mode (ms), or remove it. Raises SettingsError."""
    before, bom = read_text(path)
    found = blocks_of(path, before)
    wanted = tomllib.loads(before)
    _put(wanted, source, until)
    for after in _candidates(found, source, until):
        if _is(after, wanted):
            try:
                mode = path.stat().st_mode & 0o777
                replace_file(path, bom + after.encode(), mode=mode)
            except OSError as failure:
                raise _by_hand(path, source, until, f"({failure.strerror})") from None
            return
    raise _by_hand(path, source, until, "in this notation")


def _candidates(found: tuple[TomlBlock, ...], source: str, until: int | None) -> Iterator[str]:
    """Yield the file's text with each block changed that may be the source's."""
    texts = [block.text for block in found]
    for place, block in enumerate(found):
        if not any(_tables(block.tree, source)):
            continue
        upper, below = block.parted()
        try:
            document = tomlkit.parse(upper if upper.endswith("\n") else f"{upper}\n")
            _put(document, source, until)
            changed = tomlkit.dumps(document) + below
        except TOMLKitError:
            continue
        if "\r\n" in upper:
            changed = changed.replace("\r\n", "\n").replace("\n", "\r\n")
        yield "".join([*texts[:place], changed, *texts[place + 1 :]])


def _put(tree: Mapping[str, object], source: str, until: int | None) -> None:
    for table in _tables(tree, source):
        if until is None:
            table.pop("test_until", None)
        else:
            table["test_until"] = spelled(until)


def _tables(tree: Mapping[str, object], source: str) -> Iterator[dict[str, object]]:
    written = tree.get("source")
    for table in written if isinstance(written, list) else ():
        if isinstance(table, dict) and table.get("name") == source:
            yield table


def _is(text: str, wanted: Mapping[str, object]) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False


def _by_hand(path: Path, source: str, until: int | None, why: str) -> SettingsError:
    line = "" if until is None else f' = "{spelled(until)}"'
    change = "Remove test_until from" if until is None else f"Add test_until{line} to"
    return SettingsError(
        str(path),
        f"Twite cannot change this file {why}. {change} the [[source]] {source}, and run twite "
        "reload",
    )
