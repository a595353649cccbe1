"""No byte of an erased person is left in the files.

Rejected conversions lose only their personal data.
"""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from erasing_stage import (
    ADA,
    BOB,
    TWCLID,
    entry,
    erase,
    holding,
    known_of,
    look,
    native,
    record,
)

from builders import NOW
from twite.domain.conversion import Conversion, Identifiers
from twite.domain.fault import fault
from twite.domain.history import total
from twite.domain.joins import JoinKind, mark_of
from twite.domain.people.erasure import CLICK, all_of, asked
from twite.domain.people.users import AuditEvent
from twite.domain.submission import RejectedConversion, RejectionQuery
from twite.gateway.ingest.rejections import marks
from twite.gateway.ports.privacy import EraseStore, SearchText
from twite.gateway.ports.queries import RejectionsQuery
from twite.stores.sqlite import SQLiteStore
from twite.x.encode import conversion_body


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


@pytest.fixture
async def store(path):
    store = await SQLiteStore.open(path)
    yield store
    await store.close()


async def test_erased_person_is_on_the_opt_out_list(store):
    await store.erase(EraseStore(keys=(b"k" * 16,)), now=NOW)

    assert store.lists([b"k" * 16])


async def test_erasure_is_audited_and_reports_audit_events_that_name_the_person(store, path):
    await store.people.note(
        AuditEvent(at=NOW, who="grace", what="export", subject="ada@shop.example")
    )
    audit_event = AuditEvent(at=NOW, who="grace", what="erase", subject="0123456789abcdef")

    await store.erase(EraseStore(audit_event=audit_event), now=NOW)

    assert [event.audit_event for event in await store.people.audit(limit=1)] == [audit_event]
    assert (await look(path)).audit_events == 1


async def test_files_contain_nothing_of_the_person_after_the_erasure(store, path):
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    before = holding(path)
    await erase(store, path)

    is_empty = await store.erase(EraseStore(ends=True), now=NOW)

    assert "twite.db-wal" in before
    assert is_empty == 1
    assert holding(path) == []


async def test_erasure_reports_an_open_reader_and_blocks_no_writer(store, path, monkeypatch):
    monkeypatch.setattr("twite.stores.sqlite.store._EMPTY_WITHIN", 3.0)
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM conversion").fetchone()
        await erase(store, path)
        ending = asyncio.create_task(store.erase(EraseStore(ends=True), now=NOW))
        await asyncio.sleep(0.5)
        for number in range(3):
            await record(store, entry(f"new-{number}", BOB), said=[], receipt=f"new-{number}")
        is_over = ending.done()
        reported = await ending
        left = holding(path)

    is_empty = await store.erase(EraseStore(ends=True), now=NOW)

    assert (is_over, reported, "twite.db-wal" in left) == (False, 0, True)
    assert (is_empty, holding(path)) == (1, [])


async def test_person_is_found_by_a_click_id_as_the_only_identifier(store, path):
    conversion = Conversion(
        pixel="o8z6j", event="o8z6k", conversion_id="order-1", time=NOW,
        identifiers=Identifiers(click_id=TWCLID),
    )  # fmt: skip
    await record(store, entry("order-1", None, body=conversion_body(conversion)), said=[])

    found = await look(path, all_of([asked(CLICK, TWCLID, region=None)]))

    assert found.conversions == [1]


async def test_erasure_keeps_the_lengths_of_rows(store, path):
    said = [native("order-1", ADA), native("order-2", BOB)]
    await record(store, entry("order-1", ADA), entry("order-2", BOB, index=1), said=said)
    before = lengths(path)

    await erase(store, path)

    assert lengths(path) == before


def lengths(path):
    with closing(sqlite3.connect(path)) as connection:
        statements = (
            "SELECT sum(length(conversion_id) + length(body)) FROM conversion",
            "SELECT sum(length(body)) FROM submission",
        )
        return [connection.execute(statement).fetchone() for statement in statements]


def refusal(store, conversion_id, person, *, index=0):
    return RejectedConversion(
        index=index,
        pixel="o8z6j",
        errors=(fault("event", "event_unknown"),),
        event="bought",
        conversion_id=conversion_id,
        marks=marks((person,), salt=store.salt),
    )


async def rejected_ids(store):
    return sorted(
        rejection.conversion_id
        for rejection in await store.answer(RejectionsQuery(rejection_query=RejectionQuery()))
    )


async def test_erasure_empties_rejected_conversions_and_keeps_their_counts(store, path):
    await record(
        store,
        entry("order-1", ADA, index=1),
        said=[native("hers", ADA), native("order-1", ADA), native("his", BOB)],
        refusals=(refusal(store, "hers", ADA), refusal(store, "his", BOB, index=2)),
    )
    # Rejected as a whole: nothing else is stored. One rejection has the id of one of her
    # conversions.
    await record(
        store,
        said=[],
        refusals=(refusal(store, "hers-too", ADA), refusal(store, "order-1", BOB)),
        receipt="r-2",
    )
    before = await store.balance()

    found = await erase(store, path)

    assert sum(text.place == "rejection" for text in found.texts) == 3
    rest = await store.answer(RejectionsQuery(rejection_query=RejectionQuery()))
    erased = [rejection for rejection in rest if rejection.conversion_id != "his"]
    assert len(rest) == 4
    assert [(each.conversion_id[:7], each.event, each.at) for each in erased] == [
        ("erased-", "", NOW)
    ] * 3
    assert total(await store.balance()).rejected == total(before).rejected == 4
    assert (await look(path)).size == 0


async def test_erasure_by_row_number_does_not_erase_a_row_that_replaced_it(store):
    await record(store, said=[], refusals=(refusal(store, "hers", ADA),))

    await store.erase(
        EraseStore(texts=(SearchText(place="rejection", of=f"{1 << 16}@{NOW - 1}"),)), now=NOW
    )

    assert await rejected_ids(store) == ["hers"]


async def test_erased_rejected_conversion_leaves_no_byte_in_a_file(store, path):
    for part in range(8):
        refused = tuple(
            refusal(
                store,
                f"{'hers' if number % 7 else 'his'}-{part}-{number}",
                BOB if not number % 7 else ADA,
            )
            for number in range(120)
        )
        source = f"shop-{part % 2}"
        await record(store, said=[], refusals=refused, receipt=f"r-{part}", source=source)

    found = await look(path)
    await store.erase(EraseStore(texts=tuple(found.texts)), now=NOW)
    await store.erase(EraseStore(ends=True), now=NOW)

    files = b"".join(file.read_bytes() for file in Path(path).parent.iterdir())
    assert b"his-7-0" in files
    assert b"hers-" not in files


async def test_erased_knowledge_of_visitors_leaves_no_byte_in_a_file(store, path):
    for part in range(60):
        known = tuple(
            known_of(
                mark_of(b"", JoinKind.LINK, f"{part} {number}", ""), BOB if number % 9 else ADA
            )
            for number in range(20)
        )
        await record(store, said=[], receipt=f"r-{part}", known=known)

    found = await look(path)
    await store.erase(EraseStore(known=tuple(found.known)), now=NOW)
    await store.erase(EraseStore(ends=True), now=NOW)

    files = b"".join(file.read_bytes() for file in Path(path).parent.iterdir())
    assert len(found.known) == 180
    assert BOB.encode() in files
    assert ADA.encode() not in files
