"""What became of each row, and all of them counted. No I/O."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from twite.intake.findings import NOTES, Finding, Row

_REPEATS: Final = frozenset({"same_as_earlier", "differs_from_earlier"})
_LOST: Final = Finding(field="", code="answer_lost", message=NOTES["answer_lost"])


class Kind(StrEnum):
    READY = "ready"  # nothing was sent, on request; it would be accepted
    ACCEPTED = "accepted"
    ACCEPTED_WITH_NOTES = "accepted_with_notes"
    DUPLICATE = "duplicate"
    SUPPRESSED = "suppressed"
    HELD = "held"
    REJECTED = "rejected"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`errors` are why it was rejected; `notes` what else is to be said about the row."""

    number: int
    order: str
    kind: Kind
    errors: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()


class Wrong(msgspec.Struct, frozen=True):
    """One error or warning of the gateway's answer."""

    path: str
    code: str
    message: str

    def finding(self) -> Finding:
        return Finding(field=self.path, code=self.code, message=self.message)


class Rejected(msgspec.Struct, frozen=True):
    index: int
    errors: tuple[Wrong, ...] = ()


class Warned(msgspec.Struct, frozen=True):
    index: int
    warnings: tuple[Wrong, ...] = ()


class Suppressed(msgspec.Struct, frozen=True):
    index: int
    reason: str = ""


class Receipted(msgspec.Struct, frozen=True):
    """The gateway's answer to a submission. An index is a row's place in the request."""

    rejected: tuple[Rejected, ...]
    warnings: tuple[Warned, ...] = ()
    duplicate_indexes: tuple[int, ...] = ()
    suppressed_indexes: tuple[int, ...] = ()
    held_indexes: tuple[int, ...] = ()
    suppressed_reasons: tuple[Suppressed, ...] = ()

    def within(self, rows: int) -> bool:
        """Whether it speaks of a request of so many rows."""
        indexes = [one.index for one in self.rejected]
        indexes += [one.index for one in self.warnings]
        indexes += [*self.duplicate_indexes, *self.suppressed_indexes, *self.held_indexes]
        return all(0 <= index < rows for index in indexes)


def refused(row: Row) -> Verdict:
    """Judge a row that was not sent, by what reading it found."""
    return Verdict(
        number=row.number, order=row.order, kind=Kind.REJECTED, errors=row.errors, notes=row.notes
    )


def judge(
    rows: Sequence[Row], answer: Receipted, *, lost: bool = False, dry: bool = False
) -> list[Verdict]:
    """Judge the rows of one request by its answer.

    `lost` is whether an earlier answer to the same rows may have been lost; `dry` whether they were
    only looked at.
    """
    errors = {one.index: one.errors for one in answer.rejected}
    warnings = {one.index: one.warnings for one in answer.warnings}
    reasons = {one.index: one.reason for one in answer.suppressed_reasons if one.reason}
    kinds = _kinds(rows, answer)
    verdicts = []
    for index, row in enumerate(rows):
        kind = kinds[index]
        notes = [*row.notes, *(one.finding() for one in warnings.get(index, ()))]
        if index in reasons:
            notes.append(Finding(field="consent", code="suppressed", message=reasons[index]))
        if lost and kind is Kind.DUPLICATE and not _repeats(row):
            notes.append(_LOST)
        if kind is Kind.ACCEPTED:
            kind = Kind.READY if dry else Kind.ACCEPTED_WITH_NOTES if notes else kind
        verdicts.append(
            Verdict(
                number=row.number,
                order=row.order,
                kind=kind,
                errors=tuple(one.finding() for one in errors.get(index, ())),
                notes=tuple(notes),
            )
        )
    return verdicts


def _kinds(rows: Sequence[Row], answer: Receipted) -> list[Kind]:
    kinds = [Kind.ACCEPTED] * len(rows)
    for kind, indexes in (
        (Kind.REJECTED, [one.index for one in answer.rejected]),
        (Kind.DUPLICATE, answer.duplicate_indexes),
        (Kind.SUPPRESSED, answer.suppressed_indexes),
        (Kind.HELD, answer.held_indexes),
    ):
        for index in indexes:
            kinds[index] = kind
    return kinds


def _repeats(row: Row) -> bool:
    return any(note.code in _REPEATS for note in row.notes)


class Reason(msgspec.Struct):
    """How often a code came, the first row it came in, and what was said there."""

    count: int
    row: int
    message: str


class Tally(msgspec.Struct, kw_only=True):
    """All verdicts so far. One row counts under each of its codes once."""

    rows: int = 0
    kinds: dict[str, int] = msgspec.field(default_factory=dict)
    errors: dict[str, Reason] = msgspec.field(default_factory=dict)
    notes: dict[str, Reason] = msgspec.field(default_factory=dict)

    def add(self, verdict: Verdict) -> None:
        self.rows += 1
        self.kinds[verdict.kind] = self.of(verdict.kind) + 1
        for counted, findings in ((self.errors, verdict.errors), (self.notes, verdict.notes)):
            for code, message in {_code(one): one.message for one in findings}.items():
                first = Reason(count=0, row=verdict.number, message=message)
                counted.setdefault(code, first).count += 1

    def of(self, *kinds: Kind) -> int:
        """Return how many rows were one of these."""
        return sum(self.kinds.get(kind, 0) for kind in kinds)


def _code(finding: Finding) -> str:
    """Placeholders are told apart by the field they stand in."""
    return f"{finding.code} ({finding.field})" if finding.code == "placeholder" else finding.code
