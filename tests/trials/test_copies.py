"""Random copies: unchanged, corrected, restricted, denied; X accepts, refuses or does not respond.

What X may get: one body per conversion, nothing after a denial, nothing beyond a restriction.
"""

import os
import random
from collections import Counter

import msgspec
import pytest

from builders import NOW, a_submission, an_entry
from memory_store.store import MemoryStore
from store_contract.actions import (
    balanced,
    claim_or_none,
    dead_lettered,
    delivered,
    histories,
    postponed,
    settle,
    sweep,
)
from store_contract.copies import DENIED, decided
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.times import HOUR, MINUTE
from twite.gateway.operations.edit import doubt
from twite.gateway.ports.outbox import Replay
from twite.gateway.ports.queries import AtRest
from twite.stores.sqlite import SQLiteStore

SEEDS = int(os.environ.get("TWITE_COPIES", "300" if os.environ.get("TWITE_TRIAL") == "1" else "3"))
STEPS = 120
NAMES = 8
FEW = 2
LIMITED = decided(ad_personalization="denied").evidence
OTHERWISE = decided(ad_user_data="denied").evidence
KINDS = ("plain", "plain", "plain", "corrected", "corrected", "limited", "denied", "silent")

ALL_KINDS = (*KINDS, "unclear", "limited otherwise", "limited")


class CopyTrial:
    """One store, and an X that records what it accepts."""

    def __init__(self, store, seed, *, kinds=KINDS, names=NAMES, together=True):
        """`together`: whether the copies share one request."""
        self.store = store
        self.kinds, self.names, self.together = kinds, names, together
        self.randomness = random.Random(seed)
        self.now = NOW
        self.counts = Counter()
        self.taken = {}
        self.denied, self.limited = set(), set()
        self.in_progress = []
        self.wrong = []

    async def step(self):
        self.now += self.randomness.choice([1, 1, 1, MINUTE])
        act = self.randomness.choice(
            [self.submit, self.submit, self.send, self.answer, self.replay]
        )
        await act()
        await balanced(self.store)

    async def submit(self):
        """Submit one to three copies in one request."""
        entries = [self._copy(index) for index in range(self.randomness.randint(1, 3))]
        self.counts["copies"] += len(entries)
        for some in [entries] if self.together else [[entry] for entry in entries]:
            receipt = f"r{self.counts['copies']}-{some[0].index}"
            recorded = await self.store.record(
                a_submission(*some, receipt=receipt, received_at=self.now)
            )
            self.counts["duplicates"] += len(recorded.duplicates)
        for entry in entries:
            if entry.suppressed == DENIED:
                self.denied.add(entry.conversion_id)
            if entry.consent is not None:
                self.limited.add(entry.conversion_id)

    def _copy(self, index):
        name = f"order-{self.randomness.randrange(self.names)}"
        kind = self.randomness.choice(self.kinds)
        entry = an_entry(name, index=index)
        if kind == "denied":
            return msgspec.structs.replace(
                entry, suppressed=DENIED, cause=DeliveryCause.CONSENT_DENIED
            )
        if kind == "silent":
            return msgspec.structs.replace(
                entry, suppressed="consent_missing", cause=DeliveryCause.CONSENT_MISSING
            )
        if kind == "unclear":
            return msgspec.structs.replace(
                entry, held="consent_unclear: gcd", cause=DeliveryCause.CONSENT_UNCLEAR
            )
        number = 0 if kind == "plain" else self.randomness.randrange(1, 4)
        body = entry.body.replace(b"{", b'{"value":"%d.00",' % number, 1)
        if kind == "limited otherwise":
            return msgspec.structs.replace(entry, body=body, consent=OTHERWISE)
        if kind == "limited":
            body = body.replace(b"{", b'{"restricted":1,', 1)
            return msgspec.structs.replace(entry, body=body, consent=LIMITED)
        return msgspec.structs.replace(entry, body=body)

    async def send(self):
        """Claim due deliveries; they are in flight until X responds."""
        limit = self.randomness.randint(1, 4)
        batch = await claim_or_none(
            self.store, now=self.now, limit=limit, lease_until=self.now + HOUR
        )
        if batch is None:
            return
        self.in_progress.append(batch)
        for delivery in batch.deliveries:
            if delivery.conversion_id in self.denied:
                self.wrong.append(("sent after a denial", delivery.conversion_id))
            if delivery.conversion_id in self.limited and b"restricted" not in delivery.body:
                self.wrong.append(("sent beyond a limit", delivery.conversion_id))

    async def answer(self):
        """X accepts the deliveries in flight, refuses them, or does not respond."""
        if not self.in_progress:
            return
        batch = self.in_progress.pop(self.randomness.randrange(len(self.in_progress)))
        there = any(delivery.conversion_id in self.taken for delivery in batch.deliveries)
        how = self.randomness.choice(["takes", "takes and is not heard", "is not heard", "refuses"])
        if there and how == "refuses":
            how = "takes"
        self.counts[how] += len(batch.deliveries)
        if how.startswith("takes"):
            for delivery in batch.deliveries:
                bodies = self.taken.setdefault(delivery.conversion_id, set())
                bodies.add(delivery.body)
                if len(bodies) > 1:
                    self.wrong.append(("X has two bodies", delivery.conversion_id))
        if how == "takes":
            await settle(self.store, batch, "delivered", delivered(batch), at=self.now)
        elif how == "refuses":
            await settle(self.store, batch, "rejected", dead_lettered(batch), at=self.now)
        else:
            transition = postponed(batch, until=self.now)
            await settle(self.store, batch, "errored", transition, at=self.now, ambiguous=True)

    async def replay(self):
        """Replay everything that needs no confirmation, or let leases expire."""
        if self.randomness.random() < 0.1:
            self.in_progress.clear()
            await sweep(self.store, now=self.now + 2 * HOUR)
            return
        resting = await self.store.find(AtRest(pixel=None, limit=99))
        sure = [letter.delivery for letter in resting if doubt(letter, now=self.now) is None]
        self.counts["replayed"] += (
            await self.store.move(Replay(deliveries=sure), now=self.now)
        ).moved
        left = await self.store.find(AtRest(pixel=None, limit=99))
        self.counts["kept for a person"] += sum(letter.state is State.HELD for letter in left)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_x_gets_one_body_of_all_copies_and_none_after_a_denial(kind, tmp_path, figure):
    counts, wrong = Counter(), []
    for seed in range(SEEDS):
        store = (
            MemoryStore()
            if kind == "memory"
            else await SQLiteStore.open(str(tmp_path / f"{seed}.db"), fresh_keys=3)
        )
        trial = CopyTrial(store, seed)
        for _ in range(STEPS):
            await trial.step()
        await store.close()
        counts += trial.counts
        wrong += [(seed, *mistake) for mistake in trial.wrong]
    assert wrong == []
    reported = ", ".join(f"{many} {what}" for what, many in sorted(counts.items()))
    figure(f"copies on {kind}", f"{SEEDS} seeds: {reported}; 0 with two bodies, 0 after a denial")


