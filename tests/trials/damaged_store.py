"""A store with a history, ways to damage its files, and the state afterwards."""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import msgspec

from builders import NOW, a_submission, an_entry
from twite.domain.delivery import Attempt, Batch, Settlement, Transition, Trigger
from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.domain.times import HOUR
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.queries import ByConversionId
from twite.gateway.ports.store import Recovered
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.checkpoints import Checkpoints
from twite.stores.sqlite.engine.connection import connect_reader
from twite.stores.sqlite.engine.log_file import PAGE_SIZE, log_of
from twite.stores.sqlite.recovery.pages import Pages
from twite.stores.sqlite.recovery.recover import recover
from twite.stores.sqlite.recovery.salvage import Salvage

PIXEL = "o8z6j"
EVENTS = ("o8z6k", "o8z6m")
KNOWN = [(PIXEL, event) for event in EVENTS]
SUFFIXES = ("", "-wal", ".epoch")
SUBMISSIONS = 150
EACH = 4
# How much of the log the database also contains: nothing since the second start; two thirds, and
# the log went on growing; two thirds, and the log was restarted; everything.
CHECKPOINTS = ("none", "half", "restarted", "all")
FRAME = 24 + PAGE_SIZE
TABLES = ("conversion", "submission", "outbox")


class Truth(msgspec.Struct):
    """The acknowledged conversions with their bodies, and those that X had before the damage."""

    bodies: dict[str, bytes]
    delivered: set[str]
    # For each table: the page of each row.
    pages: dict[str, dict[int, int]]
    count: int


class Verdict(msgspec.Struct):
    """The result of damaging the store once."""

    seed: int
    how: str
    refused: bool = False
    unhelpful: bool = False
    reported: bool = False
    altered: int = 0
    again: int = 0
    missing: int = 0
    balance: int = 0
    # Rows on pages that the damage did not touch, and how many of them were saved.
    untouched: int = 0
    saved: int = 0

    @property
    def silent(self) -> bool:
        """Whether conversions are lost without a report."""
        return bool(self.missing) and not (self.refused or self.reported)


def make(folder: Path, checkpoint: str) -> Truth:
    """Leave the files of a store whose process was killed, after one of CHECKPOINTS.

    The store's checkpoints depend on the clock; here they run at fixed points, so that a seed
    always gets the same files.
    """
    with patch.object(Checkpoints, "_move", lambda *_: None):
        return asyncio.run(_made(folder, checkpoint))


async def _made(folder: Path, checkpoint: str) -> Truth:
    made = folder / "made"
    made.mkdir()
    store = await SQLiteStore.open(str(made / "twite.db"), fresh_keys=64)
    truth = Truth(bodies={}, delivered=set(), pages={}, count=0)
    for number in range(SUBMISSIONS):
        if number == SUBMISSIONS // 3:
            # Closing runs a checkpoint, which moves everything up to here into the database.
            await _deliver(store, truth, 200)
            await store.close()
            store = await SQLiteStore.open(str(made / "twite.db"), fresh_keys=64)
        if number == SUBMISSIONS * 2 // 3:
            reader = _checkpoint(made / "twite.db", checkpoint)
        await store.record(_submission(number, truth))
        if number % 50 == 49:
            await _deliver(store, truth, 30)
    await store.claim(_wish(60))
    if checkpoint == "all":
        _move(made / "twite.db")
    for suffix in SUFFIXES:
        shutil.copyfile(f"{made}/twite.db{suffix}", f"{folder}/twite.db{suffix}")
    reader.close()
    await store.close()
    _locate(folder / "twite.db", truth)
    return truth


def _checkpoint(path: Path, checkpoint: str) -> sqlite3.Connection:
    """Run the middle checkpoint; return a reader to be closed at the end."""
    reader = sqlite3.connect(path, isolation_level=None)
    if checkpoint == "half":
        # A reader of the log prevents its restart.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM outbox").fetchone()
    if checkpoint in {"half", "restarted"}:
        _move(path)
    return reader


