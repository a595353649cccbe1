"""Store contract: mutes, replays that users started, and the states of their deliveries."""

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import PIXEL, add_dead_letter, claim, deliver, record
from twite.domain.alert import Mute
from twite.domain.delivery import State
from twite.domain.replay_batch import KEPT_FOR, ReplayBatch, ReplayPart
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.times import DAY
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import (
    AtRest,
    ByConversionId,
    ByReceipt,
    FlaggedAmountsQuery,
    StatesQuery,
)
from twite.gateway.ports.store import Store


def _a_mute(subject: str = "problem/1", **more: object) -> Mute:
    mute = Mute(subject=subject, until=NOW + 9, at=NOW, who="ada", note="planned")
    return msgspec.structs.replace(mute, **more)


def _a_batch(id_: str = "b1", **more: object) -> ReplayBatch:
    batch = ReplayBatch(
        id=id_,
        at=NOW,
        who="ada",
        pixel="p1",
        event="e1",
        reason="400",
        edit='{"divide":100}',
        confirmed_at=NOW,
        total=3,
        parts=2,
    )
    return msgspec.structs.replace(batch, **more)


def _a_part(place: int, batch: str = "b1", **more: object) -> ReplayPart:
    part = ReplayPart(batch=batch, place=place, cause="refused", reason="400", deliveries=(1, 2))
    return msgspec.structs.replace(part, **more)


def _an_id(at: int) -> str:
    """Return the id of a replay that was made at a time: see Randomness.receipt."""
    digits = f"{at:012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"


