"""Console queries and edits, in memory."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from twite.domain.delivery import State
from twite.domain.history import History
from twite.domain.stats.match_keys import FlawCount, Matched, matching
from twite.domain.stats.tally import KEPT, DeliveryTimes, FlowCounts, slot_of
from twite.domain.submission import Submission
from twite.domain.times import DAY
from twite.gateway.ports import queries as port
from twite.gateway.ports.queries import (
    COUNTED,
    LOOKED_THROUGH,
    ConversionOrigin,
    ConversionSummary,
    ErrorGroup,
    KeptSubmission,
    ListQuery,
    Query,
    QueryScope,
    Selection,
    SummaryPage,
)
from twite.stores.memory.directory import MemoryDirectory
from twite.stores.memory.row import MemoryRow

T = TypeVar("T")

_RESTING = (State.DEAD, State.HELD)


# A query's fields are the arguments of its method.
_METHODS: Final[Mapping[type, str]] = {
    port.ByConversionId: "_find_life",
    port.ByReceipt: "_find_submission",
    port.AtRest: "_find_resting",
    port.InErrorGroup: "_find_group",
    port.RestingAmong: "_find_resting_among",
    port.FlowsQuery: "_answer_flows",
    port.WaitsQuery: "_answer_waits",
    port.MatchQuery: "_answer_match",
    port.FlawsQuery: "_answer_flaws",
    port.IgnoredQuery: "_answer_ignored",
    port.RejectionsQuery: "_answer_rejections",
    port.AttemptsQuery: "_answer_attempts",
    port.DeliveredQuery: "_answer_delivered",
    port.DedupQuery: "_answer_dedup",
    port.IdPairsQuery: "_answer_id_pairs",
    port.PixelReportsQuery: "_answer_pixel_reports",
    port.SubmissionsQuery: "_answer_submissions",
    port.NumberAtQuery: "_answer_number_at",
    port.UndeliveredQuery: "_answer_undelivered",
    port.PayloadHeadsQuery: "_answer_payload_heads",
}


class MemoryQueries:
    """Counts as it goes, and keeps what came. Rows are the store's own."""

    people: MemoryDirectory
    _rows: dict[int, MemoryRow]
    _keys: dict[bytes, tuple[int, int]]

    def __init__(self) -> None:
        # By (span, at, source, pixel).
        self._flows: dict[tuple[int, int, str, str], Counter[str]] = {}
        self._waits: dict[tuple[int, int, str, str], Counter[int]] = {}
        self._key_sets: Counter[tuple[str, str, str, int, int]] = Counter()
        # By (source, pixel, event, day, code): how often, the latest shape and delivery.
        self._flaws: dict[tuple[str, str, str, int, str], tuple[int, int, str, int | None]] = {}
        self._submissions: dict[str, Submission] = {}
        self._amended: dict[int, list[tuple[int, str]]] = {}

    def _history(self, row: MemoryRow) -> History:
        raise NotImplementedError

    def _answer_flows(self, scope: QueryScope, *, span: int, since: int) -> Sequence[FlowCounts]:
        sums: dict[int, Counter[str]] = {}
        for (its, at, source, pixel), counts in self._flows.items():
            if its == span and at >= since and _meant(scope, source, pixel):
                sums.setdefault(at, Counter()).update(counts)
        return [FlowCounts(at=at, **counts) for at, counts in sorted(sums.items())]

    def _answer_waits(self, scope: QueryScope, *, span: int, since: int) -> Sequence[DeliveryTimes]:
        sums: dict[int, Counter[int]] = {}
        for (its, at, source, pixel), slots in self._waits.items():
            if its == span and at >= since and _meant(scope, source, pixel):
                sums.setdefault(at, Counter()).update(slots)
        return [DeliveryTimes(at=at, slots=dict(slots)) for at, slots in sorted(sums.items())]

    def _answer_match(self, scope: QueryScope, *, since: int) -> Sequence[Matched]:
        sums: dict[tuple[str, str, int], Counter[int]] = {}
        for (source, pixel, event, day, key_set), many in self._key_sets.items():
            if day >= since and _meant(scope, source, pixel):
                sums.setdefault((pixel, event, day), Counter())[key_set] += many
        return [
            Matched(pixel=pixel, event=event, day=day, keys=matching(key_sets))
            for (pixel, event, day), key_sets in sorted(sums.items())
        ]

    def _answer_flaws(self, scope: QueryScope, *, since: int) -> Sequence[FlawCount]:
        sums: dict[tuple[str, str, str], tuple[int, int, str, int | None]] = {}
        for (source, pixel, event, day, code), (times, wins, shape, delivery) in sorted(
            self._flaws.items(), key=lambda item: item[0][3]
        ):
            if day >= since and _meant(scope, source, pixel):
                before, won, *_ = sums.get((pixel, event, code), (0, 0))
                sums[pixel, event, code] = before + times, won + wins, shape, delivery
        found = [
            FlawCount(
                pixel=pixel, event=event, code=code, times=times, shape=shape, delivery=delivery,
                wins=wins,
            )
            for (pixel, event, code), (times, wins, shape, delivery) in sums.items()
        ]  # fmt: skip
        return sorted(found, key=lambda group: (-group.times, group.pixel, group.event, group.code))

    async def page(self, look: ListQuery) -> SummaryPage:
        if not look.flagged:
            return self._seen_of(look, self._rows.values())
        rows = [row for row in self._rows.values() if row.entry.flag is not None]
        kinds = [
            row
            for row in rows
            if look.reason is None or (row.entry.flag and row.entry.flag.kind == look.reason)
        ]
        return self._seen_of(msgspec.structs.replace(look, reason=None, state=None), kinds)

    async def find(self, selection: Selection) -> Sequence[History]:
        histories: Sequence[History] = self._asked(selection)
        return histories

    async def answer(self, query: Query[T]) -> T:
        found: T = self._asked(query)
        return found

    def _asked(self, query: msgspec.Struct) -> Any:  # noqa: ANN401 - each query has a type of answer
        values = {name: getattr(query, name) for name in query.__struct_fields__}
        return getattr(self, _METHODS[type(query)])(**values)

    def _answer_number_at(self, at: int) -> int:
        later = [row.id for row in self._rows.values() if row.received_at >= at]
        return min(later, default=max(self._rows, default=0) + 1)

    async def get(self, delivery: int, scope: QueryScope) -> ConversionOrigin | None:
        row = self._rows.get(delivery)
        if row is None or not scope.shows(row.entry.pixel):
            return None
        submission = self._submissions[row.receipt]
        return ConversionOrigin(
            history=self._history(row),
            endpoint=submission.endpoint.value,
            body=submission.body,
            place=row.entry.index,
            flag=row.entry.flag,
            amended=tuple(self._amended.get(delivery, ())),
        )

    def _answer_submissions(
        self, deliveries: Sequence[int], scope: QueryScope
    ) -> Sequence[KeptSubmission]:
        rows = [self._rows[id_] for id_ in sorted(set(deliveries)) if id_ in self._rows]
        return [
            KeptSubmission(
                delivery=row.id, body=self._submissions[row.receipt].body, place=row.entry.index
            )
            for row in rows
            if scope.shows(row.entry.pixel)
        ]

    async def group(self, scope: QueryScope) -> Sequence[ErrorGroup]:
        found: dict[tuple[str, str, State, str], list[MemoryRow]] = {}
        for row in self._rows.values():
            if row.state in _RESTING and scope.shows(row.entry.pixel):
                key = row.entry.pixel, row.entry.event, row.state, row.reason or ""
                found.setdefault(key, []).append(row)
        error_groups = [
            ErrorGroup(
                pixel=pixel,
                event=event,
                state=state,
                reason=reason,
                deliveries=min(len(rows), COUNTED),
                first_at=min(row.rested_at for row in rows),
                last_at=max(row.rested_at for row in rows),
                ambiguous=any(row.ambiguous_since is not None for row in rows),
            )
            for (pixel, event, state, reason), rows in found.items()
        ]
        error_groups.sort(
            key=lambda error_group: (
                -error_group.deliveries,
                error_group.pixel,
                error_group.event,
                error_group.reason,
            )
        )
        return error_groups

    def _find_group(
        self, scope: QueryScope, group: ErrorGroup, *, after: int, limit: int
    ) -> Sequence[History]:
        meant = group.pixel, group.event, group.state, group.reason
        rows = [
            row
            for row in self._rows.values()
            if (row.entry.pixel, row.entry.event, row.state, row.reason or "") == meant
            and row.id > after
            and scope.shows(row.entry.pixel)
        ]
        return [self._history(row) for row in rows[:limit]]

    def _find_resting_among(
        self, scope: QueryScope, deliveries: Sequence[int]
    ) -> Sequence[History]:
        return [
            self._history(row)
            for row in self._rows.values()
            if row.id in deliveries and row.state in _RESTING and scope.shows(row.entry.pixel)
        ]

    def _seen_of(self, look: ListQuery, rows: Iterable[MemoryRow]) -> SummaryPage:
        last = max(self._rows, default=0)
        before = last + 1 if look.before is None else look.before
        begin = max(look.after + 1, before - LOOKED_THROUGH, min(self._rows, default=1))
        wanted = [
            row
            for row in sorted(rows, key=lambda row: -row.id)
            if begin <= row.id < before and _wanted(look, row)
        ][: look.limit]
        ended = begin == max(look.after + 1, min(self._rows, default=1))
        back_to = wanted[-1].id if len(wanted) == look.limit else None if ended else begin
        return SummaryPage(
            glimpses=tuple(self._glimpse(row) for row in wanted), back_to=back_to, latest=last
        )

    def _glimpse(self, row: MemoryRow) -> ConversionSummary:
        return ConversionSummary(
            delivery=row.id,
            received_at=row.received_at,
            pixel=row.entry.pixel,
            event=row.entry.event,
            conversion_id=row.entry.conversion_id,
            source=row.source,
            endpoint=self._submissions[row.receipt].endpoint.value,
            state=row.state,
            reason=row.reason,
            body=row.entry.body,
            flag=row.entry.flag,
        )

    def _count(self, at: int, source: str, pixel: str, **counts: int) -> None:
        for span in KEPT:
            sums = self._flows.setdefault((span, at // span * span, source, pixel), Counter())
            sums.update(counts)

    def _count_taken(self, at: int, row: MemoryRow) -> None:
        self._count(at, row.source, row.entry.pixel, delivered=1)
        for span in KEPT:
            key = span, at // span * span, row.source, row.entry.pixel
            self._waits.setdefault(key, Counter())[slot_of(at - row.received_at)] += 1

    def _count_key_set(self, row: MemoryRow, key_set: int) -> None:
        entry = row.entry
        day = row.received_at // DAY
        self._key_sets[row.source, entry.pixel, entry.event, day, key_set] += 1

    def _count_flaws(
        self, submission: Submission, rows: Mapping[int, int], duplicates: Sequence[int]
    ) -> None:
        day = submission.received_at // DAY
        for flaw in submission.flaws:
            if flaw.index in duplicates:
                continue
            key = submission.source, flaw.pixel, flaw.event, day, flaw.flaw.code
            times, wins, *_ = self._flaws.get(key, (0, 0))
            place = rows.get(flaw.index)
            self._flaws[key] = times + 1, wins + flaw.wins, flaw.flaw.shape, place


def _meant(scope: QueryScope, source: str, pixel: str) -> bool:
    return scope.shows(pixel) and scope.source in (None, source)


def _wanted(look: ListQuery, row: MemoryRow) -> bool:
    return (
        _meant(look.scope, row.source, row.entry.pixel)
        and look.event in (None, row.entry.event)
        and look.state in (None, row.state)
        and look.reason in (None, row.reason)
    )
