# ruff: noqa: S101 - assertions are how laws speak
"""What a person does."""

import msgspec
import pytest

from twite.domain.account import Account
from twite.domain.delivery import (
    State,
)
from twite.domain.submission import Recorded
from twite.gateway.ports import Pause, Swept
from twite.testing.builders import NOW, a_submission, an_entry
from twite.testing.laws.acts import (
    FAR,
    PIXEL,
    Store,
    balanced,
    bury,
    claim,
    deliver,
    ids,
    lives,
    record,
    sweep,
)


class DeskLaws:
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

    @pytest.mark.parametrize("chosen", ["order-1", "purchase/order-1/click"])
    @pytest.mark.parametrize("do", ["replay", "discard"])
    async def test_what_is_held_for_an_amount_goes_with_what_tags_were_to_hear_of_it(
        self, store: Store, chosen: str, do: str
    ) -> None:
        held = await self._held_for_its_amount(store)

        if do == "replay":
            done = await store.replay([held[chosen]], now=NOW + 5)
        else:
            done = await store.discard([held[chosen]], now=NOW + 5, note="no")

        left = await store.resting(pixel=None, limit=9)
        assert done == 3
        assert {life.conversion_id for life in left} == {"order-11", "other/order-11", "apart"}

    async def _held_for_its_amount(self, store: Store) -> dict[str, int]:
        """Return, by their ids, deliveries of two orders and their tags, and of one held else."""
        reason = "value guard: 100 times the usual"
        named = (
            (PIXEL, "order-1"), (PIXEL, "order-11"), ("tag:crm", "order-1"),
            ("tag:ads", "purchase/order-1/click"), ("tag:crm", "other/order-11"),
        )  # fmt: skip
        entries = [
            msgspec.structs.replace(an_entry(name, pixel=pixel, index=index), held=reason)
            for index, (pixel, name) in enumerate(named)
        ]
        apart = msgspec.structs.replace(an_entry("apart", index=5), held="consent")
        await store.record(a_submission(*entries, apart))
        rest = await store.resting(pixel=None, limit=9)
        return {life.conversion_id: life.delivery for life in rest if life.pixel != "tag:crm"}

    async def test_pauses_are_kept_until_they_are_lifted(self, store: Store) -> None:
        await store.pause(Pause(pixel="p2", since=NOW, reason="401"))
        await store.pause(Pause(pixel=PIXEL, since=NOW, reason="401"))
        await store.pause(Pause(pixel=PIXEL, since=NOW + 1, reason="403"))
        await store.resume("p2")

        assert list(await store.pauses()) == [Pause(pixel=PIXEL, since=NOW + 1, reason="403")]
