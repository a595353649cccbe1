"""The report of a run, which lets it continue where it stopped.

A report is CSV: row, order, verdict, code, field, message; one line for each message about a row,
at least one. It contains order ids, but no personal data. `<report>.state` holds the size and
SHA-256 of the input file, the number of finished rows, and the length of the report at that point.
Only the owner can read the two files (0600).
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

from twite.domain.errors import ClientError, OperatorError
from twite.formats.files.csv_text import harmless
from twite.formats.files.results import ResultTally, RowResult
from twite.redaction.scrub_text import names_a_person
from twite.redaction.shapes import MASK

HEADER: Final = ("row", "order", "verdict", "code", "field", "message")
_START: Final = ",".join(HEADER).encode()


class ReportUnusable(OperatorError):
    """The report file cannot be written."""


class ReportState(msgspec.Struct, kw_only=True):
    """The progress of a run.

    `options` is a digest of all options that affect what is sent, and where.
    """

    size: int
    sha256: str
    options: str
    done: int = 0
    report_bytes: int = 0
    finished: bool = False
    tally: ResultTally = msgspec.field(default_factory=ResultTally)


class SendReport:
    """Writes verdicts, then the progress.

    After a crash, lines that the saved progress does not include are removed.
    """

    def __init__(self, path: Path, state: ReportState) -> None:
        self.path = path
        self.state = state
        self._file = os.fdopen(_private(path), "r+b")
        self._file.truncate(state.report_bytes)
        self._file.seek(state.report_bytes)
        if not state.report_bytes:
            # The byte-order mark tells spreadsheets that the file is UTF-8.
            self._file.write(b"\xef\xbb\xbf" + _line(HEADER))

    def write(self, verdicts: Iterable[RowResult]) -> None:
        """Write verdicts durably (fsync), and count them."""
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
        """Record that every row has its verdict."""
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
    """Open a file for reading and writing, and make it readable only by its owner."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with suppress(PermissionError):  # the file belongs to another user, who sets its mode
        os.fchmod(descriptor, 0o600)
    return descriptor


def state_path(report: Path) -> Path:
    return report.with_name(f"{report.name}.state")


def options_digest(options: object) -> str:
    """Return a digest of a run's options. The digest reveals no secrets and no names."""
    return hashlib.sha256(msgspec.json.encode(options, order="deterministic")).hexdigest()[:16]


def earlier_run(report: Path, *, size: int, sha256: str) -> ReportState | None:
    """Return the progress of an earlier run with the same file; None if there was none."""
    try:
        state = msgspec.json.decode(state_path(report).read_bytes(), type=ReportState)
        there = report.stat().st_size
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    same = state.size == size and state.sha256 == sha256
    return state if same and there >= state.report_bytes else None


def open_report(path: Path, state: ReportState, *, source: Path, overwrite: bool) -> SendReport:
    """Open a report for writing.

    Raises ClientError if that would overwrite the input file, or, without `overwrite`, a file that
    is not a report. Raises ReportUnusable if it cannot be written.
    """
    try:
        if path.exists():
            if source.exists() and path.samefile(source):
                raise ClientError(f"{path} is the file to send. Choose another path with --report")
            with path.open("rb") as there:
                start = there.read(len(_START) + 3).removeprefix(b"\xef\xbb\xbf")
            if start and start != _START and not overwrite:
                raise ClientError(
                    f"{path} exists and is not a report of `twite send`. Choose another path with "
                    f"--report, or overwrite it with --yes"
                )
        return SendReport(path, state)
    except OSError as error:
        raise ReportUnusable(
            f"the report {path} cannot be written ({error.strerror}): choose another path with "
            f"--report"
        ) from None


def _lines(result: RowResult) -> Iterable[tuple[str, ...]]:
    order = MASK if names_a_person(result.order) else harmless(result.order)
    start = (str(result.number), order, str(result.kind))
    findings = (*result.errors, *result.notes)
    if not findings:
        yield (*start, "", "", "")
    for finding in findings:
        yield (*start, finding.code, harmless(finding.field), harmless(finding.message))


def _line(cells: Iterable[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "replace")
