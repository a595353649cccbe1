"""Store contract: replay, discard, pause, resume."""

import msgspec
import pytest

from builders import NOW, a_submission, an_entry
from store_contract.actions import (
    EVENT,
    FAR,
    PIXEL,
    add_dead_letter,
    balanced,
    claim,
    claim_or_none,
    deliver,
    delivered,
    histories,
    ids,
    record,
    settle,
    sweep,
)
from store_contract.copies import restricted
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import MAY_COUNT_TWICE, State
from twite.domain.history import ConversionCounts
from twite.domain.pause import Cause, Pause
from twite.domain.people.users import AuditEvent
from twite.domain.submission import Recorded
from twite.domain.times import HOUR
from twite.gateway.ports.outbox import Discard, Replay, SweepResult
from twite.gateway.ports.queries import AtRest
from twite.gateway.ports.store import Store


class OperationLaws:
    async def test_dead_and_held_deliveries_are_listed_latest_first(self, store: Store) -> None:
        for number, pixel in enumerate((PIXEL, "p2", PIXEL)):
            await add_dead_letter(store, f"order-{number}", pixel=pixel, at=NOW + number)

        everywhere = await store.find(AtRest(pixel=None, limit=2))
        here = await store.find(AtRest(pixel=PIXEL, limit=9))

        assert [history.conversion_id for history in everywhere] == ["order-2", "order-1"]
        assert [history.conversion_id for history in here] == ["order-2", "order-0"]

    async def test_period_of_the_list_excludes_its_end(self, store: Store) -> None:
        for number in range(4):
            await add_dead_letter(store, f"order-{number}", at=NOW + number)

        found = await store.find(AtRest(since=NOW + 1, until=NOW + 3, limit=9))

        assert [history.conversion_id for history in found] == ["order-2", "order-1"]

    async def test_replayed_delivery_is_sent_unchanged(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")

        replayed = (await store.move(Replay(deliveries=[dead]), now=NOW + 5)).moved

        batch = await claim(store, now=NOW + 5)
        assert replayed == 1
        assert (ids(batch), batch.deliveries[0].body) == (["order-1"], an_entry("order-1").body)

    async def test_confirmed_replay_has_a_new_deadline(self, store: Store) -> None:
        held = await _held_in_doubt(store, "order-1")
        await store.move(Replay(deliveries=[held], sure=[held]), now=NOW + 20)

        swept = await sweep(store, now=NOW + 21, ambiguous_before=NOW + 15, waiting_before=NOW + 20)
        batch = await claim(store, now=NOW + 21)

        assert swept == SweepResult()
        assert batch.deliveries[0].ambiguous_since is None

    async def test_dead_delivery_shows_since_when_it_is_ambiguous(self, store: Store) -> None:
        held = await _held_in_doubt(store, "order-1")
        dead = await add_dead_letter(store, "order-2")

        rests = {
            history.delivery: history for history in await store.find(AtRest(pixel=None, limit=9))
        }

        assert rests[held].ambiguous_since == NOW
        assert rests[dead].ambiguous_since is None

    async def test_suppressed_delivery_stays_ambiguous(self, store: Store) -> None:
        given_up = await _held_in_doubt(store, "order-1")
        await store.move(Discard(deliveries=[given_up], note="no"), now=NOW + 20)
        await _held_in_doubt(store, "order-2")
        less = a_submission(restricted("order-2"), receipt="less", received_at=NOW + 20)
        await store.record(less)
        await store.move(Replay(deliveries=[await _held_in_doubt(store, "order-3")]), now=NOW + 20)
        batch = await claim(store, now=NOW + 20)
        await settle(store, batch, "delivered", delivered(batch))

        found = {
            name: (history.state, history.ambiguous_since)
            for name in ("order-1", "order-2", "order-3")
            for history in await histories(store, name)
        }

        assert found == {
            "order-1": (State.SUPPRESSED, NOW),
            "order-2": (State.SUPPRESSED, NOW),
            "order-3": (State.DELIVERED, None),
        }

    async def test_unconfirmed_replay_stays_ambiguous(self, store: Store) -> None:
        held = await _held_in_doubt(store, "order-1")
        await store.move(Replay(deliveries=[held]), now=NOW + 20)

        batch = await claim(store, now=NOW + 21, ambiguous_after=NOW)

        assert batch.deliveries[0].ambiguous_since == NOW

    async def test_unconfirmed_replay_is_held_after_the_deadline(self, store: Store) -> None:
        held = await _held_in_doubt(store, "order-1")
        await store.move(Replay(deliveries=[held]), now=NOW + 20)

        late = await claim_or_none(store, now=NOW + 41 * HOUR, ambiguous_after=NOW + HOUR)
        swept = await sweep(store, now=NOW + 41 * HOUR, ambiguous_before=NOW + HOUR)

        (history,) = await store.find(AtRest(pixel=None, limit=9))
        assert late is None
        assert swept == SweepResult(held=1)
        assert (history.state, history.reason) == (State.HELD, MAY_COUNT_TWICE)

    async def test_replay_of_many_deliveries_is_audited_once(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")
        entries = [an_entry(f"more-{number}", index=number) for number in range(600)]
        held = [msgspec.structs.replace(plain, held="consent") for plain in entries]
        await store.record(a_submission(*held, receipt="r-many"))
        ids_ = [history.delivery for history in await store.find(AtRest(pixel=None, limit=999))]
        audit_event = AuditEvent(at=NOW, who="olga", what="replay", subject=PIXEL, detail="601")
        given_up = AuditEvent(at=NOW, who="olga", what="discard", subject=PIXEL, detail="1")

        replayed = (
            await store.move(Replay(deliveries=ids_), now=NOW + 5, audit_event=audit_event)
        ).moved
        again = await add_dead_letter(store, "order-2")
        discarded = (
            await store.move(
                Discard(deliveries=[again], note="no"), now=NOW + 6, audit_event=given_up
            )
        ).moved

        noted = await store.people.audit(after=0, limit=9)
        assert dead in ids_
        assert (replayed, discarded) == (601, 1)
        assert [entry.audit_event for entry in noted] == [audit_event, given_up]

    async def test_discarded_delivery_is_suppressed_with_the_note(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")

        discarded = (
            await store.move(Discard(deliveries=[dead], note="a test order"), now=NOW + 5)
        ).moved

        (history,) = await histories(store, "order-1")
        assert (discarded, history.state, history.reason) == (1, State.SUPPRESSED, "a test order")
        assert len(history.attempts) == 1
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=1, suppressed=1
        )

    async def test_discarded_conversion_keeps_its_deduplication_key(self, store: Store) -> None:
        await store.move(
            Discard(deliveries=[await add_dead_letter(store, "order-1")], note="a test order"),
            now=NOW,
        )

        again = await record(store, "order-1", receipt="r2")

        assert again == Recorded(duplicates=(0,))

    async def test_only_dead_or_held_deliveries_can_be_replayed(self, store: Store) -> None:
        await deliver(store, "order-1")
        (done,) = await histories(store, "order-1")
        await record(store, "order-2", receipt="r2")
        (queued,) = await histories(store, "order-2")

        which = [done.delivery, queued.delivery, 999_999]

        assert (await store.move(Replay(deliveries=which), now=NOW)).moved == 0
        assert (await store.move(Discard(deliveries=which, note="no"), now=NOW)).moved == 0

    @pytest.mark.parametrize("chosen", ["order-1", "purchase/order-1/click"])
    @pytest.mark.parametrize("do", ["replay", "discard"])
    async def test_decision_about_an_amount_applies_to_its_tags(
        self, store: Store, chosen: str, do: str
    ) -> None:
        held = await self._held_for_its_amount(store)

        if do == "replay":
            done = (await store.move(Replay(deliveries=[held[chosen]]), now=NOW + 5)).moved
        else:
            done = (
                await store.move(Discard(deliveries=[held[chosen]], note="no"), now=NOW + 5)
            ).moved

        left = await store.find(AtRest(pixel=None, limit=9))
        assert done == 3
        assert {history.conversion_id for history in left} == {
            "order-11",
            "other/order-11",
            "apart",
        }

    async def _held_for_its_amount(self, store: Store) -> dict[str, int]:
        """Return the held deliveries of two orders and their tags, and one more, by id."""
        unusual = {"held": "100 times the usual", "cause": DeliveryCause.AMOUNT_MINOR_UNITS}
        named = (
            (PIXEL, "order-1"), (PIXEL, "order-11"), ("tag:crm", "order-1"),
            ("tag:ads", "purchase/order-1/click"), ("tag:crm", "other/order-11"),
        )  # fmt: skip
        entries = [
            msgspec.structs.replace(an_entry(name, pixel=pixel, index=index), **unusual)
            for index, (pixel, name) in enumerate(named)
        ]
        apart = msgspec.structs.replace(an_entry("apart", index=5), held="consent")
        await store.record(a_submission(*entries, apart))
        rest = await store.find(AtRest(pixel=None, limit=9))
        return {
            history.conversion_id: history.delivery
            for history in rest
            if history.pixel != "tag:crm"
        }

    async def test_pause_is_stored_until_it_is_deleted(self, store: Store) -> None:
        await store.put(
            [Pause(pixel="p2", since=NOW, cause=Cause.CREDENTIALS_REFUSED, reason="401")]
        )
        await store.put(
            [Pause(pixel=PIXEL, since=NOW, cause=Cause.CREDENTIALS_REFUSED, reason="401")]
        )
        await store.put(
            [Pause(pixel=PIXEL, since=NOW + 1, cause=Cause.CREDENTIALS_REFUSED, reason="403")]
        )
        await store.delete(Pause, ("p2", ""))

        assert list(await store.load(Pause)) == [
            Pause(pixel=PIXEL, since=NOW + 1, cause=Cause.CREDENTIALS_REFUSED, reason="403")
        ]

    async def test_pause_by_a_user_is_replaced_only_by_a_user(self, store: Store) -> None:
        refused = Pause(pixel=PIXEL, since=NOW, cause=Cause.CREDENTIALS_REFUSED, reason="401")
        by_user = Pause(pixel=PIXEL, since=NOW, cause=Cause.USER, reason="paused by hand, by ann")
        later = Pause(pixel=PIXEL, since=NOW + 1, cause=Cause.USER, reason="paused by hand, by bob")
        found: list[Pause] = []
        for pause in (refused, by_user, refused, later):
            await store.put([pause])
            found += await store.load(Pause)

        assert found == [refused, by_user, by_user, later]

    async def test_deletion_of_a_pause_that_has_changed_has_no_effect(self, store: Store) -> None:
        first = Pause(pixel=PIXEL, event=EVENT, since=NOW, cause=Cause.EVENT_REFUSED, reason="401")
        second = msgspec.structs.replace(first, reason="403")
        third = msgspec.structs.replace(first, since=NOW + 1)
        await store.put([first])
        for other in (second, third):
            await store.delete(Pause, other)
        kept = list(await store.load(Pause))

        await store.delete(Pause, first)

        assert (kept, list(await store.load(Pause))) == ([first], [])

    async def test_event_pause_does_not_affect_other_events(self, store: Store) -> None:
        whole = Pause(pixel=PIXEL, since=NOW, cause=Cause.CREDENTIALS_REFUSED, reason="401")
        single = Pause(pixel=PIXEL, event=EVENT, since=NOW, cause=Cause.EVENT_REFUSED, reason="400")
        other = Pause(
            pixel=PIXEL, event="o8z6m", since=NOW, cause=Cause.EVENT_REFUSED, reason="400"
        )
        elsewhere = Pause(
            pixel="p2", event=EVENT, since=NOW, cause=Cause.EVENT_REFUSED, reason="400"
        )
        later = msgspec.structs.replace(single, since=NOW + 1, reason="404")
        for pause in (whole, single, other, elsewhere, later):
            await store.put([pause])
        before = list(await store.load(Pause))

        await store.delete(Pause, (PIXEL, "o8z6m"))
        without_other = list(await store.load(Pause))
        await store.delete(Pause, (PIXEL, ""))
        without_whole = list(await store.load(Pause))
        await store.delete(Pause, ("p2", ""))

        assert before == [whole, later, other, elsewhere]
        assert without_other == [whole, later, elsewhere]
        assert without_whole == list(await store.load(Pause)) == [later, elsewhere]

    async def test_queued_delivery_shows_the_pause_of_event_or_pixel(self, store: Store) -> None:
        await record(store, "order-1")
        await store.put(
            [
                Pause(
                    pixel=PIXEL,
                    event="o8z6m",
                    since=NOW,
                    cause=Cause.EVENT_REFUSED,
                    reason="another event",
                )
            ]
        )
        (other,) = await histories(store, "order-1")
        await store.put(
            [
                Pause(
                    pixel=PIXEL,
                    event=EVENT,
                    since=NOW,
                    cause=Cause.EVENT_REFUSED,
                    reason="its event",
                )
            ]
        )
        (event,) = await histories(store, "order-1")
        await store.put(
            [Pause(pixel=PIXEL, since=NOW, cause=Cause.PIXEL_REFUSED, reason="its pixel")]
        )
        (pixel,) = await histories(store, "order-1")

        reasons = [pause.paused for pause in (other, event, pixel)]
        assert reasons == [None, "its event", "its pixel"]


async def _held_in_doubt(store: Store, conversion_id: str) -> int:
    """Hold a delivery that X may have received at NOW; return it."""
    await record(store, conversion_id, receipt=f"r-{conversion_id}")
    await claim(store, lease_until=NOW + 10)
    await sweep(store, now=NOW + 11, ambiguous_before=FAR)
    (held,) = await store.find(AtRest(pixel=None, limit=9))
    return held.delivery
