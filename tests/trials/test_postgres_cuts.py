"""PostgreSQL connections end around COMMIT while clients submit the same conversions repeatedly."""

import asyncio
import os
import random
from itertools import count

import asyncpg

from builders import a_submission, an_entry
from twite.domain.errors import LedgerUnavailable
from twite.domain.history import total
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.driver.connection import PostgresConnection
from twite.stores.postgres.store import PostgresStore

CLIENTS = 16
CUTS = 500 if os.environ.get("TWITE_TRIAL") else 24
# One COMMIT in ONE_IN gets no response; half of those take effect.
ONE_IN = 5
REPEATED = 0.3
KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"
)


class Clients:
    """Submit new conversions and repeat old ones until enough connections were cut."""

    def __init__(self, stores, chance):
        self.stores = stores
        self.chance = chance
        self.numbers = count()
        self.receipts = count()
        self.acknowledged = set()
        self.ambiguous = set()
        self.wrongly_duplicate = 0
        self.twice_new = 0
        self.cuts = 0

    async def run(self):
        while self.cuts < CUTS:
            known = sorted(self.acknowledged)
            is_repeat = known and self.chance.random() < REPEATED
            name = self.chance.choice(known) if is_repeat else f"order-{next(self.numbers)}"
            await self.submit(name, is_repeat=is_repeat)

    async def submit(self, name, *, is_repeat):
        while True:
            store = self.chance.choice(self.stores)
            submission = a_submission(an_entry(name), receipt=f"r-{next(self.receipts)}")
            try:
                recorded = await store.record(submission)
            except LedgerUnavailable:
                self.ambiguous.add(name)
                await asyncio.sleep(0.01)
                continue
            is_duplicate = bool(recorded.duplicates)
            if is_repeat and not is_duplicate:
                self.twice_new += 1
            if not is_repeat and is_duplicate and name not in self.ambiguous:
                self.wrongly_duplicate += 1
            self.acknowledged.add(name)
            return


async def test_conversion_with_an_unconfirmed_commit_is_recorded_once(
    postgres_url, monkeypatch, figure
):
    seed = int(os.environ.get("TWITE_SEED", "7"))
    chance = random.Random(seed)
    stores = [await PostgresStore.open(postgres_url, StoreOptions()) for _ in range(2)]
    clients = Clients(stores, chance)
    commit = PostgresConnection.commit
    happened = count()

    def cut(self):
        if clients.cuts >= CUTS or chance.randrange(ONE_IN):
            commit(self)
            return
        clients.cuts += 1
        if chance.random() < 0.5:
            commit(self)
            next(happened)
        self.terminate()
        raise ConnectionResetError

    monkeypatch.setattr(PostgresConnection, "commit", cut)
    cutting = asyncio.create_task(end_connections(postgres_url, clients))

    await asyncio.gather(*(clients.run() for _ in range(CLIENTS)))
    await cutting
    monkeypatch.setattr(PostgresConnection, "commit", commit)

    counts = total(await stores[0].balance())
    driver = await asyncpg.connect(postgres_url)
    rows = await driver.fetch("SELECT conversion_id, count(*) FROM conversion GROUP BY 1")
    await driver.close()
    for store in stores:
        await store.close()
    stored = {row[0]: row[1] for row in rows}
    lost = clients.acknowledged - stored.keys()
    twice = [name for name, many in stored.items() if many > 1]
    figure(
        "PostgreSQL connections cut around COMMIT",
        f"{clients.cuts} cuts, {next(happened)} of them after the commit, "
        f"{len(clients.acknowledged)} conversions: {len(lost)} lost, {len(twice)} twice, "
        f"{clients.wrongly_duplicate} wrongly duplicate, seed {seed}",
    )

    assert (lost, twice) == (set(), [])
    assert (clients.wrongly_duplicate, clients.twice_new, counts.balance) == (0, 0, 0)
    assert counts.pending == len(stored)


async def end_connections(url, clients):
    """Make the server close one connection after another."""
    driver = await asyncpg.connect(url)
    while clients.cuts < CUTS:
        await driver.fetch(KILL)
        await asyncio.sleep(0.1)
    await driver.close()
