"""Whoever is erased is in no table, and is counted as before."""

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from twite.domain.conversion import Conversion, Identifiers, dedup_key
from twite.domain.delivery import Attempt, Settlement, State, Transition, Trigger
from twite.domain.fault import fault
from twite.domain.history import total
from twite.domain.people.erasure import CLICK, CONVERSION_ID, EMAIL, all_of, asked
from twite.domain.people.users import AuditEvent
from twite.domain.stats.sightings import Sighting, SightingPath
from twite.domain.submission import (
    AcceptedConversion,
    Endpoint,
    Ignored,
    RejectedConversion,
    RejectionQuery,
    Submission,
)
from twite.gateway.ingest.rejections import marks
from twite.gateway.operations.erase import ERASED
from twite.gateway.ports.outbox import Claim, Discard, EditBodies, EditedBody
from twite.gateway.ports.privacy import ErasedText, EraseSearch, EraseStore, SearchText
from twite.gateway.ports.queries import (
    ByConversionId,
    DedupQuery,
    IgnoredQuery,
    RejectionsQuery,
)
from twite.gateway.ports.state import Pause
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.store import SQLiteReader
from twite.testing.builders import NOW
from twite.x.encode import conversion_body

ADA = hashlib.sha256(b"ada@shop.example").hexdigest()
BOB = hashlib.sha256(b"bob@shop.example").hexdigest()
TWCLID = "23opevjt88psuo13lu8d020qkn"
WHOM = all_of([asked(EMAIL, "ada@shop.example", region=None)])


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


@pytest.fixture
async def store(path):
    store = await SQLiteStore.open(path)
    yield store
    await store.close()


def entry(conversion_id, person, *, index=0, pixel="o8z6j", suppressed=None, body=None):
    conversion = Conversion(
        pixel=pixel,
        event="o8z6k",
        conversion_id=conversion_id,
        time=NOW,
        identifiers=Identifiers(email=person, ip="198.51.100.7"),
    )
    return AcceptedConversion(
        index=index,
        key=dedup_key(pixel, "o8z6k", conversion_id),
        pixel=pixel,
        event="o8z6k",
        conversion_id=conversion_id,
        body=body or conversion_body(conversion),
        suppressed=suppressed,
    )


def native(conversion_id, person):
    return {"event": "purchase", "conversion_id": conversion_id, "email_sha256": person}


async def record(store, *entries, said, receipt="r-1", source="shop", **more):
    body = msgspec.json.encode({"conversions": said})
    submission = Submission(
        receipt=receipt, source=source, endpoint=Endpoint.NATIVE, received_at=NOW, body=body,
        entries=entries, **more,
    )  # fmt: skip
    return await store.record(submission)


async def claim(store, pixel="o8z6j"):
    return await store.claim(
        Claim(pixel=pixel, now=NOW, lease_until=NOW + 60_000, limit=500, ambiguous_after=0)
    )


async def settle(store, trigger, *, answer="", batch=None):
    batch = batch or await claim(store)
    ids = tuple(delivery.id for delivery in batch.deliveries)
    attempt = Attempt(
        at=NOW, pixel="o8z6j", event="o8z6k", outcome="x", deliveries=ids, status=200,
        answer=answer,
    )  # fmt: skip
    await store.settle(
        Settlement(
            lease=batch.lease,
            attempt=attempt,
            transitions=(Transition(trigger=trigger, deliveries=ids, reason=answer or "because"),),
            lease_until=NOW + 60_000,
        )
    )


async def look(path, whom=WHOM, *, pixel=None, opened=lambda _tag, body: body, pursued=()):
    reader = await SQLiteReader.open(path)
    try:
        return await reader.traces(
            EraseSearch(whom=whom, pixel=pixel, opened=opened, pursued=frozenset(pursued))
        )
    finally:
        await reader.close()


async def erase(store, path, whom=WHOM, **narrower):
    found = await look(path, whom, **narrower)
    erasing = EraseStore(
        conversions=tuple(found.conversions),
        cuts=tuple(found.cuts),
        sightings=tuple(found.sightings),
        texts=tuple(found.texts),
    )
    await store.erase(erasing, now=NOW)
    return found


def kept(path):
    """Return all that the tables hold, as text: what is in their rows, not in their pages."""
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump()).encode() + b"".join(
            bytes(row[0] or b"")
            for table in ("conversion", "submission", "amended")
            for row in connection.execute(f"SELECT CAST(body AS BLOB) FROM {table}")  # noqa: S608 - tables of ours
        )


