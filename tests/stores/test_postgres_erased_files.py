"""PostgreSQL's data files contain nothing of an erased person after the second pass."""

import random

import asyncpg
import pytest
from erasing_stage import ADA, TWCLID, WHOM, claim, entry, known_of, native, record, settle

from builders import NOW
from postgres_server import PostgresServer, programs
from twite.domain.conversion import Conversion, Identifiers
from twite.domain.delivery import Trigger
from twite.gateway.ports.privacy import EraseSearch, EraseStore
from twite.gateway.ports.queries import ByConversionId
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres import database
from twite.stores.postgres.store import PostgresReader, PostgresStore
from twite.x.encode import conversion_body

ID = "order-of-ada"
SEARCH = EraseSearch(subject=WHOM, pixel=None, opened=lambda _tag, body: body, pursued=frozenset())


@pytest.fixture
def server():
    # Nothing but the erasure vacuums.
    server = PostgresServer(programs(), autovacuum="off")
    server.create("ledger")
    yield server
    server.remove()


@pytest.fixture
async def store(server):
    store = await PostgresStore.open(server.url("ledger"), StoreOptions())
    yield store
    await store.close()


def body_of(conversion_id, person, click_id):
    return conversion_body(
        Conversion(
            pixel="o8z6j", event="o8z6k", conversion_id=conversion_id, time=NOW,
            identifiers=Identifiers(email=person, click_id=click_id, ip="198.51.100.7"),
        )
    )  # fmt: skip


async def filled(store):
    """Record requests of one and of many conversions; every tenth conversion is Ada's."""
    chance = random.Random(1)
    for request in range(60):
        people = [chance.random() < 0.1 for _ in range(60 if request % 20 == 0 else 2)]
        entries, said = [], []
        for index, is_hers in enumerate(people):
            name = f"{ID if is_hers else 'order'}-{request}-{index}"
            person = ADA if is_hers else f"{chance.getrandbits(256):064x}"
            click = TWCLID if is_hers else f"2{chance.getrandbits(100):025x}"
            entries.append(entry(name, None, index=index, body=body_of(name, person, click)))
            said.append(native(name, person) | {"twclid": click})
        known = [
            known_of(f"{chance.getrandbits(128):032x}", ADA if is_hers else f"{request:064x}")
            for is_hers in people
        ]
        await record(store, *entries, said=said, receipt=f"r-{request}", known=tuple(known))
        if request == 30:
            await settle(store, Trigger.DELIVERED, batch=await claim(store))


def traces(server):
    """Return the number of Ada's values in each file of the database, except the log."""
    server.psql("CHECKPOINT", "ledger")
    relations = dict(
        row.split("|")
        for row in server.psql(
            "SELECT pg_relation_filenode(oid), relname FROM pg_class "
            "WHERE pg_relation_filenode(oid) IS NOT NULL",
            "ledger",
        ).splitlines()
    )
    found = {}
    for file in (server.folder / "data" / "base").rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        many = sum(content.count(part.encode()) for part in (ADA, TWCLID, ID))
        if many:
            found[relations.get(file.name, file.name)] = many
    return found


async def erased(server, store):
    reader = await PostgresReader.open(server.url("ledger"))
    found = await reader.traces(SEARCH)
    erasing = EraseStore(
        conversions=tuple(found.conversions),
        cuts=tuple(found.cuts),
        dedup_rows=tuple(found.dedup_rows),
        known=tuple(found.known),
        texts=tuple(found.texts),
    )
    await store.erase(erasing, now=NOW)
    is_vacuumed = await store.erase(EraseStore(ends=True), now=NOW)
    left = await reader.traces(SEARCH)
    await reader.close()
    assert (is_vacuumed, left.size) == (1, 0)
    return EraseStore(
        conversions=tuple(found.conversions),
        cuts=tuple(found.cuts),
        dedup_rows=tuple(found.dedup_rows),
        known=tuple(found.known),
        overwrites=True,
    )


async def test_files_contain_nothing_of_the_person_after_the_second_pass(server, store):
    await filled(store)
    before = traces(server)
    again = await erased(server, store)
    freed = traces(server)

    written = await store.erase(again, now=NOW)
    is_vacuumed = await store.erase(EraseStore(ends=True), now=NOW)

    assert {"conversion", "submission", "known_identifier"} <= before.keys()
    # VACUUM alone leaves some of the bytes.
    assert "conversion" in freed
    assert written == len(again.conversions) + len(again.cuts) > 0
    assert is_vacuumed == 1
    assert traces(server) == {}


async def test_erasure_reports_a_snapshot_that_still_needs_the_old_rows(server, store, monkeypatch):
    monkeypatch.setattr(database, "SNAPSHOTS_END_WITHIN", 0.2)
    reader = await asyncpg.connect(server.url("ledger"))
    await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await reader.fetch("SELECT FROM conversion")

    during = await store.erase(EraseStore(ends=True), now=NOW)
    await reader.execute("COMMIT")
    after = await store.erase(EraseStore(ends=True), now=NOW)

    await reader.close()
    assert (during, after) == (0, 1)


async def test_second_pass_of_an_erasure_changes_no_content(server, store):
    await filled(store)
    again = await erased(server, store)
    tables = (
        "SELECT * FROM conversion ORDER BY id",
        "SELECT * FROM submission ORDER BY id",
        "SELECT * FROM dedup_report ORDER BY id",
    )
    before = [server.psql(table, "ledger") for table in tables]

    await store.erase(again, now=NOW)

    assert [server.psql(table, "ledger") for table in tables] == before
    histories = await store.find(
        ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id="order-1-0")
    )
    assert len(histories) <= 1
    batch = await claim(store)
    assert all(not delivery.conversion_id.startswith(ID) for delivery in batch.deliveries)
