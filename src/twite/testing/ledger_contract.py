# ruff: noqa: S101, PLR2004, D102 - assertions and figures are how the suite speaks
"""What every store must do, as tests: hand a store to it in a subclass.

    class TestMyStore(LedgerContract):
        @pytest.fixture
        async def store(self):
            ...
            yield store

The store must be empty, with the default dedup window. Its module must be known to pytest's assertion
rewriting (`pytest.register_assert_rewrite("twite.testing.ledger_contract")` in a conftest.py), and
pytest-asyncio must be in auto mode.
"""

import asyncio
from typing import Protocol

from twite.domain.account import Account, Life, PastAttempt, total
from twite.domain.dedup import DEFAULT_WINDOW
from twite.domain.delivery import (
    ANSWER_LIMIT,
    MAY_COUNT_TWICE,
    SENDER_STOPPED,
    WAITED_TOO_LONG,
    Attempt,
    Batch,
    Fate,
    Settlement,
    State,
    Trigger,
)
from twite.domain.errors import IllegalTransition
from twite.domain.fault import fault
from twite.domain.submission import Recorded, Refusal, Submission
from twite.domain.times import HOUR, MINUTE
from twite.gateway.ports import Claim, Desk, Ledger, Outbox, Pause, Records, Swept
from twite.testing.builders import NOW, a_submission, an_entry

PIXEL = "o8z6j"
EVENT = "o8z6k"
FAR = NOW + 1_000 * HOUR


class Store(Ledger, Outbox, Records, Desk, Protocol):
    """What a store is: four views of one thing."""


