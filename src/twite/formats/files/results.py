"""The result of each row of a file or query, and their totals."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.fault import ReportedFault
from twite.formats.files.findings import NOTES, FileRow, RowFinding
from twite.formats.native.answers import NativeReceipt

_REPEATS: Final = frozenset({"same_as_earlier", "differs_from_earlier"})
_LOST: Final = RowFinding(field="", code="answer_lost", message=NOTES["answer_lost"])


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
