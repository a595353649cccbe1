"""Upgrades and rollbacks under load: nothing acknowledged is lost, and nothing is counted twice."""

import asyncio
import json
import os
import subprocess
import time
from itertools import pairwise

import pytest
from gateway_processes import KEY, PIXEL, Gateway, command, replay
from newer_gateway import NewerVersion

from free_port import free_port
from gateway_process import GatewayError
from twite_emulator.process import running_emulator

LONG = os.environ.get("TWITE_TRIAL") == "1"
UPGRADES = 20 if LONG else 1
PER_SECOND = int(os.environ.get("TWITE_TRIAL_RATE", "500" if LONG else "40"))
CONNECTIONS = 50 if LONG else 4
# Seconds of load between two changes of the version.
REST = 2 if LONG else 0.3
RETRY = 0.1
SWITCHES = ("rate_limit=1000000000", "dedup_scope=all", "log_bodies=0")
REFUSED = "a newer version of Twite wrote it"


class ChangedGateway(Gateway):
    """A gateway on a fixed port, whose version changes. Its processes import everything anew."""

    popen = subprocess.Popen

    def __init__(self, folder, x, port):
        super().__init__(folder, x)
        settings = self.config.read_text()
        self.config.write_text(settings.replace("127.0.0.1:0", f"127.0.0.1:{port}"))

    def change(self, kind):
        """Continue with this version; return when the change began and ended."""
        began = time.monotonic()
        assert self.stop() == 0
        self.popen = kind
        self.start()
        return began, time.monotonic()


class Client:
    """Posts at fixed times, and repeats each conversion until it is acknowledged.

    `answered` has (time, id) of each acknowledgement, and `failures` the other results.
    """

    def __init__(self, number, port):
        self._number = number
        self._port = port
        self._link = None
        self.answered = []
        self.failures = []

    async def run(self, stopping):
        scheduled = time.monotonic() + self._number / PER_SECOND
        while not stopping.is_set():
            await asyncio.sleep(max(0, scheduled - time.monotonic()))
            order = f"order-{self._number}-{len(self.answered)}"
            while not await self._posted(order):  # noqa: ASYNC110 - as a client does
                await asyncio.sleep(RETRY)
            self.answered.append((time.monotonic(), order))
            scheduled += CONNECTIONS / PER_SECOND
        self._close()

    async def _posted(self, order):
        status = "no answer"
        try:
            async with asyncio.timeout(30):
                if self._link is None:
                    self._link = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._link
                writer.write(request(order))
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length: ")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length))
                status = int(head.split()[1])
                if b"connection: close" in head:
                    self._close()
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            self._close()
        if status == 202:
            return True
        self.failures.append(status)
        return False

    def _close(self):
        if self._link is not None:
            self._link[1].close()
            self._link = None


