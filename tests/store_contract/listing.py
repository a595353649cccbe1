"""Store contract: lists of conversions and rejections, compared with a plain model."""

import random
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import pytest

from builders import NOW, a_submission, an_entry
from store_contract.actions import (
    EVENT,
    PIXEL,
    claim_or_none,
    dead_lettered,
    delivered,
    record,
    settle,
)
from twite.domain.fault import MaskedFault
from twite.domain.stats.deduplication import DedupPath, DedupRow
from twite.domain.stats.match_keys import Flaw
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.submission import FlawedIdentifier, RejectedConversion
from twite.domain.times import LATEST, MINUTE
from twite.gateway.ports.listing import (
    ConversionSummary,
    ListCount,
    ListedState,
    ListPosition,
    ListQuery,
    ProblemConversions,
    QueryScope,
    SummaryPage,
)
from twite.gateway.ports.outbox import Discard
from twite.gateway.ports.queries import ListCountQuery
from twite.gateway.ports.store import Store
from twite.stores.sql.listing import conversions as conversions_module
from twite.stores.sql.listing import page as page_module

DIGEST: Final = "5f" * 32
PIXELS: Final = (PIXEL, "p2")
# What the model does not know.
OF_THE_REPORT: Final = (
    ListedState.TWO_IDS,
    ListedState.BOTH,
    ListedState.SERVER_ONLY,
    ListedState.BLOCKED,
)
REASONS: Final = ("refused", "late", "zero", "zero EUR", "zero USD", "click_stale")
PROBLEMS: Final = (
    ProblemConversions(groups=((PIXEL, EVENT, "dead", "refused"), ("p2", EVENT, "held", "decide"))),
    ProblemConversions(first_fault=("late", "time")),
    ProblemConversions(),
)
SOURCES: Final = ("shop", "page", "test:shop")


class _Row(msgspec.Struct, kw_only=True):
    """What the model knows of a conversion or a rejection."""

    name: str
    at: int
    pixel: str
    source: str
    receipt: str
    event: str = EVENT
    state: ListedState = ListedState.QUEUED
    reason: str | None = None
    kind: str | None = None
    codes: tuple[str, ...] = ()
    duplicates: int = 0
    digest: bool = False
    is_matchable: bool = True

    def matches(self, list_query: ListQuery) -> bool:
        scope, state, reason = list_query.scope, list_query.state, list_query.reason
        # The rejections of a source include those of its tests.
        is_rejected = self.state is ListedState.REJECTED
        events = {self.event, ""} if is_rejected else {self.event}
        source = self.source.removeprefix("test:") if is_rejected else self.source
        if state is ListedState.FLAGGED:
            is_of_state = self.kind is not None and reason in {None, self.kind, f"{self.kind} EUR"}
        elif state in {ListedState.FLAWED, ListedState.PRIVATE_ADDRESS}:
            code = "ip_private" if state is ListedState.PRIVATE_ADDRESS else reason
            is_of_state = bool(self.codes) and (code is None or code in self.codes)
            is_of_state &= state is ListedState.FLAWED or reason in {None, self.reason}
        elif state is ListedState.PENDING:
            is_of_state = self.state in {ListedState.QUEUED, ListedState.SENDING}
            is_of_state &= reason in {None, self.reason}
        elif state is ListedState.MATCHABLE:
            is_of_state = self.is_matchable and reason in {None, self.reason}
        elif state is ListedState.DUPLICATE:
            is_of_state = self.duplicates > 0 and reason in {None, self.reason}
        else:
            is_of_state = state in {None, self.state} and reason in {None, self.reason}
        problem = list_query.problem
        return (
            is_of_state
            and (problem is None or self._is_of(problem))
            and scope.shows(self.pixel)
            and scope.source in {None, self.source, source}
            and list_query.tests in {None, self.source.startswith("test:")}
            and (list_query.events is None or not list_query.events.isdisjoint(events))
            and list_query.since <= self.at < list_query.until
            and list_query.named in {None, self.name, self.receipt}
            and (list_query.digest is None or self.digest)
        )

    def _is_of(self, problem: ProblemConversions) -> bool:
        if self.state is ListedState.REJECTED:
            return (self.reason, "time") == problem.first_fault
        return (self.pixel, self.event, self.state.value, self.reason) in problem.groups


