"""`server.workers`: several processes on one port and one database."""

import os
import re
import signal
from pathlib import Path

import pytest
from gateway_processes import PIXEL, Gateway, PostgresGateway, command, wait_for

pytestmark = pytest.mark.journey

TAKEN = re.compile(rb'^twite_conversions_total\{.*verdict="accepted".*\} ([0-9.]+)$', re.MULTILINE)


class WorkersGateway(PostgresGateway):
    """A gateway of two processes and their parent."""

    def __init__(self, folder, x, url):
        super().__init__(folder, x, url, extra="workers = 2")

    def workers(self):
        pid = self.process.pid
        return {int(pid) for pid in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def counted(self):
        """Return how many conversions `/metrics` says were accepted."""
        page = self.get("/metrics")[1]["text"].encode()
        return sum(float(many) for many in TAKEN.findall(page))


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def post(gateway, *numbers):
    for number in numbers:
        purchase = {
            "event": "purchase",
            "conversion_id": f"order-{number}",
            "email": "test@example.com",
        }
        assert gateway.post(purchase)[0] == 202


def test_workers_share_the_port_and_their_metrics_add_up(tmp_path, x_emulator, postgres_url):
    with WorkersGateway(tmp_path, x_emulator.url, postgres_url) as gateway:
        before = gateway.workers()
        post(gateway, *range(40))
        balance = gateway.drained()
        counted = {gateway.counted() for _ in range(8)}
        accounting = command(gateway, "accounting", "--json")
        stopped = gateway.stop()
        left = [pid for pid in before if is_running(pid)]

    assert len(before) == 2
    assert (balance["received"], balance["delivered"], balance["balance"]) == (40, 40, 0)
    assert counted == {40}
    assert accounting.returncode == 0
    assert len(x_emulator.counted()["pixels"][PIXEL]["events"]["o8z6k"]["ids"]) == 40
    assert (stopped, left, gateway.note.exists()) == (0, [], False)


def test_worker_that_died_is_replaced_and_its_counts_stay(tmp_path, x_emulator, postgres_url):
    with WorkersGateway(tmp_path, x_emulator.url, postgres_url) as gateway:
        before = gateway.workers()
        post(gateway, *range(20))
        counted = gateway.counted()
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: len(gateway.workers() - before) == 1, gateway.ended)
        wait_for(lambda: gateway.get("/readyz")[0] == 200, gateway.ended)
        after = gateway.counted()
        gateway.process.kill()
        gateway.process.wait()
        survivors = before - {killed}
        wait_for(lambda: not any(is_running(pid) for pid in survivors))

    assert (counted, after) == (20, 20)
    assert f"Worker process {killed} ended (signal 9). Another one replaces it." in gateway.log()


def test_several_workers_on_sqlite_are_refused_with_a_fix(tmp_path, x_emulator):
    gateway = Gateway(tmp_path, x_emulator.url)

    refused = command(gateway, "serve", "--workers", "2")

    assert refused.returncode == 1
    assert "--workers" in refused.stderr
    assert "PostgreSQL" in refused.stderr
