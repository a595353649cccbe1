"""Store contract: queries of the console, and edits."""

import msgspec
import pytest

from builders import NOW, a_submission, an_entry, matching
from store_contract.actions import (
    EVENT,
    PIXEL,
    add_dead_letter,
    claim,
    claim_or_none,
    dead_lettered,
    deliver,
    delivered,
    histories,
    record,
    settle,
)
from store_contract.delivered_events import DeliveredEventLaws
from store_contract.error_groups import ErrorGroupLaws
from twite.domain.history import History, tests_of, without_tests
from twite.domain.stats.match_keys import Matched, Matching, MatchKeys, added
from twite.domain.stats.tally import KEPT, DeliveryTimes, FlowCounts, slot_of
from twite.domain.stats.value_guard import UsualAmount, ValueFlag
from twite.domain.submission import AcceptedConversion, RejectedConversion
from twite.domain.test_mode import in_test
from twite.domain.times import DAY, HOUR, MINUTE
from twite.domain.value_change import ValueChange
from twite.gateway.ports.listing import ConversionSummary, ListedState, ListQuery, QueryScope
from twite.gateway.ports.outbox import Replay
from twite.gateway.ports.queries import (
    CountedSinceQuery,
    FlowsByPixelQuery,
    FlowsQuery,
    MatchByPixelQuery,
    MatchQuery,
    ReceiptsQuery,
    SubmissionsQuery,
    WaitsQuery,
)
from twite.gateway.ports.store import Store

EVERYTHING = QueryScope()
OTHERS = QueryScope(pixels=frozenset({"p2"}))
MINUTE_OF_NOW = NOW // MINUTE * MINUTE
REMARK = ValueFlag(kind="outlier", value="4990.00", currency="EUR", usual="49.90 EUR")


