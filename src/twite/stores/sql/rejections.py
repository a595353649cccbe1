"""Rejected conversions: write them with their submission, up to a limit for each account.

A row's id is its account and its place in the account's ring buffer. At the limit, a new row
overwrites the account's oldest, so a flood of bad requests neither grows the table nor displaces
rows of other sources.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from operator import itemgetter
from typing import Final

import msgspec

from twite.domain.fault import MaskedFault
from twite.domain.submission import (
    MOST_KEPT,
    MOST_NAMES,
    OTHER,
    IgnoredTally,
    RejectedConversion,
    Rejection,
    RejectionQuery,
    Submission,
    named,
    rejection_of,
)
from twite.domain.test_mode import real_name
from twite.domain.times import DAY
from twite.gateway.operations.erase import PREFIX
from twite.stores.sql.database import WriterSession
from twite.stores.sql.rows.tables import RejectionRow
from twite.stores.sql.statements import SqlConnection, query, record_of

_RING: Final = 1 << 16

_PAGE: Final = 1_000
# A path that only names fields: others are as the client wrote them.
_FIELD: Final = re.compile(r"[a-z_]{1,24}(?:\[\d+\])?(?:\.[a-z_]{1,24})?")

# Time, account, and number within the account.
RejectionKey = tuple[int, int, int]
# By account, in order of arrival.
Rejected = dict[int, list[tuple[Submission, RejectedConversion]]]
_ENCODER: Final = msgspec.json.Encoder()


class _StoredRejection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of a row's encoded column."""

    endpoint: str
    receipt: str
    index: int
    event: str = ""
    conversion_id: str = ""
    faults: tuple[MaskedFault, ...] = ()
    marks: tuple[str, ...] = ()
    event_id: str = ""


class _RefusedPlace(msgspec.Struct):
    """What intake stores of a rejected conversion beside its request."""

    index: int


_PLACES: Final = msgspec.json.Decoder(list[_RefusedPlace])


def add(session: WriterSession, rejected: Rejected) -> None:
    """Write rejections inside the running transaction. Count them in their accounts before."""
    rows = []
    for account, some in sorted(rejected.items(), key=itemgetter(0)):
        counted = int(session.run("rejected_so_far", account=account).fetchone()[0])
        latest = some[-MOST_KEPT:]
        for place, (submission, refusal) in enumerate(latest, counted - len(latest)):
            rejection = rejection_of(submission, refusal)
            details = _StoredRejection(
                endpoint=rejection.endpoint,
                receipt=rejection.receipt,
                index=rejection.index,
                event=rejection.event,
                conversion_id=rejection.conversion_id,
                faults=rejection.faults,
                marks=refusal.marks,
                event_id=rejection.event_id,
            )
            rows.append(
                RejectionRow(
                    id=account * _RING + place % MOST_KEPT,
                    at=rejection.at,
                    nth=place,
                    account=account,
                    details=_ENCODER.encode(details),
                )
            )
    session.add(rows)


def rejections(connection: SqlConnection, *, rejection_query: RejectionQuery) -> list[Rejection]:
    """Return the matching rejections, latest first."""
    found: list[Rejection] = []
    before: RejectionKey = (rejection_query.until, 0, 0)
    while True:
        rows = rejections_before(connection, rejection_query, before=before, limit=_PAGE)
        for before, rejection in rows:  # noqa: B007  the last one is the next page's
            if rejection is not None and rejection_query.wants(rejection):
                found.append(rejection)
                if len(found) >= rejection_query.limit:
                    return found
        if len(rows) < _PAGE:
            return found


def rejections_before(
    connection: SqlConnection, rejection_query: RejectionQuery, *, before: RejectionKey, limit: int
) -> list[tuple[RejectionKey, Rejection | None]]:
    """Return the latest rejections before a key. Those of other sources or pixels are None.

    So are unreadable rows. Codes and names are not compared.
    """
    at, account, nth = before
    values = {
        "since": rejection_query.since,
        "at": at,
        "account": account,
        "nth": nth,
        "limit": limit,
    }
    own, pixels = rejection_query.source, rejection_query.pixels
    return [
        (
            (at, account, nth),
            _rejection(at, source, pixel, encoded)
            if own in {None, source, real_name(source)} and (pixels is None or pixel in pixels)
            else None,
        )
        for at, account, nth, source, pixel, encoded in connection.execute(
            query("rejections_before"), values
        )
    ]


