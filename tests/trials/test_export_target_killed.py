"""Exports whose process or target is killed, from both store engines: every row is right."""

import asyncio
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import asyncpg
import obstore
import polars as pl
import pytest
from obstore.store import from_url
from test_export_killed import ENVIRONMENT, ChangingStore

import fork_server
from postgres_server import PostgresServer, programs
from s3_server import BUCKET, s3_server
from twite.domain.times import DAY
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.store import PostgresStore
from twite.stores.sqlite import SQLiteStore
from written import GOOD, write

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1_800)]

KILLS = 30 if os.environ.get("TWITE_TRIAL") else 4
BEFORE = 20
LONGEST = 1.5  # seconds


def started(path, environ, to):
    return fork_server.Popen(
        [sys.executable, "-m", "twite", "export", "--to", to, "-c", str(path)],
        env=os.environ | ENVIRONMENT | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request):
    if request.param == "sqlite":
        return ""
    return request.getfixturevalue("empty_postgres_url")


@pytest.fixture
async def changing(store_url, tmp_path):
    if store_url:
        path = write(tmp_path, GOOD.replace("sqlite:twite.db", store_url))
        store = await PostgresStore.open(store_url, StoreOptions())
    else:
        path = write(tmp_path)
        store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    made = ChangingStore(store)
    made.path = path
    now = time.time_ns() // 1_000_000
    for number in range(BEFORE):
        await made.record(now - DAY + number)
    yield made
    await store.close()


async def rows_of_table(url):
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        "SELECT key, state, reason, attempts, last_status FROM twite_conversions"
    )
    await connection.close()
    return {key: tuple(row) for key, *row in map(tuple, rows)}


def rows_of_objects():
    bucket = from_url(f"s3://{BUCKET}")
    paths = [each["path"] for page in obstore.list(bucket) for each in page]
    frames = [
        pl.read_parquet(io.BytesIO(bytes(obstore.get(bucket, path).bytes())))
        for path in paths
        if path.endswith(".parquet")
    ]
    latest = pl.concat(frames).sort("updated_at").unique(subset="key", keep="last")
    return {
        key: tuple(row)
        for key, *row in latest["key", "state", "reason", "attempts", "last_status"].rows()
    }


async def run_killed(changing, environ, to, kill):
    end = asyncio.Event()
    changes = asyncio.create_task(changing.change_on(end))
    chance, ended = random.Random(3), Counter()
    while ended["killed"] < KILLS:
        process = started(changing.path, environ, to)
        await asyncio.to_thread(time.sleep, 0.2 + chance.random() * LONGEST)
        if process.poll() is None:
            await kill(process)
            ended["killed"] += 1
        else:
            assert process.returncode == 0, process.stdout.read()
            ended["done"] += 1
        process.stdout.close()
    end.set()
    await changes
    last = started(changing.path, environ, to)
    said, _ = await asyncio.to_thread(last.communicate)
    assert last.returncode == 0, said


async def killed_with(process):
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.wait)


async def compare(changing, found):
    expected = await changing.expected()
    stored = {key: row for key, row in found.items() if row[0] != "rejected"}
    wrong = {key: (stored.get(key), row) for key, row in expected.items() if stored.get(key) != row}
    assert wrong == {}
    assert stored.keys() == expected.keys()
    assert len(found) - len(stored) == changing.requests


def right(changing, found):
    engine = type(changing.store).__name__.removesuffix("Store")
    return f"from {engine}: {len(found):,} rows, 0 wrong, 0 missing, 0 too many"


async def test_killed_exports_to_objects(changing, figure):
    with s3_server() as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        await run_killed(changing, variables, f"s3://{BUCKET}/twite/", killed_with)
        found = rows_of_objects()
    await compare(changing, found)
    figure(f"{KILLS} killed exports to objects", right(changing, found))


async def test_target_database_that_is_killed(changing, figure):
    server = PostgresServer(programs())
    try:
        url, errors = server.create("warehouse"), []

        async def kill(process):
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
            said, _ = await asyncio.to_thread(process.communicate)
            await asyncio.to_thread(server.start)
            errors.append(said)

        await run_killed(changing, {"W": url}, "env:W", kill)
        found = await rows_of_table(url)
        await compare(changing, found)
        figure(f"{KILLS} kills of an export's database", right(changing, found))
        said = b"".join(errors)
        assert b"Error" in said
        assert b"__aexit__" not in said
    finally:
        server.stop()
