"""The report of an import: a line for every part; of each kind, running parts come first."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from twite.gtm.importer.coverage import Support
from twite.redaction.secrets import masked


class ReportLine(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one part. `kind` is a word as `tag`, `word` the export's for its type.

    Lines are printed: likely secrets in names and notes are removed.
    """

    kind: str
    name: str
    word: str
    fit: Support
    notes: tuple[str, ...] = ()


class LeftOut(Exception):
    """A part that cannot run here; the text says why, and what to use instead."""


class ImportReport:
    """Collects report lines while parts are read."""

    def __init__(self) -> None:
        self._lines: list[ReportLine] = []

    def add(
        self,
        kind: str,
        name: str,
        word: str,
        *,
        fit: Support = Support.RUNS,
        notes: Sequence[str] = (),
    ) -> None:
        """Add a line; a running part with notes becomes one that differs."""
        if notes and fit is Support.RUNS:
            fit = Support.DIFFERS
        self._lines.append(ReportLine(kind=kind, name=name, word=word, fit=fit, notes=tuple(notes)))

    def left_out(self, kind: str, name: str, word: str, why: str) -> None:
        """Add a line for a part that is left out."""
        self.add(kind, name, word, fit=Support.LEFT_OUT, notes=[why])

    def extend(self, lines: Iterable[ReportLine]) -> None:
        """Add finished lines."""
        self._lines += lines

    def lines(self) -> tuple[ReportLine, ...]:
        """Return the lines."""
        kinds = list(dict.fromkeys([*_KINDS, *(line.kind for line in self._lines)]))
        fits = list(Support)
        ordered = sorted(
            self._lines, key=lambda line: (kinds.index(line.kind), fits.index(line.fit))
        )
        return tuple(_shown(line) for line in ordered)


def _shown(line: ReportLine) -> ReportLine:
    return msgspec.structs.replace(
        line,
        kind=masked(line.kind),
        name=masked(line.name),
        word=masked(line.word),
        notes=tuple(masked(note) for note in line.notes),
    )


_KINDS: Final = ("template", "client", "variable", "trigger", "tag", "transformation")
