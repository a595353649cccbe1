"""What became of each row, and all of them counted. No I/O."""

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
