"""Find the conversions of a list by id, the newest first, a limited number at a time.

Each state has an index from which the ids of the candidates are read in order. The rest of the
filter is applied to these candidates.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar, Final

import msgspec

from twite.domain.conversion import dedup_key
from twite.domain.stats.deduplication import MEETS_WITHIN
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.times import LATEST, SECOND
from twite.gateway.ports.listing import (
    LOOKED_THROUGH,
    ConversionSummary,
    ListCount,
    ListedState,
    ListQuery,
    ProblemConversions,
)
from twite.stores.sql.deduplication import deliveries_of
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.statements import SqlConnection, as_json, query
from twite.stores.sql.tallies import pixels_of

_CANDIDATES: Final[Mapping[ListedState, str]] = {
    ListedState.QUEUED: "unsettled_before",
    ListedState.SENDING: "unsettled_before",
    ListedState.PENDING: "unsettled_before",
    ListedState.HELD: "resting_before",
    ListedState.DEAD: "resting_before",
    ListedState.SUPPRESSED: "suppressed_before",
    ListedState.DUPLICATE: "repeated_before",
    ListedState.FLAGGED: "flagged_before",
    ListedState.FLAWED: "flawed_before",
    ListedState.PRIVATE_ADDRESS: "flawed_before",
}
# The states whose conversions are all in the outbox.
_UNSETTLED: Final = frozenset(
    {
        ListedState.QUEUED,
        ListedState.SENDING,
        ListedState.PENDING,
        ListedState.HELD,
        ListedState.DEAD,
    }
)
# The states that do not say where a conversion is: another condition selects them.
_OTHER: Final = frozenset(
    {
        ListedState.PENDING,
        ListedState.DUPLICATE,
        ListedState.FLAGGED,
        ListedState.FLAWED,
        ListedState.PRIVATE_ADDRESS,
        ListedState.TWO_IDS,
        ListedState.BOTH,
        ListedState.SERVER_ONLY,
        ListedState.BLOCKED,
        ListedState.MATCHABLE,
    }
)
# The states of which only their candidates are.
_OF_INDEX: Final = frozenset(
    {
        ListedState.DUPLICATE,
        ListedState.FLAGGED,
        ListedState.FLAWED,
        ListedState.PRIVATE_ADDRESS,
        ListedState.TWO_IDS,
    }
)
# The states that a statement of their own selects among the candidates.
_AMONG: Final[Mapping[ListedState, str]] = {
    ListedState.BOTH: "reported_among",
    ListedState.SERVER_ONLY: "reported_among",
    ListedState.BLOCKED: "blocked_among",
    ListedState.MATCHABLE: "matchable_among",
}
_OF_THE_REPORT: Final = frozenset(_AMONG) - {ListedState.MATCHABLE}
_PRIVATE: Final = "ip_private"
_TESTS: Final[Mapping[bool | None, str]] = {True: "only", False: "without"}
# How far the order of ids may differ from that of the times of receipt.
_JITTER: Final = 10 * SECOND
# The most deliveries of one name.
_MOST_NAMED: Final = 1_000
_GROWTH: Final = 8

# From (before, floor, limit) to ids, the greatest first.
Candidates = Callable[[int, int, int], Sequence[int]]


class SummaryRow(QueryRow):
    statement: ClassVar[str] = "summaries"

    delivery: int
    received_at: int
    pixel: str
    event: str
    conversion_id: str
    source: str
    endpoint: str
    receipt: str
    state: str
    reason: str | None
    body: bytes
    kind: str | None
    value: str | None
    currency: str | None
    usual: str | None
    duplicates: int


class FoundConversions(msgspec.Struct, frozen=True, kw_only=True):
    """The matches before an id. The search continues before `reached`, received at `reached_at`.

    Both are 0 if there is nothing left. `is_cut` is whether LOOKED_THROUGH ended the search.
    """

    summaries: Sequence[ConversionSummary]
    reached: int = 0
    reached_at: int = 0
    is_cut: bool = False
    latest: int = 0


def found_conversions(connection: SqlConnection, list_query: ListQuery) -> FoundConversions:
    list_query = _in_the_report(connection, list_query)
    last, _ = connection.execute(query("latest")).fetchone()
    before, floor = _ids_of(connection, list_query)
    found: list[ConversionSummary] = []
    looked, size = 0, min(list_query.limit, LOOKED_THROUGH)
    candidates = _candidates(connection, list_query)
    while looked < LOOKED_THROUGH:
        ids = candidates(before, floor, size)
        found += _summaries(connection, list_query, ids, limit=list_query.limit - len(found))
        if len(found) >= list_query.limit:
            reached = found[-1].delivery or 0
            return FoundConversions(
                summaries=found, reached=reached, reached_at=found[-1].received_at, latest=last
            )
        if len(ids) < size:
            return FoundConversions(summaries=found, latest=last)
        before = ids[-1]
        looked += len(ids)
        size = max(1, min(_GROWTH * size, LOOKED_THROUGH - looked))
    at = connection.execute(query("received_of"), {"delivery": before}).fetchone()
    return FoundConversions(
        summaries=found,
        reached=before,
        reached_at=list_query.since if at is None else at[0],
        is_cut=True,
        latest=last,
    )


def counted_conversions(connection: SqlConnection, list_query: ListQuery) -> ListCount:
    """Count the matches among the latest LOOKED_THROUGH candidates, without rejections."""
    list_query = _in_the_report(connection, list_query)
    before, floor = _ids_of(connection, list_query)
    candidates = _candidates(connection, list_query)
    ids = candidates(before, floor, LOOKED_THROUGH)
    found, copies = _matching(connection, list_query, ids, limit=LOOKED_THROUGH), 0
    if list_query.state is ListedState.DUPLICATE:
        values = {"deliveries": as_json(found)}
        (copies,) = connection.execute(query("copies_of"), values).fetchone()
    is_cut = len(ids) == LOOKED_THROUGH and bool(candidates(ids[-1], floor, 1))
    return ListCount(conversions=len(found), copies=int(copies), is_cut=is_cut)


def _in_the_report(connection: SqlConnection, list_query: ListQuery) -> ListQuery:
    """Limit a list of the deduplication report's states to the time that the report covers."""
    if list_query.state not in _OF_THE_REPORT:
        return list_query
    (began,) = connection.execute(query("report_began")).fetchone()
    since = max(list_query.since, LATEST if began is None else began)
    return msgspec.structs.replace(list_query, since=since)


