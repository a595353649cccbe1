"""Output of `twite send`: before, during and after a run."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from twite.cli import printing
from twite.domain.plural import plural
from twite.formats.files.results import ResultReason, ResultTally, RowResult, RowResultKind
from twite.readers.files import OpenedInput
from twite.redaction.scrub_text import names_a_person
from twite.redaction.shapes import MASK

_STRONG: Final = ("twclid", "email", "email_sha256", "phone", "phone_sha256")
# Names of amount columns, in the languages that exports often use.
_AMOUNT: Final = re.compile(
    r"amount|betrag|umsatz|preis|summe|wert|total|price|value|revenue|turnover|montant|prix"
    r"|importe|precio|importo|prezzo|bedrag|prijs|(?<![a-z])(sum|net|gross|paid)(?![a-z])",
    re.IGNORECASE,
)
_EVERY: Final = 2.0  # seconds between plain lines of progress
_WORDS: Final = {
    RowResultKind.ACCEPTED: "accepted",
    RowResultKind.ACCEPTED_WITH_NOTES: "accepted, with notes",
    RowResultKind.READY: "would be accepted",
    RowResultKind.DUPLICATE: "duplicates",
    RowResultKind.SUPPRESSED: "suppressed (no consent)",
    RowResultKind.HELD: "held (for your decision)",
    RowResultKind.SKIPPED: "skipped (too old)",
    RowResultKind.REJECTED: "rejected",
}
_KINDS: Final = {
    "csv": "CSV",
    "json": "JSON",
    "jsonl": "JSON Lines",
    "parquet": "Parquet",
    "query": "query",
}
_SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}


class ProgressReporter(Protocol):
    """Prints the progress of a run, and its messages."""

    def advance(self, done: int) -> None: ...

    def say(self, sentence: str) -> None: ...


def announce(opened: OpenedInput) -> None:
    """Print the format of the file, the mapping of columns, and missing columns."""
    details = [_KINDS[opened.kind]]
    details.append(opened.location if opened.rows is None else plural(opened.rows, "row"))
    if opened.kind == "csv":
        by = _SEPARATORS.get(opened.separated.by, repr(opened.separated.by))
        details.append(f"separated by {by}")
    if opened.kind not in {"parquet", "query"}:
        details.append(opened.encoding.upper().removesuffix("-SIG"))
    printing.complain(f"{opened.name}: {', '.join(details)}")
    named = opened.columns.named()
    width = max((len(name) for _, name in named), default=0)
    for field, name in named:
        printing.complain(f"  {name:<{width}}  → {field}")
    if opened.columns.ignored:
        printing.complain(
            f"  ignored: {', '.join(name or '(no name)' for name in _ignored(opened))}"
        )
    for warning in doubts(opened):
        printing.complain(f"  note: {warning}")


def _ignored(opened: OpenedInput) -> list[str]:
    """Return the unused columns. A key of a JSON object may be an email."""
    return [MASK if names_a_person(name) else name for name in opened.columns.ignored]


def doubts(opened: OpenedInput) -> Iterator[str]:
    """Yield warnings about the columns, before anything is sent."""
    taken = opened.columns.taken
    if not taken:
        return
    if "time" not in taken:
        yield (
            "no time column: every row gets the current time. To use a column, add --map "
            "time=COLUMN"
        )
    if "conversion_id" not in taken:
        yield (
            "no order id column: X cannot match these conversions with those of its pixel. To "
            "use a column, add --map conversion_id=COLUMN"
        )
    if "value" not in taken:
        yield _no_amount(opened.columns.ignored)
    if not any(field in taken for field in _STRONG) and not {"ip", "user_agent"} <= taken.keys():
        yield (
            "no identifier column: every row will be rejected. To use a column, add --map "
            "email=COLUMN"
        )


def _no_amount(ignored: Sequence[str]) -> str:
    """Warn that conversions have no value, and name columns that probably contain amounts."""
    likely = [f'"{name}"' for name in ignored if _AMOUNT.search(name)]
    meant = f". Did you mean {' or '.join(likely[:3])}?" if likely else ""
    return (
        "no amount column: conversions are sent without a value. To use a column, add "
        f"--map value=COLUMN{meant}"
    )


@contextmanager
def telling(name: str, rows: int | None) -> Iterator[ProgressReporter]:
    """Show progress on standard error: a bar on a terminal, otherwise an occasional line."""
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        yield _Lines(name, rows)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        yield _Bar(bar, printing.safe(name), rows)


def preview(opened: OpenedInput, results: Sequence[RowResult]) -> None:
    """Print the result of each checked row."""
    printing.say("Preview: nothing was sent.")
    rows: list[list[str | int]] = []
    for result in results:
        first = next(iter((*result.errors, *result.notes)), None)
        order = MASK if names_a_person(result.order) else result.order
        rows.append([result.number, order, str(result.kind), first.message if first else ""])
    printing.print_table([opened.name, "order", "verdict", "message"], rows)


def summarise(opened: OpenedInput, tally: ResultTally, report: Path, *, dry: bool) -> None:
    """Print the totals of verdicts, reasons and notes, each with the number of an example row."""
    rows: list[list[str | int]] = [
        [_WORDS[kind], tally.of(kind)] for kind in RowResultKind if tally.of(kind)
    ]
    known = tally.rows if opened.rows is None else opened.rows
    if tally.rows < known:
        rows.append(["not sent yet", known - tally.rows])
    rows.append(["all rows", known])
    if dry:
        printing.say("Dry run: nothing was sent. Duplicates were searched only within the file.")
    printing.print_table([opened.name, "rows"], rows)
    _reasons("rejected because", tally.errors)
    _reasons("notes", tally.notes)
    printing.say(f"Every row and its verdict: {report}")


class ReasonCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows have an error or a note. `row` is the number of the first one."""

    code: str
    count: int
    row: int
    message: str