def holding(path):
    """Return the files that hold her digest in any of their bytes."""
    files = Path(path).parent.iterdir()
    return [file.name for file in files if ADA.encode() in file.read_bytes()]


async def history_of(store, name, pixel="o8z6j"):
    return (await store.find(ByConversionId(pixel=pixel, events=["o8z6k"], conversion_id=name)))[0]


async def test_what_was_delivered_stays_so_under_a_digest_and_without_its_body(store, path):
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    await settle(store, Trigger.DELIVERED)

    found = await erase(store, path)
    history = await history_of(store, "order-1")

    assert found.states == {"o8z6j": {"delivered": 1}}
    assert (history.state, history.sent.strip()) == (State.DELIVERED, b"{}")
    assert history.conversion_id.startswith("erased-")
    assert ADA.encode() not in kept(path)
    assert b"order-1" not in kept(path)
    assert b"198.51.100.7" not in kept(path)


@pytest.mark.parametrize("rests", [None, Trigger.GIVEN_UP, Trigger.HELD])
async def test_what_was_still_to_be_sent_is_suppressed_and_the_balance_stays(store, path, rests):
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    if rests is not None:
        await settle(store, rests)

    await erase(store, path)
    history = await history_of(store, "order-1")
    account = total(await store.balance())

    assert (history.state, history.reason) == (State.SUPPRESSED, ERASED)
    assert (account.suppressed, account.balance) == (1, 0)
    assert await claim(store) is None


async def test_what_is_being_sent_is_left_and_looked_at_again(store, path):
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    batch = await claim(store)

    while_sent = await erase(store, path)
    await settle(store, Trigger.POSTPONED, batch=batch)
    afterwards = await erase(store, path, pursued=while_sent.in_progress)

    assert (while_sent.conversions, while_sent.in_progress) == ([], [1])
    assert afterwards.conversions == [1]
    assert (await history_of(store, "order-1")).state is State.SUPPRESSED


async def test_an_order_that_names_what_is_being_sent_leaves_it(store):
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    batch = await claim(store)

    erased = await store.erase(EraseStore(conversions=(1,)), now=NOW)
    await settle(store, Trigger.DELIVERED, batch=batch)

    assert erased == 0
    assert (await history_of(store, "order-1")).state is State.DELIVERED


async def test_what_comes_again_is_a_duplicate_still(store, path):
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    await settle(store, Trigger.DELIVERED)
    await erase(store, path)

    again = await record(store, entry("order-1", BOB), said=[native("order-1", BOB)], receipt="r-2")

    assert again.duplicates == (0,)


async def test_others_of_one_submission_keep_theirs_and_their_places(store, path):
    await record(
        store,
        entry("order-1", ADA),
        entry("order-2", BOB, index=1),
        said=[native("order-1", ADA), native("order-2", BOB)],
    )

    await erase(store, path)
    with closing(sqlite3.connect(path)) as connection:
        [body] = connection.execute("SELECT body FROM submission").fetchone()

    assert msgspec.json.decode(body) == {"conversions": [{"erased": True}, native("order-2", BOB)]}
    assert (await history_of(store, "order-2")).state is State.QUEUED
    assert [delivery.conversion_id for delivery in (await claim(store)).deliveries] == ["order-2"]


async def test_what_was_refused_or_a_duplicate_goes_from_its_submission(store, path):
    await record(store, entry("order-1", BOB), said=[native("order-1", BOB)])
    refusal = RejectedConversion(
        index=1, pixel="", errors=(fault("email", "email_unusable", f"{ADA} is no email"),)
    )
    await record(
        store,
        entry("order-1", BOB),
        said=[native("order-1", BOB), native("order-9", ADA)],
        receipt="r-2",
        refusals=(refusal,),
    )

    found = await erase(store, path)

    assert found.cuts == [ErasedText(submission=2, places=(1,))]
    assert ADA.encode() not in kept(path)
    assert total(await store.balance()).rejected == 1


