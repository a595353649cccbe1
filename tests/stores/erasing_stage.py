"""Two people, Ada and Bob, their data in a store, and Ada's erasure."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from builders import NOW
from twite.domain.conversion import Conversion, Identifiers, dedup_key
from twite.domain.delivery import Attempt, Settlement, Transition
from twite.domain.joins import JoinKind, KnownIdentifier, mark_of
from twite.domain.people.erasure import EMAIL, all_of, asked
from twite.domain.submission import AcceptedConversion, Endpoint, Submission
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.privacy import EraseSearch, EraseStore
from twite.gateway.ports.queries import ByConversionId
from twite.stores.sqlite.store import SQLiteReader
from twite.x.encode import conversion_body

ADA = hashlib.sha256(b"ada@shop.example").hexdigest()
BOB = hashlib.sha256(b"bob@shop.example").hexdigest()
TWCLID = "23opevjt88psuo13lu8d020qkn"
WHOM = all_of([asked(EMAIL, "ada@shop.example", region=None)])


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


def known_of(key, person):
    """Return what an event says about a visitor."""
    return KnownIdentifier(
        key=key, mark=mark_of(b"", JoinKind.EMAIL, person, ""), kind=JoinKind.EMAIL, value=person,
        whose="", at=NOW, seen_at=NOW, origin="identify",
    )  # fmt: skip


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
            EraseSearch(subject=whom, pixel=pixel, opened=opened, pursued=frozenset(pursued))
        )
    finally:
        await reader.close()


async def erase(store, path, whom=WHOM, **narrower):
    found = await look(path, whom, **narrower)
    erasing = EraseStore(
        conversions=tuple(found.conversions),
        cuts=tuple(found.cuts),
        dedup_rows=tuple(found.dedup_rows),
        known=tuple(found.known),
        texts=tuple(found.texts),
    )
    await store.erase(erasing, now=NOW)
    return found


def kept(path):
    """Return the content of all tables as text: rows, not pages."""
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump()).encode() + b"".join(
            bytes(row[0] or b"")
            for table in ("conversion", "submission", "amended")
            for row in connection.execute(f"SELECT CAST(body AS BLOB) FROM {table}")  # noqa: S608 - own tables
        )


def holding(path):
    """Return the files whose bytes contain Ada's digest."""
    files = Path(path).parent.iterdir()
    return [file.name for file in files if ADA.encode() in file.read_bytes()]


async def history_of(store, name, pixel="o8z6j"):
    return (await store.find(ByConversionId(pixel=pixel, events=["o8z6k"], conversion_id=name)))[0]
