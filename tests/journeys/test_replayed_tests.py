"""Tests of a source that are restored, replayed or sent by several processes never reach X."""

import json
import re
import shutil
import sqlite3
from contextlib import closing

import pytest
from gateway_processes import PIXEL, Gateway, PostgresGateway, command, replay, wait_for
from test_source_in_test_mode import (
    ORDER,
    TEST_PIXEL,
    counts_of,
    in_test,
    reloaded,
    requests_at,
    settled,
    without_test_mode,
)

pytestmark = pytest.mark.journey
MANY = 1_000
ALL = ("--all", "--held", "--may-count-twice")


def batch(name, many):
    return {
        "conversions": [{**ORDER, "conversion_id": f"{name}-{number}"} for number in range(many)]
    }


def killed_with_waiting_tests(gateway):
    """Kill a gateway before the emulator got all of its tests; return how many wait."""
    for attempt in range(20):
        assert gateway.post(batch(f"test-{attempt}", MANY))[0] == 202
        gateway.kill()
        with closing(sqlite3.connect(gateway.folder / "twite.db")) as database:
            [waiting] = database.execute("SELECT count(*) FROM outbox").fetchone()
        if waiting:
            return waiting
        gateway.start()
    raise AssertionError("the emulator was always faster than the kill")


def listed(gateway):
    return json.loads(command(gateway, "dead", "list", "--limit", "100000", "--json").stdout)


def held(gateway):
    return sum(each["held"] for each in counts_of(gateway))


def mapped_to(gateway, event):
    """Map the purchase to another event, which the emulator knows instead of the last one."""
    text = gateway.config.read_text()
    gateway.config.write_text(re.sub(r'purchase = "\w+"', f'purchase = "{event}"', text))


@pytest.mark.parametrize("way", ["replay", "current mapping"])
def test_replayed_tests_go_to_the_emulator_also_after_the_test_mode(tmp_path, x_emulator, way):
    gateway = Gateway(tmp_path, x_emulator.url)
    mapped_to(gateway, "o8zza")
    in_test(gateway)
    with gateway:
        waiting = killed_with_waiting_tests(gateway)
        gateway.config.write_text(without_test_mode(gateway))
        mapped_to(gateway, "o8zzb")
        gateway.start()
        wait_for(lambda: held(gateway) >= waiting, gateway.ended)
        refused = listed(gateway)
        # The kill interrupted their first attempt.
        if way == "replay":
            mapped_to(gateway, "o8zza")
            reloaded(gateway)
        arguments = ["--current-mapping"] if way == "current mapping" else []
        started = replay(gateway, *ALL, *arguments)
        settled(gateway)
        counts, total = counts_of(gateway), gateway.balance()
        gateway.stop()

    assert {each["pixel"] for each in refused} == {TEST_PIXEL}
    assert started.returncode == 0, started.stdout + started.stderr
    assert sum(each["delivered"] for each in counts) == sum(each["received"] for each in counts)
    assert (total["received"], total["balance"]) == (0, 0)
    assert requests_at(x_emulator) == []


def test_tests_in_a_copy_of_a_store_never_reach_x(tmp_path, x_emulator):
    folders = tmp_path / "tested", tmp_path / "copy"
    for folder in folders:
        folder.mkdir()
    tested, copy = (Gateway(folder, x_emulator.url) for folder in folders)
    in_test(tested)
    with tested:
        waiting = killed_with_waiting_tests(tested)
    for file in tested.folder.glob("twite.db*"):
        if not file.name.endswith(".gateway"):
            shutil.copyfile(file, copy.folder / file.name)
    with copy:
        real = copy.post(ORDER)[1]
        settled(copy)
        replay(copy, *ALL)
        settled(copy)
        counts, total = counts_of(copy), copy.drained()
        copy.stop()

    assert waiting > 0
    assert "test" not in real
    assert sum(each["delivered"] for each in counts) == sum(each["received"] for each in counts)
    assert (total["received"], total["delivered"]) == (1, 1)
    assert [entry["conversions"] for entry in requests_at(x_emulator)] == [1]


def test_restored_backup_holds_or_tests_its_tests(tmp_path, x_emulator):
    gateway = Gateway(tmp_path, x_emulator.url)
    in_test(gateway)
    with gateway:
        killed_with_waiting_tests(gateway)
        shutil.copyfile(tmp_path / "twite.db", tmp_path / "old.db")
        gateway.start()
        settled(gateway)
        gateway.config.write_text(without_test_mode(gateway))
        gateway.stop()
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"twite.db{suffix}").unlink(missing_ok=True)
        shutil.copyfile(tmp_path / "old.db", tmp_path / "twite.db")
        gateway.start()
        settled(gateway)
        started = replay(gateway, *ALL)
        settled(gateway)
        counts = counts_of(gateway)
        gateway.stop()

    assert started.returncode == 0, started.stderr
    assert sum(each["delivered"] for each in counts) == sum(each["received"] for each in counts)
    assert requests_at(x_emulator) == []


def test_all_processes_of_a_gateway_obey_the_switch(tmp_path, x_emulator, postgres_url):
    gateway = PostgresGateway(tmp_path, x_emulator.url, postgres_url, extra="workers = 2")
    with gateway:
        in_test(gateway, reload=True)
        # Each connection may reach another process.
        tested = [gateway.post({**ORDER, "conversion_id": f"t-{n}"})[1] for n in range(40)]
        settled(gateway)
        none_yet = requests_at(x_emulator)
        gateway.config.write_text(without_test_mode(gateway))
        reloaded(gateway)
        real = [gateway.post({**ORDER, "conversion_id": f"t-{n}"})[1] for n in range(40)]
        total = gateway.drained()
        counts = counts_of(gateway)
        gateway.stop()

    assert {receipt.get("test") for receipt in tested} == {True}
    assert none_yet == []
    assert {receipt.get("test") for receipt in real} == {None}
    assert [(each["pixel"], each["delivered"]) for each in counts] == [(TEST_PIXEL, 40)]
    assert (total["received"], total["delivered"]) == (40, 40)
    assert sum(entry["conversions"] for entry in requests_at(x_emulator)) == 40
    assert PIXEL not in {each["pixel"] for each in counts}