class _Model:
    """A store with random conversions, and the rows it must list."""

    def __init__(self, store: Store, seed: int) -> None:
        self.random = random.Random(seed)
        self.rows: list[_Row] = []
        self._store = store

    async def fill(self) -> None:
        for number in range(40):
            await self._submit(number)
        await self._settle()

    def listed(self, list_query: ListQuery) -> list[str]:
        """Return the names that the list must show, in order."""
        return [row.name for row in reversed(self.rows) if row.matches(list_query)]

    async def _submit(self, number: int) -> None:
        at = NOW + number * MINUTE
        pixel, source = self.random.choice(PIXELS), self.random.choice(SOURCES)
        receipt = f"receipt-{number}"
        entries, flaws, refusals, rows, refused = [], [], [], [], []
        for index in range(self.random.randint(1, 4)):
            row = _Row(
                name=f"order-{number}-{index}", at=at, pixel=pixel, source=source, receipt=receipt
            )
            if self.random.random() < 0.25:
                row.state, row.reason = ListedState.REJECTED, self.random.choice(["late", "odd"])
                row.is_matchable = False
                refusals.append(_refusal(row, index))
                refused.append(row)
                continue
            entry = an_entry(row.name, pixel=pixel, index=index)
            chance = self.random.random()
            if chance < 0.2:
                row.state, row.reason = ListedState.SUPPRESSED, "no consent"
                row.is_matchable = False
                entry = msgspec.structs.replace(entry, suppressed=row.reason)
            elif chance < 0.3:
                row.state, row.reason = ListedState.HELD, "decide"
                entry = msgspec.structs.replace(entry, held=row.reason)
            if self.random.random() < 0.2:
                row.kind = self.random.choice(["zero", "outlier"])
                flag = ValueFlag(kind=row.kind, value="1", currency="EUR", usual="2")
                entry = msgspec.structs.replace(entry, flag=flag)
            if self.random.random() < 0.3:
                row.codes = tuple(self.random.sample(["ip_private", "click_stale"], k=1))
                flaws += [
                    FlawedIdentifier(
                        index=index, pixel=pixel, event=EVENT, flaw=Flaw(code=code, path="ip")
                    )
                    for code in row.codes
                ]
            if self.random.random() < 0.2:
                row.digest = True
                body = b'{"identifiers":[{"hashed_email":"%s"}]}' % DIGEST.encode()
                entry = msgspec.structs.replace(entry, body=body)
            entries.append(entry)
            rows.append(row)
        submission = a_submission(*entries, receipt=receipt, source=source, received_at=at)
        await self._store.record(
            msgspec.structs.replace(submission, flaws=tuple(flaws), refusals=tuple(refusals))
        )
        self.rows += [*refused, *rows]
        again = [row for row in rows if row.state is ListedState.QUEUED]
        if again and self.random.random() < 0.3:
            row = self.random.choice(again)
            row.duplicates += 1
            await record(self._store, row.name, receipt=f"again-{number}", at=at, pixel=pixel)

    async def _settle(self) -> None:
        rows = {row.name: row for row in self.rows}
        for number in range(12):
            batch = await claim_or_none(
                self._store, pixel=self.random.choice(PIXELS), limit=4, now=NOW + 100 * MINUTE,
                lease_until=NOW + 200 * MINUTE,
            )  # fmt: skip
            if batch is None:
                continue
            mine = [rows[delivery.conversion_id] for delivery in batch.deliveries]
            states = [ListedState.DELIVERED, ListedState.DEAD, ListedState.SENDING]
            state = states[number % 3]
            for row in mine:
                row.state = state
            if state is ListedState.DELIVERED:
                await settle(self._store, batch, "delivered", delivered(batch))
            elif state is ListedState.DEAD:
                await settle(self._store, batch, "rejected", dead_lettered(batch), status=400)
                for row in mine:
                    row.reason = "refused"
                await self._discard(batch.deliveries[0].id, mine[0])

    async def _discard(self, delivery: int, row: _Row) -> None:
        result = await self._store.move(
            Discard(deliveries=[delivery], note="a test"), now=NOW + 100 * MINUTE
        )
        assert result.moved == 1
        row.state, row.reason = ListedState.SUPPRESSED, "a test"


