"""The result of each row, and the report that lets a run continue where it stopped.

A report is CSV: row, order, verdict, code, field, message; one line for each message about a row,
at least one. It contains order ids, but no personal data. `<report>.state` holds the size and
SHA-256 of the input file, the number of finished rows, and the length of the report at that point.
Only the owner can read the two files (0600).
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
from twite.redaction.scrub_text import names_a_person
from twite.redaction.shapes import MASK

_REPEATS: Final = frozenset({"same_as_earlier", "differs_from_earlier"})
_LOST: Final = RowFinding(field="", code="answer_lost", message=NOTES["answer_lost"])
HEADER: Final = ("row", "order", "verdict", "code", "field", "message")
_START: Final = ",".join(HEADER).encode()
# Characters that start a formula in a spreadsheet (OWASP ASVS 1.2.10), including full-width ones.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class RowResultKind(StrEnum):
    READY = "ready"  # a dry run: nothing was sent, but the row would be accepted
    ACCEPTED = "accepted"
    ACCEPTED_WITH_NOTES = "accepted_with_notes"
    DUPLICATE = "duplicate"
    SUPPRESSED = "suppressed"
    HELD = "held"
    SKIPPED = "skipped"
    REJECTED = "rejected"


class RowResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a row. `errors` are the reasons for a rejection; `notes` are other remarks."""

    number: int
    order: str
    kind: RowResultKind
    errors: tuple[RowFinding, ...] = ()
    notes: tuple[RowFinding, ...] = ()


def within(receipt: NativeReceipt, rows: int) -> bool:
    """Whether the response fits a request with this number of rows."""
    indexes = [item.index for item in receipt.rejected]
    indexes += [warning.index for warning in receipt.warnings]
    indexes += [*receipt.duplicate_indexes, *receipt.suppressed_indexes, *receipt.held_indexes]
    return all(0 <= index < rows for index in indexes)


def _finding(fault: ReportedFault) -> RowFinding:
    return RowFinding(field=fault.path, code=fault.code, message=fault.message)


def refused(row: FileRow) -> RowResult:
    """Return the result of a row that was not sent: it could not be read, or is too old."""
    return RowResult(
        number=row.number,
        order=row.order,
        kind=RowResultKind.SKIPPED if row.skipped else RowResultKind.REJECTED,
        errors=row.errors,
        notes=row.notes,
    )


def judge(
    rows: Sequence[FileRow], receipt: NativeReceipt, *, lost: bool = False, dry: bool = False
) -> list[RowResult]:
    """Return the result of each row of a request, given the gateway's answer.

    `lost` is whether an earlier answer for the same rows may have been lost; `dry`, whether this is
    a dry run.
    """
    errors = {item.index: item.errors for item in receipt.rejected}
    warnings = {warning.index: warning.warnings for warning in receipt.warnings}
    reasons = {
        suppressed_reason.index: suppressed_reason.reason
        for suppressed_reason in receipt.suppressed_reasons
        if suppressed_reason.reason
    }
    kinds = _kinds(rows, receipt)
    verdicts = []
    for index, row in enumerate(rows):
        kind = kinds[index]
        notes = [*row.notes, *map(_finding, warnings.get(index, ()))]
        if index in reasons:
            notes.append(RowFinding(field="consent", code="suppressed", message=reasons[index]))
        is_repeated = any(note.code in _REPEATS for note in row.notes)
        if lost and kind is RowResultKind.DUPLICATE and not is_repeated:
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


def _kinds(rows: Sequence[FileRow], receipt: NativeReceipt) -> list[RowResultKind]:
    kinds = [RowResultKind.ACCEPTED] * len(rows)
    for kind, indexes in (
        (RowResultKind.REJECTED, [item.index for item in receipt.rejected]),
        (RowResultKind.DUPLICATE, receipt.duplicate_indexes),
        (RowResultKind.SUPPRESSED, receipt.suppressed_indexes),
        (RowResultKind.HELD, receipt.held_indexes),
    ):
        for index in indexes:
            kinds[index] = kind
    return kinds


class ResultReason(msgspec.Struct):
    """How often a code occurred, its first row, and the message of that row."""

    count: int
    row: int
    message: str


class ResultTally(msgspec.Struct, kw_only=True):
    """Totals of all verdicts so far. A row counts once for each of its codes."""

    rows: int = 0
    kinds: dict[str, int] = msgspec.field(default_factory=dict)
    errors: dict[str, ResultReason] = msgspec.field(default_factory=dict)
    notes: dict[str, ResultReason] = msgspec.field(default_factory=dict)

    def add(self, result: RowResult) -> None:
        self.rows += 1
        self.kinds[result.kind] = self.of(result.kind) + 1
        for counted, findings in ((self.errors, result.errors), (self.notes, result.notes)):
            for code, message in {_code(finding): finding.message for finding in findings}.items():
                first = ResultReason(count=0, row=result.number, message=message)
                counted.setdefault(code, first).count += 1

    def of(self, *kinds: RowResultKind) -> int:
        """Return how many rows have one of these verdicts."""
        return sum(self.kinds.get(kind, 0) for kind in kinds)


def _code(finding: RowFinding) -> str:
    """Return the code; for values that look like placeholders, with the field, to group them."""
    return f"{finding.code} ({finding.field})" if finding.code == "placeholder" else finding.code


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
    order = MASK if names_a_person(result.order) else _harmless(result.order)
    start = (str(result.number), order, str(result.kind))
    findings = (*result.errors, *result.notes)
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
