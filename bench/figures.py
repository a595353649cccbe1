"""The figures of `make bench`: what each of them runs, in turns, on which store."""

import argparse
import http.client
import json
import shlex
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bench import back_fill, exporting, fill, latency, postgres, pruning, raw, shapes, what_if
from bench.load import WRONG
from bench.orders import batch_for_x
from bench.rig import Rig, fresh
from bench.sample import Sample
from bench.servers import ROOT, ServerProcess, UsesCpu, connects, free_port, python, wait_for

FLOODED: tuple[str, ...] = ("/healthz", "/twite.js?s=page", *WRONG)
_WEBHOOK = """
[[webhook]]
name = "orders"
kind = "shopify"
secret = "env:TWITE_BENCH_KEY"
source = "shop"
"""
_FLOODING, _FLOODED_CLIENTS = 2, 4
# The first 600 refusals of an address in a minute are not delayed; the others are measured.
_REFUSED_SECONDS = 3.0
# A server rests if it uses less CPU than this between two looks, in seconds.
_RESTING, _LOOK_SECONDS, _MOST_LOOKS = 0.02, 0.25, 40
_SINGLE, _HUNDRED = (1, 64), (100, 16)  # conversions a request, connections


class Bench:
    """Runs figures, and keeps the samples of each side by its name."""

    def __init__(self, folder: Path, chosen: argparse.Namespace) -> None:
        self.folder = folder
        self.chosen = chosen
        self.samples: dict[str, list[Sample]] = defaultdict(list)
        # Megabytes, by the size of the backlog; seconds of CPU, by the same.
        self.memory: dict[int, float] = {}
        self.starts: dict[int, list[float]] = defaultdict(list)
        # By the shape of input, and requests a second.
        self.latencies: dict[tuple[str, int], latency.Latencies] = {}
        # By whether results were fetched.
        self.back_fills: dict[bool, list[back_fill.BackFillLatencies]] = defaultdict(list)
        # By requests a second, and whether there was an export.
        self.exports: dict[tuple[int, bool], list[exporting.ExportLatencies]] = defaultdict(list)
        self.past: what_if.WhatIfFigures | None = None
        self._stores: dict[str, Path] = {}

    def store(self, *, settled: int = 0, queued: int = 0) -> Path:
        """Return a store of that size, made at the first call."""
        name = f"settled-{settled}-queued-{queued}.db"
        if name not in self._stores:
            say(f"a store with {settled:,} settled and {queued:,} queued conversions")
            self._stores[name] = self.folder / name
            first = fresh(queued) if queued else 0
            fill.make(self._stores[name], settled=settled, queued=queued, first=first)
        return self._stores[name]

    def single(self) -> None:
        for run in self.runs("single posts"):
            self.bare()
            self.ingest("single", _SINGLE, run)

    def hundred(self) -> None:
        for run in self.runs("100 a request"):
            self.samples["raw"].append(raw.inserted(self.folder))
            if len(self.samples["bare"]) <= run:
                self.bare()
            self.ingest("hundred", _HUNDRED, run)

    def sending(self) -> None:
        for run in self.runs("100 a request, while delivering"):
            if len(self.samples["raw"]) <= run:
                self.samples["raw"].append(raw.inserted(self.folder))
            self.ingest("sending", _HUNDRED, run, sending=True)

    def delivery(self) -> None:
        queued = self.store(queued=self.chosen.queued)
        for _ in self.runs(f"delivery of {self.chosen.queued:,}"):
            with Rig(self.folder, store=None) as rig:
                self.samples["loop"].append(posted(rig, self.chosen.seconds))
            with Rig(self.folder, store=queued, start=False) as rig:
                self.samples["delivery"].append(self.delivered(rig))
                peak = self.memory.get(self.chosen.queued, 0)
                self.memory[self.chosen.queued] = max(peak, rig.gateway.peak_memory())

    def sdk(self) -> None:
        with Rig(self.folder, store=None) as rig:
            for _ in self.runs("X's SDK, one conversion a request"):
                self.samples["sdk"].append(sdk(rig, self.chosen.seconds))

    def settled(self) -> None:
        """Compare a store of millions with an empty one; they are used in turns."""
        size = self.chosen.settled
        made = self.store(settled=size)
        for _ in self.runs(f"{size:,} settled"):
            for side, shape in (("single", _SINGLE), ("hundred", _HUNDRED)):
                for name, store in ((side, self.store()), (f"{side}-settled", made)):
                    with Rig(self.folder, store=store, sending=False) as rig:
                        self.samples[name].append(self.under_load(rig.gateway, rig.url, *shape))
            for name, store in (("delivery", self.store()), ("delivery-settled", made)):
                with Rig(self.folder, store=store, queued=self.chosen.queued, start=False) as rig:
                    self.samples[name].append(self.delivered(rig))

    def start(self) -> None:
        for size in dict.fromkeys((0, self.chosen.queued)):
            store = self.store(queued=size)
            for _ in self.runs(f"start with {size:,} queued"):
                with Rig(self.folder, store=store, sending=False, start=False) as rig:
                    self.starts[size].append(rig.start_gateway())

    def flood(self) -> None:
        shape = (1, _FLOODED_CLIENTS)
        for _ in self.runs("submissions next to floods of cheap requests"):
            with Rig(self.folder, store=self.store(), sending=False, extra=_WEBHOOK) as rig:
                for path in ("", *FLOODED):
                    floods = python(
                        "-m", "bench.load", "flood", rig.url, path, str(_FLOODING)
                    ) if path else None  # fmt: skip
                    try:
                        if path in WRONG:
                            time.sleep(_REFUSED_SECONDS)
                        self.samples[f"flood{path}"].append(
                            self.under_load(rig.gateway, rig.url, *shape)
                        )
                    finally:
                        if floods is not None:
                            floods.stop()

    def peer(self) -> None:
        """Run another server's command; what it must accept is in the help of the option."""
        for run in self.runs("the peer"):
            for side, shape in (("single", _SINGLE), ("hundred", _HUNDRED)):
                port = free_port()
                command = self.chosen.peer.replace("{port}", str(port))
                server = ServerProcess(shlex.split(command), env={"PORT": str(port)}, silent=True)
                try:
                    wait_for(lambda port=port: connects(port))  # type: ignore[misc]
                    url = f"http://127.0.0.1:{port}"
                    self.samples[f"peer-{side}"].append(self.under_load(server, url, *shape))
                finally:
                    server.stop()
                if len(self.samples[side]) <= run:
                    self.ingest(side, shape, run)

    def bare(self) -> None:
        port = free_port()
        server = python("-m", "bench.bare", str(port))
        try:
            wait_for(lambda: connects(port))
            self.samples["bare"].append(
                self.under_load(server, f"http://127.0.0.1:{port}", *_SINGLE)
            )
        finally:
            server.stop()

    def runs(self, what: str) -> range:
        say(what)
        return range(self.chosen.runs)

    def ingest(self, side: str, shape: tuple[int, int], run: int, *, sending: bool = False) -> None:
        if len(self.samples[side]) > run:
            return
        with Rig(self.folder, store=self.store(), sending=sending) as rig:
            rest(rig.gateway)
            self.samples[side].append(self.under_load(rig.gateway, rig.url, *shape))

    def under_load(
        self,
        server: UsesCpu,
        url: str | Sequence[str],
        each: int,
        connections: int,
        *,
        seconds: float | None = None,
        shape: str = "usual",
    ) -> Sample:
        """Run a load generator against each URL, all at once."""
        urls = [url] if isinstance(url, str) else url
        spent = server.cpu()
        seconds = seconds or self.chosen.seconds
        size = [str(connections), str(each), str(seconds)]
        loads = [
            subprocess.Popen(
                [sys.executable, "-m", "bench.load", url, fill.KEY, *size,
                 str(fresh(10_000_000)), shape],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for url in urls
        ]  # fmt: skip
        found = []
        for load in loads:
            said, error = load.communicate()
            if load.returncode:
                raise SystemExit(error)
            found.append(json.loads(said))
        cpu = (server.cpu() - spent) / (sum(part["requests"] for part in found) * each)
        rate = sum(part["conversions_per_second"] for part in found)
        return Sample(rate=rate, cpu=cpu, p99=max(part["p99_ms"] for part in found))

    def delivered(self, rig: Rig, queued: int | None = None) -> Sample:
        """Start the gateway on a full outbox; measure until X has all of it."""
        queued = queued or self.chosen.queued
        began_with = rig.counted()
        rig.start_gateway()
        began = first = spent = 0.0
        while True:
            now, counted = time.perf_counter(), rig.counted() - began_with
            if counted and not began:
                began, first, spent = now, counted, rig.gateway.cpu()
            if counted >= queued:
                many = max(1, counted - first)
                return Sample(
                    rate=many / max(now - began, 1e-9), cpu=(rig.gateway.cpu() - spent) / many
                )
            time.sleep(0.02)


FIGURES: dict[str, Callable[[Bench], None]] = {
    "single": Bench.single,
    "hundred": Bench.hundred,
    "sending": Bench.sending,
    "delivery": Bench.delivery,
    "sdk": Bench.sdk,
    "settled": Bench.settled,
    "start": Bench.start,
    "flood": Bench.flood,
    "shapes": shapes.shapes,
    "latency": latency.latency,
    "results": back_fill.back_fill,
    "exports": exporting.exporting,
    "what-if": what_if.what_if,
    **postgres.FIGURES,
    "pruning": pruning.pruning,
    "peer": Bench.peer,
}


def sdk(rig: Rig, seconds: float) -> Sample:
    done = subprocess.run(
        [ROOT / ".venv-bench/bin/python", "bench/sdk.py", rig.x, fill.PIXEL, str(seconds)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    return Sample(rate=found["conversions_per_second"], cpu=found["cpu"])


def posted(rig: Rig, seconds: float) -> Sample:
    """Post one ready-made batch of 500 again and again: no store, no signing, no settling."""
    body = json.dumps({"conversions": batch_for_x(500)})
    connection = http.client.HTTPConnection(urlsplit(rig.x).netloc)
    headers = {"Content-Type": "application/json", "X-Pixel-Token": fill.TOKEN}
    path = f"/12/measurement/conversions/{fill.PIXEL}"
    sent, began, spent = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        sent += 500
    return Sample(
        rate=sent / (time.perf_counter() - began), cpu=(time.process_time() - spent) / sent
    )


def rest(server: UsesCpu, looks: int = _MOST_LOOKS) -> None:
    """Wait until a server has no more work, of its start or of what it has taken in."""
    for _ in range(looks):
        before = server.cpu()
        time.sleep(_LOOK_SECONDS)
        if server.cpu() - before < _RESTING:
            return


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
