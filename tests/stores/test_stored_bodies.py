"""Bodies of more than 2 kB are compressed. Damaged ones do not affect others."""

import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import zstandard
from erasing_stage import ADA, entry, erase, look, native, record

from builders import NOW
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.privacy import EraseStore
from twite.gateway.ports.queries import SubmissionsQuery
from twite.stores.sql.stored_bodies import body_of, stored, stored_in_place
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.recovery.recover import recover

MAGIC = zstandard.FRAME_HEADER
LONG = msgspec.json.encode({"conversions": [{"conversion_id": f"o-{n}"} for n in range(200)]})
# Ada's is the first, so that nothing of the compressed body stays the same without her.
PEOPLE = [ADA, *(hashlib.sha256(b"%d" % number).hexdigest() for number in range(60))]
SAID = [native(f"order-{number}", person) for number, person in enumerate(PEOPLE)]
ENTRIES = [entry(f"order-{number}", person, index=number) for number, person in enumerate(PEOPLE)]
KEPT = SubmissionsQuery(deliveries=[2], scope=QueryScope())


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


@pytest.fixture
async def store(path):
    store = await SQLiteStore.open(path)
    yield store
    await store.close()


def on_disk(path):
    with closing(sqlite3.connect(path)) as connection:
        ((body,),) = connection.execute("SELECT body FROM submission")
    return body


def put(path, body):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE submission SET body = ?", (body,))
        connection.commit()


def test_several_threads_compress_bodies_at_once():
    bodies = [b"%d" % number * 100_000 for number in range(16)]

    with ThreadPoolExecutor(8) as threads:
        kept = list(threads.map(stored, bodies * 8))

    assert [body_of(body) for body in kept] == bodies * 8


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 2_048, LONG, MAGIC, MAGIC + LONG, MAGIC * 9])
def test_stored_body_is_read_unchanged(body):
    assert body_of(stored(body)) == body


def test_only_bodies_over_2_kb_are_compressed():
    small, large = b"x" * 2_048, b"x" * 2_049

    assert stored(small) == small
    assert stored(large).startswith(MAGIC)
    assert len(stored(LONG)) < len(LONG) / 3


@pytest.mark.parametrize("body", [b"{}", LONG, LONG[:2_000], MAGIC])
@pytest.mark.parametrize("size", [2, 2_100, 3_000, 9_000])
def test_body_that_fits_is_written_in_its_former_place(body, size):
    placed = stored_in_place(body, size)

    assert body_of(placed).rstrip() == body
    assert len(placed) == size or len(placed) == len(stored_in_place(body, 0)) > size


@pytest.mark.parametrize("place", [4, 5, 6, 30, -1])
def test_damaged_body_is_returned_as_stored(place):
    damaged = bytearray(stored(LONG))
    damaged[place] ^= 0x55

    assert body_of(bytes(damaged)) in {bytes(damaged), LONG}


def test_damaged_body_with_a_declared_size_of_a_terabyte_is_returned_as_stored():
    # A frame header with 8 bytes of content size.
    claims = MAGIC + b"\xe0" + (1 << 40).to_bytes(8, "little") + stored(LONG)[9:]

    assert body_of(claims) == claims


async def test_large_request_is_compressed_on_the_disk(store, path):
    await record(store, *ENTRIES, said=SAID)

    (kept,) = await store.answer(KEPT)

    assert on_disk(path).startswith(MAGIC)
    assert msgspec.json.decode(kept.body) == {"conversions": SAID}


async def test_no_byte_of_an_erased_persons_compressed_body_is_left(store, path):
    await record(store, *ENTRIES, said=SAID)
    before = on_disk(path)

    await erase(store, path)
    assert await store.erase(EraseStore(ends=True), now=NOW) == 1

    after = on_disk(path)
    assert len(after) == len(before)
    assert ADA.encode() not in body_of(after)
    differs = next(place for place in range(len(before)) if before[place] != after[place])
    pieces = {before[start : start + 24] for start in range(differs, len(before) - 24, 24)}
    assert len(pieces) > 20
    for file in Path(path).parent.iterdir():
        held = file.read_bytes()
        assert not [piece for piece in pieces if piece in held and piece not in after]


async def test_damaged_body_of_an_erased_person_is_emptied(store, path):
    await record(store, *ENTRIES, said=SAID)
    put(path, on_disk(path)[:-9] + b"\xff" * 9)

    await erase(store, path)

    assert on_disk(path).strip() == b"{}"
    assert not (await look(path)).cuts


async def test_recovered_store_has_the_large_requests(store, path):
    await record(store, *ENTRIES, said=SAID)
    await store.close()

    recover(path, None, known=[("o8z6j", "o8z6k")])

    recovered = await SQLiteStore.open(path)
    (kept,) = await recovered.answer(KEPT)
    await recovered.close()
    assert msgspec.json.decode(kept.body) == {"conversions": SAID}
