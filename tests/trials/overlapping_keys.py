"""Record, claim and settle on one PostgreSQL database; all processes submit the same new ids.

python overlapping_keys.py URL SECONDS SEED

The last line of output is JSON: the ids recorded as new, and how many were duplicates.
"""

import asyncio
import json
import random
import sys
import time
from itertools import count

from builders import NOW, a_submission, an_entry
from store_contract.actions import claim_or_none, settle
from twite.domain.delivery import Transition, Trigger
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.store import PostgresStore

CLIENTS, SENDERS = 12, 2
SIZES = (1, 1, 1, 2, 20, 100)
# New ids per second, and how many ids a submission can choose from.
PACE, SPAN = 400, 400


class Load:
    def __init__(self, store, seed, seconds):
        self.store = store
        self.chance = random.Random(seed)
        self.receipts = (f"r-{seed}-{number}" for number in count())
        self.end = time.monotonic() + seconds
        self.new = []
        self.duplicates = 0

    async def submit(self):
        while time.monotonic() < self.end:
            first = int(time.time() * PACE)
            size = self.chance.choice(SIZES)
            names = [f"order-{first + self.chance.randrange(SPAN)}" for _ in range(size)]
            entries = [an_entry(name, index=index) for index, name in enumerate(names)]
            recorded = await self.store.record(a_submission(*entries, receipt=next(self.receipts)))
            duplicates = set(recorded.duplicates)
            self.duplicates += len(duplicates)
            self.new += [name for index, name in enumerate(names) if index not in duplicates]

    async def send(self):
        while time.monotonic() < self.end:
            batch = await claim_or_none(self.store, limit=self.chance.choice((1, 20, 500)))
            if batch is None:
                await asyncio.sleep(0.01)
                continue
            half = (len(batch.deliveries) + 1) // 2
            ids = tuple(delivery.id for delivery in batch.deliveries)
            await settle(
                self.store,
                batch,
                "delivered",
                Transition(trigger=Trigger.DELIVERED, deliveries=ids[:half]),
                Transition(trigger=Trigger.POSTPONED, deliveries=ids[half:], due_at=NOW),
            )


async def main(url, seconds, seed):
    store = await PostgresStore.open(url, StoreOptions())
    load = Load(store, seed, seconds)
    await asyncio.gather(
        *(load.submit() for _ in range(CLIENTS)), *(load.send() for _ in range(SENDERS))
    )
    await store.close()
    print(json.dumps({"new": load.new, "duplicates": load.duplicates}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
