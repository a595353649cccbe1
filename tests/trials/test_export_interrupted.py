"""Exports while their storage is lost, and beside erasures: every row is right."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest
from test_export_killed import ENVIRONMENT, ChangingStore
from test_export_target_killed import compare, rows_of_objects, started

import fork_server
from builders import a_conversion, a_submission, an_entry
from s3_server import BUCKET, s3_server
from store_contract.actions import claim, delivered, settle
from twite.domain.conversion import Identifiers
from twite.domain.times import DAY, HOUR, MINUTE
from twite.stores.sqlite import SQLiteStore
from twite.x.encode import conversion_body
from written import write

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1_800)]

TRIAL = bool(os.environ.get("TWITE_TRIAL"))
OUTAGES = 20 if TRIAL else 3
ERASURES = 20 if TRIAL else 2
OF_A_PERSON = 6
BEFORE = 10_000 if TRIAL else 4_000


class Relay:
    """Stands before an S3 server, and drops all connections at a request to write an object.

    With `answers`, the server carries out this request, and its response is lost.
    """

    def __init__(self, server_url):
        self._port = urlsplit(server_url).port
        self._writers = set()
        self._is_open = True
        self._left, self._answers = 0, False
        self.is_cut = asyncio.Event()

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self):
        self._cut()
        self._server.close()

    def cut_at(self, write, *, answers):
        self.is_cut.clear()
        self._left, self._answers = write, answers

    def open(self):
        self._is_open, self._left = True, 0

    def _cut(self):
        self._is_open = False
        self.is_cut.set()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        if not self._is_open:
            writer.transport.abort()
            return
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.add(forth)
        answers = asyncio.create_task(self._answer(back, writer))
        try:
            while data := await reader.read(1 << 16):
                if data.startswith(b"PUT ") and self._left:
                    self._left -= 1
                    if not self._left and not self._answers:
                        self._cut()
                        return
                    self._is_open = self._left > 0 or not self._answers
                forth.write(data)
        except ConnectionError:
            pass
        finally:
            await answers
            forth.close()

    async def _answer(self, back, writer):
        try:
            while data := await back.read(1 << 16):
                if not self._is_open:
                    self._cut()
                    return
                writer.write(data)
        except ConnectionError:
            pass


async def test_loss_of_the_storage_at_any_write_leaves_no_wrong_object(
    tmp_path, monkeypatch, figure
):
    path, ended = write(tmp_path), Counter()
    changing = ChangingStore(await SQLiteStore.open(str(tmp_path / "twite.db")))
    now = time.time_ns() // 1_000_000
    for number in range(10):
        await changing.record(now - DAY + number)
    chance, to = random.Random(4), f"s3://{BUCKET}/twite/"
    with s3_server() as variables:
        relay = Relay(variables["AWS_ENDPOINT_URL"])
        behind = variables | {"AWS_ENDPOINT_URL": await relay.start()}
        for outage in range(OUTAGES):
            # A run writes its state, an object, and its state again.
            relay.cut_at(1 + outage % 3, answers=chance.random() < 0.5)
            process = started(path, behind, to)
            run = asyncio.create_task(asyncio.to_thread(process.communicate))
            await relay.is_cut.wait()
            if is_short := chance.random() < 0.5:
                relay.open()
            while not run.done():
                await changing.change()
            said, _ = await run
            relay.open()
            ended["repeated" if process.returncode == 0 else "failed"] += 1
            assert b"Traceback" not in said
            assert process.returncode == 0 or not is_short, said
        last = started(path, behind, to)
        said, _ = await asyncio.to_thread(last.communicate)
        assert last.returncode == 0, said
        await relay.stop()
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        found = rows_of_objects()
    await compare(changing, found)
    await changing.store.close()
    figure(
        f"{OUTAGES} losses of the storage at a write of an export",
        f"{ended['failed']} runs failed, {ended['repeated']} repeated the request; then "
        f"{len(found):,} rows, 0 wrong, 0 missing, 0 too many",
    )


def click_of(person):
    return f"2-{person:08}opevjt88psuo13"


async def fill(path):
    """Record conversions of many persons: half are delivered, and some ids are identifiers.

    Each run reads all others again, because they wait, so that it takes as long as the first.
    """
    store = await SQLiteStore.open(str(path))
    now = time.time_ns() // 1_000_000
    for person in range(ERASURES):
        await store.record(of_person(person, "delivered", now - DAY + person))
    batch = await claim(store, now=now, lease_until=now + MINUTE, limit=BEFORE)
    await settle(store, batch, "sent", delivered(batch), at=now, lease_until=now + MINUTE)
    for number in range(BEFORE // 200):
        entries = [an_entry(f"old-{number}-{index}", index=index) for index in range(200)]
        submission = a_submission(*entries, receipt=f"old{number}", received_at=now - HOUR + number)
        await store.record(submission)
    for person in range(ERASURES):
        await store.record(of_person(person, "queued", now - HOUR / 2 + person))
    await store.close()


def of_person(person, receipt, at):
    entries = []
    for index in range(OF_A_PERSON):
        id_ = f"{click_of(person) if index == 0 else person}/{receipt}/{index}"
        identifiers = Identifiers(click_id=click_of(person))
        conversion = msgspec.structs.replace(a_conversion(id_), identifiers=identifiers)
        body = conversion_body(conversion)
        entries.append(msgspec.structs.replace(an_entry(id_, index=index), body=body))
    return a_submission(*entries, receipt=f"{receipt}{person}", received_at=int(at))


async def test_export_beside_erasures_keeps_no_identifier(tmp_path, empty_postgres_url, figure):
    path = write(tmp_path)
    await fill(tmp_path / "twite.db")
    to, environ = "env:WAREHOUSE", {"WAREHOUSE": empty_postgres_url}
    beside = 0
    for person in range(ERASURES):
        export = started(path, environ, to)
        export_ended = asyncio.create_task(asyncio.to_thread(export.communicate))
        await asyncio.to_thread(time.sleep, 1.5 * random.Random(person).random())
        words = ("erase", "--click", click_of(person), "--yes", "-c", str(path))
        erase = fork_server.Popen(
            [sys.executable, "-m", "twite", *words],
            env=os.environ | ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        erased, _ = await asyncio.to_thread(erase.communicate)
        beside += not export_ended.done()
        said, _ = await export_ended
        assert (erase.returncode, export.returncode) == (0, 0), (erased, said)
    last = started(path, environ, to)
    said, _ = await asyncio.to_thread(last.communicate)
    assert last.returncode == 0, said

    store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    expected = await ChangingStore(store).expected()
    await store.close()
    connection = await asyncpg.connect(empty_postgres_url)
    rows = await connection.fetch("SELECT * FROM twite_conversions")
    await connection.close()
    found = {
        row["key"]: (row["state"], row["reason"], row["attempts"], row["last_status"])
        for row in rows
    }
    waiting = [row for row in rows if row["receipt"].startswith("queued")]
    assert found == expected
    assert [row for row in rows if "opevjt88psuo13" in str([*row.values()])] == []
    assert {row["state"] for row in waiting} == {"suppressed"}
    assert {row["conversion_id"][:7] for row in waiting} <= {"erased-", "***"}
    figure(
        f"{ERASURES} erasures beside exports into PostgreSQL",
        f"{beside} of them ended before the export; then {len(rows):,} rows equal the store, "
        f"0 have an identifier; {len(waiting)} waiting conversions of the persons are suppressed",
    )
