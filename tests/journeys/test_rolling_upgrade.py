"""Gateways of two versions on one PostgreSQL database, while the newer one upgrades it.

TWITE_OLDER is the folder `src` of an earlier checkout, which then runs the older gateway.
"""

import os
import subprocess

import pytest
from gateway_processes import PIXEL, PostgresGateway, wait_for
from newer_gateway import NewerVersion

from ends import SeenConversions, judge
from gateway_process import BalanceWatch, GatewayError
from load_shop import LoadShop
from twite_emulator.process import ReceivedTally

pytestmark = pytest.mark.journey

OLDER = os.environ.get("TWITE_OLDER")


class Older(PostgresGateway):
    if OLDER is not None:
        popen = subprocess.Popen

    def start(self):
        self.environment |= {"PYTHONPATH": OLDER or ""}
        super().start()


class Newer(PostgresGateway):
    if OLDER is None:
        popen = NewerVersion


def gateway(kind, folder, x, url):
    folder.mkdir()
    return kind(folder, x.url, url)


@pytest.fixture
def older(tmp_path, x_emulator, empty_postgres_url):
    x_emulator.switch(rate_limit=1_000_000_000, dedup_scope="all", log_bodies=0)
    older = gateway(Older, tmp_path / "older", x_emulator, empty_postgres_url)
    with older:
        yield older


@pytest.fixture
def newer(tmp_path, x_emulator, empty_postgres_url):
    newer = gateway(Newer, tmp_path / "newer", x_emulator, empty_postgres_url)
    yield newer
    newer.__exit__()


def tallies(x):
    events = x.counted(pixel=PIXEL)["pixels"][PIXEL]["events"].values()
    return {
        id_: ReceivedTally(api=many["api"], counted=many["counted"])
        for event in events
        for id_, many in event["ids"].items()
    }


def test_upgrade_while_the_older_gateway_accepts_requests_loses_nothing(
    older, newer, x_emulator, figure
):
    with LoadShop(older, repeats=False) as shop, BalanceWatch(older) as watch:
        wait_for(lambda: len(shop.acknowledged) >= 1_000, older.ended)
        before = len(shop.acknowledged)
        newer.start()
        during = len(shop.acknowledged) - before
        with LoadShop(newer, repeats=False) as other:
            enough = before + during + 1_000
            wait_for(lambda: len(shop.acknowledged) >= enough, older.ended)
            wait_for(lambda: len(other.acknowledged) >= 1_000, newer.ended)
        code = older.stop()
    balance = newer.drained()

    seen = SeenConversions(
        acknowledged=shop.acknowledged | other.acknowledged,
        # Requests wait for the upgrade. If it takes long, their clients give up.
        unanswered=(),
        tallies=tallies(x_emulator),
        balance=balance,
        residues=watch.residues,
        problems=shop.problems + other.problems,
        codes={code},
    )
    assert judge(seen, end="stop") == ()
    assert "problem" not in older.log()
    figure(
        "A schema is upgraded while an older gateway runs",
        f"{len(seen.acknowledged):,} acknowledged, {during:,} of them during the upgrade",
    )
    with pytest.raises(GatewayError, match="a newer version of Twite uses it"):
        older.start()


def a_purchase(conversion_id):
    return {"event": "purchase", "conversion_id": conversion_id, "email": "a@example.com"}


def test_gateway_with_another_schema_refuses_requests(
    older, x_emulator, empty_postgres_url, postgres_server
):
    """A later version could remove a column that the older gateway needs."""
    database = empty_postgres_url.partition("?")[0].rpartition("/")[2]
    x_emulator.fault("slow", seconds=3)
    assert older.post(a_purchase("order-1"))[0] == 202
    wait_for(lambda: x_emulator.received()["entries"], older.ended)
    postgres_server.psql("ALTER TABLE outbox RENAME received_at TO renamed", database)

    status, _ = older.post(a_purchase("order-2"))
    wait_for(lambda: older.get("/readyz")[0] == 503, older.ended)
    _, problem = older.get("/readyz")
    wait_for(lambda: "X's response cannot be recorded" in older.log(), older.ended)
    postgres_server.psql("ALTER TABLE outbox RENAME renamed TO received_at", database)

    wait_for(lambda: older.post(a_purchase("order-2"))[0] == 202, older.ended)
    balance = older.drained()
    assert status == 503
    assert "the database has a different schema than this version expects" in str(problem)
    assert (balance["delivered"], balance["balance"]) == (2, 0)
    assert {id_: many.api for id_, many in tallies(x_emulator).items()} == {
        "order-1": 1,
        "order-2": 1,
    }
