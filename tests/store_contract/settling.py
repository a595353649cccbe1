"""Store contract: attempts and state transitions, written together."""

from builders import NOW, a_submission, an_entry
from store_contract.actions import (
    FAR,
    PIXEL,
    balanced,
    claim,
    claim_or_none,
    dead_lettered,
    deliver,
    delivered,
    histories,
    postponed,
    record,
    settle,
    sweep,
)
from twite.domain.delivery import (
    ANSWER_LIMIT,
    MAY_COUNT_TWICE,
    SENDER_STOPPED,
    WAITED_TOO_LONG,
    Settlement,
    State,
    Transition,
    Trigger,
)
from twite.domain.errors import IllegalTransition
from twite.domain.history import PastAttempt
from twite.domain.submission import Recorded
from twite.domain.times import MINUTE
from twite.gateway.ports.outbox import SweepResult
from twite.gateway.ports.queries import AtRest, AttemptsQuery
from twite.gateway.ports.store import Store


class SettlingLaws:
    async def test_delivered_delivery_is_settled(self, store: Store) -> None:
        await deliver(store, "order-1")

        (history,) = await histories(store, "order-1")

        assert (history.state, history.reason, history.due_at) == (State.DELIVERED, None, None)
        assert history.attempts == (
            PastAttempt(at=NOW, outcome="delivered", status=200, answer="{}"),
        )
        assert await claim_or_none(store, now=FAR) is None

    async def test_attempt_has_the_number_of_conversions_in_its_request(self, store: Store) -> None:
        await record(store, "order-1")
        await record(store, "order-2", receipt="r2")
        both = await claim(store)
        await settle(store, both, "delivered", delivered(both))

        (history,) = await histories(store, "order-2")

        assert [attempt.size for attempt in history.attempts] == [2]

    async def test_attempts_are_recorded_in_order(self, store: Store) -> None:
        await record(store, "order-1")
        first = await claim(store)
        await settle(store, first, "errored", postponed(first, until=NOW + 1), status=503)
        second = await claim(store, now=NOW + 1)
        await settle(store, second, "delivered", delivered(second), at=NOW + 1)

        (history,) = await histories(store, "order-1")

        assert [(past.at, past.outcome, past.status) for past in history.attempts] == [
            (NOW, "errored", 503),
            (NOW + 1, "delivered", 200),
        ]

    async def test_stored_responses_are_truncated(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)

        await settle(store, batch, "rejected", dead_lettered(batch), answer="é" * 5_000)

        (history,) = await histories(store, "order-1")
        assert history.attempts[0].answer == "é" * ANSWER_LIMIT

    async def test_transitions_of_an_attempt_can_differ_in_a_batch(self, store: Store) -> None:
        for number in range(4):
            await record(store, f"order-{number}", receipt=f"r{number}")
        batch = await claim(store)
        first, two, three, four = (delivery.id for delivery in batch.deliveries)

        late = await settle(
            store,
            batch,
            "rejected",
            Transition(trigger=Trigger.DELIVERED, deliveries=(first,)),
            Transition(trigger=Trigger.POSTPONED, deliveries=(two,), due_at=NOW + 9),
            Transition(trigger=Trigger.GIVEN_UP, deliveries=(three,), reason="no such event"),
            Transition(trigger=Trigger.HELD, deliveries=(four,), reason="not ours to say"),
        )

        brought = [(await histories(store, f"order-{number}"))[0] for number in range(4)]
        assert late == 0
        assert [(history.state, history.reason, history.due_at) for history in brought] == [
            (State.DELIVERED, None, None),
            (State.QUEUED, None, NOW + 9),
            (State.DEAD, "no such event", None),
            (State.HELD, "not ours to say", None),
        ]

    async def test_delivery_without_a_transition_keeps_its_lease(self, store: Store) -> None:
        await record(store, "order-1")
        await record(store, "order-2", receipt="r2")
        batch = await claim(store, lease_until=NOW + 10)
        first, second = (delivery.id for delivery in batch.deliveries)

        await settle(
            store,
            batch,
            "rejected",
            Transition(trigger=Trigger.GIVEN_UP, deliveries=(first,), reason="bad"),
            lease_until=NOW + 1_000,
        )

        swept = await sweep(store, now=NOW + 999)
        late = await settle(
            store, batch, "delivered", Transition(trigger=Trigger.DELIVERED, deliveries=(second,))
        )
        assert (swept.expired, late) == (0, 0)

    async def test_settlement_without_an_attempt_changes_only_states(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await settle(store, batch, "rejected")

        await store.settle(
            Settlement(
                lease=batch.lease,
                attempt=None,
                transitions=(dead_lettered(batch),),
                lease_until=NOW + MINUTE,
            )
        )

        (history,) = await histories(store, "order-1")
        assert (history.state, len(history.attempts)) == (State.DEAD, 1)

    async def test_tag_that_did_not_fire_is_suppressed_with_the_reason(self, store: Store) -> None:
        await record(store, "order-1")
        await record(store, "order-2", receipt="r2")
        batch = await claim(store)
        first, second = (delivery.id for delivery in batch.deliveries)
        not_fired = Transition(trigger=Trigger.NOT_FIRED, deliveries=(first,), reason="no match")
        settlement = Settlement(
            lease=batch.lease, attempt=None, transitions=(not_fired,), lease_until=FAR
        )

        late = [await store.settle(settlement), await store.settle(settlement)]

        found = [(await histories(store, name))[0] for name in ("order-1", "order-2")]
        assert late == [0, 1]
        assert [(history.state, history.reason) for history in found] == [
            (State.SUPPRESSED, "no match"),
            (State.SENDING, None),
        ]
        await settle(
            store, batch, "delivered", Transition(trigger=Trigger.DELIVERED, deliveries=(second,))
        )
        assert await claim_or_none(store, now=FAR) is None
        assert await record(store, "order-1", receipt="r3") == Recorded(duplicates=(0,))
        await balanced(store)

    async def test_batch_with_a_lost_lease_is_not_settled(self, store: Store) -> None:
        await record(store, "order-1")
        stale = await claim(store, lease_until=NOW + 10)
        await sweep(store, now=NOW + 11)
        current = await claim(store, now=NOW + 11, lease_until=FAR)

        late = await settle(store, stale, "delivered", delivered(stale))

        (history,) = await histories(store, "order-1")
        assert (late, history.state) == (1, State.SENDING)
        assert await settle(store, current, "delivered", delivered(current)) == 0

    async def test_expired_lease_settles_nothing_without_an_attempt(self, store: Store) -> None:
        await record(store, "order-1")
        ended = await claim(store, lease_until=NOW + 10)
        await sweep(store, now=NOW + 11)
        dead = Settlement(
            lease=ended.lease,
            attempt=None,
            transitions=(dead_lettered(ended),),
            lease_until=FAR,
        )

        late = await store.settle(dead)

        (history,) = await histories(store, "order-1")
        assert (late, history.state) == (1, State.QUEUED)
        assert (await balanced(store)).pending == 1

    async def test_attempt_of_a_sender_without_its_lease_is_recorded(self, store: Store) -> None:
        await record(store, "order-1")
        stale = await claim(store, lease_until=NOW + 10)
        await sweep(store, now=NOW + 11)

        await settle(store, stale, "rejected", dead_lettered(stale), at=NOW + 12)

        (history,) = await histories(store, "order-1")
        assert [past.outcome for past in history.attempts] == ["errored", "rejected"]
        assert history.state is State.QUEUED

    async def test_delivery_is_settled_only_once(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await settle(store, batch, "delivered", delivered(batch))

        late = await settle(store, batch, "rejected", dead_lettered(batch))

        (history,) = await histories(store, "order-1")
        assert (late, history.state) == (1, State.DELIVERED)
        assert (await balanced(store)).delivered == 1

    async def test_transition_that_is_not_of_a_sender_is_refused(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        transition = Transition(trigger=Trigger.REPLAYED, deliveries=(batch.deliveries[0].id,))

        try:
            await settle(store, batch, "errored", transition)
        except IllegalTransition:
            refused = True
        else:
            refused = False

        (history,) = await histories(store, "order-1")
        assert (refused, history.state, history.attempts) == (True, State.SENDING, ())

    async def test_delivery_is_ambiguous_since_its_first_ambiguity(self, store: Store) -> None:
        await record(store, "order-1")
        for at in (NOW, NOW + 1, NOW + 2):
            batch = await claim(store, now=at)
            await settle(
                store, batch, "errored", postponed(batch, until=at), at=at, ambiguous=at > NOW
            )

        batch = await claim(store, now=NOW + 3)

        assert batch.deliveries[0].ambiguous_since == NOW + 1
        assert batch.deliveries[0].attempts == 3

    async def test_delivered_conversions_are_listed_by_pixel_and_time(self, store: Store) -> None:
        for number, pixel in enumerate((PIXEL, PIXEL, "p2")):
            await store.record(
                a_submission(an_entry(f"order-{number}", pixel=pixel), receipt=f"r{number}")
            )
        for at, pixel, limit in ((NOW, PIXEL, 1), (NOW + 5, PIXEL, 9), (NOW + 7, "p2", 9)):
            batch = await claim(store, now=at, pixel=pixel, limit=limit)
            await settle(store, batch, "delivered", delivered(batch), at=at)

        spent = await store.answer(AttemptsQuery(since=NOW + 1))

        assert {pixel: list(tries) for pixel, tries in spent.items()} == {
            PIXEL: [(NOW + 5, 1)],
            "p2": [(NOW + 7, 1)],
        }


class SweepLaws:
    async def test_lease_expires_after_its_end(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store, lease_until=NOW + 10)

        at_the_end = await sweep(store, now=NOW + 10)
        after_it = await sweep(store, now=NOW + 11)

        (history,) = await histories(store, "order-1")
        assert (at_the_end, after_it) == (SweepResult(), SweepResult(expired=1))
        assert history.state is State.QUEUED
        assert history.attempts == (
            PastAttempt(
                at=NOW, outcome="errored", status=None, answer=SENDER_STOPPED, ambiguous=True
            ),
        )

    async def test_expired_delivery_is_ambiguous_since_the_claim(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store, lease_until=NOW + 10)
        await sweep(store, now=NOW + 11)

        again = await claim(store, now=NOW + 11)

        assert again.deliveries[0].ambiguous_since == NOW
        assert again.deliveries[0].attempts == 1

    async def test_sweep_returns_the_next_due_time(self, store: Store) -> None:
        for number, until in enumerate((NOW + 9, NOW + 5)):
            await record(store, f"order-{number}", receipt=f"r{number}")
            batch = await claim(store)
            await settle(store, batch, "errored", postponed(batch, until=until))

        first = await sweep(store, now=NOW + 4)
        second = await sweep(store, now=NOW + 5)

        assert first == SweepResult(next_due=NOW + 5)
        assert second == SweepResult(promoted=1, next_due=NOW + 9)

    async def test_delivery_ambiguous_for_too_long_is_held(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store, lease_until=NOW + 10)
        await sweep(store, now=NOW + 11)

        in_time = await sweep(store, now=NOW + 12, ambiguous_before=NOW)
        late = await sweep(store, now=NOW + 12, ambiguous_before=NOW + 1)

        (history,) = await histories(store, "order-1")
        assert (in_time.held, late.held) == (0, 1)
        assert (history.state, history.reason) == (State.HELD, MAY_COUNT_TWICE)

    async def test_delivery_queued_for_too_long_is_held(self, store: Store) -> None:
        await record(store, "ready")
        await record(store, "postponed", receipt="r2", at=NOW - 1)
        batch = await claim(store, limit=1)
        await settle(store, batch, "errored", postponed(batch, until=FAR))

        in_time = await sweep(store, now=NOW, waiting_before=NOW - 1)
        late = await sweep(store, now=NOW, waiting_before=NOW + 1)

        resting = await store.find(AtRest(pixel=None, limit=9))
        assert (in_time.held, late) == (0, SweepResult(held=2))
        assert {(history.state, history.reason) for history in resting} == {
            (State.HELD, WAITED_TOO_LONG)
        }

    async def test_delivery_in_flight_is_not_held(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store, lease_until=FAR)

        swept = await sweep(store, now=NOW, ambiguous_before=FAR, waiting_before=FAR)

        assert swept == SweepResult()
