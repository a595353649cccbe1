"""Output on the terminal.

All text is escaped by `safe`, because X's responses repeat text that clients sent. Rich is imported
only for tables and styles: `twite serve` needs neither.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, TextIO

import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Without a terminal, a table may be wider, so that `grep` finds whole ids.
_WIDTH_OF_FILES: Final = 160
_UNPRINTABLE: Final = re.compile(r"[^\n -~]")


def safe(text: str, *, longest: int | None = None) -> str:
    """Escape characters that could move the cursor, or hide or reverse text; limit the length."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if longest is None or len(shown) <= longest else f"{shown[: longest - 1]}…"


def say(*parts: "str | Text") -> None:
    """Print one line on standard output."""
    _print_line(sys.stdout, parts)


def complain(*parts: "str | Text") -> None:
    """Print one line on standard error."""
    _print_line(sys.stderr, parts)


def styled(text: str, style: str) -> "Text":
    from rich.text import Text  # noqa: PLC0415  # see above

    return Text(safe(text), style=style)


def print_json(value: object) -> None:
    """Print JSON as plain ASCII, so that no text in it can control the terminal."""
    encoded = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.write(_UNPRINTABLE.sub(_escaped, encoded) + "\n")
    sys.stdout.flush()


def print_json_line(value: object) -> None:
    """Print JSON on one line, for programs that read lines."""
    sys.stdout.write(_UNPRINTABLE.sub(_escaped, msgspec.json.encode(value).decode()) + "\n")
    sys.stdout.flush()


def print_table(
    columns: Sequence[str], rows: "Iterable[Sequence[str | int | Text]]", *, title: str = ""
) -> None:
    """Print a table; numbers are right-aligned."""
    from rich.table import Table  # noqa: PLC0415  # see above
    from rich.text import Text  # noqa: PLC0415

    held = [list(row) for row in rows]
    table = Table(title=title or None, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        numbers = bool(held) and all(isinstance(row[index], int) for row in held)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in held:
        table.add_row(*(cell if isinstance(cell, Text) else safe(str(cell)) for cell in row))
    _console(sys.stdout).print(table)


def _print_line(stream: TextIO, parts: "Sequence[str | Text]") -> None:
    if all(isinstance(part, str) for part in parts):
        stream.write("".join(safe(str(part)) for part in parts) + "\n")
        stream.flush()
        return
    from rich.text import Text  # noqa: PLC0415  # see above

    line = Text()
    for part in parts:
        line.append_text(part if isinstance(part, Text) else Text(safe(part)))
    _console(stream).print(line, soft_wrap=True)


def _console(stream: TextIO) -> "Console":
    from rich.console import Console  # noqa: PLC0415  # see above

    return Console(
        file=stream,
        markup=False,
        emoji=False,
        highlight=False,
        width=None if stream.isatty() else _WIDTH_OF_FILES,
    )


def _escaped(match: re.Match[str]) -> str:
    """Return a character as a JSON escape; above U+FFFF, as a surrogate pair."""
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
