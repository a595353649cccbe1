"""Store contract: error groups of dead letters, and edits to them."""

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import (
    EVENT,
    PIXEL,
    add_dead_letter,
    balanced,
    claim,
    dead_lettered,
    deliver,
    delivered,
    histories,
    ids,
    record,
    settle,
    sweep,
)
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.people.users import AuditEvent
from twite.domain.times import DAY, HOUR
from twite.gateway.ports.listing import ListCount, ListQuery, ProblemConversions, QueryScope
from twite.gateway.ports.outbox import EditBodies, EditedBody
from twite.gateway.ports.queries import (
    AtRest,
    ByDelivery,
    ErrorDetailsQuery,
    ErrorGroup,
    InErrorGroups,
    ListCountQuery,
    RestingAmong,
)
from twite.gateway.ports.store import Store

EVERYTHING = QueryScope()
OTHERS = QueryScope(pixels=frozenset({"p2"}))


class ErrorGroupLaws:
    async def test_error_groups_contain_dead_and_held_deliveries(self, store: Store) -> None:
        await add_dead_letter(store, "order-1", at=NOW + 1)
        await add_dead_letter(store, "order-2", at=NOW + 2)
        await _hold(store, "order-3")

        error_groups = list(await store.group(EVERYTHING))

        assert [
            (error_group.state, error_group.deliveries, error_group.ambiguous)
            for error_group in error_groups
        ] == [
            (State.DEAD, 2, False),
            (State.HELD, 1, True),
        ]
        assert error_groups[0] == ErrorGroup(
            pixel=PIXEL,
            event=EVENT,
            state=State.DEAD,
            reason="refused",
            deliveries=2,
            first_at=NOW + 1,
            last_at=NOW + 2,
        )
        assert list(await store.group(OTHERS)) == []

    async def test_every_error_group_is_listed(self, store: Store) -> None:
        strays = [
            an_entry(f"stray-{number}", index=number, held=f"reason {number}")
            for number in range(230)
        ]
        many = [
            an_entry(f"order-{number}", index=230 + number, event="o8z6z", held="the great one")
            for number in range(5)
        ]
        await store.record(a_submission(*strays, *many))

        error_groups = list(await store.group(EVERYTHING))

        assert (error_groups[0].reason, error_groups[0].deliveries) == ("the great one", 5)
        assert len(error_groups) == 231

    async def test_error_groups_of_a_time_and_a_source_are_counted(self, store: Store) -> None:
        await add_dead_letter(store, "early", at=NOW)
        await add_dead_letter(store, "late", at=NOW + HOUR)

        within = await store.group(EVERYTHING, since=NOW + 1, until=NOW + 2 * HOUR)
        of_shop = await store.group(QueryScope(source="shop"))
        before = await store.group(EVERYTHING, until=NOW)
        of_till = await store.group(QueryScope(source="till"))

        assert [(group.deliveries, group.first_at) for group in within] == [(1, NOW + HOUR)]
        assert [group.deliveries for group in of_shop] == [2]
        assert (list(before), list(of_till)) == ([], [])

    async def test_error_group_has_its_cause(self, store: Store) -> None:
        entry = an_entry(held="zero", cause=DeliveryCause.AMOUNT_ZERO)
        await store.record(a_submission(entry))

        (error_group,) = await store.group(EVERYTHING)

        assert error_group.cause is DeliveryCause.AMOUNT_ZERO

    async def test_error_group_has_a_sample_and_counts_by_day(self, store: Store) -> None:
        midnight = NOW // DAY * DAY
        first = await add_dead_letter(store, "order-1", at=midnight - 1)
        await add_dead_letter(store, "order-2", at=midnight)
        groups = await store.group(EVERYTHING)
        query = ErrorDetailsQuery(groups=groups, scope=EVERYTHING, since=0)

        (details,) = await store.answer(query)
        (shifted,) = await store.answer(msgspec.structs.replace(query, offset=HOUR))
        (late,) = await store.answer(msgspec.structs.replace(query, since=midnight))

        assert details.history is not None
        assert details.history.delivery == first
        assert details.days == {midnight // DAY - 1: 1, midnight // DAY: 1}
        assert shifted.days == {midnight // DAY: 2}
        assert late.days == {midnight // DAY: 1}

    async def test_error_group_is_listed_page_by_page(self, store: Store) -> None:
        dead = [await add_dead_letter(store, f"order-{number}") for number in range(3)]
        (error_group,) = await store.group(EVERYTHING)

        first = await store.find(InErrorGroups(scope=EVERYTHING, groups=[error_group], limit=2))
        rest = await store.find(
            InErrorGroups(scope=EVERYTHING, groups=[error_group], after=first[-1].delivery)
        )

        assert [history.delivery for history in (*first, *rest)] == dead
        assert list(await store.find(InErrorGroups(scope=OTHERS, groups=[error_group]))) == []

    async def test_list_of_error_groups_is_limited_to_when_they_became_so(
        self, store: Store
    ) -> None:
        for number in range(5):
            await add_dead_letter(store, f"order-{number}", at=NOW + number)
        (group,) = await store.group(EVERYTHING)
        problem = ProblemConversions(
            groups=((group.pixel, group.event, group.state.value, group.reason),),
            since=NOW + 1,
            until=NOW + 4,
        )
        list_query = ListQuery(problem=problem, limit=2)

        first = await store.page(list_query)
        second = await store.page(msgspec.structs.replace(list_query, position=first.back_to))

        assert [each.conversion_id for each in first.summaries] == ["order-3", "order-2"]
        assert [each.conversion_id for each in second.summaries] == ["order-1"]
        count = await store.answer(ListCountQuery(list_query=list_query))
        assert count == ListCount(conversions=3)

    async def test_error_groups_are_listed_together_by_number(self, store: Store) -> None:
        first = await add_dead_letter(store, "order-1")
        second = await add_dead_letter(store, "order-2", pixel="p2")
        third = await add_dead_letter(store, "order-3")
        groups = await store.group(EVERYTHING)

        page = await store.find(InErrorGroups(scope=EVERYTHING, groups=groups, limit=2))
        rest = await store.find(InErrorGroups(scope=EVERYTHING, groups=groups, after=second))

        assert len(groups) == 2
        assert [history.delivery for history in page] == [first, second]
        assert [history.delivery for history in rest] == [third]

    async def test_error_group_is_narrowed_to_a_source_and_a_time(self, store: Store) -> None:
        await add_dead_letter(store, "order-1", at=NOW)
        second = await add_dead_letter(store, "order-2", at=NOW + HOUR)
        (error_group,) = await store.group(EVERYTHING)
        within = InErrorGroups(
            scope=QueryScope(source="shop"), groups=[error_group], since=NOW + 1, until=NOW + DAY
        )

        found = await store.find(within)
        before = await store.find(msgspec.structs.replace(within, until=NOW + HOUR))
        of_till = await store.find(msgspec.structs.replace(within, scope=QueryScope(source="till")))

        assert [history.delivery for history in found] == [second]
        assert (list(before), list(of_till)) == ([], [])

    async def test_given_deliveries_are_found_in_any_state(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")
        await deliver(store, "order-2")
        (done,) = await histories(store, "order-2")
        wanted = ByDelivery(scope=EVERYTHING, deliveries=[done.delivery, dead, 999])

        found = await store.find(wanted)
        hidden = await store.find(msgspec.structs.replace(wanted, scope=OTHERS))

        assert [history.delivery for history in found] == [done.delivery, dead]
        assert list(hidden) == []

    async def test_only_dead_or_held_deliveries_of_visible_pixels_match(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")
        await deliver(store, "order-2")
        (done,) = await histories(store, "order-2")

        which = [dead, done.delivery, 999]

        assert [
            history.delivery
            for history in await store.find(RestingAmong(scope=EVERYTHING, deliveries=which))
        ] == [dead]
        assert list(await store.find(RestingAmong(scope=OTHERS, deliveries=which))) == []

    async def test_edited_delivery_is_sent_with_its_edits(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")
        amendment = EditedBody(delivery=dead, event="o8z6m", body=b'{"event_id":"o8z6m"}')
        before = await store.get(dead, EVERYTHING)
        assert before is not None
        assert before.unedited == b""

        refused = (
            await store.move(EditBodies(edited=[amendment], note="another event"), now=NOW + 5)
        ).refused

        batch = await claim(store, now=NOW + 5)
        assert refused == {}
        assert (batch.event, ids(batch)) == ("o8z6m", ["order-1"])
        assert batch.deliveries[0].body == amendment.body
        origin = await store.get(dead, EVERYTHING)
        assert origin is not None
        assert origin.amended == ((NOW + 5, "another event"),)
        assert (origin.unedited, origin.history.sent) == (before.history.sent, amendment.body)
        await settle(store, batch, "delivered", delivered(batch))
        await balanced(store)

    async def test_edited_ambiguous_delivery_needs_confirmation(self, store: Store) -> None:
        await _hold(store, "order-1")
        (history,) = await store.find(AtRest(pixel=None, limit=9))
        amendment = EditedBody(delivery=history.delivery, event=EVENT, body=b"{}")

        await store.move(EditBodies(edited=[amendment], note=""), now=NOW + 20)
        in_doubt = await claim(store, now=NOW + 20)
        await settle(store, in_doubt, "rejected", dead_lettered(in_doubt))
        await store.move(
            EditBodies(edited=[amendment], note="", sure=[history.delivery]), now=NOW + 30
        )
        sure = await claim(store, now=NOW + 30)

        assert in_doubt.deliveries[0].ambiguous_since == NOW
        assert sure.deliveries[0].ambiguous_since is None

    async def test_edit_of_many_deliveries_is_audited_once(self, store: Store) -> None:
        entries = [an_entry(f"order-{number}", index=number) for number in range(120)]
        held = [msgspec.structs.replace(entry, held="consent") for entry in entries]
        await store.record(a_submission(*held, receipt="r-many"))
        ids_ = [history.delivery for history in await store.find(AtRest(pixel=None, limit=999))]
        audit_event = AuditEvent(at=NOW, who="olga", what="replay", subject=PIXEL, detail="120")
        amendments = [EditedBody(delivery=id_, event="o8z6m", body=b"{}") for id_ in (*ids_, 999)]

        refused = (
            await store.move(
                EditBodies(edited=amendments, note="another event"),
                now=NOW + 5,
                audit_event=audit_event,
            )
        ).refused

        batch = await claim(store, now=NOW + 5)
        assert list(refused) == [999]
        assert len(batch.deliveries) == 120
        assert [event.audit_event for event in await store.people.audit(after=0, limit=9)] == [
            audit_event
        ]

    async def test_edited_conversion_gets_the_key_of_its_new_event(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")
        amendment = EditedBody(delivery=dead, event="o8z6m", body=b"{}")
        await store.move(EditBodies(edited=[amendment], note="another event"), now=NOW)

        again = await store.record(a_submission(an_entry("order-1", event="o8z6m"), receipt="r2"))

        assert again.duplicates == (0,)

    async def test_edit_to_the_key_of_another_conversion_is_refused(self, store: Store) -> None:
        other = an_entry("order-1", event="o8z6m")
        await store.record(a_submission(other, receipt="r0"))
        batch = await claim(store)
        await settle(store, batch, "delivered", delivered(batch))
        dead = await add_dead_letter(store, "order-1")

        refused = (
            await store.move(
                EditBodies(
                    edited=[EditedBody(delivery=dead, event="o8z6m", body=b"{}")],
                    note="another event",
                ),
                now=NOW,
            )
        ).refused

        assert list(refused) == [dead]
        (still,) = await store.find(RestingAmong(scope=EVERYTHING, deliveries=[dead]))
        assert still.state is State.DEAD

    async def test_only_dead_or_held_deliveries_can_be_edited(self, store: Store) -> None:
        await record(store, "order-1")
        (queued,) = await histories(store, "order-1")

        refused = (
            await store.move(
                EditBodies(
                    edited=[EditedBody(delivery=queued.delivery, event=EVENT, body=b"{}")], note=""
                ),
                now=NOW,
            )
        ).refused

        assert list(refused) == [queued.delivery]


async def _hold(store: Store, conversion_id: str) -> None:
    await record(store, conversion_id, receipt=f"r-{conversion_id}")
    await claim(store, lease_until=NOW + 10)
    await sweep(store, now=NOW + 11, ambiguous_before=NOW + HOUR)
