"""Store contract: copies of one conversion, corrected, denied or unchanged."""

from typing import Final

import msgspec

from builders import NOW, a_conversion, a_submission, an_entry
from store_contract.actions import (
    add_dead_letter,
    balanced,
    claim,
    claim_or_none,
    dead_lettered,
    deliver,
    delivered,
    histories,
    ids,
    postponed,
    record,
    settle,
    sweep,
)
from twite.consent.verdict import verdict
from twite.domain.cause import DeliveryCause
from twite.domain.consent import ConsentDecision, ConsentPolicy
from twite.domain.conversion import DEFAULT_WINDOW
from twite.domain.delivery import State
from twite.domain.history import ConversionCounts, History
from twite.domain.submission import AcceptedConversion, Recorded
from twite.domain.times import HOUR, MINUTE, spelled
from twite.gateway.operations.edit import doubt
from twite.gateway.ports.copies import CORRECTED, LIMITED, OTHER_BODY, RENEWED, by_later
from twite.gateway.ports.outbox import Replay
from twite.gateway.ports.queries import ByReceipt
from twite.gateway.ports.store import Store

DENIED: Final = "consent_denied: ad_storage"
MISSING: Final = DeliveryCause.CONSENT_MISSING
DUPLICATE: Final = Recorded(duplicates=(0,))


def corrected(conversion_id: str = "order-1", *, pixel: str = "o8z6j") -> AcceptedConversion:
    """Return the same conversion with another body."""
    entry = an_entry(conversion_id, pixel=pixel)
    return msgspec.structs.replace(entry, body=entry.body.replace(b"{", b'{"value":"1.00",', 1))


def at_time(ms: int) -> AcceptedConversion:
    entry = an_entry("order-1")
    before = spelled(a_conversion("order-1").time).encode()
    assert before in entry.body
    return msgspec.structs.replace(entry, body=entry.body.replace(before, spelled(ms).encode()))


def denied(
    conversion_id: str = "order-1",
    *,
    index: int = 0,
    cause: DeliveryCause = DeliveryCause.CONSENT_DENIED,
) -> AcceptedConversion:
    """Return the same conversion, with a denial of consent."""
    return an_entry(conversion_id, suppressed=DENIED, cause=cause, index=index)


def decided(**signals: str) -> ConsentDecision:
    return verdict(signals, a_conversion().identifiers, policy=ConsentPolicy(), now=NOW)


def restricted(conversion_id: str = "order-1") -> AcceptedConversion:
    """Return the same conversion, restricted to measurement."""
    return msgspec.structs.replace(
        corrected(conversion_id), consent=decided(ad_personalization="denied").evidence
    )


async def resubmit(
    store: Store, *entries: AcceptedConversion, at: int = NOW + 1, receipt: str = "r2"
) -> Recorded:
    """Submit entries later."""
    return await store.record(a_submission(*entries, receipt=receipt, received_at=at))


async def copies_of(
    store: Store, conversion_id: str = "order-1"
) -> list[tuple[str, State, str | None]]:
    """Return the receipt, state and reason of each copy."""
    return [
        (history.receipt, history.state, history.reason)
        for history in await histories(store, conversion_id)
    ]


async def of_receipt(store: Store, receipt: str) -> History:
    (history,) = await store.find(ByReceipt(receipt=receipt))
    return history


