"""Store contract: the erasure of a person, and the end of a store."""

import hashlib

import msgspec
import pytest

from builders import NOW, a_conversion, a_submission, an_entry
from store_contract.actions import (
    EVENT,
    PIXEL,
    add_dead_letter,
    balanced,
    claim,
    claim_or_none,
    deliver,
    histories,
    ids,
    postponed,
    record,
    settle,
)
from twite.domain.cause import DeliveryCause
from twite.domain.consent import REVOKED, person_keys
from twite.domain.conversion import dedup_key
from twite.domain.delivery import State
from twite.domain.errors import LedgerUnavailable
from twite.domain.history import ConversionCounts
from twite.domain.people.users import AuditEvent
from twite.domain.submission import AcceptedConversion, Recorded
from twite.domain.times import DAY
from twite.gateway.operations.erase import ERASED, GONE, PREFIX
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.outbox import Replay, TakeBack
from twite.gateway.ports.privacy import ErasedText, EraseStore
from twite.gateway.ports.queries import (
    AtRest,
    ByReceipt,
    DecidedDelivery,
    HeldKeysQuery,
    SubmissionsQuery,
    UndeliveredQuery,
)
from twite.gateway.ports.state import DecisionPolicy
from twite.gateway.ports.store import Store


def email_of(number: int) -> str:
    return hashlib.sha256(f"shopper-{number}@shop.example".encode()).hexdigest()


class PrivacyLaws:
    async def test_erased_conversion_is_not_sent_and_stays_counted(self, store: Store) -> None:
        await record(store, "order-1")
        (before,) = await histories(store, "order-1")

        done = await store.erase(EraseStore(conversions=(before.delivery,)), now=NOW + 1)

        (after,) = await store.find(ByReceipt(receipt="r1"))
        whole = await balanced(store)
        assert (done, after.state, after.reason) == (1, State.SUPPRESSED, ERASED)
        assert after.conversion_id.startswith(PREFIX)
        assert after.sent.strip() in {b"", b"{}"}
        assert (whole.received, whole.suppressed) == (1, 1)
        assert await claim_or_none(store, now=NOW + 2) is None

    async def test_keys_of_old_and_erased_conversions_are_found(self, store: Store) -> None:
        names = ["order-1", "order-2", "order-3"]
        for place, name in enumerate(names[:2]):
            await record(store, name, receipt=name, at=NOW - (20 - place) * DAY)
        (erased,) = await histories(store, "order-1")
        await store.erase(EraseStore(conversions=(erased.delivery,)), now=NOW)

        keys = [dedup_key(PIXEL, EVENT, name) for name in names]
        assert await store.answer(HeldKeysQuery(keys=keys)) == frozenset(keys[:2])

    async def test_erasure_of_part_of_a_large_request(self, store: Store) -> None:
        people = [email_of(number) for number in range(40)]
        said = [
            {"conversion_id": f"order-{number}", "email_sha256": digest}
            for number, digest in enumerate(people)
        ]
        body = msgspec.json.encode({"conversions": said})
        entries = [an_entry(f"order-{number}", index=number) for number in range(40)]
        await store.record(msgspec.structs.replace(a_submission(*entries), body=body))
        (first,) = await histories(store, "order-0")
        (last,) = await histories(store, "order-39")
        wanted = SubmissionsQuery(deliveries=[last.delivery], scope=QueryScope())

        (before,) = await store.answer(wanted)
        cuts = (ErasedText(submission=first.delivery, places=(7,)),)  # a new store: the same id
        await store.erase(EraseStore(cuts=cuts), now=NOW + 1)

        (after,) = await store.answer(wanted)
        assert len(body) > 2_048
        assert (before.body, before.place) == (body, 39)
        left = [*said[:7], {GONE: True}, *said[8:]]
        assert msgspec.json.decode(after.body) == {"conversions": left}

    async def test_conversion_in_flight_is_not_erased_yet(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)

        done = await store.erase(EraseStore(conversions=(batch.deliveries[0].id,)), now=NOW + 1)

        assert done == 0
        assert len(await histories(store, "order-1")) == 1

    async def test_erasure_adds_opt_outs_and_is_audited(self, store: Store) -> None:
        keys = person_keys(a_conversion().identifiers, pixel=PIXEL, salt=store.salt)
        event = AuditEvent(at=NOW, who="ada", what="erase", subject="digest")

        await store.erase(EraseStore(keys=keys, audit_event=event), now=NOW)

        assert store.lists(keys)
        assert [entry.audit_event for entry in await store.people.audit(after=0, limit=9)] == [
            event
        ]

    async def test_closed_store_refuses_submissions(self, store: Store) -> None:
        await store.close()

        with pytest.raises(LedgerUnavailable):
            await record(store, "order-1")


