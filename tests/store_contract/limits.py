"""Store contract: rate limit windows, pauses and sender failures survive a restart."""

from builders import NOW, a_submission, an_entry
from store_contract.actions import (
    EVENT,
    FAR,
    PIXEL,
    add_dead_letter,
    balanced,
    claim,
    claim_or_none,
    histories,
    ids,
    record,
    settle,
    sweep,
)
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import (
    MAY_COUNT_TWICE,
    QUARANTINED,
    SENDER_DIED_OF_IT,
    SUSPECT,
    State,
    Transition,
    Trigger,
)
from twite.gateway.ports.outbox import HoldRejected, Recall, Replay
from twite.gateway.ports.state import ClockRecord, RateLimitWindow
from twite.gateway.ports.store import Store


def expired(*deliveries: int, until: int = NOW) -> Transition:
    """Return the transition of deliveries whose sender has failed."""
    return Transition(trigger=Trigger.EXPIRED, deliveries=deliveries, due_at=until)


def held(*deliveries: int, cause: DeliveryCause, reason: str) -> Transition:
    return Transition(trigger=Trigger.HELD, deliveries=deliveries, cause=cause, reason=reason)


class LimitLaws:
    async def test_rate_limit_window_is_stored_with_its_end(self, store: Store) -> None:
        until_ten = RateLimitWindow(pixel=PIXEL, until=NOW + 10, reason="429")
        until_five = RateLimitWindow(pixel="p2", until=NOW + 5, reason="429")
        await store.put([until_ten, until_five])

        assert list(await store.load(RateLimitWindow)) == [until_ten, until_five]

    async def test_later_rate_limit_window_replaces_the_earlier_one(self, store: Store) -> None:
        for until in (NOW + 10, NOW + 5):
            await store.put([RateLimitWindow(pixel=PIXEL, until=until, reason="429")])

        assert [closure.until for closure in await store.load(RateLimitWindow)] == [NOW + 5]

    async def test_latest_time_is_of_the_last_submission_or_attempt(self, store: Store) -> None:
        empty = (await store.load(ClockRecord))[0].latest
        await record(store, "order-1", at=NOW + 7)
        recorded = (await store.load(ClockRecord))[0].latest
        batch = await claim(store, now=NOW + 8)
        await settle(store, batch, "errored", at=NOW + 9)

        assert (empty, recorded) == (0, NOW + 7)
        assert (await store.load(ClockRecord))[0].latest == NOW + 9

    async def test_clock_offset_of_x_is_stored(self, store: Store) -> None:
        before = (await store.load(ClockRecord))[0].ahead

        await store.put([ClockRecord(ahead=-5_000)])

        assert (before, (await store.load(ClockRecord))[0].ahead) == (None, -5_000)


class CrashLaws:
    async def test_batch_at_two_crashes_is_sent_one_by_one(self, store: Store) -> None:
        await store.record(a_submission(an_entry("a"), an_entry("b", index=1)))
        for _ in range(2):
            batch = await claim(store)
            both = [delivery.id for delivery in batch.deliveries]
            await settle(store, batch, "errored", expired(*both), ambiguous=True)

        alone = await claim(store)

        assert (ids(alone), ids(await claim(store))) == (["a"], ["b"])

    async def test_delivery_that_crashed_alone_three_times_is_dead(self, store: Store) -> None:
        await record(store, "a")
        late = 0
        for _ in range(3):
            batch = await claim(store)
            late += await settle(store, batch, "errored", expired(batch.deliveries[0].id))

        (history,) = await histories(store, "a")
        assert (late, history.state, history.reason) == (0, State.DEAD, SENDER_DIED_OF_IT)
        assert (await balanced(store)).dead == 1

    async def test_replayed_crash_suspect_is_sent_alone(self, store: Store) -> None:
        await store.record(a_submission(an_entry("a"), an_entry("b", index=1)))
        batch = await claim(store)
        dead, other = (delivery.id for delivery in batch.deliveries)
        await settle(store, batch, "errored", expired(dead), expired(other, until=FAR))
        for _ in range(2):
            await settle(store, await claim(store), "errored", expired(dead))
        gone = await claim_or_none(store)

        await store.move(Replay(deliveries=[dead]), now=NOW)
        again = await claim(store)

        assert (gone, [delivery.id for delivery in again.deliveries]) == (None, [dead])
        assert again.deliveries[0].crashes == SUSPECT

    async def test_crash_suspect_can_be_claimed_last(self, store: Store) -> None:
        await record(store, "a", receipt="first")
        for _ in range(2):
            batch = await claim(store)
            await settle(store, batch, "errored", expired(batch.deliveries[0].id))
        await record(store, "b", receipt="second")

        others = await claim_or_none(store, suspects=False)
        no_more = await claim_or_none(store, suspects=False)

        assert others is not None
        assert (ids(others), no_more, ids(await claim(store))) == (["b"], None, ["a"])

    async def test_response_of_x_clears_a_crash_suspect(self, store: Store) -> None:
        await record(store, "a")
        for _ in range(2):
            batch = await claim(store)
            await settle(store, batch, "errored", expired(batch.deliveries[0].id))
        batch = await claim(store)
        back = Transition(
            trigger=Trigger.POSTPONED, deliveries=(batch.deliveries[0].id,), due_at=NOW
        )

        await settle(store, batch, "errored", back)

        assert (await claim(store)).deliveries[0].crashes == 0

    async def test_expired_lease_is_not_a_crash(self, store: Store) -> None:
        await record(store, "a")
        batch = await claim(store, lease_until=NOW + 10)

        await sweep(store, now=NOW + 11)

        assert batch.deliveries[0].crashes == 0
        assert (await claim(store, now=NOW + 11)).deliveries[0].crashes == 0
        assert QUARANTINED > 3