class TallyLaws:
    async def test_flows_are_counted_by_every_span_length(self, store: Store) -> None:
        await deliver(store, "order-1")
        await record(store, "order-1", receipt="r2", at=NOW + 1)
        await add_dead_letter(store, "order-2")

        flow = FlowCounts(at=MINUTE_OF_NOW, received=3, duplicate=1, delivered=1, dead=1)
        assert list(await store.answer(FlowsQuery(scope=EVERYTHING, span=MINUTE, since=0))) == [
            flow
        ]
        for span in KEPT:
            longer = msgspec.structs.replace(flow, at=NOW // span * span)
            assert list(await store.answer(FlowsQuery(scope=EVERYTHING, span=span, since=0))) == [
                longer
            ]

    async def test_longer_spans_add_up_their_flows(self, store: Store) -> None:
        day = NOW // DAY * DAY
        await record(store, "order-1", at=day + 4 * HOUR)
        await record(store, "order-2", receipt="r2", at=day + 5 * HOUR)

        found = [
            list(await store.answer(FlowsQuery(scope=EVERYTHING, span=span, since=day)))
            for span in KEPT
        ]

        assert found[-1] == [FlowCounts(at=day, received=2)]
        assert [len(flows) for flows in found] == [2, 2, 1, 1]

    async def test_flows_of_hidden_pixels_are_not_counted(self, store: Store) -> None:
        await record(store, "order-1")
        await record(store, "order-2", receipt="r2", pixel="p2")

        (flow,) = await store.answer(FlowsQuery(scope=OTHERS, span=MINUTE, since=0))

        assert flow.received == 1

    async def test_tests_of_a_source_are_not_counted_with_real_conversions(
        self, store: Store
    ) -> None:
        pixel = in_test(PIXEL)
        await store.record(
            a_submission(
                an_entry("order-1", pixel=pixel), receipt="r1", source=in_test("shop"),
                received_at=NOW - MINUTE,
            )
        )  # fmt: skip
        batch = await claim(store, pixel=pixel)
        await settle(store, batch, "delivered", delivered(batch), at=NOW + 1_500)
        recorded = await record(store, "order-1", receipt="r2")

        own = QueryScope(pixels=frozenset({PIXEL, pixel}))
        of_test = QueryScope(pixels=frozenset({PIXEL, pixel}), pixel=pixel)
        (counts,) = without_tests(await store.balance())
        (of_tests,) = tests_of(await store.balance())
        assert recorded.duplicates == ()
        for scope in (EVERYTHING, own):
            (flow,) = await store.answer(FlowsQuery(scope=scope, span=MINUTE, since=0))
            assert (flow.received, flow.delivered) == (1, 0)
            assert await store.answer(WaitsQuery(scope=scope, span=MINUTE, since=0)) == []
            assert await store.answer(CountedSinceQuery(scope=scope)) == NOW
        flows = await store.answer(FlowsQuery(scope=of_test, span=HOUR, since=0))
        assert sum(flow.delivered for flow in flows) == 1
        assert len(await store.answer(WaitsQuery(scope=of_test, span=MINUTE, since=0))) == 1
        assert (counts.pixel, counts.received, counts.delivered) == (PIXEL, 1, 0)
        assert (of_tests.pixel, of_tests.received, of_tests.delivered) == (pixel, 1, 1)
        # The worker of the pixel finds only the real one, that of the tests nothing more.
        assert len((await claim(store)).deliveries) == 1
        assert await claim_or_none(store, pixel=pixel) is None

    async def test_flows_are_found_by_pixel(self, store: Store) -> None:
        await record(store, "order-1")
        await record(store, "order-1", receipt="r2")
        await record(store, "order-2", receipt="r3", pixel="p2")

        found = await store.answer(FlowsByPixelQuery(span=HOUR, since=NOW // HOUR * HOUR))

        at = NOW // HOUR * HOUR
        assert found == {
            PIXEL: FlowCounts(at=at, received=2, duplicate=1),
            "p2": FlowCounts(at=at, received=1),
        }
        assert await store.answer(FlowsByPixelQuery(span=HOUR, since=at + HOUR)) == {}

    async def test_flows_by_pixel_count_a_conversion_that_is_refused_twice_once(
        self, store: Store
    ) -> None:
        first = await add_dead_letter(store, "order-1")
        await add_dead_letter(store, "order-2")

        async def counted() -> int:
            query = FlowsByPixelQuery(span=HOUR, since=NOW // HOUR * HOUR)
            return (await store.answer(query))[PIXEL].dead

        refused = await counted()
        await store.move(Replay(deliveries=[first]), now=NOW)
        replayed = await counted()
        batch = await claim(store)
        await settle(store, batch, "rejected", dead_lettered(batch))

        assert (refused, replayed, await counted()) == (2, 1, 2)

    async def test_counts_begin_with_the_first_conversion(self, store: Store) -> None:
        assert await store.answer(CountedSinceQuery(scope=EVERYTHING)) is None
        await record(store, "order-1", at=NOW + 5)
        await record(store, "order-2", receipt="r2", pixel="p2", at=NOW + 9)
        await record(store, "order-3", receipt="r3", at=NOW + 12)

        assert await store.answer(CountedSinceQuery(scope=EVERYTHING)) == NOW + 5
        assert await store.answer(CountedSinceQuery(scope=OTHERS)) == NOW + 9
        assert await store.answer(CountedSinceQuery(scope=QueryScope(source="gone"))) is None

    async def test_delivery_times_are_counted(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await settle(store, batch, "delivered", delivered(batch), at=NOW + 1_500)

        for span in KEPT:
            waits = list(await store.answer(WaitsQuery(scope=EVERYTHING, span=span, since=0)))
            assert waits == [
                DeliveryTimes(at=(NOW + 1_500) // span * span, slots={slot_of(1_500): 1})
            ]

    async def test_match_keys_are_counted_by_day(self, store: Store) -> None:
        key_set = int(MatchKeys.CLICK | MatchKeys.EMAIL)
        entry = msgspec.structs.replace(an_entry("order-1"), key_set=key_set)
        await store.record(a_submission(entry))
        await store.record(a_submission(entry, receipt="r2"))

        (matched,) = await store.answer(MatchQuery(scope=EVERYTHING, since=0))

        keys = Matching(conversions=1, click=1, email=1, two=1)
        assert matched == Matched(
            source="shop", pixel=PIXEL, event=EVENT, day=NOW // DAY, matching=keys
        )

    async def test_match_keys_add_up_over_sets_by_source(self, store: Store) -> None:
        for source, key_sets in (("shop", range(64)), ("page", range(0, 64, 3))):
            entries = [
                msgspec.structs.replace(
                    an_entry(f"{source}-{key_set}", index=index), key_set=key_set
                )
                for index, key_set in enumerate(key_sets)
            ]
            await store.record(a_submission(*entries, receipt=source, source=source))

        both = await store.answer(MatchQuery(scope=EVERYTHING, since=0))
        (of_one,) = await store.answer(MatchQuery(scope=QueryScope(source="page"), since=0))
        by_pixel = await store.answer(MatchByPixelQuery(since=0))

        times = {key_set: 1 + (key_set % 3 == 0) for key_set in range(64)}
        assert by_pixel == {PIXEL: matching(times)}
        assert [of.source for of in both] == ["page", "shop"]
        assert added(of.matching for of in both) == matching(times)
        assert of_one == both[0]
        assert of_one.matching == matching(dict.fromkeys(range(0, 64, 3), 1))
        assert await store.answer(MatchByPixelQuery(since=NOW // DAY + 1)) == {}
        assert list(await store.answer(MatchQuery(scope=OTHERS, since=0))) == []
        assert list(await store.answer(MatchQuery(scope=EVERYTHING, since=NOW // DAY + 1))) == []


class ConsoleQueryLaws:
    async def test_conversion_list_is_newest_first_and_paged(self, store: Store) -> None:
        for number in range(5):
            await record(store, f"order-{number}", receipt=f"r{number}")

        first = await store.page(ListQuery(limit=3))
        second = await store.page(ListQuery(limit=3, position=first.back_to))

        assert _named(first.summaries) == ["order-4", "order-3", "order-2"]
        assert _named(second.summaries) == ["order-1", "order-0"]
        assert second.back_to is None

    @pytest.mark.parametrize(
        ("look", "found"),
        [
            (ListQuery(scope=QueryScope(pixel="p2")), ["elsewhere"]),
            (ListQuery(scope=OTHERS), ["elsewhere"]),
            (ListQuery(scope=QueryScope(pixel=PIXEL, pixels=frozenset({"p2"}))), []),
            (ListQuery(scope=QueryScope(source="nobody")), []),
            (ListQuery(events=frozenset({"other"})), []),
            (ListQuery(state=ListedState.DELIVERED), ["done"]),
            (ListQuery(state=ListedState.DEAD, reason="refused"), ["dead"]),
            (ListQuery(state=ListedState.QUEUED), ["elsewhere"]),
            (ListQuery(reason="no consent"), ["not sent"]),
        ],
    )
    async def test_each_filter_finds_its_conversions(
        self, store: Store, look: ListQuery, found: list[str]
    ) -> None:
        await deliver(store, "done")
        await add_dead_letter(store, "dead")
        await record(store, "elsewhere", receipt="r3", pixel="p2")
        suppressed = an_entry("not sent", suppressed="no consent")
        await store.record(a_submission(suppressed, receipt="r4"))

        sight = await store.page(look)

        assert _named(sight.summaries) == found

    async def test_conversion_list_can_be_limited_to_newer_ones(self, store: Store) -> None:
        await record(store, "order-1")
        latest = (await store.page(ListQuery())).latest
        await record(store, "order-2", receipt="r2")

        sight = await store.page(ListQuery(after=latest))

        assert _named(sight.summaries) == ["order-2"]

    async def test_list_of_a_period_has_what_was_received_in_it(self, store: Store) -> None:
        for number in range(8):
            await record(store, f"order-{number}", receipt=f"r{number}", at=NOW + number)

        sight = await store.page(ListQuery(since=NOW + 1, until=NOW + 3))

        assert _named(sight.summaries) == ["order-2", "order-1"]

    async def test_original_request_of_a_conversion_is_returned(self, store: Store) -> None:
        submission = a_submission(an_entry("order-0"), an_entry("order-1", index=1))
        await store.record(msgspec.structs.replace(submission, body=b'{"conversions":[]}'))
        (history,) = await histories(store, "order-1")

        origin = await store.get(history.delivery, EVERYTHING)

        assert origin is not None
        assert (origin.history, origin.endpoint, origin.place) == (history, "native", 1)
        assert origin.body == b'{"conversions":[]}'
        assert await store.get(history.delivery, OTHERS) is None

    async def test_place_of_a_conversion_counts_the_rejected_ones_before_it(
        self, store: Store
    ) -> None:
        refusals = tuple(
            RejectedConversion(index=index, pixel="", errors=()) for index in (0, 1, 3)
        )
        submission = a_submission(an_entry("order-2", index=2), an_entry("order-4", index=4))
        await store.record(msgspec.structs.replace(submission, refusals=refusals))

        (history,) = await histories(store, "order-4")
        origin = await store.get(history.delivery, EVERYTHING)

        assert origin is not None
        assert origin.place == 4

    async def test_original_request_of_many_is_returned_once(self, store: Store) -> None:
        both = a_submission(an_entry("order-0"), an_entry("order-1", index=1))
        await store.record(msgspec.structs.replace(both, body=b'{"conversions":[]}'))
        alone = a_submission(an_entry("order-2"), receipt="r2")
        await store.record(msgspec.structs.replace(alone, body=b'{"event":"purchase"}'))
        found = {
            name: (await histories(store, name))[0].delivery
            for name in ("order-0", "order-1", "order-2")
        }

        kept = await store.answer(
            SubmissionsQuery(deliveries=[*found.values(), 999], scope=EVERYTHING)
        )

        assert [(match.delivery, match.body, match.place) for match in kept] == [
            (found["order-0"], b'{"conversions":[]}', 0),
            (found["order-1"], b'{"conversions":[]}', 1),
            (found["order-2"], b'{"event":"purchase"}', 0),
        ]
        assert kept[0].body is kept[1].body
        assert (
            list(
                await store.answer(SubmissionsQuery(deliveries=list(found.values()), scope=OTHERS))
            )
            == []
        )

    async def test_receipts_of_conversions_are_found(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-0"), an_entry("order-1", index=1)))
        await store.record(a_submission(an_entry("order-2"), receipt="r2"))
        found = [(await histories(store, f"order-{number}"))[0] for number in range(3)]
        ids = [history.delivery for history in found]

        receipts = await store.answer(ReceiptsQuery(deliveries=[*ids, 999]))

        assert receipts == {history.delivery: history.receipt for history in found}
        assert len(set(receipts.values())) == 2
        assert await store.answer(ReceiptsQuery(deliveries=[])) == {}

    async def test_conversions_with_unusual_amounts_are_found(self, store: Store) -> None:
        await record(store, "order-1")
        entry = msgspec.structs.replace(an_entry("order-2"), flag=REMARK)
        await store.record(a_submission(entry, receipt="r2"))

        (summary,) = (await store.page(ListQuery(state=ListedState.FLAGGED))).summaries

        assert (summary.conversion_id, summary.flag) == ("order-2", REMARK)
        assert (
            await store.page(ListQuery(state=ListedState.FLAGGED, scope=OTHERS))
        ).summaries == ()
        assert (
            await store.page(ListQuery(state=ListedState.FLAGGED, reason="zero"))
        ).summaries == ()

    async def test_usual_amounts_are_stored(self, store: Store) -> None:
        usual_amount = UsualAmount(
            pixel=PIXEL, event=EVENT, currency="EUR", seen=2, first=(1.5, 1.7)
        )
        await store.put([usual_amount])
        learnt = msgspec.structs.replace(usual_amount, seen=30, center=1.6, spread=0.2, first=())
        await store.put([learnt])

        assert list(await store.load(UsualAmount)) == [learnt]

    async def test_history_has_each_field_of_the_accepted_conversion(self, store: Store) -> None:
        types = {
            field.name: field.type
            for field in msgspec.structs.fields(AcceptedConversion)
            if field.name in History.__struct_fields__
        }
        values = {
            **{name: f"a-{name}" for name, type_ in types.items() if type_ == str | None},
            **{name: name.encode() for name, type_ in types.items() if type_ == bytes | None},
            **{name: 7 for name, type_ in types.items() if type_ == int | None},
            "value_change": ValueChange(rule="a-rule", before="1.00", after="2.00", currency="EUR"),
        }
        entry = msgspec.structs.replace(an_entry("order-1"), **values)
        await store.record(a_submission(entry))

        (history,) = await histories(store, "order-1")

        assert {"called", "consent"} <= {*values}
        assert {name: getattr(history, name) for name in types} == {
            name: getattr(entry, name) for name in types
        }


class QueryLaws(TallyLaws, ConsoleQueryLaws, ErrorGroupLaws, DeliveredEventLaws):
    """The contract of all queries."""


def _named(summaries: tuple[ConversionSummary, ...]) -> list[str]:
    return [summary.conversion_id for summary in summaries]
