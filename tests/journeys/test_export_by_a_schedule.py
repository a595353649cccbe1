"""`[[export]]` in a running gateway: a database and object storage, kills and restarts."""

import asyncio
import io
import os
import random
import time
from collections import Counter
from functools import partial

import asyncpg
import obstore
import polars as pl
import pytest
from gateway_processes import Gateway, command, replay, wait_for
from obstore.store import from_url

from s3_server import BUCKET, s3_server

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]

KILLS = 20 if os.environ.get("TWITE_TRIAL") else 4
# Of one request. Two exports of it take longer than the gateway's start.
ORDERS = 900
BEFORE = 4
EXPORTS = f"""
[[export]]
name = "warehouse"
to = "env:WAREHOUSE"
interval = "10s"
[[export]]
name = "lake"
to = "s3://{BUCKET}/twite/"
interval = "10s"
"""


class Shop:
    """Posts orders: most are delivered, and the others refused by X or by the gateway."""

    def __init__(self, gateway):
        self._gateway = gateway
        self.requests = 0

    def post(self, orders):
        self.requests += 1
        conversions = [self._order(number) for number in range(orders)]
        rejected = {"event": "purchase", "conversion_id": f"rejected-{self.requests}"}
        status, _ = self._gateway.post({"conversions": [*conversions, rejected]})
        assert status in {200, 202, 207}

    def _order(self, number):
        # The emulator refuses IPv6.
        ip = "2001:db8::1" if number == 0 else "203.0.113.7"
        return {
            "event": "purchase",
            "conversion_id": f"order-{self.requests}-{number}",
            "ip": ip,
            "user_agent": "Browser/1.0",
            "value": f"{number}.90",
            "currency": "EUR",
        }


async def _rows(url):
    connection = await asyncpg.connect(url)
    try:
        if await connection.fetchval("SELECT to_regclass('twite_conversions') IS NULL"):
            return {}
        found = await connection.fetch("SELECT key, state, attempts, value FROM twite_conversions")
    finally:
        await connection.close()
    return {row["key"]: (row["state"], row["attempts"], row["value"]) for row in found}


def rows_of_table(url):
    return asyncio.run(_rows(url))


def has_changed(url, before):
    return rows_of_table(url) != before


def rows_of_objects():
    """Return the latest row of each key."""
    bucket = from_url(f"s3://{BUCKET}")
    paths = [each["path"] for page in obstore.list(bucket) for each in page]
    frames = [
        pl.read_parquet(io.BytesIO(bytes(obstore.get(bucket, path).bytes())))
        for path in paths
        if path.endswith(".parquet")
    ]
    if not frames:
        return {}
    latest = pl.concat(frames).sort("updated_at").unique(subset="key", keep="last")
    return {key: tuple(row) for key, *row in latest["key", "state", "attempts", "value"].rows()}


def rows_of_store(gateway, folder):
    """Return what the store has, by an export into a file."""
    path = folder / "all.parquet"
    done = command(gateway, "export", "--to", str(path))
    assert done.returncode == 0, done.stderr
    frame = pl.read_parquet(path)
    return {key: tuple(row) for key, *row in frame["key", "state", "attempts", "value"].rows()}


def test_scheduled_exports_are_exact_after_kills(
    tmp_path, x_emulator, empty_postgres_url, monkeypatch, figure
):
    chance, cut = random.Random(5), 0
    x_emulator.switch(allow_ipv6=False)
    with s3_server() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        gateway = Gateway(tmp_path, x_emulator.url)
        gateway.environment |= variables | {"WAREHOUSE": empty_postgres_url}
        shop = Shop(gateway)
        with gateway:
            for _ in range(BEFORE):
                shop.post(ORDERS)
            gateway.stop()
        gateway.config.write_text(gateway.config.read_text() + EXPORTS)
        for _ in range(KILLS):
            before = rows_of_table(empty_postgres_url)
            gateway.start()
            shop.post(ORDERS)
            wait_for(partial(has_changed, empty_postgres_url, before), gateway.ended)
            time.sleep(chance.random() * 0.5)
            gateway.kill()
            # Each request has a rejected conversion, too.
            cut += len(rows_of_table(empty_postgres_url)) < shop.requests * (ORDERS + 1)
        with gateway:
            gateway.drained(seconds=120)
            expected = rows_of_store(gateway, tmp_path)
            wait_for(lambda: rows_of_table(empty_postgres_url) == expected, gateway.ended)
            wait_for(lambda: rows_of_objects() == expected, gateway.ended)
            x_emulator.switch(allow_ipv6=True)
            replayed = replay(gateway, "--all")
            shop.post(10)
            gateway.drained()
            last = rows_of_store(gateway, tmp_path)
            wait_for(lambda: rows_of_table(empty_postgres_url) == last, gateway.ended)
            wait_for(lambda: rows_of_objects() == last, gateway.ended)

    before_replay = Counter(state for state, *_ in expected.values())
    after_replay = Counter(state for state, *_ in last.values())
    requests = BEFORE + KILLS
    figure(
        f"{KILLS} kills of a gateway that exports",
        f"{len(last):,} rows exact in a table and in objects; {cut} kills before a run's end",
    )
    assert replayed.returncode == 0, replayed.stderr
    assert cut
    assert before_replay == {
        "delivered": requests * (ORDERS - 1),
        "dead": requests,
        "rejected": requests,
    }
    assert after_replay == {"delivered": requests * ORDERS + 10, "rejected": requests + 1}
