"""Store contract: conversions that leave their wait in another way than by its end are joined."""

import msgspec

from builders import NOW, a_submission
from store_contract.actions import claim, claim_or_none, delivered, histories, settle, sweep
from store_contract.joining import CLICK_ID, MAIL, WAIT, digest, fact, knowing, sent, waiting
from twite.domain.cause import DeliveryCause
from twite.domain.conversion import Identifiers
from twite.domain.delivery import State
from twite.domain.joins import NOTHING_KNOWN, JoinKind
from twite.domain.submission import AcceptedConversion
from twite.gateway.ports.outbox import Replay, TakeBack
from twite.gateway.ports.store import Store

JOINED = {"twclid": CLICK_ID, "hashed_email": digest(MAIL)}
EMAIL = fact(JoinKind.EMAIL, digest(MAIL))


def held(entry: AcceptedConversion) -> AcceptedConversion:
    return msgspec.structs.replace(entry, held="unusual amount", cause=DeliveryCause.AMOUNT_OUTLIER)


async def release(store: Store) -> int:
    (history,) = await histories(store, "order-1")
    return (await store.move(Replay(deliveries=[history.delivery]), now=NOW + 1)).moved


class JoinedMoveLaws:
    async def test_held_conversion_is_joined_when_it_is_released(self, store: Store) -> None:
        await store.record(a_submission(held(waiting())))
        await store.record(knowing(EMAIL))
        waits = (await histories(store, "order-1"))[0].is_joining

        assert (waits, await release(store)) == (False, 1)
        assert await sent(store, now=NOW + 1) == JOINED

    async def test_held_conversion_without_identifiers_is_not_sent_to_be_refused(
        self, store: Store
    ) -> None:
        await store.record(a_submission(held(waiting(own=Identifiers(), keys=()))))

        await release(store)

        (history,) = await histories(store, "order-1")
        assert await claim_or_none(store, now=NOW + 1) is None
        assert (history.state, history.reason) == (State.SUPPRESSED, NOTHING_KNOWN)

    async def test_waiting_conversion_that_was_held_is_joined_when_it_is_released(
        self, store: Store
    ) -> None:
        await store.record(a_submission(waiting()))
        await store.record(knowing(EMAIL))
        (history,) = await histories(store, "order-1")
        hold = TakeBack(
            deliveries=[history.delivery],
            cause=DeliveryCause.AMOUNT_OUTLIER,
            reason="unusual amount",
            hold=True,
        )
        await store.move(hold, now=NOW)

        await release(store)

        assert await sent(store, now=NOW + 1) == JOINED

    async def test_conversion_due_too_far_ahead_is_joined(self, store: Store) -> None:
        ahead = NOW + 10 * WAIT
        await store.record(a_submission(waiting(), received_at=ahead))
        await store.record(knowing(fact(JoinKind.EMAIL, digest(MAIL), seen_at=ahead)))

        swept = await sweep(store, now=NOW, furthest=NOW - 6 * 3_600_000)

        assert swept.promoted == 1
        assert await sent(store, now=NOW) == JOINED

    async def test_body_of_a_sent_conversion_is_never_joined(self, store: Store) -> None:
        await store.record(a_submission(waiting()))
        batch = await claim(store, now=NOW + WAIT)
        await settle(store, batch, "delivered", delivered(batch), at=NOW + WAIT)
        await store.record(knowing(EMAIL))

        assert await release(store) == 0
        (history,) = await histories(store, "order-1")
        assert digest(MAIL).encode() not in history.sent