class RecordingLaws:
    """Submissions, keys, suppression."""

    async def test_a_new_conversion_is_queued(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1")))

        (life,) = await store.life(pixel=PIXEL, events=[EVENT], conversion_id="order-1")

        assert (life.state, life.source, life.receipt) == (State.QUEUED, "shop", "r1")
        assert life.sent == an_entry("order-1").body
        assert life.deadline_at == NOW + 48 * HOUR

    async def test_the_same_key_again_is_a_duplicate(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1")))

        again = await store.record(
            a_submission(an_entry("order-2"), an_entry("order-1", index=1), receipt="r2")
        )

        assert again == Recorded(duplicates=(1,))

    async def test_a_key_twice_in_one_submission_is_a_duplicate(self, store: Store) -> None:
        recorded = await store.record(
            a_submission(an_entry("order-1", index=3), an_entry("order-1", index=7))
        )

        assert recorded == Recorded(duplicates=(7,))

    async def test_another_event_or_pixel_is_no_duplicate(self, store: Store) -> None:
        recorded = await store.record(
            a_submission(
                an_entry("order-1"),
                an_entry("order-1", event="o8z6m", index=1),
                an_entry("order-1", pixel="p2", index=2),
            )
        )

        assert recorded == Recorded()

    async def test_a_duplicate_is_never_queued(self, store: Store) -> None:
        for receipt in ("r1", "r2"):
            await store.record(a_submission(an_entry("order-1"), receipt=receipt))

        batch = await claim(store)

        assert [delivery.conversion_id for delivery in batch.deliveries] == ["order-1"]

    async def test_duplicates_are_counted_on_the_life_of_the_first(self, store: Store) -> None:
        for receipt in ("r1", "r2", "r3"):
            await store.record(a_submission(an_entry("order-1"), receipt=receipt))

        (life,) = await store.life(pixel=PIXEL, events=[EVENT], conversion_id="order-1")

        assert (life.receipt, life.duplicates) == ("r1", 2)

    async def test_a_delivered_conversion_is_a_duplicate_to_the_end_of_the_window(
        self, store: Store
    ) -> None:
        await deliver(store, "order-1")

        last = await record(store, "order-1", receipt="r2", at=NOW + DEFAULT_WINDOW)

        assert last == Recorded(duplicates=(0,))

    async def test_a_delivered_conversion_is_new_after_the_window(self, store: Store) -> None:
        await deliver(store, "order-1")

        later = await record(store, "order-1", receipt="r2", at=NOW + DEFAULT_WINDOW + 1)

        assert later == Recorded()
        assert [life.receipt for life in await lives(store, "order-1")] == ["r2"]

    async def test_a_conversion_still_to_be_sent_is_a_duplicate_however_late(
        self, store: Store
    ) -> None:
        await record(store, "order-1")

        later = await record(store, "order-1", receipt="r2", at=NOW + 2 * DEFAULT_WINDOW)

        assert later == Recorded(duplicates=(0,))

    async def test_a_suppressed_conversion_is_found_with_its_reason(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1", suppressed="no consent")))

        (life,) = await lives(store, "order-1")

        assert (life.state, life.reason) == (State.SUPPRESSED, "no consent")
        assert await claim_or_none(store) is None

    async def test_a_suppressed_conversion_neither_takes_nor_matches_a_key(
        self, store: Store
    ) -> None:
        withheld = an_entry("order-1", suppressed="no consent")

        first = await store.record(a_submission(withheld))
        second = await store.record(a_submission(an_entry("order-1"), receipt="r2"))
        third = await store.record(a_submission(withheld, receipt="r3"))

        assert (first, second, third) == (Recorded(), Recorded(), Recorded())
        assert [life.receipt for life in await lives(store, "order-1")] == ["r2"]

    async def test_of_several_suppressed_the_latest_is_shown(self, store: Store) -> None:
        for receipt in ("r1", "r2"):
            await store.record(
                a_submission(an_entry("order-1", suppressed="no consent"), receipt=receipt)
            )

        assert [life.receipt for life in await lives(store, "order-1")] == ["r2"]

    async def test_a_submission_shows_what_it_brought(self, store: Store) -> None:
        await record(store, "order-1")
        await store.record(
            a_submission(
                an_entry("order-2"),
                an_entry("order-1", index=1),
                an_entry("order-3", index=2, suppressed="no consent"),
                receipt="r2",
            )
        )

        brought = await store.submission("r2")

        assert [life.conversion_id for life in brought] == ["order-2", "order-3"]

    async def test_an_unknown_receipt_or_conversion_has_no_lives(self, store: Store) -> None:
        await record(store, "order-1")

        assert list(await store.submission("r9")) == []
        assert list(await store.life(pixel=PIXEL, events=["o8z6m"], conversion_id="order-1")) == []

    async def test_one_conversion_id_has_a_life_for_each_event(self, store: Store) -> None:
        await store.record(
            a_submission(an_entry("order-1"), an_entry("order-1", event="o8z6m", index=1))
        )

        found = await store.life(pixel=PIXEL, events=["o8z6m", EVENT], conversion_id="order-1")

        assert [life.event for life in found] == ["o8z6m", EVENT]

    async def test_concurrent_identical_submissions_make_one_delivery(self, store: Store) -> None:
        answers = await asyncio.gather(
            *(record(store, "order-1", receipt=f"r{number}") for number in range(64))
        )

        assert sorted(answers, key=repr) == [Recorded(duplicates=(0,))] * 63 + [Recorded()]
        assert len((await claim(store)).deliveries) == 1

    async def test_a_body_comes_back_byte_for_byte(self, store: Store) -> None:
        body = '{"description":"żółć \\u0000 \\"quoted\\"\\n 🎈"}'.encode()
        entry = an_entry("order-1")
        odd = [
            type(entry)(
                index=0, key=bytes([number] * 16), pixel=PIXEL, event=EVENT,
                conversion_id=f"ż-🎈-\"{number}", body=body * (number + 1),
            )
            for number in range(3)
        ]  # fmt: skip
        await store.record(a_submission(*odd))

        batch = await claim(store)

        assert [(delivery.conversion_id, delivery.body) for delivery in batch.deliveries] == [
            (entry.conversion_id, entry.body) for entry in odd
        ]


class ClaimLaws:
    """Who is sent when, and by whom."""

    async def test_the_oldest_deadline_is_claimed_first(self, store: Store) -> None:
        for number, at in enumerate((NOW + 2, NOW, NOW + 1)):
            await record(store, f"order-{number}", receipt=f"r{number}", at=at)

        batch = await claim(store, limit=2)

        assert ids(batch) == ["order-1", "order-2"]

    async def test_a_claim_holds_one_event_that_of_the_oldest(self, store: Store) -> None:
        await store.record(a_submission(an_entry("late"), received_at=NOW + 1))
        await store.record(
            a_submission(an_entry("early", event="o8z6m"), receipt="r2", received_at=NOW)
        )

        batch = await claim(store)

        assert (batch.pixel, batch.event, ids(batch)) == (PIXEL, "o8z6m", ["early"])

    async def test_a_claim_is_for_one_pixel(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1", pixel="p2")))

        assert await claim_or_none(store) is None
        assert ids(await claim(store, pixel="p2")) == ["order-1"]

    async def test_what_is_claimed_is_not_claimed_again(self, store: Store) -> None:
        await record(store, "order-1")
        await record(store, "order-2", receipt="r2")

        first = await claim(store, limit=1)
        second = await claim(store)

        assert (ids(first), ids(second)) == (["order-1"], ["order-2"])
        assert second.lease > first.lease
        assert await claim_or_none(store) is None

    async def test_senders_that_claim_at_once_share_nothing(self, store: Store) -> None:
        await store.record(
            a_submission(*(an_entry(f"order-{number}", index=number) for number in range(100)))
        )

        batches = await asyncio.gather(*(claim(store, limit=10) for _ in range(10)))

        assert len({delivery.id for batch in batches for delivery in batch.deliveries}) == 100

    async def test_a_postponed_delivery_waits_until_it_is_due(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await settle(store, batch, "errored", postponed(batch, until=NOW + 5_000))

        early = await claim_or_none(store, now=NOW + 4_999)
        due = await claim(store, now=NOW + 5_000)

        assert early is None
        assert ids(due) == ["order-1"]
        assert due.deliveries[0].attempts == 1

    async def test_a_delivery_postponed_to_no_later_than_now_is_ready(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)

        await settle(store, batch, "errored", postponed(batch, until=NOW))

        assert ids(await claim(store)) == ["order-1"]

    async def test_what_may_count_twice_is_not_claimed(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await settle(store, batch, "errored", postponed(batch, until=NOW), ambiguous=True)

        late = await claim_or_none(store, ambiguous_after=NOW + 1)
        in_time = await claim(store, ambiguous_after=NOW)

        assert late is None
        assert in_time.deliveries[0].ambiguous_since == NOW


class SettlingLaws:
    """Attempts and next states, written together."""

    async def test_a_delivered_one_is_done(self, store: Store) -> None:
        await deliver(store, "order-1")

        (life,) = await lives(store, "order-1")

        assert (life.state, life.reason, life.due_at) == (State.DELIVERED, None, None)
        assert life.attempts == (PastAttempt(at=NOW, outcome="delivered", status=200, answer="{}"),)
        assert await claim_or_none(store, now=FAR) is None

    async def test_each_try_is_on_record_in_order(self, store: Store) -> None:
        await record(store, "order-1")
        first = await claim(store)
        await settle(store, first, "errored", postponed(first, until=NOW + 1), status=503)
        second = await claim(store, now=NOW + 1)
        await settle(store, second, "delivered", delivered(second), at=NOW + 1)

        (life,) = await lives(store, "order-1")

        assert [(past.at, past.outcome, past.status) for past in life.attempts] == [
            (NOW, "errored", 503),
            (NOW + 1, "delivered", 200),
        ]

    async def test_answers_are_cut_short(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)

        await settle(store, batch, "rejected", buried(batch), answer="é" * 5_000)

        (life,) = await lives(store, "order-1")
        assert life.attempts[0].answer == "é" * ANSWER_LIMIT

    async def test_fates_part_a_batch(self, store: Store) -> None:
        for number in range(4):
            await record(store, f"order-{number}", receipt=f"r{number}")
        batch = await claim(store)
        one, two, three, four = (delivery.id for delivery in batch.deliveries)

        late = await settle(
            store,
            batch,
            "rejected",
            Fate(trigger=Trigger.DELIVERED, deliveries=(one,)),
            Fate(trigger=Trigger.POSTPONED, deliveries=(two,), due_at=NOW + 9),
            Fate(trigger=Trigger.BURIED, deliveries=(three,), reason="no such event"),
            Fate(trigger=Trigger.HELD, deliveries=(four,), reason="not ours to say"),
        )

        brought = [(await lives(store, f"order-{number}"))[0] for number in range(4)]
        assert late == 0
        assert [(life.state, life.reason, life.due_at) for life in brought] == [
            (State.DELIVERED, None, None),
            (State.QUEUED, None, NOW + 9),
            (State.DEAD, "no such event", None),
            (State.HELD, "not ours to say", None),
        ]

    async def test_those_without_a_fate_stay_under_the_lease(self, store: Store) -> None:
        await record(store, "order-1")
        await record(store, "order-2", receipt="r2")
        batch = await claim(store, lease_until=NOW + 10)
        first, second = (delivery.id for delivery in batch.deliveries)

        await settle(
            store,
            batch,
            "rejected",
            Fate(trigger=Trigger.BURIED, deliveries=(first,), reason="bad"),
            lease_until=NOW + 1_000,
        )

        swept = await sweep(store, now=NOW + 999)
        late = await settle(
            store, batch, "delivered", Fate(trigger=Trigger.DELIVERED, deliveries=(second,))
        )
        assert (swept.lapsed, late) == (0, 0)

    async def test_without_an_attempt_only_states_change(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await settle(store, batch, "rejected")

        await store.settle(
            Settlement(
                lease=batch.lease, attempt=None, fates=(buried(batch),), lease_until=NOW + MINUTE
            )
        )

        (life,) = await lives(store, "order-1")
        assert (life.state, len(life.attempts)) == (State.DEAD, 1)

    async def test_a_stale_lease_settles_nothing(self, store: Store) -> None:
        await record(store, "order-1")
        stale = await claim(store, lease_until=NOW + 10)
        await sweep(store, now=NOW + 11)
        current = await claim(store, now=NOW + 11, lease_until=FAR)

        late = await settle(store, stale, "delivered", delivered(stale))

        (life,) = await lives(store, "order-1")
        assert (late, life.state) == (1, State.SENDING)
        assert await settle(store, current, "delivered", delivered(current)) == 0

    async def test_what_a_stale_sender_tried_is_on_record_all_the_same(self, store: Store) -> None:
        await record(store, "order-1")
        stale = await claim(store, lease_until=NOW + 10)
        await sweep(store, now=NOW + 11)

        await settle(store, stale, "delivered", delivered(stale), at=NOW + 12)

        (life,) = await lives(store, "order-1")
        assert [past.outcome for past in life.attempts] == ["errored", "delivered"]
        assert life.state is State.QUEUED

    async def test_a_fate_comes_once(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await settle(store, batch, "delivered", delivered(batch))

        late = await settle(store, batch, "rejected", buried(batch))

        (life,) = await lives(store, "order-1")
        assert (late, life.state) == (1, State.DELIVERED)
        assert (await balanced(store)).delivered == 1

    async def test_a_fate_that_sending_does_not_have_is_refused(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        fate = Fate(trigger=Trigger.REPLAYED, deliveries=(batch.deliveries[0].id,))

        try:
            await settle(store, batch, "errored", fate)
        except IllegalTransition:
            refused = True
        else:
            refused = False

        (life,) = await lives(store, "order-1")
        assert (refused, life.state, life.attempts) == (True, State.SENDING, ())

    async def test_ambiguity_counts_from_the_first_time(self, store: Store) -> None:
        await record(store, "order-1")
        for at in (NOW, NOW + 1, NOW + 2):
            batch = await claim(store, now=at)
            await settle(
                store, batch, "errored", postponed(batch, until=at), at=at, ambiguous=at > NOW
            )

        batch = await claim(store, now=NOW + 3)

        assert batch.deliveries[0].ambiguous_since == NOW + 1
        assert batch.deliveries[0].attempts == 3

    async def test_what_was_spent_is_told_by_pixel_and_moment(self, store: Store) -> None:
        for number, pixel in enumerate((PIXEL, PIXEL, "p2")):
            await store.record(
                a_submission(an_entry(f"order-{number}", pixel=pixel), receipt=f"r{number}")
            )
        for at, pixel, limit in ((NOW, PIXEL, 1), (NOW + 5, PIXEL, 9), (NOW + 7, "p2", 9)):
            batch = await claim(store, now=at, pixel=pixel, limit=limit)
            await settle(store, batch, "delivered", delivered(batch), at=at)

        spent = await store.spent(since=NOW + 1)

        assert {pixel: list(tries) for pixel, tries in spent.items()} == {
            PIXEL: [(NOW + 5, 1)],
            "p2": [(NOW + 7, 1)],
        }


class SweepLaws:
    """What time does."""

    async def test_a_lease_lapses_after_its_end(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store, lease_until=NOW + 10)

        at_the_end = await sweep(store, now=NOW + 10)
        after_it = await sweep(store, now=NOW + 11)

        (life,) = await lives(store, "order-1")
        assert (at_the_end, after_it) == (Swept(), Swept(lapsed=1))
        assert life.state is State.QUEUED
        assert life.attempts == (
            PastAttempt(
                at=NOW, outcome="errored", status=None, answer=SENDER_STOPPED, ambiguous=True
            ),
        )

    async def test_what_lapsed_is_ambiguous_since_the_claim(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store, lease_until=NOW + 10)
        await sweep(store, now=NOW + 11)

        again = await claim(store, now=NOW + 11)

        assert again.deliveries[0].ambiguous_since == NOW
        assert again.deliveries[0].attempts == 1

    async def test_a_sweep_tells_when_the_next_is_due(self, store: Store) -> None:
        for number, until in enumerate((NOW + 9, NOW + 5)):
            await record(store, f"order-{number}", receipt=f"r{number}")
            batch = await claim(store)
            await settle(store, batch, "errored", postponed(batch, until=until))

        first = await sweep(store, now=NOW + 4)
        second = await sweep(store, now=NOW + 5)

        assert first == Swept(next_due=NOW + 5)
        assert second == Swept(promoted=1, next_due=NOW + 9)

    async def test_what_is_ambiguous_for_too_long_is_held(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store, lease_until=NOW + 10)
        await sweep(store, now=NOW + 11)

        in_time = await sweep(store, now=NOW + 12, ambiguous_before=NOW)
        late = await sweep(store, now=NOW + 12, ambiguous_before=NOW + 1)

        (life,) = await lives(store, "order-1")
        assert (in_time.held, late.held) == (0, 1)
        assert (life.state, life.reason) == (State.HELD, MAY_COUNT_TWICE)

    async def test_what_waits_for_too_long_is_held(self, store: Store) -> None:
        await record(store, "ready")
        await record(store, "postponed", receipt="r2", at=NOW - 1)
        batch = await claim(store, limit=1)
        await settle(store, batch, "errored", postponed(batch, until=FAR))

        in_time = await sweep(store, now=NOW, waiting_before=NOW - 1)
        late = await sweep(store, now=NOW, waiting_before=NOW + 1)

        resting = await store.resting(pixel=None, limit=9)
        assert (in_time.held, late) == (0, Swept(held=2))
        assert {(life.state, life.reason) for life in resting} == {(State.HELD, WAITED_TOO_LONG)}

    async def test_what_is_being_sent_is_not_held(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store, lease_until=FAR)

        swept = await sweep(store, now=NOW, ambiguous_before=FAR, waiting_before=FAR)

        assert swept == Swept()


class DeskLaws:
    """What a person does."""

    async def test_resting_shows_the_latest_first(self, store: Store) -> None:
        for number, pixel in enumerate((PIXEL, "p2", PIXEL)):
            await bury(store, f"order-{number}", pixel=pixel, at=NOW + number)

        everywhere = await store.resting(pixel=None, limit=2)
        here = await store.resting(pixel=PIXEL, limit=9)

        assert [life.conversion_id for life in everywhere] == ["order-2", "order-1"]
        assert [life.conversion_id for life in here] == ["order-2", "order-0"]

    async def test_a_replayed_delivery_is_sent_as_it_was(self, store: Store) -> None:
        dead = await bury(store, "order-1")

        replayed = await store.replay([dead], now=NOW + 5)

        batch = await claim(store, now=NOW + 5)
        assert replayed == 1
        assert (ids(batch), batch.deliveries[0].body) == (["order-1"], an_entry("order-1").body)

    async def test_a_replay_forgets_ambiguity_and_gives_patience_anew(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store, lease_until=NOW + 10)
        await sweep(store, now=NOW + 11, ambiguous_before=FAR)
        (held,) = await store.resting(pixel=None, limit=9)
        await store.replay([held.delivery], now=NOW + 20)

        swept = await sweep(store, now=NOW + 21, ambiguous_before=NOW + 15, waiting_before=NOW + 20)
        batch = await claim(store, now=NOW + 21)

        assert swept == Swept()
        assert batch.deliveries[0].ambiguous_since is None

    async def test_a_discarded_delivery_is_suppressed_with_the_note(self, store: Store) -> None:
        dead = await bury(store, "order-1")

        discarded = await store.discard([dead], now=NOW + 5, note="a test order")

        (life,) = await lives(store, "order-1")
        assert (discarded, life.state, life.reason) == (1, State.SUPPRESSED, "a test order")
        assert len(life.attempts) == 1
        assert await balanced(store) == Account(source="", pixel="", received=1, suppressed=1)

    async def test_a_discarded_conversion_keeps_its_key(self, store: Store) -> None:
        await store.discard([await bury(store, "order-1")], now=NOW, note="a test order")

        again = await record(store, "order-1", receipt="r2")

        assert again == Recorded(duplicates=(0,))

    async def test_only_what_rests_is_replayed_or_discarded(self, store: Store) -> None:
        await deliver(store, "order-1")
        (done,) = await lives(store, "order-1")
        await record(store, "order-2", receipt="r2")
        (queued,) = await lives(store, "order-2")

        which = [done.delivery, queued.delivery, 999_999]

        assert await store.replay(which, now=NOW) == 0
        assert await store.discard(which, now=NOW, note="no") == 0

    async def test_pauses_are_kept_until_they_are_lifted(self, store: Store) -> None:
        await store.pause(Pause(pixel="p2", since=NOW, reason="401"))
        await store.pause(Pause(pixel=PIXEL, since=NOW, reason="401"))
        await store.pause(Pause(pixel=PIXEL, since=NOW + 1, reason="403"))
        await store.resume("p2")

        assert list(await store.pauses()) == [Pause(pixel=PIXEL, since=NOW + 1, reason="403")]


class BalanceLaws:
    """Nothing is lost, and it shows."""

    async def test_every_conversion_is_somewhere(self, store: Store) -> None:
        await deliver(store, "delivered")
        await bury(store, "dead")
        await record(store, "sending", receipt="r3")
        await claim(store)
        await store.record(
            a_submission(
                an_entry("queued"),
                an_entry("dead", index=1),
                an_entry("withheld", index=2, suppressed="no consent"),
                receipt="r4",
            )
        )

        assert await balanced(store) == Account(
            source="", pixel="", received=6, delivered=1, duplicate=1, suppressed=1, dead=1,
            pending=2,
        )  # fmt: skip

    async def test_accounts_are_by_source_and_pixel(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1"), source="till"))
        await store.record(a_submission(an_entry("order-2", pixel="p2"), receipt="r2"))
        await store.record(a_submission(an_entry("order-1"), receipt="r3"))

        assert list(await store.accounts()) == [
            Account(source="shop", pixel=PIXEL, received=1, duplicate=1),
            Account(source="shop", pixel="p2", received=1, pending=1),
            Account(source="till", pixel=PIXEL, received=1, pending=1),
        ]

    async def test_what_was_refused_is_received_and_rejected(self, store: Store) -> None:
        refusals = (
            Refusal(index=0, pixel=PIXEL, errors=(fault("value", "not_an_amount"),)),
            Refusal(index=2, pixel="", errors=(fault("pixel", "pixel_unknown"),)),
        )
        whole = a_submission(an_entry("order-1", index=1))
        await store.record(
            Submission(
                receipt=whole.receipt, source=whole.source, door=whole.door,
                received_at=whole.received_at, body=whole.body, entries=whole.entries,
                refusals=refusals,
            )
        )  # fmt: skip

        assert list(await store.accounts()) == [
            Account(source="shop", pixel="", received=1, rejected=1),
            Account(source="shop", pixel=PIXEL, received=2, rejected=1, pending=1),
        ]

    async def test_a_submission_of_nothing_is_kept_too(self, store: Store) -> None:
        recorded = await store.record(a_submission())

        assert (recorded, list(await store.accounts())) == (Recorded(), [])


class LedgerContract(RecordingLaws, ClaimLaws, SettlingLaws, SweepLaws, DeskLaws, BalanceLaws):
    """All of it."""


def ids(batch: Batch) -> list[str]:
    """Return the conversion ids of a batch."""
    return [delivery.conversion_id for delivery in batch.deliveries]


def delivered(batch: Batch) -> Fate:
    """Return the fate that X took them all."""
    return Fate(trigger=Trigger.DELIVERED, deliveries=_all(batch))


def buried(batch: Batch) -> Fate:
    """Return the fate that all are given up."""
    return Fate(trigger=Trigger.BURIED, deliveries=_all(batch), reason="refused")


def postponed(batch: Batch, *, until: int) -> Fate:
    """Return the fate that all are tried again."""
    return Fate(trigger=Trigger.POSTPONED, deliveries=_all(batch), due_at=until)


async def record(
    store: Store, conversion_id: str, *, receipt: str = "r1", at: int = NOW, pixel: str = PIXEL
) -> Recorded:
    """Submit one conversion."""
    entry = an_entry(conversion_id, pixel=pixel)
    return await store.record(a_submission(entry, receipt=receipt, received_at=at))


async def claim_or_none(
    store: Store,
    *,
    now: int = NOW,
    pixel: str = PIXEL,
    limit: int = 500,
    lease_until: int = NOW + MINUTE,
    ambiguous_after: int = 0,
) -> Batch | None:
    """Claim what is due."""
    return await store.claim(
        Claim(
            pixel=pixel,
            now=now,
            lease_until=lease_until,
            limit=limit,
            ambiguous_after=ambiguous_after,
        )
    )


async def claim(
    store: Store,
    *,
    now: int = NOW,
    pixel: str = PIXEL,
    limit: int = 500,
    lease_until: int = NOW + MINUTE,
    ambiguous_after: int = 0,
) -> Batch:
    """Claim what is due; there must be some."""
    batch = await claim_or_none(
        store,
        now=now,
        pixel=pixel,
        limit=limit,
        lease_until=lease_until,
        ambiguous_after=ambiguous_after,
    )
    assert batch is not None
    return batch


async def settle(
    store: Store,
    batch: Batch,
    outcome: str,
    *fates: Fate,
    at: int = NOW,
    status: int | None = 200,
    answer: str = "{}",
    ambiguous: bool = False,
    lease_until: int = NOW + MINUTE,
) -> int:
    """Settle a batch after an attempt that held all of it."""
    attempt = Attempt(
        at=at,
        pixel=batch.pixel,
        event=batch.event,
        outcome=outcome,
        deliveries=_all(batch),
        status=status,
        answer=answer,
        ambiguous=ambiguous,
    )
    return await store.settle(
        Settlement(lease=batch.lease, attempt=attempt, fates=fates, lease_until=lease_until)
    )


async def sweep(
    store: Store, *, now: int, ambiguous_before: int = 0, waiting_before: int = 0
) -> Swept:
    """Bring time's effects about."""
    return await store.sweep(
        now=now, ambiguous_before=ambiguous_before, waiting_before=waiting_before
    )


async def deliver(store: Store, conversion_id: str) -> None:
    """Submit one conversion and deliver it."""
    await record(store, conversion_id, receipt=f"r-{conversion_id}")
    batch = await claim(store)
    await settle(store, batch, "delivered", delivered(batch))


async def bury(store: Store, conversion_id: str, *, pixel: str = PIXEL, at: int = NOW) -> int:
    """Submit one conversion and bury it; return the delivery."""
    await record(store, conversion_id, receipt=f"r-{conversion_id}", pixel=pixel)
    batch = await claim(store, pixel=pixel)
    await settle(store, batch, "rejected", buried(batch), at=at)
    return batch.deliveries[0].id


async def lives(store: Store, conversion_id: str) -> list[Life]:
    """Return what is known of a conversion."""
    return list(await store.life(pixel=PIXEL, events=[EVENT], conversion_id=conversion_id))


async def balanced(store: Store) -> Account:
    """Return the whole account; it must balance."""
    whole = total(await store.accounts())
    assert whole.balance == 0
    return whole


def _all(batch: Batch) -> tuple[int, ...]:
    return tuple(delivery.id for delivery in batch.deliveries)
