"""The commands of the page on backups, run on a store under load that is then deleted."""

import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from gateway_processes import PIXEL, Gateway, PostgresGateway, command, wait_for

from postgres_server import PostgresServer, programs
from twite_emulator.process import running_emulator

pytestmark = [pytest.mark.journey, pytest.mark.timeout(180)]

PAGE = (Path(__file__).parents[2] / "docs/how-to/back-up-and-restore.md").read_text()
ERASED = "erased@example.com"


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]


def commands(text):
    """Return the commands of each block of a section."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [re.findall(r"^\$ (.+)$", block, re.MULTILINE) for block in blocks]


class Operator:
    """Runs commands of the page on this gateway, with `/backup` in a folder of the test."""

    def __init__(self, gateway, folder, *, replacing=()):
        self.gateway = gateway
        self.backup = folder / "backup"
        self.backup.mkdir()
        self._replacing = {"/backup/": f"{self.backup}/"} | dict(replacing)

    def run(self, line):
        """Run a line, and return its output."""
        words = [self._replaced(word) for word in shlex.split(line)]
        if words[:2] == ["sudo", "systemctl"]:
            self._systemctl(*words[2:])
            return ""
        if words[0] == "twite":
            # On a terminal, it asks.
            confirmed = ["--yes"] if words[1] == "erase" else []
            done = command(self.gateway, *words[1:], *confirmed)
        else:
            done = subprocess.run(
                [programs() / words[0], *words[1:]], capture_output=True, text=True, check=False
            )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        return done.stdout

    def _replaced(self, word):
        for old, new in self._replacing.items():
            word = word.replace(old, new)
        return word

    def _systemctl(self, action, unit):
        assert unit == "twite"
        if action == "start":
            self.gateway.start()
        elif self.gateway.process.poll() is None:
            assert self.gateway.stop() == 0


class Load(threading.Thread):
    """Posts conversions one after another until it is stopped."""

    def __init__(self, gateway):
        super().__init__()
        self.acknowledged = []
        self._gateway = gateway
        self._stopping = threading.Event()

    def run(self):
        while not self._stopping.is_set():
            id_ = f"order-{len(self.acknowledged)}"
            if post(self._gateway, id_) == 202:
                self.acknowledged.append(id_)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self._stopping.set()
        self.join()

    def more(self, many):
        """Wait until that many more conversions are acknowledged."""
        wanted = len(self.acknowledged) + many
        wait_for(lambda: len(self.acknowledged) >= wanted, self._gateway.ended)


def post(gateway, id_, email="shopper@example.com"):
    return gateway.post({"event": "purchase", "conversion_id": id_, "email": email})[0]


def is_stored(gateway, id_):
    return gateway.get(f"/v1/conversions/{PIXEL}/{id_}")[0] == 200


def at_x(x):
    return x.counted()["pixels"][PIXEL]["events"]["o8z6k"]["ids"]


def backed_up_under_load(operator, gateway, line):
    """Return the conversions acknowledged before the backup, and all."""
    with Load(gateway) as load:
        load.more(100)
        before = list(load.acknowledged)
        operator.run(line)
        load.more(50)
    return before, load.acknowledged


@pytest.fixture
def x():
    with running_emulator("rate_limit=1000000000", "dedup_scope=all") as emulator:
        # A request takes long enough that conversions wait during the backup.
        emulator.fault("slow", seconds=0.2, count=0)
        yield emulator


def test_lost_sqlite_store_is_restored_and_no_conversion_sent_twice(tmp_path, x):
    ((back_up,),) = commands(section("Make a backup"))
    (restore,) = commands(section("Restore a backup"))
    (check,) = commands(section("Check that it works"))
    folder = tmp_path / "twite"
    folder.mkdir()
    with Gateway(folder, x.url, extra="batch = 20\nin_flight = 1") as gateway:
        operator = Operator(gateway, tmp_path)
        assert post(gateway, "erased", ERASED) == 202
        before, acknowledged = backed_up_under_load(operator, gateway, back_up)
        (operator.backup / "erased-since.txt").write_text(f"email: {ERASED}\n")
        gateway.kill()
        for file in folder.glob("twite.db*"):
            file.unlink()

        printed = [operator.run(line) for line in restore]
        stored = [id_ for id_ in before if is_stored(gateway, id_)]
        balance = gateway.drained()
        checked = [operator.run(line) for line in check]
        after = post(gateway, "new-1")
        wait_for(lambda: "new-1" in at_x(x), gateway.ended)
        reached = at_x(x)

    assert stored == before
    assert len(before) <= balance["received"] <= len(acknowledged) + 1
    assert balance["balance"] == 0
    assert balance["held"] > 0
    assert "restored from" in printed[1]
    assert "held" in checked[0]
    assert after == 202
    assert {id_: tally["api"] for id_, tally in reached.items() if tally["api"] > 1} == {}


def test_documented_cron_job_makes_a_backup_and_deletes_old_ones(tmp_path, x_emulator):
    line = re.search(r"```cron\n30 3 \* \* \* (.+)\n", section("Back up every night"))[1]
    programs, old = tmp_path / "bin", 20 * 86_400
    programs.mkdir()
    with Gateway(tmp_path, x_emulator.url) as gateway:
        (programs / "twite").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m twite "$@"\n')
        (programs / "twite").chmod(0o755)
        folder = tmp_path / "backup"
        folder.mkdir()
        stale = folder / "twite-2026-01-01.db"
        stale.touch()
        os.utime(stale, (stale.stat().st_mtime - old,) * 2)
        environment = gateway.environment | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "TWITE_CONFIG": str(gateway.config),
        }
        # cron reads \% as %.
        typed = line.replace(r"\%", "%").replace("/backup", "backup")
        done = subprocess.run(
            ["/bin/sh", "-c", typed],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert [
        bool(re.fullmatch(r"twite-\d{4}-\d\d-\d\d\.db", file.name)) for file in folder.iterdir()
    ] == [True]
    assert not stale.exists()


@pytest.fixture
def server():
    started = PostgresServer(programs())
    started.create("twite")
    yield started
    started.remove()


def test_lost_postgresql_store_is_restored_and_no_conversion_sent_twice(tmp_path, x, server):
    (back_up,), restore = commands(section("PostgreSQL"))
    replacing = {
        "postgresql://twite@db.example.com/twite": server.url("twite"),
        "postgresql://postgres@db.example.com/postgres": server.url("postgres"),
    }
    with PostgresGateway(tmp_path, x.url, server.url("twite")) as gateway:
        operator = Operator(gateway, tmp_path, replacing=replacing)
        before, acknowledged = backed_up_under_load(operator, gateway, back_up)
        gateway.kill()
        printed = [operator.run(line) for line in restore]
        stored = [id_ for id_ in before if is_stored(gateway, id_)]
        balance = gateway.drained()
        reached = at_x(x)

    assert stored == before
    assert len(before) <= balance["received"] <= len(acknowledged)
    assert printed[-2].startswith(f"Held {balance['held']} pending")
    assert balance["held"] > 0
    assert (balance["delivered"] + balance["held"], balance["balance"]) == (balance["received"], 0)
    assert {id_: tally["api"] for id_, tally in reached.items() if tally["api"] > 1} == {}
