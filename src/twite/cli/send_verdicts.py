"""What became of each row, and all of them counted. No I/O."""

from collections.abc import Iterable, Sequence
from enum import StrEnum, auto
from typing import Final

import msgspec

from twite.intake.findings import NOTES, Finding, Row

_REPEATS: Final = frozenset({"same_as_earlier", "differs_from_earlier"})
_LOST: Final = Finding(field="", code="answer_lost", message=NOTES["answer_lost"])


class Kind(StrEnum):
    ACCEPTED = auto()
    ACCEPTED_WITH_NOTES = auto()
    DUPLICATE = auto()
    SUPPRESSED = auto()
    TAKEN = auto()  # one of the three: the gateway said how many, not which
    READY = auto()  # nothing was sent, on request; it would be accepted or a duplicate
    REJECTED = auto()


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


class Receipted(msgspec.Struct, frozen=True):
    """The gateway's answer to a submission; it may say which were duplicates and suppressed."""

    accepted: int
    duplicates: int
    suppressed: int
    rejected: tuple[Rejected, ...] = ()
    warnings: tuple[Warned, ...] = ()
    duplicate_indexes: tuple[int, ...] | None = None
    suppressed_indexes: tuple[int, ...] | None = None


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
    kinds = _kinds(rows, answer, errors.keys())
    verdicts = []
    for index, row in enumerate(rows):
        kind = kinds[index]
        notes = [*row.notes, *(one.finding() for one in warnings.get(index, ()))]
        if lost and kind in {Kind.DUPLICATE, Kind.TAKEN} and not _repeats(row):
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


def _kinds(rows: Sequence[Row], answer: Receipted, rejected: Iterable[int]) -> list[Kind]:
    """Say which is what, from the answer's indexes, or as far as its counts allow."""
    kinds = [Kind.ACCEPTED] * len(rows)
    for index in rejected:
        kinds[index] = Kind.REJECTED
    kept = [index for index, kind in enumerate(kinds) if kind is Kind.ACCEPTED]
    if answer.duplicate_indexes is not None and answer.suppressed_indexes is not None:
        known = dict.fromkeys(answer.duplicate_indexes, Kind.DUPLICATE)
        known |= dict.fromkeys(answer.suppressed_indexes, Kind.SUPPRESSED)
    else:
        known = _deduced(answer, kept, [index for index in kept if _repeats(rows[index])])
    for index, kind in known.items():
        kinds[index] = kind
    return kinds


def _deduced(answer: Receipted, kept: list[int], repeats: list[int]) -> dict[int, Kind]:
    """Say which rows are not accepted, where the counts leave one way only.

    `repeats` are the rows that repeat an earlier one of the file: duplicates, if any are.
    """
    if answer.suppressed == len(kept):
        return dict.fromkeys(kept, Kind.SUPPRESSED)
    if answer.duplicates == len(kept):
        return dict.fromkeys(kept, Kind.DUPLICATE)
    if answer.suppressed or answer.duplicates not in {0, len(repeats)}:
        some = repeats if answer.duplicates >= len(repeats) else []
        return dict.fromkeys(kept, Kind.TAKEN) | dict.fromkeys(some, Kind.DUPLICATE)
    return dict.fromkeys(repeats, Kind.DUPLICATE) if answer.duplicates else {}


def _repeats(row: Row) -> bool:
    return any(note.code in _REPEATS for note in row.notes)


class Reason(msgspec.Struct):
    """How often a code came, and the first row it came in."""

    count: int
    row: int


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
            for code in dict.fromkeys(_code(finding) for finding in findings):
                reason = counted.setdefault(code, Reason(count=0, row=verdict.number))
                reason.count += 1

    def of(self, *kinds: Kind) -> int:
        """Return how many rows were one of these."""
        return sum(self.kinds.get(kind, 0) for kind in kinds)


def _code(finding: Finding) -> str:
    """Placeholders are told apart by the field they stand in."""
    return f"{finding.code} ({finding.field})" if finding.code == "placeholder" else finding.code