def keys(store: Store, *, pixel: str = PIXEL) -> tuple[bytes, ...]:
    """Return the keys of the person to whom all conversions from the builders belong."""
    return person_keys(a_conversion().identifiers, pixel=pixel, salt=store.salt)


def held(conversion_id: str, *, consent: bytes | None = None) -> AcceptedConversion:
    """Return a conversion that a user must release."""
    entry = an_entry(conversion_id)
    return AcceptedConversion(
        index=0,
        key=entry.key,
        pixel=entry.pixel,
        event=entry.event,
        conversion_id=conversion_id,
        body=entry.body,
        held="consent_unclear: gcd",
        cause=DeliveryCause.CONSENT_UNCLEAR,
        consent=consent,
    )


class ConsentLaws:
    async def test_new_store_has_no_opt_outs(self, store: Store) -> None:
        assert not store.has_opt_outs()
        assert not store.lists(keys(store))

    async def test_person_is_opted_out_until_new_consent(self, store: Store) -> None:
        await store.revoke(keys(store), now=NOW)
        revoked = store.has_opt_outs(), store.lists(keys(store))

        await store.restore(keys(store))

        assert revoked == (True, True)
        assert not store.has_opt_outs()

    async def test_opted_out_persons_queued_conversions_are_suppressed(self, store: Store) -> None:
        await record(store, "order-1")
        await record(store, "order-2", pixel="p2", receipt="r2")

        await store.revoke(keys(store), now=NOW)

        assert await claim_or_none(store) is None
        assert ids(await claim(store, pixel="p2")) == ["order-2"]
        (history,) = await histories(store, "order-1")
        assert (history.state, history.reason) == (State.SUPPRESSED, REVOKED)
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=2, suppressed=1, pending=1
        )

    async def test_claim_continues_after_an_opted_out_person(self, store: Store) -> None:
        await record(store, "order-1")
        entry = an_entry("order-2")
        body = entry.body.replace(b"23opevjt88psuo13lu8d020qkn", b"another-click")
        await store.record(a_submission(msgspec.structs.replace(entry, body=body), receipt="r2"))

        await store.revoke(keys(store), now=NOW)

        assert ids(await claim(store, limit=1)) == ["order-2"]

    async def test_retry_for_an_opted_out_person_is_suppressed(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await store.revoke(keys(store), now=NOW)
        await settle(store, batch, "errored", postponed(batch, until=NOW), ambiguous=True)

        assert await claim_or_none(store, now=NOW + 1) is None

        (history,) = await histories(store, "order-1")
        assert (history.state, len(history.attempts)) == (State.SUPPRESSED, 1)

    async def test_opted_out_person_is_withdrawn_from_a_batch(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        before = await store.withdrawn(batch)

        await store.revoke(keys(store), now=NOW)

        assert list(before) == []
        assert list(await store.withdrawn(batch)) == [batch.deliveries[0].id]

    async def test_replayed_conversion_of_an_opted_out_person_is_not_sent(
        self, store: Store
    ) -> None:
        dead = await add_dead_letter(store, "order-1")
        await store.revoke(keys(store), now=NOW)

        await store.move(Replay(deliveries=[dead]), now=NOW)

        assert await claim_or_none(store) is None

    async def test_conversions_are_sent_after_new_consent(self, store: Store) -> None:
        await record(store, "order-1")
        await store.revoke(keys(store), now=NOW)
        await store.restore(keys(store))

        assert ids(await claim(store)) == ["order-1"]

    async def test_held_conversion_is_not_claimed(self, store: Store) -> None:
        await store.record(a_submission(held("order-1")))

        waiting = await claim_or_none(store)
        (history,) = await store.find(AtRest(pixel=None, limit=9))
        await store.move(Replay(deliveries=[history.delivery]), now=NOW + 1)

        assert waiting is None
        assert (history.state, history.reason) == (State.HELD, "consent_unclear: gcd")
        assert ids(await claim(store, now=NOW + 1)) == ["order-1"]

    async def test_held_conversion_has_its_key_and_is_counted(self, store: Store) -> None:
        await store.record(a_submission(held("order-1")))

        again = await record(store, "order-1", receipt="r2")

        assert again == Recorded(duplicates=(0,))
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=2, duplicate=1, held=1
        )

    async def test_consent_verdict_is_stored(self, store: Store) -> None:
        await store.record(a_submission(held("order-1", consent=b'{"action":"hold"}')))

        (history,) = await histories(store, "order-1")

        assert history.consent == b'{"action":"hold"}'

    async def test_undecided_deliveries_are_listed_with_their_evidence(self, store: Store) -> None:
        await deliver(store, "order-0")
        await store.record(a_submission(held("order-1", consent=b"{}"), receipt="r1"))
        await record(store, "order-2", receipt="r2")
        await store.record(a_submission(an_entry("order-3"), source="other", receipt="r3"))
        (early,), (two,) = await histories(store, "order-1"), await histories(store, "order-2")

        all_of_it = await store.answer(UndeliveredQuery(source="shop", after=0, limit=9))
        rest = await store.answer(UndeliveredQuery(source="shop", after=early.delivery, limit=1))

        assert list(all_of_it) == [
            DecidedDelivery(delivery=early.delivery, pixel="o8z6j", evidence=b"{}"),
            DecidedDelivery(delivery=two.delivery, pixel="o8z6j", evidence=None),
        ]
        assert list(rest) == [DecidedDelivery(delivery=two.delivery, pixel="o8z6j", evidence=None)]

    async def test_delivery_suppressed_by_a_policy_is_withdrawn(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")
        await record(store, "order-2", receipt="r2")
        (queued,) = await histories(store, "order-2")

        done = (
            await store.move(
                TakeBack(
                    deliveries=[dead, queued.delivery, 999_999],
                    cause=DeliveryCause.CONSENT_MISSING,
                    reason="consent_missing",
                    hold=False,
                ),
                now=NOW,
            )
        ).moved

        found = [*await histories(store, "order-1"), *await histories(store, "order-2")]
        assert done == 2
        assert [(history.state, history.reason) for history in found] == [
            (State.SUPPRESSED, "consent_missing")
        ] * 2
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=2, suppressed=2
        )

    async def test_only_queued_deliveries_are_held_by_a_new_policy(self, store: Store) -> None:
        dead = await add_dead_letter(store, "order-1")
        await record(store, "order-2", receipt="r2")
        (queued,) = await histories(store, "order-2")

        done = (
            await store.move(
                TakeBack(
                    deliveries=[dead, queued.delivery],
                    cause=DeliveryCause.CONSENT_UNCLEAR,
                    reason="consent_unclear: tcf",
                    hold=True,
                ),
                now=NOW,
            )
        ).moved

        assert done == 1
        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=2, dead=1, held=1
        )

    async def test_delivery_in_flight_is_not_suppressed_by_a_policy(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        which = [batch.deliveries[0].id]

        done = [
            (
                await store.move(
                    TakeBack(
                        deliveries=which,
                        cause=DeliveryCause.CONSENT_UNCLEAR,
                        reason="unclear",
                        hold=hold,
                    ),
                    now=NOW,
                )
            ).moved
            for hold in (True, False)
        ]

        assert done == [0, 0]

    async def test_policy_of_the_last_decision_is_stored_by_source(self, store: Store) -> None:
        before = await store.load(DecisionPolicy)

        await store.put([DecisionPolicy(source="shop", version="a.b")])
        await store.put([DecisionPolicy(source="shop", version="c.d")])

        assert (list(before), list(await store.load(DecisionPolicy))) == (
            [],
            [DecisionPolicy(source="shop", version="c.d")],
        )
