"""A replay from the command line is a batch: planned, started, followed to its end, cancelled."""

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest
from command_stage import running, settings_in, store_in, twite

from gateway_process import wait_for
from twite.domain.replay_batch import ReplayBatch
from twite.stores.sqlite import SQLiteStore
from twite_emulator.process import running_emulator

UNKNOWN = "01a21050-10aa-74ba-a097-7c8d979853a0"


@pytest.fixture
def with_gateway(tmp_path):
    """Settings, and a running gateway whose X is the emulator."""
    store_in(tmp_path)
    with running_emulator() as emulator:
        path = settings_in(tmp_path, emulator.url)
        with running("serve", "--config", str(path)) as (_, ready):
            yield path, ready["url"]


@pytest.fixture
def limited(tmp_path):
    """Settings, and a running gateway that X limits for a quarter of an hour."""
    store_in(tmp_path)
    with running_emulator("rate_limit=0") as emulator:
        path = settings_in(tmp_path, emulator.url)
        with running("serve", "--config", str(path)):
            yield path, emulator


def batches(folder):
    async def loaded():
        store = await SQLiteStore.open(f"{folder}/twite.db")
        try:
            return await store.load(ReplayBatch)
        finally:
            await store.close()

    return asyncio.run(loaded())


def started(path, *which):
    code, out, err = twite("dead", "replay", *which, "--json", "--config", str(path))
    assert code == 0, err
    return json.loads(out)["replay"]


def read(path, *words):
    return json.loads(twite("dead", *words, "--json", "--config", str(path))[1])


def shown(path, order):
    found = json.loads(twite("show", order, "--json", "--config", str(path))[1])
    return found["conversions"][0]


def test_replay_through_a_gateway_is_followed_until_x_has_accepted_it(with_gateway):
    path, url = with_gateway

    code, out, err = twite("dead", "replay", "order-2", "--config", str(path))
    (listed,) = read(path, "replays")
    followed = twite("dead", "replays", listed["id"], "--follow", "--config", str(path))
    (ended,) = read(path, "replays", listed["id"], "--follow")

    assert (code, err) == (0, "")
    assert out == (
        "Replay of 1 delivery started (0 held).\n"
        f"Follow it with: twite dead replays {listed['id']} --follow\n"
        f"or in the console: {url}/console/problems/replays/{listed['id']}\n"
    )
    assert followed[0] == 0
    assert followed[1].splitlines()[-1] == "done: 1 delivered"
    assert (ended["state"], ended["total"], ended["progress"]["delivered"]) == ("done", 1, 1)
    assert ended["who"].endswith("(command)")


def test_cancelled_replay_waits_for_a_decision_again(limited):
    path, emulator = limited
    config = ("--config", str(path))
    id_ = started(path, "order-2")
    wait_for(lambda: emulator.received()["requests"] > 0)
    wait_for(lambda: shown(path, "order-2")["state"] == "queued")

    code, out, err = twite("dead", "cancel", id_, *config)
    again = twite("dead", "cancel", id_, "--json", *config)
    (listed,) = read(path, "replays", id_)
    audited = json.loads(twite("audit", "list", "--json", *config)[1])
    history = shown(path, "order-2")

    assert (code, out, err) == (0, "Cancelled: 1 taken back.\n", "")
    assert again[:2] == (1, "")
    assert f"replay {id_} is cancelled: nothing is left to cancel" in again[2]
    assert listed["state"] == "cancelled"
    assert history["state"] == "held"
    assert {entry["what"] for entry in audited} >= {"replay", "replay.cancel"}


def test_replay_without_a_gateway_is_a_batch_that_the_next_gateway_sends(command, shop):
    config = ("--config", str(shop))

    code, out, err = command("dead", "replay", "order-2", *config)
    (batch,) = batches(shop.parent)
    followed = command("dead", "replays", batch.id, "--follow", *config)

    assert (code, err) == (0, "")
    assert out == (
        "1 delivery queued again (0 held).\n"
        "No gateway is running: twite serve sends them.\n"
        f"Follow it with: twite dead replays {batch.id} --follow\n"
    )
    assert (batch.pixel, batch.event, batch.total, batch.done) == ("o8z6j", "o8z6k", 1, 1)
    assert followed == (
        1,
        "running: 1 queued\n",
        "No gateway is running. Start twite serve, then follow again.\n",
    )


def test_replay_without_a_gateway_is_cancelled(command, shop):
    config = ("--config", str(shop))
    command("dead", "replay", "order-2", *config)
    (batch,) = batches(shop.parent)

    cancelled = json.loads(command("dead", "cancel", batch.id, "--json", *config)[1])

    assert (cancelled["state"], cancelled["progress"]["taken_back"]) == ("cancelled", 1)


def test_replays_are_listed_latest_first(command, shop):
    config = ("--config", str(shop))
    empty = command("dead", "replays", *config)
    command("dead", "replay", "order-2", *config)
    command("dead", "replay", "order-3", "--may-count-twice", *config)

    listed = json.loads(command("dead", "replays", "--json", *config)[1])
    code, out, _ = command("dead", "replays", *config)

    assert empty == (0, "No replays in the last 30 days.\n", "")
    assert [each["id"] for each in listed] == [batch.id for batch in batches(shop.parent)[::-1]]
    assert code == 0
    assert all(each["id"] in out for each in listed)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["replay", UNKNOWN], f"{UNKNOWN} is neither dead nor held"),
        (["discard", UNKNOWN], f"{UNKNOWN} is neither dead nor held"),
        (["replays", UNKNOWN], f"there is no replay {UNKNOWN}"),
        (["replays", UNKNOWN, "--follow"], f"there is no replay {UNKNOWN}"),
        (["cancel", UNKNOWN], "twite dead replays lists those of the last 30 days"),
    ],
)
def test_unknown_id_is_a_failure(command, shop, words, complaint):
    code, _, err = command("dead", *words, "--config", str(shop))

    assert code == 1
    assert complaint in " ".join(err.split())


def test_following_no_replay_is_a_usage_error(command, shop):
    code, out, err = command("dead", "replays", "--follow", "--config", str(shop))

    assert (code, out) == (2, "")
    assert "name a replay" in " ".join(err.split())


@pytest.fixture
def refused_time(shop):
    """The shop, where X has refused the time of order-2."""
    answer = '{"errors": [{"code": "INVALID_PARAMETER", "parameter": "conversion_time"}]}'
    with closing(sqlite3.connect(shop.parent / "twite.db")) as store:
        store.execute("UPDATE attempt SET answer = ? WHERE status = 400", (answer,))
        store.commit()
    return shop


def test_conversions_of_a_refused_time_are_left_out_of_a_replay(command, refused_time):
    words = ["replay", "--config", str(refused_time)]

    tried = command("dead", *words, "--all", "--dry-run")
    alone = command("dead", *words, "order-2")
    both = command("dead", *words, "order-2", "order-3", "--may-count-twice")
    (batch,) = batches(refused_time.parent)

    assert tried[0] == 0
    assert tried[1].endswith("0 deliveries would be queued again (0 held).\n")
    assert alone[:2] == (1, "")
    assert both[0] == 1
    for _, _, err in (tried, alone, both):
        assert err.startswith("1 delivery not changed: X refuses the time, which a replay keeps.")
    assert batch.total == 1
    assert shown(refused_time, "order-2")["state"] == "dead"
    assert shown(refused_time, "order-3")["state"] == "queued"