def _ids_of(connection: SqlConnection, list_query: ListQuery) -> tuple[int, int]:
    """Return before which number, and from which, the next page searches."""
    before, floor = id_range(connection, since=list_query.since, until=list_query.until)
    if list_query.position is not None:
        before = min(before, list_query.position.delivery)
    return before, max(floor, list_query.after + 1)


def flag_of(
    kind: str | None, value: str | None, currency: str | None, usual: str | None
) -> ValueFlag | None:
    if kind is None:
        return None
    return ValueFlag(kind=kind, value=value or "", currency=currency or "", usual=usual or "")


def id_range(connection: SqlConnection, *, since: int, until: int) -> tuple[int, int]:
    """Return before which number, and from which, conversions of a time range (ms) may be."""
    last, floor = connection.execute(query("latest")).fetchone()
    before = last + 1
    if until < LATEST:
        before = before_until(connection, until, last)
    if since > 0:
        floor = max(floor, first_since(connection, since, last))
    return before, floor


def first_since(connection: SqlConnection, at: int, last: int) -> int:
    """Return the first number that may have been received since a time; `last` + 1 for none."""
    return number_at(connection, at - _JITTER, last)


def before_until(connection: SqlConnection, until: int, last: int) -> int:
    """Return the first number that cannot have been received before a time; `last` + 1 for none."""
    return number_at(connection, until + _JITTER, last)


def number_at(connection: SqlConnection, at: int, last: int) -> int:
    """Return the first conversion received at or after a time (ms); `last` + 1 if none was."""
    found = connection.execute(query("number_at"), {"at": at}).fetchone()
    return last + 1 if found is None else int(found[0])


def _candidates(connection: SqlConnection, list_query: ListQuery) -> Candidates:
    candidates = _of_state(connection, list_query)
    if list_query.named is None:
        return candidates
    ids = _named(connection, list_query.named, list_query)
    if list_query.state in _OTHER:
        ids = [id_ for id_ in ids if candidates(id_ + 1, id_, 1)]
    return partial(_among, ids)


def _of_state(connection: SqlConnection, list_query: ListQuery) -> Candidates:
    if list_query.state is ListedState.TWO_IDS:
        return partial(_among, list_query.deliveries)
    if list_query.problem is not None and list_query.state not in _OF_INDEX:
        return partial(_in_problem, connection, list_query.problem)
    if list_query.state is ListedState.BLOCKED and list_query.named is None:
        blocked = _few_blocked(connection, list_query)
        if blocked is not None:
            return partial(_among, blocked)
    name = "conversions_before" if list_query.state is None else _CANDIDATES.get(list_query.state)
    statement = query(name or "conversions_before")

    def read(before: int, floor: int, limit: int) -> list[int]:
        values = {"before": before, "floor": floor, "limit": limit}
        return [id_ for (id_,) in connection.execute(statement, values)]

    return read


def _among(ids: Sequence[int], before: int, floor: int, limit: int) -> list[int]:
    return [id_ for id_ in ids if floor <= id_ < before][:limit]


