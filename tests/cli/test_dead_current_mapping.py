import asyncio
import json

import msgspec
import pytest
from command_stage import running, settings_in, twite

from builders import NOW, a_submission, an_entry
from gateway_process import wait_for
from twite.domain.delivery import Attempt, Settlement, Transition, Trigger
from twite.gateway.ports.outbox import Claim
from twite.stores.sqlite import SQLiteStore

OLD = "o8zzz"
NATIVE = b'{"event": "purchase"}'
IN_X_FORMAT = b'{"conversions": [{"event_id": "tw-o8z6j-o8zzz"}]}'


async def dead_letters(path: str, orders: dict[str, bytes]) -> None:
    store = await SQLiteStore.open(path)
    try:
        for order, body in orders.items():
            submission = a_submission(an_entry(order, event=OLD), receipt=f"r-{order}")
            await store.record(msgspec.structs.replace(submission, body=body))
        batch = await store.claim(
            Claim(pixel="o8z6j", now=NOW, lease_until=NOW + 60_000, limit=9, ambiguous_after=0)
        )
        assert batch is not None
        ids = tuple(delivery.id for delivery in batch.deliveries)
        await store.settle(
            Settlement(
                lease=batch.lease,
                attempt=Attempt(
                    at=NOW,
                    pixel="o8z6j",
                    event=OLD,
                    outcome="rejected",
                    deliveries=ids,
                    status=404,
                    answer="no such event",
                ),
                transitions=(
                    Transition(trigger=Trigger.GIVEN_UP, deliveries=ids, reason="no such event"),
                ),
                lease_until=NOW + 60_000,
            )
        )
    finally:
        await store.close()


@pytest.fixture
def with_old_event_id(tmp_path):
    """A shop whose dead letters carry an event id that was later corrected in the settings."""
    asyncio.run(dead_letters(f"{tmp_path}/twite.db", {"order-1": NATIVE, "order-2": NATIVE}))
    return settings_in(tmp_path)


def history(command, shop, order):
    shown = json.loads(command("show", order, "--config", str(shop), "--json")[1])
    return shown["conversions"][0]


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_replay_counts_deliveries_with_an_old_event_id(command, with_old_event_id, dry_run):
    code, out, err = command(
        "dead", "replay", "--all", *dry_run, "--config", str(with_old_event_id)
    )

    assert code == 0
    assert "2 deliveries " in out
    assert err == (
        "2 deliveries carry event o8zzz, but the settings now map the event to o8z6k. "
        "Add --current-mapping to send that id.\n"
    )


def test_replay_with_the_current_mapping_sends_the_corrected_event_id(command, with_old_event_id):
    words = ("dead", "replay", "--all", "--current-mapping", "--config", str(with_old_event_id))
    before = history(command, with_old_event_id, "order-1")

    dry = command(*words, "--dry-run")
    between = history(command, with_old_event_id, "order-1")
    code, out, err = command(*words)

    assert (dry[0], between) == (0, before)
    assert "2 deliveries would be queued again" in dry[1]
    assert (code, out.splitlines()[0]) == (0, "2 deliveries queued again (0 held).")
    assert err == dry[2] == "2 deliveries: event o8zzz replaced by o8z6k.\n"
    after = history(command, with_old_event_id, "order-1")
    assert (after["state"], after["event"], after["conversion_id"]) == (
        "queued",
        "o8z6k",
        "order-1",
    )
    assert after["sent"]["event_id"] == "o8z6k"
    (audited,) = json.loads(
        command("audit", "list", "--json", "--config", str(with_old_event_id))[1]
    )
    assert audited["detail"] == (
        "2: order-2, order-1; for no such event; event as currently mapped"
    )


def test_conversion_whose_event_name_is_unknown_is_not_replayed_with_the_mapping(command, tmp_path):
    asyncio.run(dead_letters(f"{tmp_path}/twite.db", {"order-1": NATIVE, "order-2": IN_X_FORMAT}))
    shop = settings_in(tmp_path)

    words = ("dead", "replay", "--all", "--current-mapping", "--config", str(shop))
    code, out, err = command(*words)

    assert (code, out.splitlines()[0]) == (1, "1 delivery queued again (0 held).")
    assert "1 delivery not changed: the request has X's own event id" in err
    assert history(command, shop, "order-2")["state"] == "dead"


def test_edit_is_refused_if_another_conversion_has_the_new_event_and_id(command, tmp_path):
    asyncio.run(dead_letters(f"{tmp_path}/twite.db", {"order-1": NATIVE}))
    shop = settings_in(tmp_path)

    async def again():
        store = await SQLiteStore.open(f"{tmp_path}/twite.db")
        await store.record(a_submission(an_entry("order-1"), receipt="r-again"))
        await store.close()

    asyncio.run(again())
    words = ("dead", "replay", "--all", "--current-mapping", "--config", str(shop), "--json")
    code, out, _ = command(*words)

    reported = json.loads(out)
    assert (code, reported["started"]) == (1, 1)
    assert reported["old_events"] == [{"event": OLD, "now": "o8z6k", "deliveries": 1}]
    (why,) = reported["refused"]
    assert "already has this event and conversion id" in why["why"]


def wait_for_end(replay, config):
    """Wait until a gateway has worked off a replay; return where its conversions are."""

    def progress():
        (found,) = json.loads(twite("dead", "replays", replay, "--json", *config)[1])
        return found["progress"]

    wait_for(lambda: progress()["left"] == 0)
    return progress()


def test_running_gateway_replaces_the_event_id_and_reports_refused_deliveries(command, tmp_path):
    orders = {"order-1": NATIVE, "order-2": NATIVE}
    asyncio.run(dead_letters(f"{tmp_path}/twite.db", orders))

    async def again():
        store = await SQLiteStore.open(f"{tmp_path}/twite.db")
        await store.record(a_submission(an_entry("order-1"), receipt="r-again"))
        await store.close()

    asyncio.run(again())
    shop = settings_in(tmp_path)
    with running("serve", "--config", str(shop)):
        config = ("--config", str(shop))
        words = ("dead", "replay", "--all", "--current-mapping", "--json", *config)
        code, out, _ = twite(*words)
        replay = json.loads(out)["replay"]
        worked_off = wait_for_end(replay, config)

    assert code == 0
    assert (worked_off["queued"], worked_off["unchanged"]) == (1, 1)
    assert history(command, shop, "order-2")["sent"]["event_id"] == "o8z6k"
