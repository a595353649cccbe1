"""An emulator and a gateway, started for one figure and ended."""

import asyncio
import json
import shutil
import sqlite3
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import fill
from bench.servers import ServerProcess, free_port, python
from twite.domain.destination import RATE_WINDOW

_first = [1_000_000]
# A store of millions is used as it is: what a run adds to it does not matter.
_COPIED_BELOW = 4 << 30


class Rig:
    """An emulator with its checks off, and a gateway on a copy of a store.

    For a gateway that is not `sending`, X's rate limit is used up: ingest alone is measured.
    """

    def __init__(
        self,
        folder: Path,
        *,
        store: Path | None,
        queued: int = 0,
        sending: bool = True,
        start: bool = True,
        pixels: Sequence[str] = (),
        extra: str = "",
        of_shop: str = "",
        x: str | None = None,
    ) -> None:
        """`queued` conversions are added to the outbox before the start.

        `extra` and `of_shop` are further settings, of the gateway and of its source; `pixels` are
        the pixels in `extra`. `x` is another server in the place of X.
        """
        self.folder = folder / "rig"
        self.store = store
        self.queued = queued
        self.sending = sending
        self.starting = start
        self.pixels = (fill.PIXEL, *pixels)
        self.extra = extra
        self.of_shop = of_shop
        self.own_x = x
        self.servers: list[ServerProcess] = []
        self.workers = 1
        self.batch = 500
        self.gateway_module: Sequence[str] = ("twite",)

    @property
    def store_url(self) -> str:
        return f"sqlite:{self.database}"

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        emulator = self._started(
            "-m", "twite", "emulate", "--listen", "127.0.0.1:0", "--json", "--switch", "checks=off",
            "--switch", "rate_limit=1000000000",
        )  # fmt: skip
        self.x = self.own_x or str(json.loads(emulator.first_line())["url"])
        if self.store is not None:
            self.database = self.store
            if self.store.stat().st_size < _COPIED_BELOW:
                self.database = self.folder / "twite.db"
                # With its mark: without, what is pending would be held.
                for suffix in ("", ".epoch"):
                    shutil.copyfile(f"{self.store}{suffix}", f"{self.database}{suffix}")
            if self.queued:
                asyncio.run(fill.queue(self.database, self.queued, fresh(self.queued)))
            self._limit()
            if self.starting:
                self.start_gateway()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        sent = 0 if self.sending or error is not None else self.counted()
        for server in reversed(self.servers):
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        if sent:
            raise SystemExit(f"the run is void: the gateway sent {sent} conversions")

    def start_gateway(self) -> float:
        """Start the gateway and wait until it is ready; return the seconds of CPU it took."""
        config = self.folder / f"twite-{len(self.servers)}.toml"
        config.write_text(
            f"""
[server]
listen = "127.0.0.1:{free_port()}"
workers = {self.workers}
[store]
url = "{self.store_url}"
queue = 100000
[x]
api_url = "{self.x}"
rate = 10000000
batch = {self.batch}
[log]
level = "error"
[[pixel]]
id = "{fill.PIXEL}"
auth = {{ pixel_token = "env:TWITE_BENCH_TOKEN" }}
events = {{ purchase = "o8z6k" }}
[[source]]
name = "shop"
key = "env:TWITE_BENCH_KEY"
pixel = "{fill.PIXEL}"
region = "GB"
{self.of_shop}
[[source]]
name = "page"
origins = ["https://shop.example"]
pixel = "{fill.PIXEL}"
region = "GB"
{self.extra}
"""
        )
        self.gateway = self._started(
            "-m", *self.gateway_module, "serve", "--config", str(config), "--json"
        )
        self.url = str(json.loads(self.gateway.first_line())["url"])
        return self.gateway.cpu()

    def counted(self) -> int:
        with urllib.request.urlopen(f"{self.x}/_emulator/counted?ids=0") as answer:  # noqa: S310  loopback
            return int(json.load(answer)["unchecked"])

    def _limit(self) -> None:
        """Record X's rate limit as used up for an hour, or as free."""
        db = sqlite3.connect(self.database, isolation_level=None)
        db.execute("DELETE FROM closure")
        if not self.sending:
            until = time.time_ns() // 1_000_000 + RATE_WINDOW
            db.executemany(
                "INSERT INTO closure (pixel, until, reason) VALUES (?, ?, 'make bench')",
                [(pixel, until) for pixel in self.pixels],
            )
        db.close()

    def _started(self, *args: str) -> ServerProcess:
        secrets = {"TWITE_BENCH_TOKEN": fill.TOKEN, "TWITE_BENCH_KEY": fill.KEY}
        server = python(*args, env=secrets)
        self.servers.append(server)
        return server


def fresh(many: int) -> int:
    """Return the first of so many order numbers never used in this run."""
    first = _first[0]
    _first[0] += many
    return first