def _refusal(row: _Row, index: int) -> RejectedConversion:
    return RejectedConversion(
        index=index,
        pixel=row.pixel,
        errors=(),
        event=EVENT,
        conversion_id=row.name,
        faults=(MaskedFault(path="time", code=row.reason or "", message="no"),),
    )


def _queries(randomness: random.Random) -> Iterator[ListQuery]:
    """Yield each state alone, then random combinations of filters."""
    states = [state for state in ListedState if state not in OF_THE_REPORT]
    for problem in (None, *PROBLEMS):
        yield from (ListQuery(state=state, problem=problem) for state in [None, *states])
    for _ in range(60):
        since = randomness.choice([0, NOW, NOW + randomness.randrange(50) * MINUTE])
        scope = QueryScope(
            pixels=randomness.choice([None, frozenset({PIXEL}), frozenset()]),
            pixel=randomness.choice([None, None, *PIXELS]),
            source=randomness.choice([None, None, *SOURCES]),
        )
        yield ListQuery(
            scope=scope,
            state=randomness.choice([None, *states]),
            events=randomness.choice([None, frozenset({EVENT}), frozenset({"other", ""})]),
            reason=randomness.choice(
                [None, None, "refused", "late", "zero", "zero EUR", "zero USD", "click_stale"]
            ),
            since=since,
            until=randomness.choice([LATEST, since + randomness.randrange(30) * MINUTE]),
            named=randomness.choice([None, None, "receipt-7", "order-9-0"]),
            digest=randomness.choice([None, None, DIGEST]),
            tests=randomness.choice([None, True, False]),
            problem=randomness.choice([None, None, None, *PROBLEMS]),
        )


async def _walked(store: Store, list_query: ListQuery, limit: int) -> list[ConversionSummary]:
    """Return the summaries of all pages. Positions travel as text, as in a URL."""
    found: list[ConversionSummary] = []
    position: ListPosition | None = None
    for _ in range(1_000):
        page: SummaryPage = await store.page(
            msgspec.structs.replace(list_query, limit=limit, position=position)
        )
        assert len(page.summaries) <= limit
        found += page.summaries
        if page.back_to is None:
            return found
        position = ListPosition.read(str(page.back_to))
        assert position == page.back_to
    raise AssertionError(f"{list_query} does not end")


