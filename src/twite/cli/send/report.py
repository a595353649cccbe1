"""The report of `twite send`, and the note beside it that lets a run go on where it stopped.

A report is CSV: row, order, verdict, code, field, message; one line for each thing to say about a
row, at least one. No person is in it, but order ids are. The note beside it, `<report>.state`, says
which file it is about (size and SHA-256), how many of its rows are done, and how long the report
was then. Only the owner can read either of them (0600).
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from twite.cli.send.results import ResultTally, RowResult
from twite.domain.errors import ClientError, OperatorError

HEADER: Final = ("row", "order", "verdict", "code", "field", "message")
_START: Final = ",".join(HEADER).encode()
# What makes a spreadsheet take a cell for a formula (OWASP ASVS 1.2.10), full-width forms too.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class ReportUnusable(OperatorError):
    """The report cannot be written where it should be."""


class ReportState(msgspec.Struct, kw_only=True):
    """How far a run is. `options` stands for all that decides what is sent, and where to."""

    size: int
    sha256: str
    options: str
    done: int = 0
    report_bytes: int = 0
    finished: bool = False
    tally: ResultTally = msgspec.field(default_factory=ResultTally)


class SendReport:
    """Writes verdicts, and after them how far they go: what was written twice is cut off again."""

    def __init__(self, path: Path, state: ReportState) -> None:
        self.path = path
        self.state = state
        self._file = os.fdopen(_private(path), "r+b")
        self._file.truncate(state.report_bytes)
        self._file.seek(state.report_bytes)
        if not state.report_bytes:
            # The mark tells spreadsheets that this is UTF-8.
            self._file.write(b"\xef\xbb\xbf" + _line(HEADER))

    def write(self, verdicts: Iterable[RowResult]) -> None:
        """Write verdicts, durably, and count them."""
        for verdict in verdicts:
            self.state.tally.add(verdict)
            self.state.done += 1
            for line in _lines(verdict):
                self._file.write(_line(line))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.state.report_bytes = self._file.tell()
        self._save()

    def finish(self) -> None:
        """Note that every row has its verdict."""
        self.state.finished = True
        self.write(())

    def close(self) -> None:
        self._file.close()

    def _save(self) -> None:
        target = state_path(self.path)
        written = target.with_name(f"{target.name}.new")
        with os.fdopen(_private(written), "r+b") as file:
            file.truncate()
            file.write(msgspec.json.encode(self.state))
        written.replace(target)


def _private(path: Path) -> int:
    """Open a file for reading and writing that only its owner can read, even if it was there."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with suppress(PermissionError):  # another's file: its owner decides
        os.fchmod(descriptor, 0o600)
    return descriptor


def state_path(report: Path) -> Path:
    return report.with_name(f"{report.name}.state")


def options_digest(options: object) -> str:
    """Return text that stands for the options of a run, without holding a secret or a name."""
    return hashlib.sha256(msgspec.json.encode(options, order="deterministic")).hexdigest()[:16]


def earlier_run(report: Path, *, size: int, sha256: str) -> ReportState | None:
    """Return how far an earlier run came with this very file; None where there was none."""
    try:
        state = msgspec.json.decode(state_path(report).read_bytes(), type=ReportState)
        there = report.stat().st_size
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    same = state.size == size and state.sha256 == sha256
    return state if same and there >= state.report_bytes else None


def open_report(path: Path, state: ReportState, *, source: Path, overwrite: bool) -> SendReport:
    """Open a report to write to.

    Raises SenderError where that would overwrite the file it is about or one that is no report,
    unless a person agreed to `overwrite` it; ReportUnusable where it cannot be written.
    """
    try:
        if path.exists():
            if path.samefile(source):
                raise ClientError(f"{path} is the file to send: name another for --report")
            with path.open("rb") as there:
                start = there.read(len(_START) + 3).removeprefix(b"\xef\xbb\xbf")
            if start and start != _START and not overwrite:
                raise ClientError(
                    f"{path} is there and no report of `twite send`: name another with --report, "
                    "or say --yes to overwrite it"
                )
        return SendReport(path, state)
    except OSError as error:
        raise ReportUnusable(
            f"the report {path} cannot be written ({error.strerror}): name another place with "
            "--report"
        ) from None


def _lines(verdict: RowResult) -> Iterable[tuple[str, ...]]:
    start = (str(verdict.number), _harmless(verdict.order), str(verdict.kind))
    findings = (*verdict.errors, *verdict.notes)
    if not findings:
        yield (*start, "", "", "")
    for finding in findings:
        yield (*start, finding.code, _harmless(finding.field), _harmless(finding.message))


def _harmless(text: str) -> str:
    kept = "".join(c if c.isprintable() else "?" for c in text) if not text.isprintable() else text
    return f"'{kept}" if text.startswith(_FORMULA) else kept


def _line(cells: Iterable[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "replace")
