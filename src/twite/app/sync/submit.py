"""Submit the rows of a sync to the gateway in the same process."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

import msgspec

from twite.domain.destination import Source
from twite.domain.errors import MalformedRequest
from twite.domain.fault import ReportedFault
from twite.domain.submission import Endpoint
from twite.formats.files.findings import FileRow, RowFinding
from twite.formats.files.requests import batches, rejected_request, request_body
from twite.formats.files.results import RowResult, RowResultKind, judge, refused
from twite.formats.native.answers import NativeReceipt, RejectedItem
from twite.gateway.ingest.accept import Accept

_RECEIVED: Final = RowFinding("time", "older_skipped", "the gateway received this order before")

# Returns the numbers of the rows that are in the gateway's history.
FindReceived = Callable[[Sequence[FileRow]], Awaitable[Collection[int]]]


class SyncTarget(msgspec.Struct, frozen=True, kw_only=True):
    """The source of the rows, and what accepts them. A reload replaces both."""

    accept: Accept
    source: Source
    find_received: FindReceived


# Returns the target of a sync's source in the settings in use.
FindTarget = Callable[[str], SyncTarget]


async def submit(rows: Sequence[FileRow], target: SyncTarget) -> list[RowResult]:
    """Return the result of each row; accepted rows are durable.

    Raises TransientError: some rows may be durable, and count as duplicates when they come again.
    """
    results: list[RowResult] = []
    for batch in batches(rows):
        sent = await without_received(batch, target.find_received)
        judged = {result.number: result for result in await _submitted(sent, target)}
        judged |= {result.number: result for result in await _rejected(batch, target)}
        results += [judged.get(row.number) or left_out(row) for row in batch]
    return results


async def without_received(rows: Sequence[FileRow], find_received: FindReceived) -> list[FileRow]:
    """Return the rows to send: correct, and not so old that they may count twice."""
    sent = [row for row in rows if row.body is not None]
    old = [row for row in sent if row.is_old]
    received = await find_received(old) if old else frozenset()
    return [row for row in sent if row.number not in received]


def left_out(row: FileRow) -> RowResult:
    """Return the result of a row that was not sent."""
    if row.body is None:
        return refused(row)
    return refused(msgspec.structs.replace(row, skipped=True, notes=(*row.notes, _RECEIVED)))


async def _rejected(rows: Sequence[FileRow], target: SyncTarget) -> list[RowResult]:
    """Let the gateway reject the rows with errors: nobody watches a sync.

    So they are in its lists and counts for as long as other rejected conversions, and a row that
    denies consent reaches the copies of its conversion.
    """
    wrong = [row for row in rows if row.errors]
    if not wrong:
        return []
    receipt = await target.accept.parsed(
        rejected_request(wrong), source=target.source, endpoint=Endpoint.NATIVE
    )
    return [
        msgspec.structs.replace(refused(row), kind=RowResultKind.SUPPRESSED)
        if index in receipt.suppressed_indexes
        else refused(row)
        for index, row in enumerate(wrong)
    ]


async def _submitted(rows: Sequence[FileRow], target: SyncTarget) -> list[RowResult]:
    if not rows:
        return []
    try:
        receipt = await target.accept.native(source=target.source, body=request_body(rows))
    except MalformedRequest as malformed:
        if len(rows) > 1:
            middle = len(rows) // 2
            first = await _submitted(rows[:middle], target)
            return first + await _submitted(rows[middle:], target)
        fault = ReportedFault(path="", code=malformed.code, message=malformed.message)
        nothing = NativeReceipt(
            receipt="",
            accepted=0,
            duplicates=0,
            suppressed=0,
            rejected=(RejectedItem(index=0, errors=(fault,)),),
        )
        return judge(rows, nothing)
    return judge(rows, receipt.as_native())