class CopyLaws:
    async def test_held_conversion_keeps_its_deduplication_key(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1", held="why")))

        later = await resubmit(store, corrected(), at=NOW + 2 * DEFAULT_WINDOW)

        assert later == DUPLICATE
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=2, duplicate=1, held=1
        )

    async def test_copy_with_a_corrected_body_replaces_a_dead_letter(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")

        recorded = await resubmit(store, corrected())

        assert recorded == Recorded()
        new, old = await histories(store, "order-1")
        assert (new.state, new.supersedes, new.superseded_by) == (State.QUEUED, (dead,), None)
        assert (old.state, old.reason) == (State.SUPPRESSED, CORRECTED)
        assert (old.delivery, old.superseded_by) == (dead, new.delivery)
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=2, suppressed=1, pending=1
        )

    async def test_replaced_dead_letter_is_never_sent(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")
        await resubmit(store, corrected())

        replayed = (await store.move(Replay(deliveries=[dead], sure=[dead]), now=NOW + 2)).moved

        batch = await claim(store, now=NOW + 2)
        assert (replayed, [delivery.body for delivery in batch.deliveries]) == (
            0,
            [corrected().body],
        )
        assert await claim_or_none(store, now=NOW + 2) is None

    async def test_equal_copy_of_a_dead_letter_is_a_duplicate(self, store: Store) -> None:
        await add_dead_letter(store, "order-1")

        assert await record(store, "order-1", receipt="r2", at=NOW + 1) == DUPLICATE
        assert await resubmit(store, denied("order-2"), receipt="r3") == Recorded()

    async def test_copy_without_a_time_is_not_a_correction(self, store: Store) -> None:
        await store.record(a_submission(at_time(NOW)))
        batch = await claim(store)
        await settle(store, batch, "rejected", dead_lettered(batch))

        # If no time was given, each copy has the time of its receipt.
        assert await resubmit(store, at_time(NOW + HOUR), at=NOW + HOUR) == DUPLICATE
        # A copy with a time corrects it.
        assert await resubmit(store, at_time(NOW - HOUR), receipt="r3") == Recorded()

    async def test_copy_that_omits_the_time_is_a_correction(self, store: Store) -> None:
        await store.record(a_submission(at_time(NOW - HOUR)))
        batch = await claim(store)
        await settle(store, batch, "rejected", dead_lettered(batch))

        assert await resubmit(store, at_time(NOW + 1)) == Recorded()

    async def test_copy_replaces_a_dead_letter_after_the_window(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")

        late = await record(store, "order-1", receipt="r2", at=NOW + DEFAULT_WINDOW + 1)

        replayed = (await store.move(Replay(deliveries=[dead]), now=NOW + DEFAULT_WINDOW + 2)).moved
        assert (late, replayed) == (Recorded(), 0)
        assert await copies_of(store) == [
            ("r2", State.QUEUED, None),
            ("r-order-1", State.SUPPRESSED, RENEWED),
        ]

    async def test_correction_of_an_ambiguous_delivery_is_held(self, store: Store) -> None:
        await record(store, "order-1")
        first = await claim(store)
        await settle(store, first, "errored", postponed(first, until=NOW), ambiguous=True)
        second = await claim(store)
        await settle(store, second, "rejected", dead_lettered(second))

        recorded = await resubmit(store, corrected())

        assert recorded == Recorded(held=(0,))
        new = (await histories(store, "order-1"))[0]
        assert (new.state, new.reason) == (State.HELD, OTHER_BODY)
        assert doubt(new, now=NOW + 2) is not None
        assert await claim_or_none(store, now=NOW + 2) is None
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=2, suppressed=1, held=1
        )

    async def test_dead_tag_delivery_is_not_replaced_by_a_copy(self, store: Store) -> None:
        await add_dead_letter(store, "order-1", pixel="tag:crm")

        assert await resubmit(store, corrected(pixel="tag:crm")) == DUPLICATE

    async def test_correction_with_fewer_restrictions_is_a_duplicate(self, store: Store) -> None:
        await store.record(a_submission(restricted()))
        batch = await claim(store)
        await settle(store, batch, "rejected", dead_lettered(batch))

        assert await resubmit(store, an_entry("order-1")) == DUPLICATE

    async def test_denial_withdraws_queued_conversions(self, store: Store) -> None:
        await record(store, "order-1")

        recorded = await resubmit(store, denied())

        assert recorded == Recorded()
        assert await claim_or_none(store, now=NOW + 1) is None
        assert await copies_of(store) == [
            ("r2", State.SUPPRESSED, DENIED),
            ("r1", State.SUPPRESSED, by_later(DENIED)),
        ]
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=2, suppressed=2
        )

    async def test_denial_withdraws_held_and_dead_conversions(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")
        await store.record(a_submission(an_entry("order-2", held="why"), receipt="r-held"))
        held = (await of_receipt(store, "r-held")).delivery

        await resubmit(store, denied("order-1"), denied("order-2", index=1))

        assert (
            await store.move(Replay(deliveries=[dead, held], sure=[dead, held]), now=NOW + 2)
        ).moved == 0
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=4, suppressed=4
        )

    async def test_copy_without_signals_after_a_denial_is_a_duplicate(self, store: Store) -> None:
        await store.record(a_submission(denied()))

        second = await record(store, "order-1", receipt="r2", at=NOW + DEFAULT_WINDOW)
        third = await record(store, "order-1", receipt="r3", at=NOW + DEFAULT_WINDOW + 1)

        (first, *_) = [
            history for history in await histories(store, "order-1") if history.receipt == "r1"
        ]
        assert (second, third) == (DUPLICATE, Recorded())
        assert (first.state, first.reason, first.duplicates) == (State.SUPPRESSED, DENIED, 1)

    async def test_denial_among_copies_of_a_request_suppresses_all(self, store: Store) -> None:
        recorded = await store.record(
            a_submission(
                an_entry("order-1"),
                denied("order-1", index=1),
                denied("order-2", index=2),
                an_entry("order-2", index=3),
            )
        )

        assert recorded == Recorded(duplicates=(3,))
        assert await claim_or_none(store) is None
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=4, duplicate=1, suppressed=3
        )

    async def test_copy_without_consent_signals_is_not_a_denial(self, store: Store) -> None:
        await record(store, "order-1")
        silent = denied(cause=MISSING)

        await resubmit(store, silent)
        await store.record(a_submission(denied("order-2", cause=MISSING), receipt="r3"))
        await record(store, "order-2", receipt="r4")

        assert sorted(ids(await claim(store))) == ["order-1", "order-2"]

    async def test_conversion_denied_in_flight_is_not_retried(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await resubmit(store, denied())
        in_progress = await copies_of(store)

        await settle(store, batch, "errored", postponed(batch, until=NOW), ambiguous=True)

        assert in_progress == [("r2", State.SUPPRESSED, DENIED), ("r1", State.SENDING, None)]
        assert await copies_of(store) == [
            ("r2", State.SUPPRESSED, DENIED),
            ("r1", State.SUPPRESSED, by_later(DENIED)),
        ]
        assert await claim_or_none(store, now=NOW + MINUTE) is None
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=2, suppressed=2
        )

    async def test_conversion_denied_in_flight_is_not_sent_later(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store)
        await resubmit(store, denied())

        await sweep(store, now=NOW + 2 * MINUTE)

        assert await claim_or_none(store, now=NOW + 2 * MINUTE) is None
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=2, suppressed=2
        )

    async def test_conversion_denied_in_flight_leaves_its_batch(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1"), an_entry("order-2", index=1)))
        batch = await claim(store)
        before = await store.withdrawn(batch)

        await resubmit(store, denied())

        assert list(before) == []
        assert list(await store.withdrawn(batch)) == [
            delivery.id for delivery in batch.deliveries if delivery.conversion_id == "order-1"
        ]

    async def test_denial_of_a_delivery_that_x_accepts_is_recorded(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await resubmit(store, denied())

        await settle(store, batch, "delivered", delivered(batch))

        assert await copies_of(store) == [
            ("r2", State.SUPPRESSED, DENIED),
            ("r1", State.DELIVERED, None),
        ]
        assert (await of_receipt(store, "r1")).superseded_by == (
            await of_receipt(store, "r2")
        ).delivery
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=2, delivered=1, suppressed=1
        )

    async def test_denial_after_delivery_is_recorded(self, store: Store) -> None:
        await deliver(store, "order-1")

        await resubmit(store, denied())

        assert [history.state for history in await histories(store, "order-1")] == [
            State.SUPPRESSED,
            State.DELIVERED,
        ]
        assert await record(store, "order-1", receipt="r3", at=NOW + 2) == DUPLICATE

    async def test_queued_conversion_gets_the_strictest_restrictions(self, store: Store) -> None:
        await record(store, "order-1")

        recorded = await resubmit(store, restricted())

        (sent,) = (await claim(store, now=NOW + 1)).deliveries
        assert (recorded, sent.body) == (Recorded(), restricted().body)
        assert await copies_of(store) == [
            ("r2", State.SENDING, None),
            ("r1", State.SUPPRESSED, LIMITED),
        ]

    async def test_copy_with_fewer_restrictions_is_a_duplicate(self, store: Store) -> None:
        await store.record(a_submission(restricted()))

        assert await resubmit(store, an_entry("order-1")) == DUPLICATE

    async def test_ambiguous_delivery_is_withdrawn_by_a_stricter_copy(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await settle(store, batch, "errored", postponed(batch, until=NOW), ambiguous=True)

        recorded = await resubmit(store, restricted())

        assert recorded == DUPLICATE
        reason = by_later("consent_limited: ad_personalization")
        assert await copies_of(store) == [("r1", State.SUPPRESSED, reason)]

    async def test_copy_that_is_held_holds_the_queued_conversion(self, store: Store) -> None:
        await record(store, "order-1")

        recorded = await resubmit(
            store,
            an_entry("order-1", held="consent_unclear: gcd", cause=DeliveryCause.CONSENT_UNCLEAR),
        )

        assert recorded == DUPLICATE
        assert await copies_of(store) == [("r1", State.HELD, by_later("consent_unclear: gcd"))]
