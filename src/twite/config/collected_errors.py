"""Report all wrong settings at once: collect the errors of settings that are read independently."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from twite.config.toml import position
from twite.domain.errors import SettingsError


class CollectedErrors:
    """Errors in the order of their occurrence.

    wrong = CollectedErrors()
    for table in tables:
        with wrong.collect():
            read(table)
    wrong.raise_any()
    """

    def __init__(self) -> None:
        self._found: list[SettingsError] = []

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keep a SettingsError of the block instead of raising it."""
        try:
            yield
        except SettingsError as error:
            self._found += error.each

    def raise_any(self) -> None:
        """Raise the errors as one SettingsError, if there are any."""
        if self._found:
            raise combined(self._found)


def combined(errors: Iterable[SettingsError]) -> SettingsError:
    """Return one error for all; there is at least one."""
    first, *others = errors
    return SettingsError(first.place, first.message, others=tuple(others))


def located(path: Path, error: SettingsError) -> tuple[str, ...]:
    """Return each error with the settings file and the line."""
    found = []
    for each in error.each:
        line, _ = position(path, each.place) or (0, 0)
        place = f"{path}:{line}" if line else str(path)
        # The place of a syntax error begins with the file.
        found.append(str(each) if each.place.startswith(str(path)) else f"{place}: {each}")
    return tuple(found)
