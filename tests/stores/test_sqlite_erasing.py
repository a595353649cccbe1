"""An erased person is in no table, and the counts are unchanged."""

import sqlite3
from contextlib import closing

import msgspec
import pytest
from erasing_stage import (
    ADA,
    BOB,
    WHOM,
    claim,
    entry,
    erase,
    history_of,
    holding,
    kept,
    look,
    native,
    record,
    settle,
)

from builders import NOW
from twite.domain.delivery import State, Trigger
from twite.domain.fault import fault
from twite.domain.history import total
from twite.domain.pause import Cause, Pause
from twite.domain.people.erasure import CONVERSION_ID, all_of, asked
from twite.domain.stats.deduplication import DedupPath, DedupRow
from twite.domain.submission import Ignored, RejectedConversion
from twite.gateway.operations.erase import ERASED
from twite.gateway.ports.outbox import Discard, EditBodies, EditedBody
from twite.gateway.ports.privacy import ErasedText, EraseSearch, EraseStore, SearchText
from twite.gateway.ports.queries import DedupQuery, IgnoredQuery
from twite.stores.sql.erase_search import search
from twite.stores.sql.statements import query
from twite.stores.sqlite import SQLiteStore


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


@pytest.fixture
async def store(path):
    store = await SQLiteStore.open(path)
    yield store
    await store.close()


async def test_erased_delivered_conversion_keeps_its_state_and_a_hash(store, path):
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
async def test_erased_pending_conversion_is_suppressed_and_the_balance_stays(store, path, rests):
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    if rests is not None:
        await settle(store, rests)

    await erase(store, path)
    history = await history_of(store, "order-1")
    account = total(await store.balance())

    assert (history.state, history.reason) == (State.SUPPRESSED, ERASED)
    assert (account.suppressed, account.balance) == (1, 0)
    assert await claim(store) is None


async def test_conversion_in_flight_is_skipped_and_found_again(store, path):
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    batch = await claim(store)

    while_sent = await erase(store, path)
    await settle(store, Trigger.POSTPONED, batch=batch)
    afterwards = await erase(store, path, pursued=while_sent.in_progress)

    assert (while_sent.conversions, while_sent.in_progress) == ([], [1])
    assert afterwards.conversions == [1]
    assert (await history_of(store, "order-1")).state is State.SUPPRESSED


async def test_erasure_by_id_skips_a_conversion_in_flight(store):
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    batch = await claim(store)

    erased = await store.erase(EraseStore(conversions=(1,)), now=NOW)
    await settle(store, Trigger.DELIVERED, batch=batch)

    assert erased == 0
    assert (await history_of(store, "order-1")).state is State.DELIVERED


async def test_copy_of_an_erased_conversion_is_still_a_duplicate(store, path):
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    await settle(store, Trigger.DELIVERED)
    await erase(store, path)

    again = await record(store, entry("order-1", BOB), said=[native("order-1", BOB)], receipt="r-2")

    assert again.duplicates == (0,)


async def test_other_conversions_of_the_submission_keep_their_positions(store, path):
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


async def test_rejected_and_duplicate_parts_are_erased_from_the_submission(store, path):
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


async def test_erasure_by_conversion_id_covers_all_requests_of_the_source(store, path):
    whom = all_of([asked(CONVERSION_ID, "order-1", region=None)])
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    await record(store, entry("order-1", ADA), said=[native("order-1", BOB)], receipt="r-2")
    other = entry("order-1", BOB, pixel="o6dkt")
    await record(store, other, said=[native("order-1", BOB)], receipt="r-3", source="till")

    found = await erase(store, path, whom, pixel="o8z6j")

    assert found.conversions == [1]
    assert [cut.submission for cut in found.cuts] == [1, 2]
    assert (await history_of(store, "order-1", pixel="o6dkt")).conversion_id == "order-1"


async def test_tag_payload_is_erased_with_its_conversion(store, path):
    payload = b'{"pixel":"o8z6j","at":1,"sealed":"AAAA"}'
    await record(
        store,
        entry("order-1", ADA),
        entry("refund/order-1/3", ADA, index=1, pixel="tag:crm", body=payload),
        said=[native("order-1", ADA)],
    )

    found = await erase(store, path)

    assert (found.conversions, found.payloads) == ([1, 2], 1)
    assert await claim(store, pixel="tag:crm") is None