class ReplayLaws:
    async def test_mute_is_replaced_and_deleted_by_its_subject(self, store: Store) -> None:
        await store.put([_a_mute(), _a_mute("alert/2")])
        later = _a_mute(until=NOW + 20, who="olga", note="longer")

        await store.put([later])
        await store.delete(Mute, "alert/2")

        assert await store.load(Mute) == [later]

    async def test_expired_mute_is_deleted_with_the_next_one(self, store: Store) -> None:
        await store.put([_a_mute()])

        await store.put([_a_mute("alert/2", at=NOW + 9, until=NOW + 99)])

        assert [mute.subject for mute in await store.load(Mute)] == ["alert/2"]

    async def test_progress_of_a_replay_is_stored_with_its_parts(self, store: Store) -> None:
        await store.put([_a_batch(), _a_batch("b2")])
        await store.put([_a_part(1), _a_part(0, cause=None), _a_part(0, "b2")])
        done = _a_part(0, cause=None, refused=((2, "the amount is missing"),))

        await store.put([_a_batch(done=1, moved=1)])
        await store.put([done])

        assert await store.load(ReplayBatch, prefix="b1") == [_a_batch(done=1, moved=1)]
        assert await store.load(ReplayPart, prefix="b1") == [done, _a_part(1)]

    async def test_cancelled_replay_stays_cancelled_and_keeps_its_progress(
        self, store: Store
    ) -> None:
        await store.put([_a_batch(done=1, moved=2)])
        await store.put([_a_batch(cancelled_by="olga", ended_at=NOW + 5, taken_back=1)])

        await store.put([_a_batch(done=2, moved=3, ended_at=NOW + 7)])

        assert await store.load(ReplayBatch) == [
            _a_batch(done=2, moved=3, ended_at=NOW + 5, cancelled_by="olga", taken_back=1)
        ]

    async def test_old_replays_are_deleted_with_their_parts(self, store: Store) -> None:
        await store.put([_a_batch()])
        await store.put([_a_part(0)])

        await store.put([_a_batch("b2", at=NOW + KEPT_FOR + 1)])

        assert [batch.id for batch in await store.load(ReplayBatch)] == ["b2"]
        assert await store.load(ReplayPart) == []

    async def test_parts_of_a_replay_that_never_started_are_deleted_after_a_day(
        self, store: Store
    ) -> None:
        old, recent = _an_id(NOW - DAY - 1), _an_id(NOW - DAY)
        await store.put([_a_batch(old)])
        await store.put([_a_part(0, old), _a_part(0, recent), _a_part(0, _an_id(NOW - 3 * DAY))])
        before = [part.batch for part in await store.load(ReplayPart)]

        await store.put([_a_batch()])

        assert before == [_an_id(NOW - 3 * DAY), old, recent]
        assert [part.batch for part in await store.load(ReplayPart)] == [old, recent]

    async def test_latest_unusual_amounts_are_listed(self, store: Store) -> None:
        flag = ValueFlag(kind="currency", value="20.00", currency="USD", usual="18.20 EUR")
        for number, pixel in enumerate((PIXEL, "p2", PIXEL)):
            entry = msgspec.structs.replace(an_entry(f"order-{number}", pixel=pixel), flag=flag)
            await store.record(a_submission(entry, receipt=f"r{number}", received_at=NOW + number))
        scope = QueryScope(pixel=PIXEL)

        found = await store.answer(FlaggedAmountsQuery(scope=scope, since=0, limit=9))
        later = await store.answer(FlaggedAmountsQuery(scope=scope, since=NOW + 1, limit=9))
        of_till = await store.answer(
            FlaggedAmountsQuery(scope=QueryScope(source="till"), since=0, limit=9)
        )

        assert [amount.conversion_id for amount in found] == ["order-2", "order-0"]
        assert found[0].usual == "18.20 EUR"
        assert found[0].received_at == NOW + 2
        assert [amount.conversion_id for amount in later] == ["order-2"]
        assert list(of_till) == []

    async def test_unusual_amounts_of_other_pixels_sources_and_times_hide_none(
        self, store: Store
    ) -> None:
        flag = ValueFlag(kind="currency", value="20.00", currency="USD", usual="18.20 EUR")
        few = [("p2", "shop", NOW), (PIXEL, "till", NOW + 1)]
        many = [(PIXEL, "shop", NOW + 60_000 + number) for number in range(9)]
        for number, (pixel, source, at) in enumerate(few + many):
            entry = msgspec.structs.replace(an_entry(f"order-{number}", pixel=pixel), flag=flag)
            await store.record(
                a_submission(entry, receipt=f"r{number}", source=source, received_at=at)
            )
        wanted = (
            (QueryScope(pixel="p2"), {}),
            (QueryScope(pixels=frozenset({"p2"})), {}),
            (QueryScope(source="till"), {}),
            (QueryScope(), {"until": NOW + 1}),
            (QueryScope(pixel=PIXEL), {"until": NOW + 60_000}),
            (QueryScope(), {"since": NOW + 60_008}),
            (QueryScope(pixel=PIXEL, source="shop"), {}),
        )

        found = [
            [
                amount.conversion_id
                for amount in await store.answer(FlaggedAmountsQuery(scope=scope, limit=2, **times))
            ]
            for scope, times in wanted
        ]

        assert found == [
            ["order-0"],
            ["order-0"],
            ["order-1"],
            ["order-0"],
            ["order-1"],
            ["order-10"],
            ["order-10", "order-9"],
        ]

    async def test_conversions_are_counted_by_state(self, store: Store) -> None:
        await deliver(store, "delivered")
        await add_dead_letter(store, "dead")
        await record(store, "sending", receipt="r1")
        await claim(store)
        await record(store, "queued", receipt="r2")
        dead = [history.delivery for history in await store.find(AtRest(limit=9))]
        (queued,) = await store.find(ByReceipt(receipt="r2"))
        (sending,) = await store.find(ByReceipt(receipt="r1"))
        (delivered,) = await store.find(
            ByConversionId(pixel=PIXEL, events=None, conversion_id="delivered")
        )
        ids = [*dead, queued.delivery, sending.delivery, delivered.delivery, 1 << 40]

        found = await store.answer(StatesQuery(deliveries=ids))

        assert found == {
            State.DELIVERED: 1,
            State.DEAD: 1,
            State.SENDING: 1,
            State.QUEUED: 1,
        }