async def stored(trial):
    """Return what a store knows about all conversions, without its delivery ids."""
    return [
        (
            history.conversion_id, history.state, history.reason, history.sent, history.duplicates,
            history.ambiguous_since, history.superseded_by is None,
            len(history.supersedes), len(history.attempts),
        )
        for number in range(FEW)
        for history in await histories(trial.store, f"order-{number}")
    ]  # fmt: skip


async def test_copies_in_one_request_have_the_results_of_single_copies(tmp_path, figure):
    compared, copies = 0, 0
    for seed in range(SEEDS):
        file = str(tmp_path / f"{seed}.db")
        wanted = CopyTrial(MemoryStore(), seed, kinds=ALL_KINDS, names=FEW, together=False)
        trials = [
            CopyTrial(MemoryStore(), seed, kinds=ALL_KINDS, names=FEW),
            CopyTrial(await SQLiteStore.open(file, fresh_keys=1), seed, kinds=ALL_KINDS, names=FEW),
        ]
        for step in range(STEPS):
            await wanted.step()
            for trial in trials:
                await trial.step()
                assert await stored(trial) == await stored(wanted), (seed, step, type(trial.store))
            compared += len(trials)
        copies += wanted.counts["copies"]
        await trials[1].store.close()
    figure(
        "copies in one request", f"{SEEDS} seeds, {copies:,} copies: {compared:,} of {compared:,} "
        "comparisons with the same copies one by one are equal",
    )  # fmt: skip
