"""`twite joins` and `twite show` tell what conversions gained by waiting."""

import asyncio
import json

import msgspec
import pytest
from command_stage import settings_in

from builders import a_conversion, a_submission, an_entry
from twite.domain.conversion import Identifiers
from twite.domain.joins import JoinKind, JoinRequest, KnownIdentifier
from twite.domain.times import DAY
from twite.gateway.ports.outbox import SweepRequest
from twite.machine.system import SystemClock
from twite.stores.sqlite import SQLiteStore
from twite.x.encode import conversion_body

CLICK = "23opevjt88psuo13lu8d020qkn"
KEY = "0" * 32
WAIT = 1_000


@pytest.fixture
def with_joins(tmp_path):
    """Settings whose store joined one of two conversions."""
    asyncio.run(_joined(str(tmp_path / "twite.db"), SystemClock().now()))
    return settings_in(tmp_path)


async def _joined(path, now):
    store = await SQLiteStore.open(path)
    own = Identifiers(email="0" * 64)
    body = conversion_body(
        msgspec.structs.replace(a_conversion(), identifiers=own, time=now - WAIT)
    )
    for name, keys in (("order-1", (KEY,)), ("order-2", ())):
        entry = msgspec.structs.replace(
            an_entry(name), body=body, join=JoinRequest(keys=keys, whose="", wait=WAIT)
        )
        await store.record(a_submission(entry, receipt=name, received_at=now - WAIT))
    click = KnownIdentifier(
        key=KEY, mark="m", kind=JoinKind.CLICK, value=CLICK, whose="",
        at=now - 20 * DAY, seen_at=now, origin="page_view",
    )  # fmt: skip
    await store.record(msgspec.structs.replace(a_submission(receipt="known"), known=(click,)))
    await store.sweep(SweepRequest(now=now, ambiguous_before=0, waiting_before=0))
    await store.close()


def test_joins_counts_what_waiting_gained_by_source(command, with_joins):
    code, out, _ = command("joins", "--config", str(with_joins), "--json")

    assert code == 0
    assert json.loads(out) == [
        {
            "source": "shop", "pixel": "o8z6j", "waited": 2, "gained": 1,
            "twclid": 1, "email": 0, "phone": 0,
        }
    ]  # fmt: skip


def test_joins_prints_a_table(command, with_joins):
    code, out, _ = command("joins", "--config", str(with_joins))

    lines = [line.replace("│", " ").split() for line in out.splitlines() if line[0] == "│"]
    assert (code, lines) == (0, [["shop", "o8z6j", "2", "1", "1", "0", "0"]])


def test_joins_without_a_wait_says_what_to_set(command, shop):
    code, out, _ = command("joins", "--config", str(shop))

    assert code == 0
    assert "Set `wait` for a source" in out


def test_history_shows_the_origin_and_the_age_of_a_click(command, with_joins):
    _, out, _ = command("show", "order-1", "--config", str(with_joins))
    _, as_json, _ = command("show", "order-1", "--config", str(with_joins), "--json")

    assert "twclid from page_view, known since " in out
    # The conversion arrived a second before the test's time.
    aged = "19 days old, within X's click windows of 30, 60, 90 days"
    assert aged in " ".join(out.split())
    (gained,) = json.loads(as_json)["conversions"][0]["gained"]
    assert (gained["identifier"], gained["origin"], gained["age"]) == ("twclid", "page_view", aged)


def test_erase_deletes_what_is_known_of_a_visitor(command, with_joins):
    erase = ("erase", "--config", str(with_joins), "--click", CLICK, "--json")

    _, before, _ = command(*erase, "--dry-run")
    code, _, err = command(*erase, "--yes")
    _, after, _ = command(*erase, "--dry-run")

    assert (code, err) == (0, "")
    found = json.loads(before)["found"]
    assert (found["visitor_rows"], found["conversions"]) == (1, {"o8z6j": {"queued": 1}})
    assert json.loads(after)["found"]["visitor_rows"] == 0
