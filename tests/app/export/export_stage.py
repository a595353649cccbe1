"""A store with conversions in every state, and exports of it."""

import io
from contextlib import contextmanager

import asyncpg
import msgspec
import polars as pl

from builders import a_submission, an_entry
from fakes import MovingClock
from store_contract.actions import claim, dead_lettered, delivered, settle
from twite.app.export.open import export_to
from twite.app.export.run import ExportBasis, ExportRange, ExportRun
from twite.config.exports import ExportSettings
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.secret import Secret
from twite.domain.submission import RejectedConversion
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.operations.export_rows import BODY_KNOWN, NAMES, OF_BODY, store_id
from twite.gateway.ports.outbox import Replay
from twite.gateway.ports.queries import AtRest
from twite.readers.object_storage import ObjectStorage
from twite.stores.sqlite import SQLiteStore

NOW = 1_795_600_000_000
STATES = ("delivered", "dead", "suppressed", "held", "queued")


class _Changed:
    def __init__(self, store, change):
        self._store = store
        self._change = change

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def answer(self, query):
        answer = await self._store.answer(query)
        return self._change(answer) if isinstance(answer, list) else answer


class ExportStage:
    """Exports of a SQLite store. `received` counts its requests."""

    def __init__(self, store, target, receipts):
        self.store = store
        self.target = target
        self.receipts = receipts
        self.clock = MovingClock(NOW)
        self.received = 0

    @classmethod
    async def begin(cls, folder, target, *, receipts="r"):
        folder.mkdir(exist_ok=True)
        return cls(await SQLiteStore.open(str(folder / "twite.db")), target, receipts)

    @property
    def store_id(self):
        return store_id(self.store.salt)

    @contextmanager
    def changed(self, change):
        """Change the store's lists of conversions, as exports read them."""
        store = self.store
        self.store = _Changed(store, change)
        yield
        self.store = store

    def pruned_bodies(self):
        def pruned(found):
            return [msgspec.structs.replace(each, body=b"") for each in found]

        return self.changed(pruned)

    async def record(self, *entries, **fields):
        self.received += 1
        submission = a_submission(
            *entries, receipt=f"{self.receipts}{self.received}", received_at=self.clock.now()
        )
        await self.store.record(msgspec.structs.replace(submission, **fields))

    async def queue(self, *names):
        await self.record(*(an_entry(name, index=at) for at, name in enumerate(names)))

    async def settle(self, transition=delivered, **fields):
        """Claim all that is queued, and settle it."""
        now = self.clock.now()
        batch = await claim(self.store, now=now, lease_until=now + MINUTE)
        fields = {"at": now, "lease_until": now + MINUTE} | fields
        await settle(self.store, batch, "settled", transition(batch), **fields)

    async def replay(self):
        """Queue all that is dead again."""
        found = await self.store.find(AtRest(limit=100))
        dead = [each.delivery for each in found if each.state is State.DEAD]
        await self.store.move(Replay(deliveries=dead, sure=dead), now=self.clock.now())

    async def fill(self):
        """Record a conversion in each of STATES, and a rejected one."""
        await self.queue("delivered")
        await self.settle()
        await self.queue("dead")
        await self.settle(dead_lettered, status=400)
        await self.record(
            an_entry("suppressed", suppressed="no consent", cause=DeliveryCause.CONSENT_DENIED)
        )
        await self.record(an_entry("held", held="unusual", cause=DeliveryCause.AMOUNT_ZERO))
        await self.queue("queued")
        refusal = RejectedConversion(index=0, pixel="o8z6j", errors=(), conversion_id="rejected")
        await self.record(refusals=(refusal,))

    def pass_look_back(self):
        self.clock.jump(HOUR)

    async def export(self, target=None, **range_):
        run = ExportRun(at=self.clock.now())
        basis = ExportBasis(
            queries=self.store,
            store_id=self.store_id,
            clock=self.clock,
            rests=False,
            event_names=lambda _pixel: {"purchase": "o8z6k"},
        )
        await export_to(target or self.target, basis, ExportRange(**range_), run)
        return run


def table_target(url, **fields):
    return ExportSettings(**{"name": "warehouse", "secret_url": Secret(url)} | fields)


async def rows_of(url, columns="*", table="twite_conversions"):
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetch(f"SELECT {columns} FROM {table} ORDER BY key")  # noqa: S608
    finally:
        await connection.close()
    return [dict(row) for row in found]


async def states_of(url):
    return {row["conversion_id"]: row["state"] for row in await rows_of(url)}


def objects_of(stage):
    """Return the Parquet objects by path."""
    storage = ObjectStorage(stage.target.secret_url.reveal())
    return {stored.path: storage.file(stored).open().read() for stored in storage.objects()}


def latest(stage):
    """Return the latest row of each key, and all rows."""
    frames = [pl.read_parquet(io.BytesIO(content)) for content in objects_of(stage).values()]
    whole = pl.concat(frames).sort("updated_at")
    return whole.unique(subset="key", keep="last"), whole


def whole_rows(stage):
    """Return the latest row of each key, with amounts of pruned bodies, as the documents say."""
    known = pl.col(BODY_KNOWN).is_not_null()
    columns = [
        pl.col(name).filter(known).last() if name in OF_BODY else pl.col(name).last()
        for name in NAMES
        if name != "key"
    ]
    return latest(stage)[1].group_by("key").agg(columns)


def storage_states(stage):
    frame, _ = latest(stage)
    return dict(zip(frame["conversion_id"], frame["state"], strict=True))


__all__ = ["DAY", "HOUR", "MINUTE", "NOW", "STATES"]
