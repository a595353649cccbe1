"""Simulated power loss; docs/explanation/fault-injection.md says what it covers.

A failure names its seed. Again, and alone:

    TWITE_SEEDS=17 .venv/bin/python -m pytest tests/trials/test_power_loss.py -k after_a_power_loss
"""

import os
import random
from contextlib import suppress

import pytest
from ledger_under_cuts import CUTS_A_LIFE, SETTINGS, Broken, Life, Tally
from lossy_disk import Disk, LossyVFS

TRIAL = bool(os.environ.get("TWITE_TRIAL"))
LIVES = 5_000 if TRIAL else 16
SHARES = 10 if TRIAL else 1
CONTROLS = 500 if TRIAL else 15


@pytest.fixture(scope="module")
def vfs():
    return LossyVFS()


def shares():
    """Return groups of seeds to run in parallel, or those of TWITE_SEEDS, such as `17,18`."""
    wanted = os.environ.get("TWITE_SEEDS")
    if wanted:
        return [[int(seed) for seed in wanted.split(",")]]
    size = LIVES // SHARES
    return [range(first, first + size) for first in range(0, LIVES, size)]


@pytest.mark.timeout(1_500 if TRIAL else 300)
@pytest.mark.parametrize("seeds", shares(), ids=lambda seeds: f"seeds-{seeds[0]}-to-{seeds[-1]}")
def test_acknowledged_conversions_are_in_the_store_after_a_power_loss(vfs, tmp_path, seeds, figure):
    tally = Tally()

    for seed in seeds:
        history = Life(vfs, tmp_path, seed=seed, images={})
        try:
            tally.add(history.run())
        except Broken as broken:
            pytest.fail(
                f"{broken}. Again: TWITE_SEEDS={seed} .venv/bin/python -m pytest "
                "tests/trials/test_power_loss.py -k after_a_power_loss"
            )

    assert (tally.cuts, tally.lost, tally.corrupt) == (len(seeds) * CUTS_A_LIFE, 0, 0)
    figure("202 survives power loss", f"{tally}")


@pytest.mark.timeout(600)
def test_control_without_a_sync_per_commit_loses_acknowledged_conversions(vfs, tmp_path, figure):
    tally = cut_off(vfs, tmp_path, synchronous="NORMAL")

    # SQLite promises that NORMAL causes no damage: a model that damages it is wrong.
    assert tally.corrupt == 0
    assert tally.lost > 0
    figure("202 survives power loss: control run, synchronous=NORMAL", f"{tally}")


@pytest.mark.timeout(600)
def test_control_without_any_sync_damages_the_database(vfs, tmp_path, figure):
    tally = cut_off(vfs, tmp_path, synchronous="OFF")

    assert tally.corrupt > 0
    assert tally.lost > 0
    figure("202 survives power loss: control run, synchronous=OFF", f"{tally}")


def test_simulated_disk_keeps_synced_data_after_any_cut():
    disk = Disk({"a": b"old"})
    disk.write("a", 0, b"new and longer")
    disk.truncate("a", 7)
    disk.sync("a", folder=False)
    disk.write("a", 7, b" and unsynced")
    disk.cut()

    found = {disk.images(random.Random(seed))["a"] for seed in range(100)}

    assert {image[:7] for image in found} == {b"new and"}
    assert {b"new and", b"new and and unsynced"} < found


def test_simulated_disk_ignores_operations_after_the_cut():
    disk = Disk({"a": b"kept"})
    disk.cut_before("sync", 1)
    disk.write("a", 0, b"lost")
    disk.sync("a", folder=False)
    disk.write("b", 0, b"never")
    disk.sync("b", folder=False)

    found = [disk.images(random.Random(seed)) for seed in range(100)]

    assert {tuple(images) for images in found} == {("a",)}
    assert {images["a"] for images in found} > {b"kept", b"lost"}


def test_simulated_disk_can_undo_a_deletion_until_its_folder_is_synced():
    disk = Disk({"gone": b"perhaps", "gone for good": b""})
    disk.delete("gone for good", folder=True)
    disk.delete("gone", folder=False)
    disk.cut()

    found = {tuple(disk.images(random.Random(seed))) for seed in range(100)}

    assert found == {(), ("gone",)}


def cut_off(vfs, folder, *, synchronous):
    """Run some stores that are expected to fail."""
    tally = Tally()
    for seed in range(CONTROLS):
        history = Life(
            vfs, folder, seed=seed, images={}, settings={**SETTINGS, "synchronous": synchronous}
        )
        with suppress(Broken):
            history.run()
        tally.add(history.tally)
    return tally