class SentFile(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows of a file or query; `not_sent` is null if their number is unknown.

    `columns` maps Twite's fields to columns, `ignored` are the unused columns, and `report` is the
    file with all verdicts.
    """

    file: str
    format: str
    rows: int
    accepted: int
    duplicates: int
    suppressed: int
    held: int
    skipped: int
    rejected: int
    not_sent: int | None
    rejected_by: tuple[ReasonCount, ...]
    notes: tuple[ReasonCount, ...]
    columns: dict[str, str]
    ignored: list[str]
    column_notes: list[str]
    report: str


def sent_file(opened: OpenedInput, tally: ResultTally, report: Path) -> SentFile:
    columns = opened.columns
    return SentFile(
        file=opened.location,
        format=opened.kind,
        rows=tally.rows if opened.rows is None else opened.rows,
        accepted=tally.of(
            RowResultKind.ACCEPTED, RowResultKind.ACCEPTED_WITH_NOTES, RowResultKind.READY
        ),
        duplicates=tally.of(RowResultKind.DUPLICATE),
        suppressed=tally.of(RowResultKind.SUPPRESSED),
        held=tally.of(RowResultKind.HELD),
        skipped=tally.of(RowResultKind.SKIPPED),
        rejected=tally.of(RowResultKind.REJECTED),
        not_sent=None if opened.rows is None else opened.rows - tally.rows,
        rejected_by=_listed(tally.errors),
        notes=_listed(tally.notes),
        columns=dict(columns.named()),
        ignored=_ignored(opened),
        column_notes=list(doubts(opened)),
        report=str(report),
    )


class _Lines:
    def __init__(self, name: str, rows: int | None) -> None:
        self._name = name
        self._rows = rows
        self._said = time.monotonic()

    def advance(self, done: int) -> None:
        if time.monotonic() - self._said >= _EVERY and done != self._rows:
            self._said = time.monotonic()
            self.say(plural(done, "row") if self._rows is None else f"{done:,} of {self._rows:,}")

    def say(self, sentence: str) -> None:
        printing.complain(f"{self._name}: {sentence}")


class _Bar:
    def __init__(self, bar: Progress, name: str, rows: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task(name, total=rows)

    def advance(self, done: int) -> None:
        self._bar.update(self._task, completed=done)

    def say(self, sentence: str) -> None:
        self._bar.console.print(printing.safe(sentence), soft_wrap=True)


def _reasons(title: str, reasons: dict[str, ResultReason]) -> None:
    if not reasons:
        return
    ordered = sorted(reasons.items(), key=lambda item: -item[1].count)
    printing.print_table(
        [title, "rows", "first row", "message"],
        [[code, group.count, group.row, group.message] for code, group in ordered],
    )


def _listed(reasons: dict[str, ResultReason]) -> tuple[ReasonCount, ...]:
    return tuple(
        ReasonCount(code=code, count=group.count, row=group.row, message=group.message)
        for code, group in sorted(reasons.items(), key=lambda item: -item[1].count)
    )
