"""A page of a list: conversions and rejections, merged by their time of receipt.

Each of the two has a key of its own, so that a page neither repeats nor skips one, even if a clock
was set back.
"""

import heapq
from collections.abc import Callable, Sequence
from itertools import islice, takewhile
from typing import Final

import msgspec

from twite.domain.submission import Rejection, RejectionQuery
from twite.domain.test_mode import is_test
from twite.gateway.ports.listing import (
    LOOKED_THROUGH,
    ConversionSummary,
    ListCount,
    ListedState,
    ListPosition,
    ListQuery,
    SummaryPage,
)
from twite.stores.sql.listing.conversions import (
    FoundConversions,
    counted_conversions,
    found_conversions,
)
from twite.stores.sql.records import view
from twite.stores.sql.rejections import RejectionKey, rejections_before
from twite.stores.sql.statements import SqlConnection

_NO_MORE: Final[RejectionKey] = (0, 0, 0)
_LAST: Final = 1 << 53  # no delivery has a greater number


class _FoundRejections(msgspec.Struct, frozen=True, kw_only=True):
    """The matches before a key, with their keys. The search continues before `reached`.

    `is_cut` is whether LOOKED_THROUGH ended the search.
    """

    rejections: Sequence[tuple[RejectionKey, Rejection]] = ()
    reached: RejectionKey = _NO_MORE
    is_cut: bool = False


def page(connection: SqlConnection, list_query: ListQuery) -> SummaryPage:
    """Return the matching conversions before a position, newest first."""
    with view(connection):
        if list_query.state is ListedState.REJECTED:
            conversions = FoundConversions(summaries=())
        else:
            conversions = found_conversions(connection, list_query)
        rejections = _FoundRejections()
        if _has_rejections(list_query):
            # Of one time, conversions are first, and some may be on the next page.
            since = conversions.reached_at + 1 if conversions.reached else 0
            rejections = _rejections(connection, list_query, since=since)
    return _merged(list_query, conversions, rejections)


def list_count(connection: SqlConnection, *, list_query: ListQuery) -> ListCount:
    """Count the conversions of all pages; rejections up to LOOKED_THROUGH."""
    whole = msgspec.structs.replace(list_query, position=None, limit=LOOKED_THROUGH)
    with view(connection):
        counted = ListCount()
        if whole.state is not ListedState.REJECTED:
            counted = counted_conversions(connection, whole)
        if not _has_rejections(whole):
            return counted
        rejections = _rejections(connection, whole, since=0)
    return ListCount(
        conversions=counted.conversions + len(rejections.rejections),
        copies=counted.copies,
        is_cut=counted.is_cut or rejections.reached != _NO_MORE,
    )


def _has_rejections(list_query: ListQuery) -> bool:
    problem = list_query.problem
    return (
        list_query.state in {None, ListedState.REJECTED}
        and not (list_query.digest or list_query.after)
        and (problem is None or problem.first_fault is not None)
    )


def _merged(
    list_query: ListQuery, conversions: FoundConversions, rejections: _FoundRejections
) -> SummaryPage:
    reached_at = rejections.reached[0] if rejections.is_cut else 0
    known = list(takewhile(lambda found: found.received_at >= reached_at, conversions.summaries))
    refused = [_summary(key, rejection) for key, rejection in rejections.rejections]
    by_time: Callable[[ConversionSummary], int] = lambda found: -found.received_at  # noqa: E731
    shown = list(islice(heapq.merge(known, refused, key=by_time), list_query.limit))
    many = sum(summary.delivery is not None for summary in shown)
    others = len(shown) - many
    delivery, rejection = conversions.reached, rejections.reached
    if many < len(conversions.summaries):
        start = _LAST if list_query.position is None else list_query.position.delivery
        delivery = (conversions.summaries[many - 1].delivery or 0) if many else start
    if others < len(refused):
        rejection = rejections.rejections[others - 1][0] if others else _start(list_query)
    cut = [reached_at] if rejections.is_cut else []
    cut += [conversions.reached_at] if conversions.is_cut else []
    return SummaryPage(
        summaries=tuple(shown),
        back_to=ListPosition(delivery, rejection) if delivery or rejection != _NO_MORE else None,
        searched_to=max(cut) if cut and len(shown) < list_query.limit else None,
        latest=conversions.latest,
    )


def _start(list_query: ListQuery) -> RejectionKey:
    newest = list_query.until, 0, 0
    position = list_query.position
    return newest if position is None else min(position.rejection or newest, newest)


def _rejections(
    connection: SqlConnection, list_query: ListQuery, *, since: int
) -> _FoundRejections:
    wanted = RejectionQuery(
        since=max(list_query.since, since),
        code=list_query.reason,
        first_fault=None if list_query.problem is None else list_query.problem.first_fault,
        name=list_query.named,
        source=list_query.scope.source,
        pixels=list_query.scope.seen,
    )
    found: list[tuple[RejectionKey, Rejection]] = []
    before, looked, size = _start(list_query), 0, min(list_query.limit, LOOKED_THROUGH)
    while looked < LOOKED_THROUGH:
        rows = rejections_before(connection, wanted, before=before, limit=size)
        for key, rejection in rows:
            before = key
            if rejection is None or not wanted.wants(rejection):
                continue
            is_shown = list_query.tests in {None, is_test(rejection.source)}
            if is_shown and (list_query.events is None or rejection.is_of(list_query.events)):
                found.append((key, rejection))
            if len(found) == list_query.limit:
                return _FoundRejections(rejections=found, reached=key)
        if len(rows) < size:
            # The conversions end at `since`: older rejections are on the next pages.
            reached = (since, 0, 0) if since > list_query.since else _NO_MORE
            return _FoundRejections(rejections=found, reached=reached)
        looked += len(rows)
        size = LOOKED_THROUGH - looked
    return _FoundRejections(rejections=found, reached=before, is_cut=True)


def _summary(key: RejectionKey, rejection: Rejection) -> ConversionSummary:
    return ConversionSummary(
        key="r" + "-".join(map(str, key)),
        delivery=None,
        received_at=rejection.at,
        pixel=rejection.pixel,
        event=rejection.event,
        conversion_id=rejection.conversion_id,
        source=rejection.source,
        endpoint=rejection.endpoint,
        receipt=rejection.receipt,
        state=ListedState.REJECTED,
        reason=", ".join(dict.fromkeys(fault.code for fault in rejection.faults)),
        body=b"",
    )
