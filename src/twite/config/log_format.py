"""Find `log.format` in settings that may have mistakes, so that errors about them have it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from twite.config import toml
from twite.config.settings import variable
from twite.domain.errors import SettingsError

# In a file that is not TOML: the key of the table [log], or with its whole name.
_IN_BROKEN_FILE: Final = re.compile(
    r"""^\s*(?:\[log\][^\[]*?^\s*format|log\.format)\s*=\s*["']json["']""", re.MULTILINE
)


def wants_json(path: Path, environ: Mapping[str, str]) -> bool:
    """Return whether the log is to be JSON. Without a readable setting, it is text."""
    given: object = environ.get(variable("log.format"))
    try:
        if given is None:
            table = toml.read(path).get("log")
            given = table.get("format") if isinstance(table, dict) else None
        reader = toml.Reader(environ=environ, folder=path.resolve().parent)
        return reader.resolved(given, "log.format") == "json"
    except SettingsError:
        try:
            return _IN_BROKEN_FILE.search(path.read_text("utf-8", "replace")) is not None
        except OSError:
            return False
