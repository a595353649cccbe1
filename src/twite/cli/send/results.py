"""The result of each row, and the report that lets a run continue where it stopped.

A report is CSV: row, order, verdict, code, field, message; one line for each thing to say about a
row, at least one. No person is in it, but order ids are. `<report>.state` says which file it is
about (size and SHA-256), how many of its rows are done, and how long the report was then. Only the
owner can read either of them (0600).
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from twite.domain.errors import ClientError, OperatorError
from twite.domain.fault import ReportedFault
from twite.formats.files.findings import NOTES, FileRow, RowFinding
from twite.formats.native.answers import NativeReceipt
from twite.redaction.shapes import MASK, holds_a_person

_REPEATS: Final = frozenset({"same_as_earlier", "differs_from_earlier"})
_LOST: Final = RowFinding(field="", code="answer_lost", message=NOTES["answer_lost"])


class RowResultKind(StrEnum):
    READY = "ready"  # nothing was sent, on request; it would be accepted
    ACCEPTED = "accepted"
    ACCEPTED_WITH_NOTES = "accepted_with_notes"
    DUPLICATE = "duplicate"
    SUPPRESSED = "suppressed"
    HELD = "held"
    REJECTED = "rejected"


class RowResult(msgspec.Struct, frozen=True, kw_only=True):
    """`errors` are why it was rejected; `notes` what else is to be said about the row."""

    number: int
    order: str
    kind: RowResultKind
    errors: tuple[RowFinding, ...] = ()
    notes: tuple[RowFinding, ...] = ()


def within(answer: NativeReceipt, rows: int) -> bool:
    """Whether the answer speaks of a request of so many rows."""
    indexes = [item.index for item in answer.rejected]
    indexes += [warning.index for warning in answer.warnings]
    indexes += [*answer.duplicate_indexes, *answer.suppressed_indexes, *answer.held_indexes]
    return all(0 <= index < rows for index in indexes)


def _finding(fault: ReportedFault) -> RowFinding:
    return RowFinding(field=fault.path, code=fault.code, message=fault.message)


def refused(row: FileRow) -> RowResult:
    """Judge a row that was not sent, by what reading it found."""
    return RowResult(
        number=row.number,
        order=row.order,
        kind=RowResultKind.REJECTED,
        errors=row.errors,
        notes=row.notes,
    )


def judge(
    rows: Sequence[FileRow], answer: NativeReceipt, *, lost: bool = False, dry: bool = False
) -> list[RowResult]:
    """Judge the rows of one request by its answer.

    `lost` is whether an earlier answer to the same rows may have been lost; `dry` whether they were
    only looked at.
    """
    errors = {item.index: item.errors for item in answer.rejected}
    warnings = {warning.index: warning.warnings for warning in answer.warnings}
    reasons = {
        suppressed_reason.index: suppressed_reason.reason
        for suppressed_reason in answer.suppressed_reasons
        if suppressed_reason.reason
    }
    kinds = _kinds(rows, answer)
    verdicts = []
    for index, row in enumerate(rows):
        kind = kinds[index]
        notes = [*row.notes, *map(_finding, warnings.get(index, ()))]
        if index in reasons:
            notes.append(RowFinding(field="consent", code="suppressed", message=reasons[index]))
        if lost and kind is RowResultKind.DUPLICATE and not _repeats(row):
            notes.append(_LOST)
        if kind is RowResultKind.ACCEPTED:
            kind = (
                RowResultKind.READY if dry else RowResultKind.ACCEPTED_WITH_NOTES if notes else kind
            )
        verdicts.append(
            RowResult(
                number=row.number,
                order=row.order,
                kind=kind,
                errors=tuple(map(_finding, errors.get(index, ()))),
                notes=tuple(notes),
            )
        )
    return verdicts


def _kinds(rows: Sequence[FileRow], answer: NativeReceipt) -> list[RowResultKind]:
    kinds = [RowResultKind.ACCEPTED] * len(rows)
    for kind, indexes in (
        (RowResultKind.REJECTED, [item.index for item in answer.rejected]),
        (RowResultKind.DUPLICATE, answer.duplicate_indexes),
        (RowResultKind.SUPPRESSED, answer.suppressed_indexes),
        (RowResultKind.HELD, answer.held_indexes),
    ):
        for index in indexes:
            kinds[index] = kind
    return kinds


def _repeats(row: FileRow) -> bool:
    return any(note.code in _REPEATS for note in row.notes)


class ResultReason(msgspec.Struct):
    """How often a code occurred, the first row it occurred in, and the message there."""

    count: int
    row: int
    message: str


class ResultTally(msgspec.Struct, kw_only=True):
    """All verdicts so far. One row counts under each of its codes once."""

    rows: int = 0
    kinds: dict[str, int] = msgspec.field(default_factory=dict)
    errors: dict[str, ResultReason] = msgspec.field(default_factory=dict)
    notes: dict[str, ResultReason] = msgspec.field(default_factory=dict)

    def add(self, verdict: RowResult) -> None:
        self.rows += 1
        self.kinds[verdict.kind] = self.of(verdict.kind) + 1
        for counted, findings in ((self.errors, verdict.errors), (self.notes, verdict.notes)):
            for code, message in {_code(finding): finding.message for finding in findings}.items():
                first = ResultReason(count=0, row=verdict.number, message=message)
                counted.setdefault(code, first).count += 1

    def of(self, *kinds: RowResultKind) -> int:
        """Return how many rows were one of these."""
        return sum(self.kinds.get(kind, 0) for kind in kinds)


def _code(finding: RowFinding) -> str:
    """Placeholders are told apart by the field they stand in."""
    return f"{finding.code} ({finding.field})" if finding.code == "placeholder" else finding.code


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


def _lines(verdict: RowResult) -> Iterable[tuple[str, ...]]:
    order = MASK if holds_a_person(verdict.order) else _harmless(verdict.order)
    start = (str(verdict.number), order, str(verdict.kind))
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
