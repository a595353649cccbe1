"""Actions and queries on a store that the contract tests share."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from builders import NOW, a_submission, an_entry
from twite.domain.delivery import MOST_BYTES, Attempt, Batch, Settlement, Transition, Trigger
from twite.domain.history import ConversionCounts, History, total
from twite.domain.submission import Recorded
from twite.domain.times import HOUR, MINUTE
from twite.gateway.ports.outbox import Claim, SweepRequest, SweepResult
from twite.gateway.ports.queries import ByConversionId
from twite.gateway.ports.store import Store

PIXEL: Final = "o8z6j"
EVENT: Final = "o8z6k"
FAR: Final = NOW + 1_000 * HOUR


def ids(batch: Batch) -> list[str]:
    return [delivery.conversion_id for delivery in batch.deliveries]


def delivered(batch: Batch) -> Transition:
    return Transition(trigger=Trigger.DELIVERED, deliveries=_all(batch))


def dead_lettered(batch: Batch) -> Transition:
    return Transition(trigger=Trigger.GIVEN_UP, deliveries=_all(batch), reason="refused")


def postponed(batch: Batch, *, until: int) -> Transition:
    return Transition(trigger=Trigger.POSTPONED, deliveries=_all(batch), due_at=until)


async def record(
    store: Store,
    conversion_id: str,
    *,
    receipt: str = "r1",
    at: int = NOW,
    pixel: str = PIXEL,
) -> Recorded:
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
    limits: Mapping[str, int] | None = None,
    suspects: bool = True,
    most_bytes: int = MOST_BYTES,
    passing_events: Collection[str] = (),
    passing: Collection[int] = (),
) -> Batch | None:
    """Claim due deliveries; None if there are none."""
    return await store.claim(
        Claim(
            pixel=pixel,
            now=now,
            lease_until=lease_until,
            limit=limit,
            ambiguous_after=ambiguous_after,
            limits=limits or {},
            suspects=suspects,
            most_bytes=most_bytes,
            passing_events=frozenset(passing_events),
            passing=frozenset(passing),
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
    limits: Mapping[str, int] | None = None,
) -> Batch:
    """Claim due deliveries; fail if there are none."""
    batch = await claim_or_none(
        store,
        now=now,
        pixel=pixel,
        limit=limit,
        lease_until=lease_until,
        ambiguous_after=ambiguous_after,
        limits=limits,
    )
    assert batch is not None
    return batch


async def settle(
    store: Store,
    batch: Batch,
    outcome: str,
    *transitions: Transition,
    at: int = NOW,
    status: int | None = 200,
    answer: str = "{}",
    ambiguous: bool = False,
    lease_until: int = NOW + MINUTE,
) -> int:
    """Settle a batch after an attempt that sent all its deliveries."""
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
        Settlement(
            lease=batch.lease, attempt=attempt, transitions=transitions, lease_until=lease_until
        )
    )


async def sweep(
    store: Store,
    *,
    now: int,
    ambiguous_before: int = 0,
    waiting_before: int = 0,
    furthest: int = 1 << 62,
    holding: Iterable[int] = (),
    cautious: Iterable[str] = (),
) -> SweepResult:
    return await store.sweep(
        SweepRequest(
            now=now,
            ambiguous_before=ambiguous_before,
            waiting_before=waiting_before,
            furthest=furthest,
            holding=frozenset(holding),
            cautious=frozenset(cautious),
        )
    )


async def deliver(store: Store, conversion_id: str) -> None:
    await record(store, conversion_id, receipt=f"r-{conversion_id}")
    batch = await claim(store)
    await settle(store, batch, "delivered", delivered(batch))


async def add_dead_letter(
    store: Store, conversion_id: str, *, pixel: str = PIXEL, at: int = NOW
) -> int:
    """Submit one conversion and make it a dead letter; return the delivery."""
    await record(store, conversion_id, receipt=f"r-{conversion_id}", pixel=pixel)
    batch = await claim(store, pixel=pixel)
    await settle(store, batch, "rejected", dead_lettered(batch), at=at)
    return batch.deliveries[0].id


async def histories(store: Store, conversion_id: str) -> list[History]:
    return list(
        await store.find(ByConversionId(pixel=PIXEL, events=[EVENT], conversion_id=conversion_id))
    )


async def balanced(store: Store) -> ConversionCounts:
    """Return the total of all accounts; it must balance."""
    whole = total(await store.balance())
    assert whole.balance == 0
    return whole


def _all(batch: Batch) -> tuple[int, ...]:
    return tuple(delivery.id for delivery in batch.deliveries)
