"""Queries of histories and counts, in memory."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from memory_store.row import MemoryRow, history_of
from twite.domain.conversion import dedup_key
from twite.domain.delivery import State, rank
from twite.domain.history import ConversionCounts, History, Rival
from twite.domain.pause import Pause
from twite.domain.stats.backlog import BacklogHour
from twite.domain.submission import MOST_NAMES, OTHER, IgnoredTally, Submission, named
from twite.domain.times import DAY, HOUR
from twite.gateway.ports import queries as port
from twite.gateway.ports.queries import Query, Selection
from twite.gateway.ports.state import RateLimitWindow

T = TypeVar("T")

_RESTING = (State.DEAD, State.HELD)
_PENDING = (State.QUEUED, State.SENDING)
_FINAL = (State.DELIVERED, State.SUPPRESSED)
_MOST_HISTORIES = 1_000

# The fields of a query are the arguments of its method.
_METHODS: Final[Mapping[type, str]] = {
    port.ByConversionId: "_find_histories",
    port.ByReceipt: "_find_submission",
    port.AtRest: "_find_resting",
    port.IgnoredQuery: "_answer_ignored",
    port.AttemptsQuery: "_answer_attempts",
    port.DeliveredQuery: "_answer_delivered",
    port.UndeliveredQuery: "_answer_undelivered",
    port.PayloadHeadsQuery: "_answer_payload_heads",
}


class MemoryQueries:
    """Implements the part of Queries that delivery needs. The rows are the store's."""

    _keys: dict[bytes, tuple[int, int]]
    _counted: dict[tuple[str, str], dict[str, int]]
    _tried: list[tuple[str, int, int]]
    _kept: dict[type, dict[Any, Any]]

    def __init__(self) -> None:
        self._rows: dict[int, MemoryRow] = {}
        # All rows that are neither delivered nor suppressed, and possibly some that are.
        self._open: dict[int, MemoryRow] = {}
        # (pixel, time, conversions) that X accepted.
        self._taken: list[tuple[str, int, int]] = []
        self._ignored: dict[tuple[int, str, str, str, str], int] = {}

    async def find(self, selection: Selection) -> Sequence[History]:
        histories: Sequence[History] = self._asked(selection)
        return histories

    async def answer(self, query: Query[T]) -> T:
        found: T = self._asked(query)
        return found

    def _asked(self, query: msgspec.Struct) -> Any:
        values = {name: getattr(query, name) for name in query.__struct_fields__}
        return getattr(self, _METHODS[type(query)])(**values)

    def _in(self, *states: State) -> list[MemoryRow]:
        """Return the rows in some states, none of which is final."""
        rows, final = [], []
        for id_, row in self._open.items():
            if row.state in states:
                rows.append(row)
            elif row.state in _FINAL:
                final.append(id_)
        for id_ in final:
            del self._open[id_]
        return rows

    def _answer_attempts(self, *, since: int) -> Mapping[str, Sequence[tuple[int, int]]]:
        by_pixel: dict[str, list[tuple[int, int]]] = {}
        for pixel, at, size in sorted(self._tried, key=lambda tried: tried[1]):
            if at >= since:
                by_pixel.setdefault(pixel, []).append((at, size))
        return by_pixel

    def _find_histories(
        self, *, pixel: str, events: Sequence[str] | None, conversion_id: str
    ) -> Sequence[History]:
        found = []
        if events is None:
            own = [row.entry.event for row in self._rows.values() if row.entry.pixel == pixel]
            events = tuple(dict.fromkeys(own))
        called = [
            row.entry.key
            for row in reversed(self._rows.values())
            if (row.entry.pixel, row.entry.called) == (pixel, conversion_id)
            and row.entry.event in events
        ]
        keys = [dedup_key(pixel, event, conversion_id) for event in events]
        for key in dict.fromkeys([*keys, *called]):
            same = [row.id for row in self._rows.values() if row.entry.key == key]
            holder = self._keys[key][0] if key in self._keys else 0
            found += [id_ for id_ in same if id_ == holder]
            found += [id_ for id_ in reversed(same) if id_ != holder]
        return [self._history(self._rows[id_]) for id_ in found]

    def _find_submission(self, receipt: str, conversion_id: str | None) -> Sequence[History]:
        brought = [
            row
            for row in self._rows.values()
            if row.receipt == receipt and conversion_id in {None, row.entry.conversion_id}
        ]
        return [self._history(row) for row in brought[:_MOST_HISTORIES]]

    async def balance(self) -> Sequence[ConversionCounts]:
        accounts = []
        for (source, pixel), counted in sorted(self._counted.items()):
            mine = [
                row.state
                for row in self._rows.values()
                if (row.source, row.entry.pixel) == (source, pixel)
            ]
            accounts.append(
                ConversionCounts(
                    source=source,
                    pixel=pixel,
                    dead=mine.count(State.DEAD),
                    held=mine.count(State.HELD),
                    pending=sum(map(mine.count, _PENDING)),
                    **counted,
                )
            )
        return accounts

    def _find_resting(
        self, *, pixel: str | None, since: int, until: int, limit: int
    ) -> Sequence[History]:
        found = [
            row
            for row in self._in(*_RESTING)
            if pixel in (None, row.entry.pixel) and since <= row.rested_at < until
        ]
        found.sort(key=lambda row: (row.rested_at, row.id), reverse=True)
        return [self._history(row) for row in found[:limit]]

    def _history(self, row: MemoryRow) -> History:
        others = [other for other in self._rows.values() if other.entry.key == row.entry.key]
        return msgspec.structs.replace(
            history_of(row, self._kept[Pause], self._kept[RateLimitWindow]),
            supersedes=tuple(other.id for other in others if other.superseded_by == row.id),
            rival=self._other_copy(row),
        )

    def _other_copy(self, row: MemoryRow) -> Rival | None:
        """Return another copy that was sent, may be sent, or has the deduplication key."""
        if row.state not in _RESTING:
            return None
        for other in sorted(self._rows.values(), key=lambda other: -other.id):
            if other.id == row.id or other.entry.key != row.entry.key:
                continue
            sent_at = max((past.at for past in other.attempts), default=0)
            has_key = self._keys.get(row.entry.key, (0, 0))[0] == other.id
            later = other.id > row.id or sent_at >= row.received_at
            was_sent = other.state is State.DELIVERED and later
            is_dead = other.state is State.DEAD and has_key
            if was_sent or is_dead or other.state in {*_PENDING, State.HELD}:
                return Rival(delivery=other.id, state=other.state)
        return None

    async def backlog(self) -> Sequence[BacklogHour]:
        ranked: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for row in self._rows.values():
            if row.state in _PENDING:
                place = rank(received_at=row.received_at, ambiguous_since=row.ambiguous_since)
                key = (row.entry.pixel, place // HOUR)
                ranked.setdefault(key, []).append((place, row.received_at))
        return [
            BacklogHour(
                pixel=pixel,
                hour=hour,
                deliveries=len(some),
                first=min(place for place, _ in some),
                oldest=min(received_at for _, received_at in some),
            )
            for (pixel, hour), some in sorted(ranked.items())
        ]

    def _answer_delivered(self, *, since: int) -> Mapping[str, Sequence[tuple[int, int]]]:
        by_pixel: dict[str, list[tuple[int, int]]] = {}
        for pixel, at, many in sorted(self._taken):
            if at >= since:
                by_pixel.setdefault(pixel, []).append((at, many))
        return by_pixel

    def _answer_ignored(self, *, since: int) -> Sequence[IgnoredTally]:
        return [
            IgnoredTally(
                day=day, source=source, endpoint=endpoint, name=name, reason=reason, times=times
            )
            for (day, source, endpoint, name, reason), times in sorted(self._ignored.items())
            if day >= since
        ]

    def _note(self, submission: Submission) -> None:
        day, source, endpoint = (
            submission.received_at // DAY,
            submission.source,
            submission.endpoint.value,
        )
        for name, reason in named(submission):
            key = day, source, endpoint, name, reason
            if key not in self._ignored:
                full = sum(known[:2] == key[:2] for known in self._ignored) >= MOST_NAMES
                key = day, source, endpoint, OTHER if full else name, reason
            self._ignored[key] = self._ignored.get(key, 0) + 1