async def test_by_its_id_a_conversion_goes_with_what_the_same_source_said_of_it(store, path):
    whom = all_of([asked(CONVERSION_ID, "order-1", region=None)])
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    await record(store, entry("order-1", ADA), said=[native("order-1", BOB)], receipt="r-2")
    other = entry("order-1", BOB, pixel="o6dkt")
    await record(store, other, said=[native("order-1", BOB)], receipt="r-3", source="till")

    found = await erase(store, path, whom, pixel="o8z6j")

    assert found.conversions == [1]
    assert [cut.submission for cut in found.cuts] == [1, 2]
    assert (await history_of(store, "order-1", pixel="o6dkt")).conversion_id == "order-1"


async def test_what_a_tag_was_to_be_told_goes_with_its_conversion(store, path):
    letter = b'{"pixel":"o8z6j","at":1,"sealed":"AAAA"}'
    await record(
        store,
        entry("order-1", ADA),
        entry("refund/order-1/3", ADA, index=1, pixel="tag:crm", body=letter),
        said=[native("order-1", ADA)],
    )

    found = await erase(store, path)

    assert (found.conversions, found.letters) == ([1, 2], 1)
    assert await claim(store, pixel="tag:crm") is None


async def test_what_a_tag_alone_was_told_is_found_by_the_id_that_people_know(store, path):
    letter = b'{"pixel":"o8z6j","at":1,"sealed":"AAAA"}'
    told = entry("some_event/order/1", ADA, pixel="tag:crm", body=letter)
    await record(store, msgspec.structs.replace(told, called="order/1"), said=[])
    whom = all_of([asked(CONVERSION_ID, "order/1", region=None)])

    found = await erase(store, path, whom=whom)

    with closing(sqlite3.connect(path)) as kept:
        called = kept.execute("SELECT * FROM called").fetchall()
    assert (found.conversions, found.letters) == ([1], 1)
    assert called == []


async def test_a_sealed_letter_is_opened_to_be_looked_into(store, path):
    sealed = entry("order-1", BOB, pixel="tag:crm", body=b'{"sealed":"AAAA"}')
    await record(store, sealed, said=[])

    closed = await look(path)
    found = await look(path, opened=lambda _tag, _body: b'{"mail":"Ada@shop.example"}')

    assert (closed.conversions, found.conversions) == ([], [1])


async def test_sightings_keep_their_ways_and_name_nobody(store, path):
    seen = [
        Sighting(
            pixel="o8z6j", event="o8z6k", conversion_id="order-1", way=way, at=NOW, email_mark=7
        )
        for way in (SightingPath.PIXEL, SightingPath.SERVER)
    ]
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)], sightings=tuple(seen))
    before = await store.answer(DedupQuery(since=NOW - 1))

    found = await erase(store, path)

    assert len(found.sightings) == 2
    assert await store.answer(DedupQuery(since=NOW - 1)) == before
    with closing(sqlite3.connect(path)) as connection:
        rows = set(connection.execute("SELECT conversion_id, email_mark FROM sighting"))
    [(name, mark)] = rows
    assert (name[:7], mark) == ("erased-", None)


async def test_words_of_x_and_of_people_that_name_somebody_go(store, path):
    await record(store, entry("order-1", BOB), said=[native("order-1", BOB)])
    await settle(store, Trigger.GIVEN_UP, answer=f'{{"message":"\\u0027{ADA}\\u0027 is wrong"}}')
    await store.put([Pause(pixel="o8z6j", since=NOW, reason="ada@shop.example complained")])
    await store.move(Discard(deliveries=[1], note="asked by ada@shop.example"), now=NOW)

    found = await erase(store, path)

    assert sorted(found.texts, key=lambda item: item.place) == [
        SearchText(place="answer", of=1),
        SearchText(place="note", of=1),
        SearchText(place="pause", of="o8z6j"),
    ]
    assert ADA.encode() not in kept(path)
    assert b"ada@" not in kept(path)


async def test_a_name_of_what_was_ignored_that_names_somebody_goes_and_stays_counted(store, path):
    names = [f"lead of {ADA}", f"form {ADA}", *(f"scroll_{n}" for n in range(90))]
    for at, name in enumerate([*names, *names[:1]]):
        ignored = (Ignored(name=name, reason="not_configured"),)
        await record(store, said=[], receipt=f"r-{at}", ignored=ignored)

    found = await erase(store, path)
    again = await look(path)
    ended = await store.erase(EraseStore(ends=True), now=NOW)

    counted = {tally.name: tally.times for tally in await store.answer(IgnoredQuery(since=0))}
    assert len(found.texts) == 2
    assert counted == {"erased": 3} | dict.fromkeys(names[2:], 1)
    assert (again.size, ended, holding(path)) == (0, 1, [])


