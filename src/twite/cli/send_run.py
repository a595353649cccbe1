"""One file → the gateway and a report, from where an earlier run stopped."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from twite.cli.send_files import Opened, read_rows
from twite.cli.send_gateway import MAX_ROWS, fits
from twite.cli.send_report import Report
from twite.cli.send_verdicts import Receipted, Rejected, Verdict, Warned, Wrong, judge, refused
from twite.domain.destination import Destination, Source
from twite.intake import native
from twite.intake.findings import Row
from twite.intake.rows import Reading


class Submits(Protocol):
    """Where rows go: the gateway, or nowhere."""

    async def submit(self, rows: list[Row], *, lost: bool = False) -> list[Verdict]: ...


class DryRun:
    """Judges rows as the gateway would, but for duplicates; sends nothing."""

    def __init__(
        self, *, source: Source, destinations: Mapping[str, Destination], now: int
    ) -> None:
        self._source = source
        self._destinations = destinations
        self._now = now

    async def submit(self, rows: list[Row], *, lost: bool = False) -> list[Verdict]:
        """Judge rows that have a body."""
        del lost
        body = b'{"conversions":[' + b",".join(row.body or b"null" for row in rows) + b"]}"
        reading = native.read(
            body,
            source=self._source,
            destinations=self._destinations,
            now=self._now,
            salt=b"",
            idempotency_key=None,
        )
        refusals, warnings, suppressed = [], [], []
        for read in reading.results:
            faults = tuple(Wrong(one.path, one.code, one.message) for one in read.faults)
            if read.conversion is None:
                refusals.append(Rejected(read.index, faults))
            elif faults:
                warnings.append(Warned(read.index, faults))
            if read.conversion is not None and read.suppressed is not None:
                suppressed.append(read.index)
        answer = Receipted(
            rejected=tuple(refusals),
            warnings=tuple(warnings),
            suppressed_indexes=tuple(suppressed),
        )
        return judge(rows, answer, dry=True)


async def run(
    opened: Opened,
    reading: Reading,
    *,
    submitter: Submits,
    report: Report,
    advance: Callable[[int], None],
) -> None:
    """Send what is not done, and write every verdict. Raises Stopped.

    `advance` is told how many rows are done, at the start and after each request.
    """
    done = report.state.done
    advance(done)
    # Between sending and noting it down, the earlier run may have been stopped.
    lost = done > 0
    for batch in batches(read_rows(opened, reading), skip=done):
        sent = [row for row in batch if row.body is not None]
        verdicts = await submitter.submit(sent, lost=lost) if sent else []
        lost = False
        judged = {verdict.number: verdict for verdict in verdicts}
        report.write(judged.get(row.number) or refused(row) for row in batch)
        advance(report.state.done)
    report.finish()


def batches(rows: Iterator[Row], *, skip: int) -> Iterator[list[Row]]:
    """Cut rows into what one request may hold, after the first `skip` of them.

    Those are read all the same: a later row may repeat one of them.
    """
    batch: list[Row] = []
    size = 0
    for place, row in enumerate(rows):
        if place < skip:
            continue
        length = len(row.body or b"")
        if batch and not (fits(len(batch) + 1, size + length) and len(batch) < MAX_ROWS):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch
