"""The processes of a run: gateway, emulator, load; each started for one figure and ended."""

import asyncio
import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from bench import fill
from bench.orders import order
from twite.testing.emulator import Emulator

ROOT = Path(__file__).parents[1]
_first = [1_000_000]
# A store of millions is used as it is: what a run adds to it does not matter.
_COPIED_BELOW = 100 << 20


class House:
    """An emulator with its checks off, and a gateway on a copy of a store."""

    def __init__(
        self, folder: Path, *, store: Path | None, queued: int = 0, sending: bool = True
    ) -> None:
        self.folder = folder / "house"
        self.store = store
        self.queued = queued
        self.sending = sending
        self.processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.x = self._emulator()
        if not self.sending:
            # X refuses every token, so the pixel is paused: ingest alone is measured.
            Emulator(self.x).fault("status", status=401, count=0)
        if self.store is not None:
            self.database = self.store
            if self.store.stat().st_size < _COPIED_BELOW:
                self.database = self.folder / "twite.db"
                # With its mark: without, what is pending would be held.
                for suffix in ("", ".epoch"):
                    shutil.copyfile(f"{self.store}{suffix}", f"{self.database}{suffix}")
            if self.queued:
                asyncio.run(fill.queue(self.database, self.queued, fresh(self.queued)))
            else:
                self.start_gateway()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_gateway(self) -> None:
        (self.folder / "twite.toml").write_text(
            f"""
[server]
listen = "127.0.0.1:{free_port()}"
[store]
url = "sqlite:{self.database}"
queue = 100000
[x]
api_url = "{self.x}"
rate = 10000000
[log]
level = "error"
[[pixel]]
id = "{fill.PIXEL}"
auth = {{ pixel_token = "{fill.TOKEN}" }}
events = {{ purchase = "o8z6k" }}
[[source]]
name = "shop"
key = "{fill.KEY}"
pixel = "{fill.PIXEL}"
region = "GB"
"""
        )
        self.gateway = self._start(
            "-m", "twite", "serve", "--config", str(self.folder / "twite.toml")
        )
        note = self.database.with_name(f"{self.database.name}.gateway")
        wait_for(note.exists)
        self.url = json.loads(note.read_text())["url"]
        wait_for(lambda: answers(f"{self.url}/readyz"))

    def peak_memory(self) -> float:
        """Return the gateway's peak resident memory in MB."""
        status = Path(f"/proc/{self.gateway.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def counted(self) -> int:
        with urllib.request.urlopen(f"{self.x}/_emulator/counted?ids=0") as answer:  # noqa: S310  loopback
            return int(json.load(answer)["unchecked"])

    def _emulator(self) -> str:
        process = self._start(
            "-m", "twite", "emulate", "--listen", "127.0.0.1:0", "--json", "--switch", "checks=off",
            "--switch", "rate_limit=1000000000", pipe=True,
        )  # fmt: skip
        assert process.stdout is not None
        return str(json.loads(process.stdout.readline())["url"])

    def _start(self, *args: str, pipe: bool = False) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *args],
            cwd=ROOT,
            stdout=subprocess.PIPE if pipe else subprocess.DEVNULL,
            stderr=None,
            text=True,
        )
        self.processes.append(process)
        return process


def ingest(house: House, each: int, connections: int, seconds: float) -> dict[str, float]:
    return load(house.url, each, connections, seconds)


def bare(seconds: float) -> dict[str, float]:
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "bench.bare", str(port)], cwd=ROOT)
    try:
        wait_for(lambda: connects(port))
        return load(f"http://127.0.0.1:{port}", 1, 64, seconds)
    finally:
        server.terminate()
        server.wait()


def load(url: str, each: int, connections: int, seconds: float) -> dict[str, float]:
    args = [url, fill.KEY, str(connections), str(each), str(seconds), str(fresh(10_000_000))]
    done = subprocess.run(
        [sys.executable, "-m", "bench.load", *args],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def deliver(house: House, queued: int) -> float:
    """Start the gateway on a full outbox; return conversions a second until X has all of them."""
    began_with = house.counted()
    house.start_gateway()
    began = first = 0.0
    while True:
        now, counted = time.perf_counter(), house.counted() - began_with
        if counted and not began:
            began, first = now, counted
        if counted >= queued:
            return (counted - first) / (now - began)
        time.sleep(0.02)


def sdk(house: House, seconds: float) -> float:
    python = ROOT / ".venv-bench/bin/python"
    done = subprocess.run(
        [python, "bench/sdk.py", house.x, fill.PIXEL, str(seconds)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(json.loads(done.stdout)["conversions_per_second"])


def posted(house: House, seconds: float) -> float:
    """Post one ready-made batch of 500 again and again: no store, no signing, no settling."""
    conversion = {
        "conversion_time": "2026-11-24T10:00:00.000Z",
        "event_id": "o8z6k",
        "identifiers": [{"twclid": order(0)["twclid"]}, {"hashed_email": "0" * 64}],
        "value": "49.90",
        "price_currency": "EUR",
        "event_source_url": "https://shop.example/thanks",
        "contents": [{"content_id": "SKU-1", "content_price": "24.95", "num_items": 2}],
        "description": "x" * 200,
    }
    body = json.dumps({"conversions": [conversion] * 500})
    connection = http.client.HTTPConnection(urlsplit(house.x).netloc)
    headers = {"Content-Type": "application/json", "X-Pixel-Token": fill.TOKEN}
    sent, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        path = f"/12/measurement/conversions/{fill.PIXEL}"
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        sent += 500
    return sent / (time.perf_counter() - began)


def fresh(many: int) -> int:
    """Return the first of so many order numbers never used in this run."""
    first = _first[0]
    _first[0] += many
    return first


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310  loopback
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise SystemExit("a process did not get ready in time")
        time.sleep(0.02)
