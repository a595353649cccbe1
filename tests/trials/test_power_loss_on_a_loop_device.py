"""Power loss on a real file system: `twite serve` is killed, and only its synced data is left.

It takes long, and needs root: TWITE_TRIAL=1 .venv/bin/python -m pytest tests/trials -k loop_device
-s
"""

import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing

import loop_device
import pytest
from small_disks import GatewayOnDisk

from load_shop import LoadShop, PostingStyle
from twite.stores.sqlite.engine.connection import WRITER_SETTINGS
from twite_emulator.process import running_emulator

pytestmark = [
    pytest.mark.journey,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not os.environ.get("TWITE_TRIAL"), reason="a trial: TWITE_TRIAL=1"),
]
CUTS = 10
CONTROLS = 3

# Commits 5,000 rows per second, fifty at a time, and reports the total after each commit; runs a
# checkpoint every quarter of a second, like the store.
CONTROL = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for pragma in sys.argv[2:]:
    connection.execute(f"PRAGMA {pragma}")
connection.execute("CREATE TABLE conversion (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
made = 0
while True:
    connection.execute("BEGIN IMMEDIATE")
    rows = [(made + place + 1, bytes(400)) for place in range(50)]
    connection.executemany("INSERT INTO conversion VALUES (?, ?)", rows)
    connection.execute("COMMIT")
    made += 50
    print(made, flush=True)
    if made % 1_250 == 0:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    time.sleep(0.01)
"""


@pytest.fixture(scope="module", autouse=True)
def loop_devices():
    reason = loop_device.why_not()
    if reason is not None:
        pytest.skip(f"no loop device: {reason}")


def test_acknowledged_conversions_are_delivered_once_after_a_power_loss(tmp_path, figure):
    randomness = random.Random(20261125)
    acknowledged = 0

    for number in range(CUTS):
        shop, found, sent = cut_and_start_again(
            tmp_path / str(number), seconds=randomness.uniform(0.5, 2.5)
        )
        acknowledged += len(shop.acknowledged)

        assert shop.problems == []
        assert shop.acknowledged_by.keys() == set(PostingStyle)
        assert shop.acknowledged - found == set()
        assert found == sent.keys()
        assert {many["counted"] for many in sent.values()} == {1}

    assert acknowledged > CUTS * 200
    figure(
        "202 survives power loss, on a loop device",
        f"{CUTS} cuts, {acknowledged:,} acknowledged, 0 missing, all delivered",
    )


def test_control_without_a_sync_per_commit_loses_rows(figure):
    missing = [control(synchronous="NORMAL") for _ in range(CONTROLS)]

    assert min(missing) > 0
    figure("the same cut, control run at synchronous=NORMAL", f"{missing} rows missing")


def test_control_with_the_stores_settings_loses_no_row():
    missing = [control(synchronous=WRITER_SETTINGS["synchronous"][0]) for _ in range(CONTROLS)]

    assert missing == [0] * CONTROLS


def cut_and_start_again(folder, *, seconds):
    """Serve and post for a while, cut the power, restart, and deliver the rest.

    Return the shop, the conversion ids on the disk, and X's count of each id.
    """
    folder.mkdir()
    switches = ("rate_limit=1000000000", "dedup_scope=all", "log_bodies=0")
    with running_emulator(*switches) as x, loop_device.disk() as (image, place):
        gateway = GatewayOnDisk(folder, x.url, disk=place)
        with ExitStack() as after_the_cut:
            with gateway, LoadShop(gateway) as shop:
                time.sleep(seconds)
                gateway.kill()
                left = after_the_cut.enter_context(loop_device.power_cut(image))
            found = conversion_ids(left / "twite.db")
            with GatewayOnDisk(folder, x.url, disk=left) as anew:
                assert anew.drained()["balance"] == 0
                assert anew.stop() == 0
        return shop, found, x.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]


def conversion_ids(database):
    """Read a database without a checkpoint, and check its integrity."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {id_ for (id_,) in connection.execute("SELECT conversion_id FROM conversion")}


def control(*, synchronous):
    """Commit rows with plain SQLite, cut the power, and return the number of lost rows."""
    settings = {name: asked for name, (asked, _) in WRITER_SETTINGS.items()}
    settings["synchronous"] = synchronous
    command = [sys.executable, "-c", CONTROL, "control.db"]
    command += [f"{name} = {value}" for name, value in settings.items()]
    with (
        loop_device.disk() as (image, place),
        subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) as process,
    ):
        time.sleep(1.5)
        process.kill()
        with loop_device.power_cut(image) as left:
            reported = [int(line) for line in process.stdout if line.endswith("\n")]
            # Rows committed but not yet reported may be there, too.
            return max(0, reported[-1] - rows_in(left / "control.db"))


def rows_in(database):
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM conversion").fetchone()[0]
    except sqlite3.OperationalError:
        # Even the table or the file is missing.
        return 0
