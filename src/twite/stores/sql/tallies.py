"""Tallies: count traffic in memory for one transaction, then write it in a few statements."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add
from typing import Final

from twite.domain.stats.match_keys import FlawCount, Matched, Matching, sums_of
from twite.domain.stats.tally import (
    KEPT,
    KEPT_DAYS,
    Counted,
    Counting,
    DeliveryTimes,
    FlowCounts,
    slot_of,
)
from twite.domain.submission import FlawedIdentifier
from twite.domain.test_mode import is_test
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.ports.listing import QueryScope
from twite.stores.sql.rows.figure_tables import FlawRow, FlowRow, MatchedRow, WaitedRow
from twite.stores.sql.rows.table_row import TableRow
from twite.stores.sql.statements import (
    RunsStatements,
    SqlConnection,
    as_json,
    query,
    record_of,
)

RECEIVED, DUPLICATE, SUPPRESSED, REJECTED, DELIVERED, GIVEN_UP = range(6)
_NONE: Final = (0,) * 6


class TallyWriter:
    """Counts traffic. Used only by the writer's thread, for one transaction at a time."""

    def __init__(self, *, run: RunsStatements, add: Callable[[Sequence[TableRow]], None]) -> None:
        self._run = run
        self._add = add
        # By (minute, account); (minute, account, slot); (day, account, queue, match keys or code).
        self._flows: dict[tuple[int, int], list[int]] = {}
        self._waits: dict[tuple[int, int, int], int] = defaultdict(int)
        self.key_sets: dict[tuple[int, int, int, int], int] = defaultdict(int)
        self._flaws: dict[tuple[int, int, int, str], FlawRow] = {}
        # By (account, kind, word). `_telling` holds the counts to publish after the commit.
        self.amounts: dict[tuple[int, Counting, str], int] = defaultdict(int)
        self._telling: dict[tuple[int, Counting, str], int] = defaultdict(int)
        self._new_counts: dict[tuple[int, Counting, str], int] = defaultdict(int)
        self._cleared = 0  # the hour of the last deletion of old counts

    def flow(self, at: int, account: int, counts: Iterable[int], *, first: int = RECEIVED) -> None:
        """Count traffic at a time; `counts` has the values of the fields, `first` and later."""
        key = at // MINUTE, account
        sums = self._flows.get(key)
        if sums is None:
            sums = self._flows[key] = list(_NONE)
        for place, many in enumerate(counts, first):
            sums[place] += many

    def delivered(self, at: int, account: int, received: Mapping[int, int]) -> int:
        """Count deliveries that X accepted; `received` is their number by time of receipt.

        Return their number.
        """
        deliveries = sum(received.values())
        self.flow(at, account, (deliveries,), first=DELIVERED)
        minute = at // MINUTE
        for received_at, many in received.items():
            self._waits[minute, account, slot_of(at - received_at)] += many
        return deliveries

    def flaw(
        self, day: int, account: int, queue: int, identifier: FlawedIdentifier, delivery: int | None
    ) -> None:
        """Count a conversion with a flaw. `delivery` is None if it was rejected."""
        key = day, account, queue, identifier.flaw.code
        row = self._flaws.get(key)
        if row is None:
            row = self._flaws[key] = FlawRow(*key, times=0, wins=0, shape="")
        row.shape = identifier.flaw.shape
        if delivery is None:
            row.rejected += 1
        else:
            row.times += 1
            row.wins += identifier.wins
            row.delivery = delivery

    def write(self) -> None:
        """Write the counts. Call it before the commit."""
        if self._flows:
            self._write_flows()
        if self._waits:
            self._add(
                [
                    WaitedRow(
                        span=span,
                        at=minute * MINUTE // span * span,
                        account=account,
                        slot=slot,
                        deliveries=many,
                    )
                    for (minute, account, slot), many in self._waits.items()
                    for span in KEPT
                ]
            )
        telling = self._telling
        if self.key_sets:
            keys: dict[tuple[int, int, int], list[int]] = {}
            for (day, account, queue, key_set), many in self.key_sets.items():
                counts = [many * part for part in sums_of(key_set)]
                known = keys.get((day, account, queue))
                keys[day, account, queue] = (
                    counts if known is None else list(map(add, known, counts))
                )
                telling[account, Counting.KIT, str(key_set)] += many
            self._add([MatchedRow(*key, *counts) for key, counts in keys.items()])
        if self._flaws:
            flaws = list(self._flaws.values())
            for flaw in flaws:
                telling[flaw.account, Counting.FLAW, flaw.code] += flaw.times + flaw.rejected
            self._add(flaws)
        for amount, many in self.amounts.items():
            telling[amount] += many
        self._forget()

    def clear(self) -> None:
        """Drop the counts of the transaction."""
        self._forget()
        self._telling.clear()

    def committed(self) -> None:
        """Publish the counts of the committed transaction."""
        for key, many in self._telling.items():
            self._new_counts[key] += many
        self._telling.clear()

    def new_counts(self, whose: Mapping[int, tuple[str, str]]) -> Sequence[Counted]:
        """Return the counts since the last call; `whose` maps accounts to their names."""
        counted = [
            Counted(source=source, pixel=pixel, counting=what, word=word, times=times)
            for (account, what, word), times in self._new_counts.items()
            for source, pixel in (whose[account],)
        ]
        self._new_counts.clear()
        return counted

    def _forget(self) -> None:
        self._flows.clear()
        self._waits.clear()
        self.key_sets.clear()
        self._flaws.clear()
        self.amounts.clear()

    def _write_flows(self) -> None:
        self._add(
            [
                FlowRow(span, minute * MINUTE // span * span, account, *counts)
                for (minute, account), counts in self._flows.items()
                for span in KEPT
            ]
        )
        hour = max(minute for minute, _ in self._flows) * MINUTE // HOUR
        if hour > self._cleared:
            self._cleared = hour
            for span, kept in KEPT.items():
                self._run("forget_flow", span=span, before=hour * HOUR - kept)
                self._run("forget_waited", span=span, before=hour * HOUR - kept)
            oldest = hour * HOUR // DAY - KEPT_DAYS
            self._run("forget_matched", before=oldest)
            self._run("forget_flaws", before=oldest)


def flows(
    connection: SqlConnection, *, scope: QueryScope, span: int, since: int
) -> list[FlowCounts]:
    """Return the traffic per time span."""
    values = _traffic_scope(scope) | {"span": span, "since": since}
    return [record_of(FlowCounts, row) for row in connection.execute(query("flows"), values)]


def counted_since(connection: SqlConnection, *, scope: QueryScope) -> int | None:
    """Return when the first conversion of the accounts arrived."""
    row = connection.execute(query("counted_since"), _traffic_scope(scope)).fetchone()
    since: int | None = row[0]
    return since


def waits(
    connection: SqlConnection, *, scope: QueryScope, span: int, since: int
) -> list[DeliveryTimes]:
    values = _traffic_scope(scope) | {"span": span, "since": since}
    found: dict[int, dict[int, int]] = {}
    for at, slot, many in connection.execute(query("waits"), values):
        found.setdefault(at, {})[slot] = many
    return [DeliveryTimes(at=at, slots=slots) for at, slots in found.items()]


def matched(connection: SqlConnection, *, scope: QueryScope, since: int) -> list[Matched]:
    """Return the match keys by source, event and day, since a day."""
    values = _scoped(scope) | {"since": since}
    rows = sorted(connection.execute(query("matched"), values))
    return [
        Matched(
            source=source, pixel=pixel, event=event, day=day, matching=record_of(Matching, counts)
        )
        for source, pixel, event, day, *counts in rows
    ]


def matched_by_pixel(connection: SqlConnection, *, since: int) -> dict[str, Matching]:
    rows = connection.execute(query("matched_by_pixel"), {"since": since})
    return {pixel: record_of(Matching, counts) for pixel, *counts in rows}


def flaws(connection: SqlConnection, *, scope: QueryScope, since: int) -> list[FlawCount]:
    """Return the match key flaws since a day, most frequent first."""
    return [
        FlawCount(
            pixel=pixel, event=event, code=code, times=times, rejected=rejected, shape=shape,
            delivery=delivery, wins=wins,
        )
        for pixel, event, code, times, rejected, wins, shape, delivery, *_ in connection.execute(
            query("flaws"), _scoped(scope) | {"since": since}
        )
    ]  # fmt: skip


def _scoped(scope: QueryScope) -> dict[str, object]:
    return {"pixels": pixels_of(scope), "source": scope.source}


def _traffic_scope(scope: QueryScope) -> dict[str, object]:
    """Return the scope of sums, which leave out tests unless the scope names a test."""
    tests = is_test(scope.source or "") or is_test(scope.pixel or "")
    return _scoped(scope) | {"tests": tests}


def pixels_of(scope: QueryScope) -> str | None:
    """Return the visible pixels for a statement; None for all."""
    return None if scope.seen is None else as_json(sorted(scope.seen))
