"""Requests in the native format, made of rows."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from twite.domain.fault import CODES, ROW_CODES, Fault
from twite.formats.files.findings import FileRow, RowFinding
from twite.formats.parsed_request import Native, ParsedRequest

MAX_ROWS: Final = 500
MAX_BYTES: Final = 900_000

_OPEN: Final = b'{"conversions":['
_CLOSE: Final = b"]}"
_NATIVE: Final = msgspec.json.Decoder(Native)


def request_body(rows: Sequence[FileRow]) -> bytes:
    """Return the body of a request with the rows that can be sent."""
    return _OPEN + b",".join(row.body for row in rows if row.body is not None) + _CLOSE


def rejected_request(rows: Sequence[FileRow]) -> ParsedRequest:
    """Return the request that makes the gateway reject rows with errors, and remember why."""
    return ParsedRequest(
        conversions=tuple([_NATIVE.decode(row.partial or b"{}") for row in rows]),
        faults=tuple([tuple(map(_fault, row.errors)) for row in rows]),
    )


def _fault(finding: RowFinding) -> Fault:
    # Codes for requests of the wrong shape, such as not_json, are none of conversions.
    code = finding.code if finding.code in CODES or finding.code in ROW_CODES else "wrong_type"
    return Fault(path=finding.field, code=code, message=finding.message)


def fits(rows: int, size: int) -> bool:
    """Whether this number of rows with this total size in bytes fits into one request."""
    return rows <= MAX_ROWS and size + rows + len(_OPEN) + len(_CLOSE) <= MAX_BYTES


def batches(rows: Iterable[FileRow], *, skip: int = 0) -> Iterator[list[FileRow]]:
    """Split rows into batches that fit into one request.

    The first `skip` rows are read but not returned, because later rows may duplicate them.
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
