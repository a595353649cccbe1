"""The SQLite store against the memory store, under random actions and crashes."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from builders import NOW, a_conversion, a_submission, an_entry
from killed_files import copy_killed
from memory_store.store import MemoryStore
from twite.domain.cause import DeliveryCause
from twite.domain.consent import person_keys
from twite.domain.delivery import Attempt, Settlement, Transition, Trigger
from twite.domain.history import total
from twite.domain.times import HOUR
from twite.gateway.ports.outbox import Claim, Discard, Recall, Replay, SweepRequest, TakeBack
from twite.gateway.ports.queries import AtRest, ByConversionId, UndeliveredQuery
from twite.gateway.ports.store import StoreOptions
from twite.stores.sql.statements import query
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.owner_session import OwnerSession

WINDOW = 100 * HOUR
EVENTS = ["o8z6k", "o8z6m"]
IDS = [f"order-{number}" for number in range(8)]
LONG = os.environ.get("TWITE_TRIAL") == "1"
EVERY = 4


@pytest.fixture(autouse=True)
def small_bodies(monkeypatch):
    """Skip the reading of body sizes at the first claim, as after a claim of small bodies."""
    monkeypatch.setattr(OwnerSession, "largest_body", 1)


class Ledgers(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="twite-model-"))
        self.crashes = self.steps = 0
        self.now = NOW
        self.receipts = []
        self.leases = []
        self.model = MemoryStore(dedup_window=WINDOW)
        self.open()

    def open(self):
        self.path = self.folder / f"{self.crashes}.db"
        self.store = self.run(
            SQLiteStore.open(str(self.path), StoreOptions(dedup_window=WINDOW), fresh_keys=4)
        )

    def run(self, awaitable):
        return self.loop.run_until_complete(awaitable)

    @rule(
        wanted=st.lists(
            st.tuples(st.sampled_from(IDS), st.sampled_from(EVENTS), st.sampled_from([None, "no"])),
            max_size=6,
        )
    )
    def record(self, wanted):
        receipt = f"r{len(self.receipts)}"
        self.receipts.append(receipt)
        entries = [
            an_entry(conversion_id, event=event, suppressed=suppressed, index=index)
            for index, (conversion_id, event, suppressed) in enumerate(wanted)
        ]
        submission = a_submission(*entries, receipt=receipt, received_at=self.now)

        assert self.run(self.store.record(submission)) == self.run(self.model.record(submission))

    @rule(limit=st.integers(1, 5), patience=st.integers(1, 9), narrow=st.integers(1, 5))
    def claim(self, limit, patience, narrow):
        wish = Claim(
            pixel="o8z6j",
            now=self.now,
            lease_until=self.now + patience * HOUR,
            limit=limit,
            ambiguous_after=self.now - 40 * HOUR,
            limits={"o8z6m": narrow},
        )

        ours = self.run(self.store.claim(wish))
        theirs = self.run(self.model.claim(wish))

        assert without_ids(ours) == without_ids(theirs)
        if ours is not None:
            self.leases.append((ours, theirs))

    @rule(limit=st.integers(1, 3), most=st.integers(1, 4))
    def claim_several(self, limit, most):
        wish = Claim(
            pixel="o8z6j",
            now=self.now,
            lease_until=self.now + 5 * HOUR,
            limit=limit,
            ambiguous_after=self.now - 40 * HOUR,
        )

        ours = self.run(self.store.claim_several(wish, most=most))
        theirs = self.run(self.model.claim_several(wish, most=most))

        assert [without_ids(batch) for batch in ours] == [without_ids(batch) for batch in theirs]
        self.leases += zip(ours, theirs, strict=True)

    @precondition(lambda self: self.leases)
    @rule(
        pick=st.integers(0, 99),
        tried=st.sampled_from(["nothing", "surely not", "perhaps"]),
        transitions=st.lists(
            st.sampled_from(
                [
                    None,
                    Trigger.DELIVERED,
                    Trigger.POSTPONED,
                    Trigger.GIVEN_UP,
                    Trigger.HELD,
                    Trigger.EXPIRED,
                ]
            ),
            min_size=5,
            max_size=5,
        ),
    )
    def settle(self, pick, tried, transitions):
        pair = self.leases[pick % len(self.leases)]

        ours, theirs = (self.settlement(batch, tried, transitions) for batch in pair)

        assert self.run(self.store.settle(ours)) == self.run(self.model.settle(theirs))

    @precondition(lambda self: self.leases)
    @rule(pick=st.integers(0, 99))
    def deliver(self, pick):
        """Settle a whole batch that X accepted."""
        pair = self.leases[pick % len(self.leases)]

        ours, theirs = (self.delivered(batch) for batch in pair)

        assert self.run(self.store.settle(ours)) == self.run(self.model.settle(theirs))

    def delivered(self, batch):
        settlement = self.settlement(batch, "surely not", [])
        ids = settlement.attempt.deliveries
        return msgspec.structs.replace(
            settlement,
            attempt=msgspec.structs.replace(settlement.attempt, outcome="delivered"),
            transitions=(Transition(trigger=Trigger.DELIVERED, deliveries=ids),),
        )

    def settlement(self, batch, tried, transitions):
        ids = tuple(delivery.id for delivery in batch.deliveries)
        attempt = Attempt(
            at=self.now,
            pixel=batch.pixel,
            event=batch.event,
            outcome="errored",
            deliveries=ids,
            ambiguous=tried == "perhaps",
        )
        return Settlement(
            lease=batch.lease,
            attempt=None if tried == "nothing" else attempt,
            transitions=tuple(
                Transition(
                    trigger=trigger,
                    deliveries=(id_,),
                    due_at=self.now + 3 * HOUR if trigger is Trigger.POSTPONED else None,
                    reason="because",
                )
                for id_, trigger in zip(ids, transitions, strict=False)
                if trigger is not None
            ),
            lease_until=self.now + 5 * HOUR,
        )

    @rule(
        hours=st.integers(0, 60),
        furthest=st.sampled_from([HOUR, 100 * HOUR]),
        cautious=st.sampled_from([(), ("o8z6j",)]),
    )
    def time_passes(self, hours, furthest, cautious):
        self.now += hours * HOUR
        sweeping = SweepRequest(
            now=self.now,
            ambiguous_before=self.now - 40 * HOUR,
            waiting_before=self.now - 90 * HOUR,
            furthest=self.now + furthest,
            cautious=frozenset(cautious),
        )

        assert self.run(self.store.sweep(sweeping)) == self.run(self.model.sweep(sweeping))

    @rule(pick=st.integers(0, 99), bring_back=st.booleans(), sure=st.booleans())
    def decide(self, pick, bring_back, sure):
        ours = sorted(
            self.run(self.store.find(AtRest(pixel=None, limit=99))),
            key=lambda history: history.delivery,
        )
        theirs = sorted(
            self.run(self.model.find(AtRest(pixel=None, limit=99))),
            key=lambda history: history.delivery,
        )
        assert len(ours) == len(theirs)
        if not ours:
            return
        pair = ours[pick % len(ours)].delivery, theirs[pick % len(ours)].delivery

        for store, delivery in zip((self.store, self.model), pair, strict=True):
            if bring_back:
                known = [delivery] if sure else []
                done = self.run(store.move(Replay(deliveries=[delivery], sure=known), now=self.now))
            else:
                done = self.run(store.move(Discard(deliveries=[delivery], note="no"), now=self.now))
            assert done.moved == 1

    @rule(event=st.sampled_from(EVENTS))
    def recall(self, event):
        recall = Recall(pixel="o8z6j", event=event)

        ours = self.run(self.store.move(recall, now=self.now))
        theirs = self.run(self.model.move(recall, now=self.now))

        assert ours == theirs

    @rule(revoked=st.booleans(), pixel=st.sampled_from(["o8z6j", "p2"]))
    def choose(self, revoked, pixel):
        for store in (self.store, self.model):
            person = a_conversion().identifiers
            keys = person_keys(person, pixel=pixel, salt=store.salt)
            self.run(store.revoke(keys, now=self.now) if revoked else store.restore(keys))
        assert self.store.has_opt_outs() == self.model.has_opt_outs()

    @rule(pick=st.integers(0, 99), hold=st.booleans())
    def withdraw_deliveries(self, pick, hold):
        asked = {"source": "shop", "after": 0, "limit": 99}
        ours, theirs = (
            self.run(store.answer(UndeliveredQuery(**asked))) for store in (self.store, self.model)
        )
        assert len(ours) == len(theirs)
        if not ours:
            return
        at = pick % len(ours)

        done, same = (
            self.run(
                store.move(
                    TakeBack(
                        deliveries=[history.delivery],
                        cause=DeliveryCause.REFUSED_ALIKE,
                        reason="because",
                        hold=hold,
                    ),
                    now=self.now,
                )
            )
            for store, history in ((self.store, ours[at]), (self.model, theirs[at]))
        )

        assert done == same

    @rule()
    def stop_and_start(self):
        self.run(self.store.close())
        self.run(self.model.restart())
        self.open()

    @rule()
    def crash(self):
        """Leave what a killed process leaves: its files, without a lock."""
        self.crashes += 1
        copy_killed(self.path, str(self.folder / f"{self.crashes}.db"))
        self.run(self.store.close())
        self.run(self.model.restart())
        self.open()

    @invariant()
    def lives_agree(self):
        """Look at a few of the histories after each step, at all of them at the end.

        Reading them takes most of the time. A difference rarely goes away by itself.
        """
        self.steps += 1
        self.compare_histories(IDS if LONG else IDS[self.steps % EVERY :: EVERY])

    def compare_histories(self, conversion_ids):
        for conversion_id in conversion_ids:
            asked = {"pixel": "o8z6j", "events": EVENTS, "conversion_id": conversion_id}
            ours = self.run(self.store.find(ByConversionId(**asked)))
            theirs = self.run(self.model.find(ByConversionId(**asked)))
            assert anonymous(ours) == anonymous(theirs)

    @invariant()
    def accounts_agree_and_balance(self):
        accounts = self.run(self.store.balance())
        assert accounts == self.run(self.model.balance())
        assert total(accounts).balance == 0

    @invariant()
    def unmarked_leases_list_ready_deliveries(self):
        with closing(sqlite3.connect(self.path)) as connection:
            assert connection.execute(query("find_damaged_lease")).fetchall() == []

    def teardown(self):
        self.compare_histories(IDS)
        self.run(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)


def anonymous(histories):
    """Replace the ids of deliveries by their places: the stores may number them differently."""
    place = {history.delivery: at for at, history in enumerate(histories)}
    return [
        msgspec.structs.replace(
            history,
            delivery=0,
            superseded_by=place.get(history.superseded_by),
            supersedes=tuple(place[earlier] for earlier in history.supersedes),
            rival=history.rival
            and msgspec.structs.replace(history.rival, delivery=place[history.rival.delivery]),
        )
        for history in histories
    ]


def without_ids(batch):
    if batch is None:
        return None
    return (
        batch.pixel,
        batch.event,
        [msgspec.structs.replace(delivery, id=0) for delivery in batch.deliveries],
    )


TestLedgers = Ledgers.TestCase
TestLedgers.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