class ListLaws:
    @pytest.mark.parametrize("looked_through", [9, 5_000])
    @pytest.mark.parametrize("seed", range(3))
    async def test_lists_equal_the_model_for_every_page_size(
        self, store: Store, seed: int, looked_through: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (conversions_module, page_module):
            monkeypatch.setattr(module, "LOOKED_THROUGH", looked_through)
        model = _Model(store, seed)
        await model.fill()
        filled = {row.state for row in model.rows}
        for list_query in _queries(model.random):
            listed = model.listed(list_query)
            counted = await store.answer(ListCountQuery(list_query=list_query))
            is_whole = counted.conversions == len(listed)
            assert is_whole or (counted.is_cut and looked_through == 9), list_query
            assert counted.conversions <= len(listed), list_query
            for limit in (model.random.randint(1, 4), 500):
                found = await _walked(store, list_query, limit)
                assert _names(found) == listed, (list_query, limit)
                assert len({summary.key for summary in found}) == len(found)
        assert filled == set(tuple(ListedState)[:7])

    async def test_summaries_have_duplicates_and_receipts(self, store: Store) -> None:
        for receipt in ("r1", "r2", "r3"):
            await record(store, "order-1", receipt=receipt)

        (summary,) = (await store.page(ListQuery(state=ListedState.DUPLICATE))).summaries

        assert (summary.duplicates, summary.receipt) == (2, "r1")
        query = ListCountQuery(list_query=ListQuery(state=ListedState.DUPLICATE))
        assert await store.answer(query) == ListCount(conversions=1, copies=2)

    async def test_orders_with_two_ids_that_were_counted_before_are_listed_by_page(
        self, store: Store
    ) -> None:
        for number in range(5):
            await record(store, f"order-{number}", receipt=f"r{number}", at=NOW + number)
        all_ = (await store.page(ListQuery())).summaries
        numbers = [summary.delivery or 0 for summary in all_]
        counted = ListQuery(
            state=ListedState.TWO_IDS, deliveries=(numbers[0], numbers[2], numbers[4]), limit=2
        )

        first = await store.page(counted)
        assert _names(first.summaries) == ["order-4", "order-2"]
        second = await store.page(msgspec.structs.replace(counted, position=first.back_to))
        assert _names(second.summaries) == ["order-0"]
        later = await store.page(msgspec.structs.replace(counted, since=NOW + 3))
        assert _names(later.summaries) == ["order-4"]
        assert (await store.page(ListQuery(state=ListedState.TWO_IDS))).summaries == ()

    @pytest.mark.parametrize("looked_through", [1, 3, 5_000])
    async def test_conversions_are_listed_as_the_deduplication_report_counts_them(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, looked_through: int
    ) -> None:
        monkeypatch.setattr(conversions_module, "LOOKED_THROUGH", looked_through)
        await record(store, "before", receipt="r", at=NOW - 1)
        pixel, blocked = DedupPath.PIXEL, DedupPath.BLOCKED
        page, server = DedupPath.PAGE, DedupPath.SERVER
        # By conversion: the paths of its id when it is received, and what its page sent before.
        paths_of = {
            "both": ([server, pixel], ()),
            "early": ([page], [pixel]),
            "blocked": ([page, blocked], ()),
            "seen-twice": ([page, server, pixel, blocked], ()),
            "server": ([server], ()),
            "denied": ([pixel], ()),
            "unwatched": ([], ()),
        }
        for number, (name, (paths, before)) in enumerate(paths_of.items()):
            at = NOW + number
            rows = [_dedup_row(name, path, at) for path in paths]
            rows += [_dedup_row(name, path, at - 1) for path in before]
            entry = an_entry(name, suppressed="denied" if name == "denied" else None)
            submission = a_submission(entry, receipt=f"r{number}", received_at=at)
            await store.record(msgspec.structs.replace(submission, dedup_rows=tuple(rows)))
        await store.record(a_submission(an_entry("server"), receipt="again", received_at=NOW + 9))

        for list_query, names in (
            (ListQuery(state=ListedState.BOTH), ["seen-twice", "early", "both"]),
            (ListQuery(state=ListedState.SERVER_ONLY), ["server", "blocked"]),
            (ListQuery(state=ListedState.BLOCKED), ["seen-twice", "blocked"]),
            (ListQuery(state=ListedState.BOTH, named="early"), ["early"]),
            (ListQuery(state=ListedState.SERVER_ONLY, named="early"), []),
            (ListQuery(state=ListedState.BLOCKED, named="blocked"), ["blocked"]),
            (ListQuery(state=ListedState.BLOCKED, scope=QueryScope(pixel="p2")), []),
            (ListQuery(state=ListedState.BOTH, since=NOW + 1), ["seen-twice", "early"]),
            (ListQuery(state=ListedState.BLOCKED, until=NOW + 3), ["blocked"]),
            (ListQuery(state=ListedState.SERVER_ONLY, limit=1), ["server", "blocked"]),
        ):
            assert await _every_name(store, list_query) == names
            counted = await store.answer(ListCountQuery(list_query=list_query))
            assert counted.is_cut or counted == ListCount(conversions=len(names))

    async def test_search_that_is_cut_says_how_far_it_has_come(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conversions_module, "LOOKED_THROUGH", 4)
        for number in range(6):
            await record(store, f"order-{number}", receipt=f"r{number}", at=NOW + number)

        first = await store.page(ListQuery(events=frozenset({"other"})))
        assert (first.summaries, first.searched_to) == ((), NOW + 2)

        last = await store.page(ListQuery(events=frozenset({"other"}), position=first.back_to))
        assert (last.summaries, last.searched_to, last.back_to) == ((), None, None)


async def _every_name(store: Store, list_query: ListQuery) -> list[str]:
    """Return the conversion ids of all pages of a list."""
    names: list[str] = []
    while True:
        page = await store.page(list_query)
        names += _names(page.summaries)
        if page.back_to is None:
            return names
        list_query = msgspec.structs.replace(list_query, position=page.back_to)


def _dedup_row(name: str, path: DedupPath, at: int) -> DedupRow:
    return DedupRow(pixel=PIXEL, event=EVENT, conversion_id=name, path=path, at=at)


def _names(summaries: Sequence[ConversionSummary]) -> list[str]:
    return [summary.conversion_id for summary in summaries]