async def test_event_for_a_tag_only_is_found_by_its_public_id(store, path):
    payload = b'{"pixel":"o8z6j","at":1,"sealed":"AAAA"}'
    reported = entry("some_event/order/1", ADA, pixel="tag:crm", body=payload)
    await record(store, msgspec.structs.replace(reported, called="order/1"), said=[])
    whom = all_of([asked(CONVERSION_ID, "order/1", region=None)])

    found = await erase(store, path, whom=whom)

    with closing(sqlite3.connect(path)) as kept:
        called = kept.execute("SELECT * FROM called").fetchall()
    assert (found.conversions, found.payloads) == ([1], 1)
    assert called == []


async def test_sealed_payload_is_opened_for_the_search(store, path):
    sealed = entry("order-1", BOB, pixel="tag:crm", body=b'{"sealed":"AAAA"}')
    await record(store, sealed, said=[])

    closed = await look(path)
    found = await look(path, opened=lambda _tag, _body: b'{"mail":"Ada@shop.example"}')

    assert (closed.conversions, found.conversions) == ([], [1])


async def test_rows_of_the_deduplication_report_keep_their_paths_and_lose_the_id(store, path):
    seen = [
        DedupRow(
            pixel="o8z6j", event="o8z6k", conversion_id="order-1", path=way, at=NOW, email_mark=7
        )
        for way in (DedupPath.PIXEL, DedupPath.SERVER)
    ]
    await record(
        store, entry("order-1", ADA), said=[native("order-1", ADA)], dedup_rows=tuple(seen)
    )
    before = await store.answer(DedupQuery(since=NOW - 1))

    found = await erase(store, path)

    assert len(found.dedup_rows) == 2
    assert await store.answer(DedupQuery(since=NOW - 1)) == before
    with closing(sqlite3.connect(path)) as connection:
        rows = set(connection.execute("SELECT conversion_id, email_mark FROM dedup_report"))
    [(name, mark)] = rows
    assert (name[:7], mark) == ("erased-", None)


async def test_messages_that_name_the_person_are_erased(store, path):
    await record(store, entry("order-1", BOB), said=[native("order-1", BOB)])
    await settle(store, Trigger.GIVEN_UP, answer=f'{{"message":"\\u0027{ADA}\\u0027 is wrong"}}')
    await store.put(
        [
            Pause(
                pixel="o8z6j",
                since=NOW,
                cause=Cause.PIXEL_REFUSED,
                reason="ada@shop.example complained",
            )
        ]
    )
    await store.move(Discard(deliveries=[1], note="asked by ada@shop.example"), now=NOW)

    found = await erase(store, path)

    assert sorted(found.texts, key=lambda item: item.place) == [
        SearchText(place="answer", of=1),
        SearchText(place="note", of=1),
        SearchText(place="pause", of="o8z6j"),
    ]
    assert ADA.encode() not in kept(path)
    assert b"ada@" not in kept(path)


async def test_ignored_event_name_with_personal_data_is_erased_and_still_counted(store, path):
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


async def test_edits_of_the_person_are_erased(store, path):
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


async def test_second_erasure_of_a_person_finds_nothing(store, path):
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


class BusyConnection:
    """A connection to a store that accepts another request of a person during each search."""

    def __init__(self, connection):
        self._connection = connection
        self.searches = 0

    def execute(self, statement, values=()):
        if statement == query("submissions_after"):
            self.searches += 1
            if self.searches < 50:
                self._connection.executescript(MORE)
        return self._connection.execute(statement, values)


MORE = """
INSERT INTO conversion (id, submission, queue, conversion_id, body, suppressed, checksum)
SELECT id + 1, id + 1, queue, 'order-' || (id + 1), body, suppressed, checksum
FROM conversion ORDER BY id DESC LIMIT 1;
INSERT INTO submission (id, receipt, source, endpoint, received_at, first, entries, body)
SELECT id + 1, 'r-' || (id + 1), source, endpoint, received_at, id + 1, 1, body
FROM submission ORDER BY id DESC LIMIT 1;
"""


async def test_search_ends_while_new_conversions_of_the_person_arrive(path):
    store = await SQLiteStore.open(path)
    await record(store, entry("order-1", ADA), said=[native("order-1", ADA)])
    await store.close()

    with closing(sqlite3.connect(path)) as connection:
        busy = BusyConnection(connection)
        found = search(busy, EraseSearch(subject=WHOM, opened=lambda _, body: body))

    assert len(found.conversions) >= 1
    assert busy.searches < 10
