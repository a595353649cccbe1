"""A full disk with a reserve: intake stops, and stored conversions are sent and settled."""

import time
from contextlib import contextmanager

import pytest
from gateway_processes import wait_for
from small_disks import MIB, GatewayOnDisk, small_disk

from gateway_process import GatewayError
from twite_emulator.process import running_emulator


def post(gateway, name, many=100):
    conversions = [
        {"event": "purchase", "conversion_id": f"{name}-{number}", "email": "a@example.com"}
        for number in range(many)
    ]
    return gateway.post({"conversions": conversions})[0]


def fill(place):
    """Fill the disk, except for the reserve."""
    with (place / "filler").open("ab", buffering=0) as file:
        while True:
            try:
                file.write(b"\0" * 4096)
            except OSError:
                return


@contextmanager
def slow_x_and_a_reserve(tmp_path, size="8MiB"):
    """Yield (a slow X, a gateway with a reserve on a small disk, the path of the disk)."""
    place = tmp_path / "disk"
    place.mkdir()
    switches = ("rate_limit=1000000000", "dedup_scope=all", "log_bodies=0")
    with (
        small_disk(place) as disk,
        running_emulator(*switches) as x,
        GatewayOnDisk(tmp_path, x.url, disk=place, extra="batch = 50") as gateway,
    ):
        gateway.stop()
        disk.grow(gateway, by=21 * MIB)
        settings = gateway.config.read_text()
        gateway.config.write_text(settings.replace("[store]", f'[store]\nreserve = "{size}"'))
        gateway.start()
        if size != "0":
            wait_for((place / "twite.db.reserve").exists)
        x.fault("slow", seconds=3, count=0)
        yield x, gateway, place


@pytest.mark.journey
@pytest.mark.timeout(120)
def test_accepted_conversions_are_delivered_on_a_full_disk_with_a_reserve(tmp_path, figure):
    with slow_x_and_a_reserve(tmp_path) as (x, gateway, place):
        reserve = place / "twite.db.reserve"
        taken = [post(gateway, f"taken-{number}") for number in range(20)]
        fill(place)
        answers = []
        while not answers or answers[-1] == 202:
            answers.append(post(gateway, f"more-{len(answers)}"))
        taken += answers[:-1]
        given_up = not reserve.exists()
        x.clear_faults()
        drained = gateway.drained()
        while_full = post(gateway, "still-full")
        (place / "filler").unlink()
        began = time.monotonic()
        wait_for(lambda: post(gateway, "again") == 202, seconds=5)
        took = time.monotonic() - began
        wait_for(reserve.exists, seconds=5)
        balance = gateway.drained()

    assert set(taken) == {202}
    assert (answers[-1], while_full, given_up) == (503, 503, True)
    assert drained["delivered"] == 100 * len(taken)
    assert (balance["delivered"], balance["balance"]) == (100 * len(taken) + 100, 0)
    figure(
        "disk full, with a reserve",
        f"{drained['delivered']:,} delivered while it was full; taken in again after {took:.2f} s",
    )


@pytest.mark.journey
@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_gateway_started_on_a_full_disk_delivers_accepted_conversions(tmp_path, end):
    with slow_x_and_a_reserve(tmp_path) as (x, gateway, place):
        taken = [post(gateway, f"taken-{number}") for number in range(10)]
        getattr(gateway, end)()
        fill(place)
        x.clear_faults()

        gateway.start()
        answers = [post(gateway, f"more-{number}") for number in range(3)]
        drained = gateway.drained()
        (place / "filler").unlink()
        wait_for(lambda: post(gateway, "again") == 202, seconds=5)

    assert (set(taken), set(answers)) == ({202}, {503})
    assert (drained["delivered"], drained["pending"], drained["balance"]) == (1_000, 0, 0)


@pytest.mark.journey
@pytest.mark.timeout(120)
def test_start_on_a_full_disk_without_a_reserve_explains_what_to_do(tmp_path):
    with slow_x_and_a_reserve(tmp_path, size="0") as (_, gateway, place):
        gateway.stop()
        fill(place)

        with pytest.raises(GatewayError, match=r"the disk is full\. Free space on it, and start"):
            gateway.start()

        (place / "filler").unlink()
        gateway.start()
