"""`twite store hold`: a restored database must not send what it may have sent before."""

import pytest

from postgres_server import DATABASE
from twite.domain.errors import StoreUnusable
from twite.stores.factory import ENGINES
from twite.stores.postgres import holding

ENGINE = ENGINES["postgresql"]


NODE = """
INSERT INTO node (name, version, accounts, longest_request, until)
VALUES ('shop-1', '1', '[]', 0, clock_timestamp() + interval '{seconds} s')
"""


async def test_running_gateway_is_named(postgres_url, postgres_server, monkeypatch):
    monkeypatch.setattr(holding, "_EXPIRED_WITHIN", 0)
    postgres_server.psql(NODE.format(seconds=60), DATABASE)

    with pytest.raises(StoreUnusable, match=r"gateways use the database \(shop-1\)\. Stop them"):
        await ENGINE.hold_pending(postgres_url)


async def test_lease_of_a_gateway_that_ended_may_expire(postgres_url, postgres_server, monkeypatch):
    monkeypatch.setattr(holding, "_LOOK", 0.05)
    postgres_server.psql(NODE.format(seconds=0.3), DATABASE)

    assert await ENGINE.hold_pending(postgres_url) == 0


async def test_database_without_a_store_is_refused(empty_postgres_url):
    with pytest.raises(StoreUnusable, match="contains no store"):
        await ENGINE.hold_pending(empty_postgres_url)


async def test_sqlite_store_is_held_by_its_gateway():
    with pytest.raises(StoreUnusable, match="Run twite restore"):
        await ENGINES["sqlite"].hold_pending("twite.db")