def _move(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        busy, logged, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        assert (busy, logged) == (0, moved)


def _submission(number: int, truth: Truth):
    entries = [
        an_entry(f"order-{number}-{place}", event=EVENTS[place % 2], index=place)
        for place in range(EACH)
    ]
    for entry in entries:
        truth.bodies[f"{entry.event}/{entry.conversion_id}"] = entry.body
    receipt = f"01a21050-10aa-74ba-a097-{number:012x}"
    return a_submission(*entries, receipt=receipt, received_at=NOW + number)


async def _deliver(store: SQLiteStore, truth: Truth, limit: int) -> None:
    batch = await store.claim(_wish(limit))
    assert batch is not None
    truth.delivered |= {f"{batch.event}/{delivery.conversion_id}" for delivery in batch.deliveries}
    await store.settle(_settlement(batch))


def _wish(limit: int) -> Claim:
    return Claim(
        pixel=PIXEL, now=NOW + HOUR, lease_until=NOW + 2 * HOUR, limit=limit, ambiguous_after=0
    )


def _settlement(batch: Batch) -> Settlement:
    ids = tuple(delivery.id for delivery in batch.deliveries)
    attempt = Attempt(
        at=NOW + HOUR,
        pixel=PIXEL,
        event=batch.event,
        outcome="delivered",
        deliveries=ids,
        status=200,
    )
    transition = Transition(trigger=Trigger.DELIVERED, deliveries=ids)
    return Settlement(
        lease=batch.lease, attempt=attempt, transitions=(transition,), lease_until=NOW
    )


def _locate(path: Path, truth: Truth) -> None:
    pages = Pages(str(path))
    truth.count = pages.count
    salvage = _salvage(path, pages)
    for table in TABLES:
        tree = salvage._trees[table]  # noqa: SLF001 no public function returns the pages of rows
        truth.pages[table] = {
            row.rowid: number for number in tree.pages for row in pages.leaf(number).rows
        }


def _salvage(path: Path, pages: Pages) -> Salvage:
    connection = connect_reader(str(path))
    try:
        return Salvage(pages, connection)
    finally:
        connection.close()


def damage(source: Path, folder: Path, seed: int) -> tuple[str, set[int]]:
    """Copy a store's files and damage one; return the damage and the affected pages."""
    for suffix in SUFFIXES:
        shutil.copyfile(f"{source}/twite.db{suffix}", f"{folder}/twite.db{suffix}")
    randomness = random.Random(seed)
    how = randomness.choices(
        ["flip the database", "flip the log", "cut the database", "cut the log"], [6, 6, 2, 2]
    )[0]
    path = folder / ("twite.db" if "database" in how else "twite.db-wal")
    content = bytearray(path.read_bytes())
    place = randomness.randrange(len(content))
    if how.startswith("flip"):
        content[place] ^= 1 << randomness.randrange(8)
        end = place + 1
    else:
        end = len(content)
        del content[place:]
    path.write_bytes(content)
    return how, _touched(source, how, place, end)


def _touched(source: Path, how: str, place: int, end: int) -> set[int]:
    """Return the pages whose newest version is in the damaged place."""
    log = log_of(f"{source}/twite.db")
    assert log is not None
    frames = {frame.page: frame.place for frame in log.headers()}
    if "database" in how:
        pages = set(range(place // PAGE_SIZE + 1, (end - 1) // PAGE_SIZE + 2))
        return pages - frames.keys()
    first, last = (place - 32) // FRAME, (end - 33) // FRAME
    return {page for page, at in frames.items() if first <= at <= last}


def flip_outbox(source: Path, folder: Path, truth: Truth, seed: int) -> None:
    """Copy a store whose log has been checkpointed, and flip one bit of a page of the outbox."""
    for suffix in ("", ".epoch"):
        shutil.copyfile(f"{source}/twite.db{suffix}", f"{folder}/twite.db{suffix}")
    randomness = random.Random(seed)
    page = randomness.choice(sorted(set(truth.pages["outbox"].values())))
    content = bytearray((folder / "twite.db").read_bytes())
    # Rows are at the end of a page.
    place = page * PAGE_SIZE - 1 - randomness.randrange(PAGE_SIZE // 2)
    content[place] ^= 1 << randomness.randrange(8)
    (folder / "twite.db").write_bytes(content)


async def recovered(path: str, truth: Truth) -> tuple[Recovered, Verdict]:
    """Recover a store, send what is pending, and check."""
    done = recover(path, None, known=KNOWN)
    verdict = Verdict(seed=0, how="flip the outbox")
    for name, body in await _sent(path, verdict):
        verdict.altered += truth.bodies.get(name) != body
        verdict.again += name in truth.delivered
    store = await SQLiteStore.open(path, fresh_keys=64)
    for account in await store.balance():
        verdict.balance += abs(account.balance)
        verdict.missing += account.pending
    await store.close()
    return done, verdict


def judge(source: Path, folder: Path, truth: Truth, seed: int) -> Verdict:
    """Damage the store, start it, recover it if required, send everything, and check."""
    how, touched = damage(source, folder, seed)
    verdict = Verdict(seed=seed, how=how)
    path = str(folder / "twite.db")
    intact = {
        table: {id_ for id_, page in rows.items() if page not in touched}
        for table, rows in truth.pages.items()
    }
    # A delivery without its conversion is reported as lost: there is nothing to send.
    intact["outbox"] &= intact["conversion"]
    try:
        sent = asyncio.run(_sent(path, verdict))
    except StoreUnusable as refused:
        verdict.refused = True
        verdict.unhelpful = "twite recover" not in str(refused)
        done = recover(path, str(folder / "saved.db"), known=KNOWN)
        path = done.to
        _count_saved(Path(path), intact, verdict)
        sent = asyncio.run(_sent(path, verdict))
    for name, body in sent:
        verdict.altered += truth.bodies.get(name) != body
        verdict.again += name in truth.delivered
    asyncio.run(_count_missing(path, truth, verdict))
    return verdict


async def _sent(path: str, verdict: Verdict) -> list[tuple[str, bytes]]:
    """Send everything that can be claimed. Raises StoreUnusable if it fails permanently."""
    store = await SQLiteStore.open(path, fresh_keys=64)
    verdict.reported = verdict.reported or bool(store.notices)
    sent = []
    try:
        while True:
            batch = await store.claim(_wish(500))
            if batch is None:
                return sent
            sent += [
                (f"{batch.event}/{delivery.conversion_id}", delivery.body)
                for delivery in batch.deliveries
            ]
            await store.settle(_settlement(batch))
    except LedgerUnavailable as failure:
        await asyncio.sleep(0)
        if store.failed.done():
            raise store.failed.result() from failure
        raise
    finally:
        await store.close()


async def _count_missing(path: str, truth: Truth, verdict: Verdict) -> None:
    """Count the missing conversions."""
    store = await SQLiteStore.open(path, fresh_keys=64)
    try:
        accounts = await store.balance()
        verdict.balance = sum(abs(account.balance) for account in accounts)
        for name in truth.bodies:
            event, conversion_id = name.split("/")
            histories = await store.find(
                ByConversionId(pixel=PIXEL, events=[event], conversion_id=conversion_id)
            )
            verdict.missing += not histories
    except (LedgerUnavailable, StoreUnusable):
        # The connection that reads reports the damage.
        verdict.reported = True
    finally:
        await store.close()
    # The balance is checked each minute: a remainder raises an alert.
    verdict.reported = verdict.reported or bool(verdict.balance)


def _count_saved(path: Path, intact: Mapping[str, set[int]], verdict: Verdict) -> None:
    found = Pages(str(path))
    salvage = _salvage(path, found)
    for table, ids in intact.items():
        tree = salvage._trees[table]  # noqa: SLF001 - as above
        saved = {row.rowid for page in tree.pages for row in found.leaf(page).rows}
        verdict.untouched += len(ids)
        verdict.saved += len(ids & saved)
