"""Deduplication keys compared with a dict, under random requests, moves, rollbacks, kills, pruning
and copies.
"""

import os
import shutil
import tempfile
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from keys_stage import counted

from builders import NOW
from twite.domain.conversion import DEFAULT_WINDOW
from twite.stores.sql.database import WantedKey
from twite.stores.sql.statements import as_json, query
from twite.stores.sqlite.engine import key_filters
from twite.stores.sqlite.engine.connection import connect_writer
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of
from twite.stores.sqlite.recovery.copying import COPIED_KEYS, COUNT_KEYS

# The ends of the key space, and neighbors that move to the large table in different walks.
PARTS = [0, 1, 31, 32, 128, 255]
MANY = 60
KEYS = [
    bytes([PARTS[number % len(PARTS)]]) + blake2b(b"%d" % number, digest_size=15).digest()
    for number in range(MANY)
]
NUMBERS = st.integers(0, MANY - 1)
# (key, whether it replaces an earlier holder, whether its delivery is in the outbox)
REQUEST = st.tuples(NUMBERS, st.booleans(), st.booleans())

HOW = st.sampled_from(["commit", "commit", "roll back", "kill"])
LONG = os.environ.get("TWITE_TRIAL") == "1"
TABLES = ["fresh_key", "recent_key", "dedup"]
OPEN = """
INSERT INTO outbox (id, queue, account, received_at, state) VALUES (?, 1, 1, 0, 'held')
"""


@pytest.fixture(autouse=True)
def small_filters(monkeypatch):
    """Use bitmaps that are rebuilt after eight keys."""
    monkeypatch.setattr(key_filters, "_LEAST_BYTES", 16)


class Keys(RuleBasedStateMachine):
    """`holders` is the dict. A holder before `pruned` may be absent, unless it is in the outbox."""

    migrated: Path
    reached: set[str]

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="twite-keys-"))
        self.path = self.folder / "twite.db"
        shutil.copyfile(self.migrated, self.path)
        self.holders, self.former = {}, {}
        self.last = self.pruned = self.opened = 0
        self.open(0)

    def open(self, fresh):
        self.opened += 1
        self.book = OwnerSession(
            connect_writer(str(self.path)),
            window=DEFAULT_WINDOW,
            leases=leases_of(self.opened),
            fresh_keys=fresh,
        )
        self.begin()

    def begin(self):
        self.book.connection.execute("BEGIN IMMEDIATE")
        self.before = dict(self.holders), self.last

    def end(self, how):
        """Commit, roll back, or kill; then begin the next transaction."""
        self.finds_the_holder_of_each_key()
        if how == "commit":
            self.book.finish()
            self.book.connection.execute("COMMIT")
            self.book.committed()
            self.reached |= {table for table in TABLES if counted(self.book, table)}
            self.begin()
            return
        self.holders, self.last = self.before
        if how == "roll back":
            self.book.connection.execute("ROLLBACK")
            self.book.rolled_back()
            self.begin()
        else:
            self.reopen()

    def reopen(self, fresh=3):
        self.book.connection.close()
        self.open(fresh)

    def give(self, key, delivery):
        self.former.setdefault(key, set()).add(delivery)
        self.holders[key] = delivery

    def is_certain(self, holder):
        found = self.book.connection.execute("SELECT 1 FROM outbox WHERE id = ?", (holder,))
        return holder >= self.pruned or found.fetchone() is not None

    def agrees(self, key, found):
        """Return whether a holder (or None) is what the dict allows."""
        holder = self.holders.get(key)
        if holder is None or self.is_certain(holder):
            return found == holder
        return found is None or found in self.former[key]

    @rule(
        wanted=st.lists(REQUEST, max_size=12),
        edited=st.lists(st.tuples(NUMBERS, st.integers(0, 1_000)), max_size=2),
        how=HOW,
    )
    def write(self, wanted, edited, how):
        """Record a group of submissions, then edit events, in one transaction."""
        if wanted:
            self.take(wanted)
        for number, which in edited if self.last else ():
            wish = WantedKey(KEYS[number], 1 + which % self.last, NOW)
            assert self.book.keys.take_over(wish) is None
            self.give(wish.key, wish.delivery)
        self.end(how)

    def take(self, wanted):
        requests = [
            (WantedKey(KEYS[number], self.last + 1 + place, NOW), replaces, is_open)
            for place, (number, replaces, is_open) in enumerate(wanted)
        ]
        choices = {wish.delivery: replaces for wish, replaces, _ in requests}
        contested = {}

        def contest(wish, holder, _holding):
            contested[wish.delivery] = holder
            return choices[wish.delivery]

        late = self.book.keys.take([wish for wish, _, _ in requests], contest)

        for wish, replaces, is_open in requests:
            assert self.agrees(wish.key, contested.get(wish.delivery))
            if wish.delivery in contested and not replaces:
                assert late[wish.delivery] == contested[wish.delivery]
                continue
            assert wish.delivery not in late
            self.give(wish.key, wish.delivery)
            if is_open:
                self.book.connection.execute(OPEN, (wish.delivery,))
        self.last += len(wanted)

    @rule(
        share=st.integers(1, 3),
        parts=st.sets(st.sampled_from(PARTS)),
        steps=st.integers(1, 7),
        how=HOW,
    )
    def prune(self, share, parts, steps, how):
        """Forget old keys, in the three steps of the pruner or some of them."""
        self.pruned = max(self.pruned, self.last * share // 8)
        if steps & 1:
            for part in parts:
                self.book.keys.forget(part, self.pruned)
        if steps & 2:
            self.book.run("forget_logged_keys", before=self.pruned, limit=3)
        if steps & 4:
            rows = self.book.run("next_keys", after=b"", limit=MANY).fetchall()
            old = [key for key, delivery in rows if delivery < self.pruned]
            self.book.run("forget_keys", keys=b"".join(old), places=as_json(range(len(old))))
        self.end(how)

    @rule(
        fresh=st.sampled_from([0, 3, 10]), change=st.sampled_from(["none", "older", "copy", *PARTS])
    )
    def restart(self, fresh, change):
        """Open the file, one without a bitmap, one of an older version, or a copy."""
        execute = self.book.connection.execute
        if change == "copy":
            self.copy()
        elif change == "older":
            # Without recent keys and bitmaps.
            self.book.run("settle_keys", first=b"", last=b"\xff" * 16)
            execute("DELETE FROM recent_key")
            execute("DELETE FROM key_filter")
            execute("UPDATE merge_round SET walk = 0")
        elif change != "none":
            execute("DELETE FROM key_filter WHERE part = ?", (change,))
        execute("COMMIT")
        self.reopen(fresh)

    def copy(self):
        """Make a copy, which has all keys in the large table."""
        rows = self.copied()
        outbox = self.book.connection.execute("SELECT id FROM outbox").fetchall()
        self.path = self.folder / f"{self.opened}.db"
        shutil.copyfile(self.migrated, self.path)
        with closing(connect_writer(str(self.path))) as new:
            new.executemany("INSERT INTO dedup VALUES (?, ?)", rows.items())
            new.executemany(OPEN, outbox)
            at = self.last + 1
            new.execute("UPDATE merge_round SET bucket = 0, began = ?1, low = ?1, high = ?1", (at,))

    def copied(self):
        rows = self.book.connection.execute(COPIED_KEYS, {"after": b""}).fetchall()
        (many,) = self.book.connection.execute(COUNT_KEYS).fetchone()
        assert len(rows) == many
        return {key: delivery for key, delivery, _ in rows}

    @invariant()
    def finds_the_holder_of_each_key(self):
        found = self.book.keys.holders(KEYS)
        assert [key for key in KEYS if not self.agrees(key, found.get(key))] == []

    @invariant()
    def copies_and_queries_have_the_same_holders(self):
        shown = self.book.connection.execute(
            query("deliveries_of_keys"), {"keys": b"".join(KEYS), "places": as_json(range(MANY))}
        )
        for found in (self.copied(), dict(zip(KEYS, (row[1] for row in shown), strict=True))):
            assert [key for key in KEYS if not self.agrees(key, found.get(key))] == []

    def teardown(self):
        self.book.connection.close()
        shutil.rmtree(self.folder)


def test_each_key_has_the_holder_of_the_dict(migrated_file):
    Keys.migrated, Keys.reached = migrated_file, set()

    run_state_machine_as_test(
        Keys,
        settings=settings(
            max_examples=500 if LONG else 25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

    assert Keys.reached == set(TABLES)
