"""Backups, older copies and damaged stores, with real processes.

The emulator of X is the oracle: it knows how often each conversion id reached it.
"""

import shutil
import sqlite3
from contextlib import closing

import pytest
from gateway_processes import PIXEL, Gateway, command, wait_for

from gateway_process import GatewayError
from twite_emulator.process import running_emulator

SWITCHES = ("rate_limit=1000000000", "dedup_scope=all", "log_bodies=0")
PAGE = 4096


def orders(name, many):
    return [f"{name}-{number}" for number in range(many)]


def post(gateway, ids):
    status, _ = gateway.post(
        {
            "conversions": [
                {"event": "purchase", "conversion_id": id_, "email": f"{id_}@example.com"}
                for id_ in ids
            ]
        }
    )
    assert status == 202


def counts_at_x(x):
    """Return how often X received each conversion."""
    pixels = x.counted()["pixels"]
    ids = pixels["o8z6j"]["events"]["o8z6k"]["ids"] if pixels else {}
    return {id_: many["api"] for id_, many in ids.items()}


def is_paused(gateway):
    return f'twite_pixel_paused{{pixel="{PIXEL}"}} 1.0' in gateway.get("/metrics")[1]["text"]


def leases(database):
    """Count the batches that are being sent."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT count(*) FROM lease").fetchone()[0]


@pytest.mark.journey
@pytest.mark.timeout(180)
@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("way", ["files", "cp", "restore"])
def test_restored_backup_sends_no_conversion_twice(tmp_path, end, way):
    copy = tmp_path / "copy.db"
    with (
        running_emulator(*SWITCHES) as x,
        Gateway(tmp_path, x.url, extra="batch = 10\nin_flight = 1") as gateway,
    ):
        x.fault("slow", seconds=0.2, count=0)
        post(gateway, orders("before", 100))
        wait_for(lambda: len(counts_at_x(x)) >= 30)
        x.clear_faults()
        x.fault("slow", seconds=1.5, count=0)
        backed_up = command(gateway, "backup", str(copy))
        x.clear_faults()
        gateway.drained()
        post(gateway, orders("after", 40))
        gateway.drained()
        getattr(gateway, end)()
        if way == "restore":
            restored = command(gateway, "restore", str(copy))
        else:
            for suffix in ("-wal", "-shm") if way == "files" else ():
                (tmp_path / f"twite.db{suffix}").unlink(missing_ok=True)
            shutil.copyfile(copy, tmp_path / "twite.db")
        checked = command(gateway, "check")
        gateway.start()
        balance = gateway.drained()
        post(gateway, orders("new", 10))
        last = gateway.drained()
        listed = command(gateway, "dead", "list")
        times = counts_at_x(x)

    assert backed_up.returncode == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert times == dict.fromkeys(
        [*orders("before", 100), *orders("after", 40), *orders("new", 10)], 1
    )
    assert 0 < balance["held"] <= 80  # of 30 at X, ten may still be unsettled
    assert balance["received"] == 100
    assert (balance["balance"], last["balance"]) == (0, 0)
    if way == "restore":
        assert restored.returncode == 0
        assert "may have been sent since" in restored.stdout
        assert "40 conversions were received after the backup" in restored.stdout
    stray = way == "cp" and end == "kill"
    assert ("is set aside as twite.db.stray-" in gateway.log()) == stray
    assert bool(list(tmp_path.glob("twite.db.stray-*-wal"))) == stray
    said = "the log next to it belongs to" if stray else "the database is an older copy"
    assert said in checked.stdout
    assert "the database is an older copy" in gateway.log()
    assert "40 conversions received after the last one in the database are missing" in gateway.log()
    assert "it may have been sent since" in listed.stdout


@pytest.mark.journey
@pytest.mark.timeout(180)
def test_restored_backup_without_later_deliveries_continues_at_once(tmp_path):
    copy = tmp_path / "copy.db"
    with running_emulator(*SWITCHES) as x, Gateway(tmp_path, x.url) as gateway:
        post(gateway, orders("first", 20))
        gateway.drained()
        x.fault("status", status=401, count=0)
        post(gateway, orders("waiting", 20))
        wait_for(lambda: is_paused(gateway))
        wait_for(lambda: not leases(tmp_path / "twite.db"))
        command(gateway, "backup", str(copy))
        gateway.kill()
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"twite.db{suffix}").unlink(missing_ok=True)
        shutil.copyfile(copy, tmp_path / "twite.db")
        x.clear_faults()
        gateway.start()
        balance = gateway.balance()

    assert balance["held"] == 0
    assert "older copy" not in gateway.log()


def damaged(content, tried):
    """Overwrite a page near the middle that is in use: nobody notices the loss of a free one."""
    for number in range(len(content) // PAGE // 2, len(content) // PAGE):
        changed = bytearray(content)
        changed[number * PAGE : (number + 1) * PAGE] = b"\xff" * PAGE
        tried.write_bytes(changed)
        with closing(sqlite3.connect(tried)) as connection:
            try:
                is_noticed = connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",)
            except sqlite3.DatabaseError:
                is_noticed = True
        if is_noticed:
            return changed
    raise AssertionError("no page is in use")


@pytest.mark.journey
@pytest.mark.timeout(180)
def test_damaged_store_is_refused_recovered_and_continued(tmp_path):
    with running_emulator(*SWITCHES) as x, Gateway(tmp_path, x.url) as gateway:
        post(gateway, orders("sent", 200))
        gateway.drained()
        # Longer than posting takes, but within the shutdown timeout: nothing is ambiguous.
        x.fault("slow", seconds=2, count=0)
        for number in range(4):
            post(gateway, orders(f"waiting-{number}", 500))
        gateway.stop()
        x.clear_faults()
        before = counts_at_x(x)
        database = tmp_path / "twite.db"
        database.write_bytes(damaged(database.read_bytes(), tmp_path / "tried.db"))
        with pytest.raises(GatewayError, match="twite recover"):
            gateway.start()
        refused = gateway.process.returncode
        checked = command(gateway, "check")
        recovered = command(gateway, "recover")
        gateway.start()
        balance = gateway.drained()
        after = counts_at_x(x)

    assert (refused, checked.returncode, recovered.returncode) == (1, 1, 0)
    assert "it is damaged" in checked.stdout
    assert "twite recover" in checked.stdout
    assert len(list(tmp_path.glob("twite.db.damaged-*"))) >= 1
    assert before.items() <= after.items()
    assert set(after.values()) == {1}
    assert balance["balance"] == 0
    assert balance["delivered"] + balance["held"] + balance["dead"] >= 1_900