async def test_what_a_person_had_changed_goes_too(store, path):
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    await settle(store, Trigger.GIVEN_UP)
    other = entry("order-1", BOB)
    await store.move(
        EditBodies(
            edited=[EditedBody(delivery=1, event="o8z6k", body=other.body)],
            note="was ada@shop.example",
        ),
        now=NOW,
    )

    found = await erase(store, path)

    assert SearchText(place="amended", of=1) in found.texts
    assert ADA.encode() not in kept(path)


async def test_nothing_is_found_a_second_time(store, path):
    await record(
        store,
        entry("order-1", ADA),
        entry("order-2", BOB, index=1),
        entry("order-3", ADA, index=2, suppressed="because"),
        said=[native("order-1", ADA), native("order-2", BOB), native("order-3", ADA)],
    )
    first = await erase(store, path)

    assert first.size == 3
    assert (await look(path)).size == 0


async def test_whoever_is_erased_is_listed_as_one_who_revoked(store):
    await store.erase(EraseStore(keys=(b"k" * 16,)), now=NOW)

    assert store.lists([b"k" * 16])


async def test_the_audit_has_a_line_and_tells_where_it_names_somebody(store, path):
    await store.people.note(
        AuditEvent(at=NOW, who="grace", what="export", subject="ada@shop.example")
    )
    audit_event = AuditEvent(at=NOW, who="grace", what="erase", subject="0123456789abcdef")

    await store.erase(EraseStore(audit_event=audit_event), now=NOW)

    assert [event.audit_event for event in await store.people.audit(limit=1)] == [audit_event]
    assert (await look(path)).audit_events == 1


async def test_at_its_end_the_files_hold_nothing_of_it(store, path):
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    before = holding(path)
    await erase(store, path)

    is_empty = await store.erase(EraseStore(ends=True), now=NOW)

    assert "twite.db-wal" in before
    assert is_empty == 1
    assert holding(path) == []


async def test_while_somebody_reads_what_was_erased_it_is_told_and_nobody_else_waits(
    store, path, monkeypatch
):
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
        told = await ending
        left = holding(path)

    is_empty = await store.erase(EraseStore(ends=True), now=NOW)

    assert (is_over, told, "twite.db-wal" in left) == (False, 0, True)
    assert (is_empty, holding(path)) == (1, [])


async def test_one_click_is_found_where_it_is_the_only_name(store, path):
    conversion = Conversion(
        pixel="o8z6j", event="o8z6k", conversion_id="order-1", time=NOW,
        identifiers=Identifiers(click_id=TWCLID),
    )  # fmt: skip
    await record(store, entry("order-1", None, body=conversion_body(conversion)), said=[])

    found = await look(path, all_of([asked(CLICK, TWCLID, region=None)]))

    assert found.conversions == [1]


async def test_a_row_stays_as_long_as_it_was_so_that_nothing_is_moved(store, path):
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
        for rejection in await store.answer(RejectionsQuery(wanted=RejectionQuery()))
    )


async def test_what_was_rejected_of_her_goes_and_is_counted_as_before(store, path):
    await record(
        store,
        entry("order-1", ADA, index=1),
        said=[native("hers", ADA), native("order-1", ADA), native("his", BOB)],
        refusals=(refusal(store, "hers", ADA), refusal(store, "his", BOB, index=2)),
    )
    # Rejected whole: nothing else is kept of these. One is under the id of a conversion of hers.
    await record(
        store,
        said=[],
        refusals=(refusal(store, "hers-too", ADA), refusal(store, "order-1", BOB)),
        receipt="r-2",
    )
    before = await store.balance()

    found = await erase(store, path)

    assert sum(text.place == "rejection" for text in found.texts) == 3
    assert await rejected_ids(store) == ["his"]
    assert total(await store.balance()).rejected == total(before).rejected == 4
    assert (await look(path)).size == 0


async def test_an_erasure_by_number_spares_what_took_the_place_meanwhile(store):
    await record(store, said=[], refusals=(refusal(store, "hers", ADA),))

    await store.erase(
        EraseStore(texts=(SearchText(place="rejection", of=f"{1 << 16}@{NOW - 1}"),)), now=NOW
    )

    assert await rejected_ids(store) == ["hers"]


async def test_no_byte_of_a_rejection_that_went_is_left_in_a_file(store, path):
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