def _in_problem(
    connection: SqlConnection,
    problem_conversions: ProblemConversions,
    before: int,
    floor: int,
    limit: int,
) -> list[int]:
    groups = [
        {"pixel": pixel, "event": event, "state": state, "reason": reason}
        for pixel, event, state, reason in problem_conversions.groups
    ]
    values = {
        "groups": msgspec.json.encode(groups).decode(),
        "since": problem_conversions.since,
        "until": problem_conversions.until,
        "before": before,
        "floor": floor,
        "limit": limit,
    }
    found: list[int] = []
    for (ids,) in connection.execute(query("in_error_groups_before"), values).fetchall():
        found += msgspec.json.decode(ids or "[]")
    return sorted(found, reverse=True)[:limit]


def _named(connection: SqlConnection, name: str, list_query: ListQuery) -> list[int]:
    """Return the deliveries of a receipt, and those of a conversion id in all events."""
    values = {"limit": _MOST_NAMED}
    found = [
        *connection.execute(
            query("deliveries_of_receipt"), values | {"receipt": name, "conversion_id": None}
        ),
        *connection.execute(query("deliveries_called"), values | {"name": name}),
    ]
    keys = [
        dedup_key(pixel, event, name)
        for _, pixel, event in connection.execute(query("queues"))
        if list_query.scope.shows(pixel)
        and (list_query.events is None or event in list_query.events)
    ]
    return sorted({id_ for (id_,) in found} | _of_keys(connection, keys), reverse=True)


def _few_blocked(connection: SqlConnection, list_query: ListQuery) -> list[int] | None:
    """Return the deliveries of all ids that pages reported while X's script was blocked.

    None if these are so many that the latest conversions have some of them.
    """
    values = {
        # A page may report an id long before the gateway has the conversion.
        "since": list_query.since - MEETS_WITHIN,
        "pixels": pixels_of(list_query.scope),
        "limit": LOOKED_THROUGH,
    }
    found = connection.execute(query("blocked_ids"), values).fetchall()
    if len(found) == LOOKED_THROUGH:
        return None
    return sorted(_of_keys(connection, [dedup_key(*row) for row in found]), reverse=True)


def _of_state_among(
    connection: SqlConnection, state: ListedState, ids: Sequence[int], *, is_apart: bool
) -> Sequence[int]:
    """Return the ids of a state. The statements read the time between those that are not apart."""
    statement = query(_AMONG[state])
    groups = [[id_] for id_ in ids] if is_apart else [ids] if ids else []
    return [
        id_
        for some in groups
        for (id_,) in connection.execute(
            statement, {"deliveries": as_json(some), "path": state.value}
        ).fetchall()
    ]


def _of_keys(connection: SqlConnection, keys: Sequence[bytes]) -> set[int]:
    return {delivery for _, delivery in deliveries_of(connection, keys)}


def _matching(
    connection: SqlConnection, list_query: ListQuery, ids: Sequence[int], *, limit: int
) -> list[int]:
    """Return those of the candidates that the filter selects, the greatest first."""
    state = list_query.state
    if state is not None and state in _AMONG:
        ids = _of_state_among(connection, state, ids, is_apart=list_query.named is not None)
    problem = list_query.problem
    if problem is not None and (state in _OF_INDEX or list_query.named is not None):
        ids = [id_ for id_ in ids if _in_problem(connection, problem, id_ + 1, id_, 1)]
    if not ids:
        return []
    is_flagged, is_flawed = state is ListedState.FLAGGED, state is ListedState.FLAWED
    values = {
        "deliveries": as_json(ids),
        "since": list_query.since,
        "until": list_query.until,
        "pixels": pixels_of(list_query.scope),
        "events": None if list_query.events is None else as_json(sorted(list_query.events)),
        "source": list_query.scope.source,
        "tests": _TESTS.get(list_query.tests),
        "kind": list_query.reason if is_flagged else None,
        "code": _PRIVATE
        if state is ListedState.PRIVATE_ADDRESS
        else list_query.reason
        if is_flawed
        else None,
        "reason": None if is_flagged or is_flawed else list_query.reason,
        "state": None if state is None or state in _OTHER else state.value,
        "pending": "yes" if state is ListedState.PENDING else None,
        "digest": list_query.digest,
        "limit": limit,
    }
    is_unsettled = state in _UNSETTLED and list_query.digest is None
    statement = query("matching_unsettled" if is_unsettled else "matching")
    return [id_ for (id_,) in connection.execute(statement, values).fetchall()]


def _summaries(
    connection: SqlConnection, list_query: ListQuery, ids: Sequence[int], *, limit: int
) -> Iterator[ConversionSummary]:
    found = _matching(connection, list_query, ids, limit=limit)
    if not found:
        return
    for row in SummaryRow.read(connection, {"deliveries": as_json(found)}):
        yield ConversionSummary(
            key=f"c{row.delivery}",
            delivery=row.delivery,
            received_at=row.received_at,
            pixel=row.pixel,
            event=row.event,
            conversion_id=row.conversion_id,
            source=row.source,
            endpoint=row.endpoint,
            receipt=row.receipt,
            state=ListedState(row.state),
            reason=row.reason,
            body=row.body,
            flag=flag_of(row.kind, row.value, row.currency, row.usual),
            duplicates=row.duplicates,
        )