def request(order):
    body = b'{"event":"purchase","conversion_id":"%b","twclid":"abc"}' % order.encode()
    head = (
        "POST /v1/conversions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Trial:
    """Changes the version again and again while clients post."""

    def __init__(self, gateway, port):
        self.gateway = gateway
        self.clients = [Client(number, port) for number in range(CONNECTIONS)]
        self.upgrades, self.rollbacks = [], []  # (began, ended)
        self.resent = set()
        self.refused = 0

    @property
    def acknowledged(self):
        return [each for client in self.clients for each in client.answered]

    async def run(self, upgrade, roll_back):
        stopping = asyncio.Event()
        tasks = [asyncio.create_task(client.run(stopping)) for client in self.clients]
        await asyncio.sleep(REST)
        for _ in range(UPGRADES):
            self.upgrades.append(await asyncio.to_thread(upgrade, self))
            await asyncio.sleep(REST)
            self.rollbacks.append(await asyncio.to_thread(roll_back, self))
            await asyncio.sleep(REST)
        stopping.set()
        await asyncio.gather(*tasks)

    def silences(self, changes):
        """Return the seconds without an acknowledgement around each change."""
        times = sorted(at for at, _ in self.acknowledged)
        gaps = list(pairwise(times))
        return sorted(
            max(after - before for before, after in gaps if before < ended and after > began)
            for began, ended in changes
        )


def send_again(trial, began):
    """Send the conversions acknowledged since then again, from the shop's records."""
    orders = [order for at, order in trial.acknowledged if at >= began]
    for start in range(0, len(orders), 500):
        some = [
            {"event": "purchase", "conversion_id": order, "twclid": "abc"}
            for order in orders[start : start + 500]
        ]
        assert trial.gateway.post({"conversions": some})[0] == 202
    trial.resent.update(orders)


class WithRestore:
    """The new version changes the tables, so a rollback restores the backup."""

    def __init__(self, folder):
        self._folder = folder
        self._number = 0
        self._backed_up = 0.0

    @property
    def _backup(self):
        return str(self._folder / f"before-upgrade-{self._number}.db")

    def upgrade(self, trial):
        self._number += 1
        self._backed_up = time.monotonic()
        done = command(trial.gateway, "backup", self._backup)
        assert done.returncode == 0, done.stderr
        return trial.gateway.change(NewerVersion)

    def roll_back(self, trial):
        began = time.monotonic()
        assert trial.gateway.stop() == 0
        trial.gateway.popen = subprocess.Popen
        with pytest.raises(GatewayError, match=REFUSED):
            trial.gateway.start()
        trial.refused += 1
        done = command(trial.gateway, "restore", self._backup)
        assert done.returncode == 0, done.stderr
        trial.gateway.start()
        ended = time.monotonic()
        send_again(trial, self._backed_up)
        return began, ended


def change_to_newer(trial):
    # It has the same tables: another process of the same code stands for it.
    return trial.gateway.change(subprocess.Popen)


def held_ids(gateway):
    done = command(gateway, "dead", "list", "--limit", "100000", "--json")
    assert done.returncode == 0, done.stderr
    return {row["conversion_id"] for row in json.loads(done.stdout)}


def at_x(x):
    return x.counted()["pixels"][PIXEL]["events"]["o8z6k"]["ids"]


def replay_what_x_lacks(trial, x):
    """Replay the held conversions that X does not have; return their number."""
    lacking = sorted(held_ids(trial.gateway) - at_x(x).keys())
    for start in range(0, len(lacking), 500):
        some = lacking[start : start + 500]
        done = replay(trial.gateway, *some)
        assert done.returncode == 0, done.stderr
    trial.gateway.drained()
    return len(lacking)


def median_and_maximum(seconds):
    middle = seconds[len(seconds) // 2]
    return f"{middle:.1f} s at the median, at most {seconds[-1]:.1f} s"


@pytest.mark.alone
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["same tables", "changed tables"])
def test_upgrades_and_rollbacks_under_load_lose_no_conversion(tmp_path, figure, kind):
    port = free_port()
    ways = WithRestore(tmp_path)
    with running_emulator(*SWITCHES) as x, ChangedGateway(tmp_path, x.url, port) as gateway:
        trial = Trial(gateway, port)
        began = time.monotonic()
        if kind == "same tables":
            asyncio.run(trial.run(change_to_newer, change_to_newer))
        else:
            asyncio.run(trial.run(ways.upgrade, ways.roll_back))
        took = time.monotonic() - began
        gateway.drained(seconds=300)
        held = held_ids(gateway)
        replayed = replay_what_x_lacks(trial, x)
        balance = gateway.balance()
        reached = at_x(x)

    acknowledged = {order for _, order in trial.acknowledged}
    twice = {id_ for id_, tally in reached.items() if tally["api"] > 1}
    counted_twice = [id_ for id_, tally in reached.items() if tally["counted"] != 1]
    lost = acknowledged - reached.keys()
    failures = [failure for client in trial.clients for failure in client.failures]
    figure(
        f"upgrades and rollbacks under load, {kind}",
        f"{UPGRADES} upgrades and {UPGRADES} rollbacks, {len(acknowledged) / took:,.0f} "
        f"conversions a second ({len(acknowledged):,} in all): {len(lost)} lost, "
        f"{len(counted_twice)} counted twice, {len(twice - trial.resent)} sent twice by Twite, "
        f"{len(trial.resent):,} sent again by the shop after a restore, {len(twice)} of them "
        f"already at X; {len(held)} held, {replayed} of them not at X and replayed; no answer for "
        f"{median_and_maximum(trial.silences(trial.upgrades))} (upgrades), "
        f"{median_and_maximum(trial.silences(trial.rollbacks))} (rollbacks); "
        f"{len(failures):,} requests failed and were repeated",
    )
    assert lost == set()
    assert counted_twice == []
    assert twice <= trial.resent
    assert balance["balance"] == 0
    assert trial.refused == (0 if kind == "same tables" else UPGRADES)
    assert set(failures) <= {"no answer", 503}
