"""Split a TOML text into blocks: the text before the first header, then one for each header.

Joined, the blocks are the text. Each is valid TOML by itself, so that one can be changed and the
others stay as they are, in their order.
"""

import tomllib
from collections.abc import Iterator
from typing import Final

import msgspec

from twite.config.toml import Tree

_BLANK: Final = " \t"


class TomlBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A block's text, and its parsed content: `tree` includes the tables above its header."""

    text: str
    tree: Tree

    def parted(self) -> tuple[str, str]:
        """Return the text up to the last key, and the blank lines and comments below."""
        lines = _lines(self.text)
        upper = len(lines)
        while upper > 1 and _is_aside(lines[upper - 1]):
            if _parsed("".join(lines[: upper - 1])) != self.tree:
                break  # the end of a multi-line string, not a comment
            upper -= 1
        return "".join(lines[:upper]), "".join(lines[upper:])


def blocks(text: str) -> tuple[TomlBlock, ...]:
    """Split a text. Raises tomllib.TOMLDecodeError or ValueError if it is not TOML."""
    tomllib.loads(text)
    return tuple(_cut(text))


def _cut(text: str) -> Iterator[TomlBlock]:
    held = ""
    for line in _lines(text):
        # Inside an open string or list, such a line is not a header.
        tree = _parsed(held) if line.lstrip(_BLANK).startswith("[") else None
        if tree is not None:
            yield TomlBlock(text=held, tree=tree)
            held = ""
        held += line
    yield TomlBlock(text=held, tree=tomllib.loads(held))


def _lines(text: str) -> list[str]:
    """Return the lines as TOML defines them, with their ends."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])


def _is_aside(line: str) -> bool:
    return line.strip(_BLANK + "\r\n")[:1] in {"", "#"}


def _parsed(text: str) -> Tree | None:
    try:
        return tomllib.loads(text)
    except ValueError:
        return None