class DoubtLaws:
    async def test_delivery_can_be_held_instead_of_dead(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")

        done = (
            await store.move(
                HoldRejected(deliveries=[dead, 999_999], reason="refused alike"), now=NOW + 1
            )
        ).moved

        (history,) = await histories(store, "order-1")
        cause = DeliveryCause.REFUSED_ALIKE
        assert (done, history.state, history.cause) == (1, State.HELD, cause)
        assert history.reason == "refused alike"

    async def test_delivery_refused_like_others_is_recalled_once(self, store: Store) -> None:
        await record(store, "order-1")
        recalled = []
        for _ in range(2):
            batch = await claim(store)
            transition = held(
                batch.deliveries[0].id, cause=DeliveryCause.REFUSED_ALIKE, reason="in any words"
            )
            await settle(store, batch, "rejected", transition)
            done = await store.move(Recall(pixel=PIXEL, event=EVENT), now=NOW)
            recalled.append(done.moved)

        (history,) = await histories(store, "order-1")
        assert (recalled, history.state) == ([1, 0], State.HELD)

    async def test_delivery_held_for_another_cause_is_not_recalled(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        other = held(
            batch.deliveries[0].id,
            cause=DeliveryCause.EVENT_UNKNOWN,
            reason="all conversions refused alike: 404",
        )
        await settle(store, batch, "rejected", other)

        done = (await store.move(Recall(pixel=PIXEL, event=EVENT), now=NOW)).moved

        (history,) = await histories(store, "order-1")
        assert (done, history.state) == (0, State.HELD)


class ClockLaws:
    async def test_delivery_due_too_far_in_the_future_is_due_now(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        back = Transition(
            trigger=Trigger.POSTPONED, deliveries=(batch.deliveries[0].id,), due_at=NOW + 10
        )
        await settle(store, batch, "errored", back)

        within = await sweep(store, now=NOW, furthest=NOW + 10)
        beyond = await sweep(store, now=NOW, furthest=NOW + 9)

        assert (within.promoted, beyond.promoted) == (0, 1)
        assert ids(await claim(store)) == ["order-1"]

    async def test_lease_in_use_does_not_expire(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store, lease_until=NOW + 10)

        held_on = await sweep(store, now=FAR, holding=[batch.lease])
        let_go = await sweep(store, now=FAR)

        assert (held_on.expired, let_go.expired) == (0, 1)

    async def test_lease_that_ends_too_far_in_the_future_expires(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store, lease_until=NOW + 100)

        swept = await sweep(store, now=NOW, furthest=NOW + 99)

        assert swept.expired == 1

    async def test_ambiguous_delivery_of_a_cautious_pixel_is_held(self, store: Store) -> None:
        for pixel in (PIXEL, "p2"):
            await record(store, "order-1", receipt=f"r-{pixel}", pixel=pixel)
            await claim(store, pixel=pixel, lease_until=NOW + 10)

        swept = await sweep(store, now=NOW + 11, cautious=[PIXEL])

        (history,) = await histories(store, "order-1")
        assert (swept.expired, swept.held) == (2, 1)
        assert (history.state, history.reason) == (State.HELD, MAY_COUNT_TWICE)
