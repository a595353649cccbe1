"""Find the line and column of a key in the settings file, for error messages.

TOML is not parsed here: tomllib reads the file up to each line, and a key's statement ends at the
line with which it first has its value.
"""

import re
import tomllib
from pathlib import Path
from typing import Final

# A longer file is not hand-written.
_MOST_LINES: Final = 2_000
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def position(path: Path, place: str) -> tuple[int, int] | None:
    """Return (line, column) of a place like `pixel[0].auth.token`, counted from 1.

    If the key is not in the file, for example because it is missing, the nearest table around it.
    None if nothing of it is in the file.
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
    """Find the key in the lines of its statement; else the statement's beginning."""
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
