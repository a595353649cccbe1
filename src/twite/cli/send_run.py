"""One file → the gateway and a report, from where an earlier run stopped."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from twite.cli.send_files import Opened, read_rows
from twite.cli.send_gateway import fits
from twite.cli.send_report import Report
from twite.cli.send_verdicts import (
    Receipted,
    Rejected,
    Suppressed,
    Verdict,
    Warned,
    Wrong,
    judge,
    refused,
)
from twite.consent.verdict import judging
from twite.domain.dedup import dedup_key
from twite.domain.destination import Destination, Source
from twite.intake import native
from twite.intake.findings import Row
from twite.intake.native_conversion import Read
from twite.intake.rows import Reading


class Submits(Protocol):
    """Where rows go: the gateway, or nowhere."""

    async def submit(self, rows: list[Row], *, lost: bool = False) -> list[Verdict]: ...


class DryRun:
    """Judges rows as the gateway would, and sends nothing. It knows of no duplicates elsewhere."""

    def __init__(
        self, *, source: Source, destinations: Mapping[str, Destination], now: int
    ) -> None:
        self._source = source
        self._destinations = destinations
        self._now = now
        self._seen: set[bytes] = set()

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
            consent=judging(policy=self._source.consent, now=self._now),
        )
        results = reading.results
        answer = Receipted(
            rejected=tuple(
                Rejected(one.index, _wrong(one)) for one in results if one.conversion is None
            ),
            warnings=tuple(
                Warned(one.index, _wrong(one)) for one in results if one.conversion is not None
            ),
            duplicate_indexes=tuple(one.index for one in results if self._again(one)),
            suppressed_indexes=tuple(
                one.index for one in results if one.conversion is not None and one.suppressed
            ),
            held_indexes=tuple(one.index for one in results if one.held),
            suppressed_reasons=tuple(
                Suppressed(one.index, one.suppressed)
                for one in results
                if one.conversion is not None and one.suppressed
            ),
        )
        return judge(rows, answer, dry=True)

    def _again(self, read: Read) -> bool:
        """Whether an earlier row took the dedup key; what is suppressed takes none."""
        conversion = read.conversion
        if conversion is None or read.suppressed:
            return False
        key = dedup_key(conversion.pixel, conversion.event, conversion.conversion_id)
        known = key in self._seen
        self._seen.add(key)
        return known


def _wrong(read: Read) -> tuple[Wrong, ...]:
    return tuple(Wrong(one.path, one.code, one.message) for one in read.faults)


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
        if batch and not fits(len(batch) + 1, size + length):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch
