"""Exports into PostgreSQL are killed while conversions change: in the end, every row is right."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import asyncpg
import msgspec
import pytest

import fork_server
from builders import a_submission, an_entry
from store_contract.actions import (
    claim_or_none,
    dead_lettered,
    delivered,
    postponed,
    settle,
)
from twite.domain.delivery import State
from twite.domain.submission import RejectedConversion
from twite.domain.times import DAY, MINUTE, SECOND
from twite.gateway.ports.exports import ConversionsAfterQuery
from twite.gateway.ports.outbox import Discard, Replay
from twite.gateway.ports.queries import AtRest
from twite.stores.sqlite import SQLiteStore
from written import ENVIRONMENT, write

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1_800)]

TRIAL = bool(os.environ.get("TWITE_TRIAL"))
KILLS = 50 if TRIAL else 4
BEFORE = 20_000 if TRIAL else 4_000
BATCH = 200
_EXPORTING = (
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'twite' "
    "AND datname = current_database())"
)


class ChangingStore:
    """A store in which conversions arrive, are sent, fail, are replayed and discarded."""

    def __init__(self, store):
        self.store = store
        self.requests = 0
        self.randomness = random.Random(7)

    async def record(self, at):
        self.requests += 1
        entries = [an_entry(f"o-{self.requests}-{index}", index=index) for index in range(BATCH)]
        refusal = RejectedConversion(
            index=BATCH, pixel="o8z6j", errors=(), conversion_id=f"rejected-{self.requests}"
        )
        submission = a_submission(*entries, receipt=f"r{self.requests}", received_at=at)
        await self.store.record(msgspec.structs.replace(submission, refusals=(refusal,)))

    async def change(self):
        now = time.time_ns() // 1_000_000
        await self.record(now)
        batch = await claim_or_none(self.store, now=now, lease_until=now + MINUTE, limit=300)
        if batch is not None:
            await asyncio.sleep(0.02)  # so that an export sees what is being sent
            kind = self.randomness.choice(
                [delivered, dead_lettered, lambda some: postponed(some, until=now + SECOND)]
            )
            await settle(
                self.store, batch, "settled", kind(batch), at=now, lease_until=now + MINUTE
            )
        dead = await self.store.find(AtRest(limit=40))
        numbers = [each.delivery for each in dead if each.state is State.DEAD]
        if numbers:
            await self.store.move(Replay(deliveries=numbers[:10], sure=numbers[:10]), now=now)
            await self.store.move(Discard(deliveries=numbers[10:20], note="no"), now=now)

    async def change_on(self, end):
        while not end.is_set():
            await self.change()

    async def expected(self):
        found, after = {}, 0
        while page := await self.store.answer(ConversionsAfterQuery(after=after, limit=5_000)):
            after = page[-1].delivery
            for each in page:
                key = f"{each.receipt}-{each.place}"
                found[key] = each.state.value, each.reason, each.attempts, each.last_status
        return found


def exporting(path, url):
    return fork_server.Popen(
        [sys.executable, "-m", "twite", "export", "--to", "env:WAREHOUSE", "-c", str(path)],
        env=os.environ | ENVIRONMENT | {"WAREHOUSE": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


async def exports_now(watch, process):
    """Wait until a process has a connection to the database, or has ended."""
    while process.poll() is None and not await watch.fetchval(_EXPORTING):
        await asyncio.to_thread(time.sleep, 0.005)


async def test_killed_exports_leave_no_wrong_row(tmp_path, empty_postgres_url, figure):
    path = write(tmp_path)
    store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    changing = ChangingStore(store)
    now = time.time_ns() // 1_000_000
    for number in range(BEFORE // BATCH):
        await changing.record(now - DAY + number)
    end = asyncio.Event()
    changes = asyncio.create_task(changing.change_on(end))
    killed, randomness = Counter(), random.Random(11)
    watch = await asyncpg.connect(empty_postgres_url)
    longest = 1.0
    while killed["in the middle"] < KILLS:
        process = exporting(path, empty_postgres_url)
        await exports_now(watch, process)
        began = time.monotonic()
        try:
            await asyncio.wait_for(asyncio.to_thread(process.wait), randomness.random() * longest)
        except TimeoutError:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed["in the middle"] += 1
        else:
            assert process.returncode == 0, process.stderr.read()
            killed["done before"] += 1
            longest = time.monotonic() - began
        process.stderr.close()
    await watch.close()
    end.set()
    await changes
    last = exporting(path, empty_postgres_url)
    _, said = await asyncio.to_thread(last.communicate)
    assert last.returncode == 0, said

    expected = await changing.expected()
    await store.close()
    connection = await asyncpg.connect(empty_postgres_url)
    rows = await connection.fetch(
        "SELECT key, state, reason, attempts, last_status FROM twite_conversions"
    )
    await connection.close()
    refused = [row["key"] for row in rows if row["state"] == "rejected"]
    found = {row["key"]: tuple(row)[1:] for row in rows if row["state"] != "rejected"}
    wrong = {key: (found.get(key), value) for key, value in expected.items()
             if found.get(key) != value}  # fmt: skip
    states = Counter(state for state, *_ in found.values())
    figure(
        f"{KILLS} killed exports",
        f"{len(found):,} rows ({dict(states)}), {len(wrong)} wrong, "
        f"{len(expected.keys() - found.keys())} missing, {len(found.keys() - expected.keys())} "
        f"too many; {killed['done before']} exports ended before",
    )
    assert wrong == {}
    assert found.keys() == expected.keys()
    assert len(rows) == len(set(refused)) + len(found)
    assert len(refused) == changing.requests
    assert len(states) >= 4