def _rejection(at: int, source: str, pixel: str, encoded: bytes) -> Rejection | None:
    stored = _read(encoded)
    if stored is None:
        return None
    return Rejection(
        at=at,
        source=source,
        pixel=pixel,
        endpoint=stored.endpoint,
        receipt=stored.receipt,
        index=stored.index,
        event=stored.event,
        conversion_id=stored.conversion_id,
        faults=stored.faults,
        event_id=stored.event_id,
    )


def kept_rejections(
    connection: SqlConnection,
) -> Iterator[tuple[str, str, str, tuple[str, ...], bytes]]:
    """Yield (key of the row, source, conversion id, marks, whole text) of each rejection."""
    for id_, at, source, encoded in connection.execute(query("kept_rejections")):
        read = _read(encoded)
        said = ("", ()) if read is None else (read.conversion_id, read.marks)
        yield _key(id_, at), source, *said, encoded


def empty(session: WriterSession, keys: Collection[str], *, digest: Callable[[str], str]) -> None:
    """Erase the persons of rows, and rewrite the rest: split pages may contain copies of the data.

    `digest` returns the replacement for a conversion id.
    """
    rows = [RejectionRow(*row) for row in session.run("all_rejections").fetchall()]
    session.run("forget_all_rejections")
    session.add(
        [
            msgspec.structs.replace(row, details=_emptied(row.details, digest))
            if _key(row.id, row.at) in keys
            else row
            for row in rows
        ]
    )


def _emptied(encoded: bytes, digest: Callable[[str], str]) -> bytes:
    """Return what remains of a row: its codes and fields, and names that the settings have."""
    stored = _read(encoded)
    if stored is None:
        return _ENCODER.encode(_StoredRejection(endpoint="", receipt="", index=0))
    name = stored.conversion_id
    return _ENCODER.encode(
        _StoredRejection(
            endpoint=stored.endpoint,
            receipt=stored.receipt,
            index=stored.index,
            event=stored.event if stored.event_id else "",
            conversion_id=digest(name) if name and not name.startswith(PREFIX) else name,
            faults=tuple(
                MaskedFault(
                    path=fault.path if _FIELD.fullmatch(fault.path) else "",
                    code=fault.code,
                    message="",
                )
                for fault in stored.faults
            ),
            event_id=stored.event_id,
        )
    )


def _key(id_: int, at: int) -> str:
    """Return an id for a row; a later row in the same place has a different one."""
    return f"{id_}@{at}"


def _read(encoded: bytes) -> _StoredRejection | None:
    try:
        return _DECODER.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


_DECODER: Final = msgspec.json.Decoder(_StoredRejection)


# Day, source, endpoint, name, reason.
IgnoredCounts = Counter[tuple[int, str, str, str, str]]


def count_ignored(tally: IgnoredCounts, submission: Submission) -> None:
    day = submission.received_at // DAY
    for name, reason in named(submission):
        tally[day, submission.source, submission.endpoint.value, name, reason] += 1


def add_ignored(session: WriterSession, tally: IgnoredCounts) -> None:
    """Add to the counts. After too many different names, new ones are counted as OTHER."""
    for (day, source, endpoint, name, reason), times in sorted(tally.items()):
        session.run(
            "count_ignored",
            day=day,
            source=source,
            endpoint=endpoint,
            called=name,
            reason=reason,
            times=times,
            most=MOST_NAMES,
            other=OTHER,
        )


def ignored(connection: SqlConnection, *, since: int) -> list[IgnoredTally]:
    """Return the counts of ignored items since a given day."""
    return [
        record_of(IgnoredTally, row)
        for row in connection.execute(query("ignored"), {"since": since}).fetchall()
    ]


def refused_places(refusals: bytes | str | None) -> frozenset[int]:
    """Return the positions of the rejected conversions of a submission."""
    if not refusals:
        return frozenset()
    return frozenset([refusal.index for refusal in _PLACES.decode(refusals)])
