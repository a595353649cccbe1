# ruff: noqa: S101 - assertions are how laws speak
"""Store contract: expiry and retention."""

from twite.domain.delivery import (
    MAY_COUNT_TWICE,
    SENDER_STOPPED,
    WAITED_TOO_LONG,
    State,
)
from twite.domain.history import PastAttempt
from twite.gateway.ports.outbox import SweepResult
from twite.gateway.ports.queries import AtRest
from twite.gateway.ports.store import Store
from twite.testing.builders import NOW
from twite.testing.laws.actions import (
    FAR,
    claim,
    histories,
    postponed,
    record,
    settle,
    sweep,
)


class SweepLaws:
    async def test_a_lease_lapses_after_its_end(self, store: Store) -> None:
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

        assert first == SweepResult(next_due=NOW + 5)
        assert second == SweepResult(promoted=1, next_due=NOW + 9)

    async def test_what_is_ambiguous_for_too_long_is_held(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store, lease_until=NOW + 10)
        await sweep(store, now=NOW + 11)

        in_time = await sweep(store, now=NOW + 12, ambiguous_before=NOW)
        late = await sweep(store, now=NOW + 12, ambiguous_before=NOW + 1)

        (history,) = await histories(store, "order-1")
        assert (in_time.held, late.held) == (0, 1)
        assert (history.state, history.reason) == (State.HELD, MAY_COUNT_TWICE)

    async def test_what_waits_for_too_long_is_held(self, store: Store) -> None:
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

    async def test_what_is_being_sent_is_not_held(self, store: Store) -> None:
        await record(store, "order-1")
        await claim(store, lease_until=FAR)

        swept = await sweep(store, now=NOW, ambiguous_before=FAR, waiting_before=FAR)

        assert swept == SweepResult()
