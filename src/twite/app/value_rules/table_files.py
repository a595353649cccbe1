"""The files of `[[value_table]]`: read at the start and by a reload, and again when they change."""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec

from twite.config.difference import SettingsChange
from twite.config.settings import Settings
from twite.domain.errors import SettingsError
from twite.domain.times import SECOND
from twite.formats.value_rules import ValueRule, ValueRules
from twite.formats.value_table import TableRefused, ValueTable, read_table
from twite.gateway.ingest.value_rules import CurrentValueRules
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Clock

# A changed file is read if it has not changed again since the look before.
LOOK_EVERY: Final = 2 * SECOND
# Modification time, size and inode; None for a file that is missing.
_Signature = tuple[int, int, int] | None


class TableFile(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of a file: the table, or the problem that prevented that."""

    path: Path
    columns: frozenset[str]
    signature: _Signature
    table: ValueTable | None = None
    problem: str = ""

    @classmethod
    def read(cls, path: Path, columns: frozenset[str]) -> Self:
        """Read a file of the disk. This blocks."""
        signature = _signature_of(path)
        table, problem = None, ""
        try:
            table = read_table(path.read_bytes(), columns)
        except TableRefused as refused:
            problem = f"{path}: {refused}"
        except OSError as error:
            problem = f"{path}: {error.strerror or type(error).__name__}. Correct the path or file"
        return cls(path=path, columns=columns, signature=signature, table=table, problem=problem)


TableFiles = Mapping[str, TableFile]


def read_tables(settings: Settings) -> TableFiles:
    """Read the tables of the settings. This blocks."""
    columns = _columns_of(settings.value_rules)
    return {
        name: TableFile.read(path, columns.get(name, frozenset()))
        for name, path in settings.value_tables.items()
    }


def rules_of(settings: Settings, files: TableFiles) -> ValueRules:
    """Return the rules of the settings, with the tables that could be read."""
    return ValueRules(
        settings.value_rules,
        pixels={pixel.pixel: pixel.events for pixel in settings.destinations()},
        tables=readable(files),
    )


def readable(files: TableFiles) -> dict[str, ValueTable]:
    """Return the tables that could be read."""
    return {name: file.table for name, file in files.items() if file.table is not None}


class ValueRuleFiles:
    """Keeps the rules in use (`current`) up to date with the settings and the files."""

    def __init__(self, *, clock: Clock, observer: Observer) -> None:
        self.current = CurrentValueRules()
        self._clock = clock
        self._observer = observer
        self._settings: Settings | None = None
        self._files: TableFiles = {}
        self._task: asyncio.Task[None] | None = None
        self._seen: Mapping[Path, _Signature] = {}

    async def begin(self, settings: Settings) -> None:
        """Read the files, and follow their changes. Rules whose table is unreadable fail."""
        files = await asyncio.to_thread(read_tables, settings)
        self._report(files.values())
        self.use(settings, files)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def prepare(self, settings: Settings) -> TableFiles:
        """Read the files for `use`. Raises SettingsError if one is unreadable."""
        files = await asyncio.to_thread(read_tables, settings)
        for index, (_, file) in enumerate(files.items()):
            if file.problem:
                raise SettingsError(f"value_table[{index}].file", file.problem)
        return files

    def changes(self, files: TableFiles) -> Sequence[SettingsChange]:
        """Return the tables whose rows differ from those in use."""
        return [
            SettingsChange(table="value_table", name=name, change="changed", keys=("rows",))
            for name, file in files.items()
            if name in self._files and self._files[name].table != file.table
        ]

    def use(self, settings: Settings, files: TableFiles | None = None) -> None:
        """Use these settings and files from now on; without `files`, those in use."""
        self._settings = settings
        self._files = self._files if files is None else files
        self.current.use(rules_of(settings, self._files))

    async def look(self) -> None:
        """Read the files that have changed, but not since the last look."""
        before = self._files
        self._seen, changed = await asyncio.to_thread(_changed, before, self._seen)
        if changed and before is self._files and self._settings is not None:
            self._report(changed.values())
            # A table that became unreadable stays as it was.
            kept = {
                name: file
                if file.table is not None
                else msgspec.structs.replace(file, table=before[name].table)
                for name, file in changed.items()
            }
            self.use(self._settings, {**before, **kept})

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY)
            if self._files:
                await self.look()

    def _report(self, files: Iterable[TableFile]) -> None:
        for file in files:
            if file.problem:
                self._observer.see(ProblemSeen(where=ProblemPlace.VALUE_TABLE, reason=file.problem))


def _changed(
    files: TableFiles, seen: Mapping[Path, _Signature]
) -> tuple[dict[Path, _Signature], TableFiles]:
    now = {file.path: _signature_of(file.path) for file in files.values()}
    changed = {
        name: TableFile.read(file.path, file.columns)
        for name, file in files.items()
        if now[file.path] != file.signature and seen.get(file.path, ()) == now[file.path]
    }
    return now, changed


def _signature_of(path: Path) -> _Signature:
    try:
        found = os.stat(path)  # noqa: PTH116  # the same, for one call
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _columns_of(rules: Iterable[ValueRule]) -> dict[str, frozenset[str]]:
    columns: dict[str, set[str]] = {}
    for rule in rules:
        for table, column in rule.lookups():
            columns.setdefault(table, set()).add(column)
    return {table: frozenset(names) for table, names in columns.items()}
