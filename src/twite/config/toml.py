"""Read the settings file into a TOML tree, which is not yet checked."""

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from twite.domain.errors import SettingsError

Tree = dict[str, object]

_WHERE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def read(path: Path) -> Tree:
    """Read the file. Raises SettingsError with line and column if it is not TOML."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text)
    except FileNotFoundError:
        raise SettingsError(
            place=str(path),
            message="there is no such file. `twite init` writes one; --config names another",
        ) from None
    except OSError as failure:
        raise SettingsError(
            place=str(path), message=f"cannot be read: {failure.strerror or failure}"
        ) from None
    except UnicodeDecodeError as failure:
        line = failure.object[: failure.start].count(b"\n") + 1
        raise SettingsError(
            place=f"{path}, line {line}", message="not UTF-8 text. Save the file as UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as failure:
        raise not_toml(path, failure) from None
    except ValueError:
        # Python refuses numbers of more than 4,300 digits, and tomllib passes that error on.
        raise SettingsError(
            place=str(path), message="holds a number that is too long. Write it shorter"
        ) from None
    except RecursionError:
        raise SettingsError(
            place=str(path), message="nested too deeply. Write the tables out flat"
        ) from None


def scalar(text: str) -> object:
    """Parse text as one TOML value (a number, true, a list …), or return it as it is."""
    try:
        return tomllib.loads(f"value = {text}\n")["value"]
    except (ValueError, RecursionError):
        return text


def nearest(name: str, known: list[str]) -> str:
    """Suggest the closest known name, or list them. `known` is not empty."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known here: {', '.join(known)}"


def not_toml(path: Path, failure: tomllib.TOMLDecodeError) -> SettingsError:
    where = _WHERE.search(str(failure))
    what = _WHERE.sub("", str(failure))
    place = (
        f"{path}, the end"
        if where is None or where[1] is None
        else (f"{path}, line {where[1]}, column {where[2]}")
    )
    cure = "Texts are in quotes, tables in [brackets]"
    return SettingsError(place=place, message=f"not TOML: {what[:1].lower()}{what[1:]}. {cure}")
