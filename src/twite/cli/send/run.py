"""One file → the gateway and a report, from where an earlier run stopped."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from twite.cli.send.client import fits
from twite.cli.send.files import OpenedFile, read_rows
from twite.cli.send.report import SendReport
from twite.cli.send.results import (
    RowResult,
    judge,
    refused,
)
from twite.consent.verdict import judging
from twite.domain.conversion import dedup_key
from twite.domain.destination import Destination, Source
from twite.formats.files.findings import FileRow
from twite.formats.files.rows import RowOptions
from twite.formats.native import read as native
from twite.formats.native.answers import IdentifierWarning, NativeReceipt, RejectedItem, Suppressed
from twite.formats.native.conversion import ReadConversion


class BatchSubmitter(Protocol):
    """Where rows go: the gateway, or nowhere."""

    async def submit(self, rows: list[FileRow], *, lost: bool = False) -> list[RowResult]: ...


class SendDryRun:
    """Judges rows as the gateway would, and sends nothing. It knows of no duplicates elsewhere."""

    def __init__(
        self, *, source: Source, destinations: Mapping[str, Destination], now: int
    ) -> None:
        self._source = source
        self._destinations = destinations
        self._now = now
        self._seen: set[bytes] = set()

    async def submit(self, rows: list[FileRow], *, lost: bool = False) -> list[RowResult]:
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
        answer = NativeReceipt(
            receipt="",
            accepted=0,
            duplicates=0,
            suppressed=0,
            rejected=tuple(
                RejectedItem(index=result.index, errors=result.faults)
                for result in results
                if result.conversion is None
            ),
            warnings=tuple(
                IdentifierWarning(index=result.index, warnings=result.faults)
                for result in results
                if result.conversion is not None
            ),
            duplicate_indexes=tuple(result.index for result in results if self._again(result)),
            suppressed_indexes=tuple(
                result.index
                for result in results
                if result.conversion is not None and result.suppressed
            ),
            held_indexes=tuple(result.index for result in results if result.held),
            suppressed_reasons=tuple(
                Suppressed(index=result.index, reason=result.suppressed)
                for result in results
                if result.conversion is not None and result.suppressed
            ),
        )
        return judge(rows, answer, dry=True)

    def _again(self, read: ReadConversion) -> bool:
        """Whether an earlier row took the dedup key; what is suppressed takes none."""
        conversion = read.conversion
        if conversion is None or read.suppressed:
            return False
        key = dedup_key(conversion.pixel, conversion.event, conversion.conversion_id)
        known = key in self._seen
        self._seen.add(key)
        return known


async def run(
    opened: OpenedFile,
    reading: RowOptions,
    *,
    submitter: BatchSubmitter,
    report: SendReport,
    advance: Callable[[int], None],
) -> None:
    """Send the remaining rows and record each result. Raises Stopped.

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


def batches(rows: Iterator[FileRow], *, skip: int) -> Iterator[list[FileRow]]:
    """Cut rows into what one request may hold, after the first `skip` of them.

    Those are read all the same: a later row may repeat one of them.
    """
    batch: list[FileRow] = []
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
