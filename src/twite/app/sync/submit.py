"""Submit the rows of a sync to the gateway in the same process."""

from collections.abc import Callable, Sequence

import msgspec

from twite.domain.destination import Source
from twite.domain.errors import MalformedRequest
from twite.domain.fault import ReportedFault
from twite.formats.files.findings import FileRow
from twite.formats.files.requests import batches, request_body
from twite.formats.files.results import RowResult, judge, refused
from twite.formats.native.answers import NativeReceipt, RejectedItem
from twite.gateway.ingest.accept import Accept


class SyncTarget(msgspec.Struct, frozen=True, kw_only=True):
    """The source of the rows, and what accepts them. A reload replaces both."""

    accept: Accept
    source: Source


# Returns the target of a sync's source in the settings in use.
FindTarget = Callable[[str], SyncTarget]


async def submit(rows: Sequence[FileRow], target: SyncTarget) -> list[RowResult]:
    """Return the result of each row; accepted rows are durable.

    Raises TransientError: some rows may be durable, and count as duplicates when they come again.
    """
    results: list[RowResult] = []
    for batch in batches(rows):
        sent = [row for row in batch if row.body is not None]
        judged = {result.number: result for result in await _submitted(sent, target)}
        results += [judged.get(row.number) or refused(row) for row in batch]
    return results


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
