"""Latency while X's results of 30 days are fetched, beside that without fetching.

The load is that of `latency`. Statistics come from an emulator behind the generator, for an account
with so many campaigns that the first fetch uses most of its budget of requests. A gateway asks for
jobs only once a minute, so a run lasts 90 seconds, or `--seconds` if that is longer.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from datetime import UTC
from http.client import HTTPConnection
from statistics import median
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench.latency import Arrivals, Connection, OpenLoop, StandInForX, fractions
from bench.rig import Rig
from bench.servers import free_port, python
from twite.domain.results.account_days import days_until
from twite.domain.times import HOUR, SECOND, spelled
from twite.machine.system import SystemClock
from twite_emulator.process import Emulator
from twite_emulator.spec import MAX_CONVERSIONS

if TYPE_CHECKING:
    from bench.figures import Bench

_ACCOUNT: Final = "18ce54d4x5t"
_CAMPAIGNS: Final = 200
_EVENTS: Final = ("o8z6k", "o8z6m", "o8z6n", "o8z6p", "o8z6q")  # of the emulator's pixel
_DAYS: Final = 30
_RATE: Final = 200  # conversions a second, of one a request
_LEAST_SECONDS: Final = 90.0
# A conversion counts as received while fetching, so many seconds around a request for statistics.
_AROUND: Final = 0.25
_CONVERSIONS: Final = b"POST /12/measurement/"
_PIXEL: Final = f"""
[results]
fetch = {{fetch}}
[[pixel]]
id = "o8z6x"
account = "{_ACCOUNT}"
events = {{{{ purchase = "o8z6y" }}}}
[pixel.auth]
consumer_key = "xvz1evFS4wEEPTGEFPHBog"
consumer_secret = "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"
token = "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"
token_secret = "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"
"""


class BackFillLatencies(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds (p50, p99) of a 202, and from it until X has the conversion.

    `near` has those of conversions during requests for statistics, of which there were `asked`.
    """

    answered: Sequence[float]
    at_x: Sequence[float]
    near: tuple[Sequence[float], Sequence[float]] | None
    asked: int
    share: float


class StandInWithStatistics(StandInForX):
    """Accepts conversions, and forwards other requests to an emulator, after `opened`."""

    def __init__(
        self, arrivals: Arrivals, port: int, opened: asyncio.Event, asked: list[float]
    ) -> None:
        super().__init__(arrivals)
        self._port = port
        self._opened = opened
        self._asked = asked

    def data_received(self, data: bytes) -> None:
        if (bytes(self.rest) or data).startswith(_CONVERSIONS):
            super().data_received(data)
            return
        self.rest += data
        if b"\r\n\r\n" in self.rest:
            request, self.rest = bytes(self.rest), bytearray()
            self._task = asyncio.create_task(self._forward(request))

    async def _forward(self, request: bytes) -> None:
        await self._opened.wait()
        self._asked.append(time.perf_counter())
        read, write = await asyncio.open_connection("127.0.0.1", self._port)
        write.write(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        answer = await read.read()
        write.close()
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
        self._asked.append(time.perf_counter())


class RotatingLoop(OpenLoop):
    """Uses its connections in turn, because the gateway closes those that idle in a long run."""

    def free(self, connection: Connection) -> None:
        super().free(connection)
        if self._free and self._free[-1] is connection:
            self._free.insert(0, self._free.pop())


def back_fill(bench: "Bench") -> None:
    """Measure with and without fetching, in turns."""
    bench.store()  # its making needs an event loop of its own
    sides = [False, True]
    for run in bench.runs(f"open loop, {_RATE} a second, without and with a back-fill"):
        for fetch in sides if run % 2 == 0 else reversed(sides):
            _measure(bench, fetch=fetch)


def _measure(bench: "Bench", *, fetch: bool) -> None:
    emulator = python(
        "-m", "twite", "emulate", "--listen", "127.0.0.1:0", "--json",
        "--switch", "rate_limit=1000000000",
    )  # fmt: skip
    try:
        url = str(json.loads(emulator.first_line())["url"])
        _furnish(Emulator(url))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            port = int(url.rpartition(":")[2])
            found = runner.run(_measured(bench, port, fetch=fetch))
            bench.back_fills[fetch].append(found)
    finally:
        emulator.stop()


def _furnish(x: Emulator) -> None:
    """Give the account campaigns that spent on each day, and conversions of each event type."""
    numbers = range(_CAMPAIGNS)
    x.add(
        accounts=[{"id": _ACCOUNT, "timezone": "Europe/Berlin"}],
        campaigns=[
            {"id": f"c{number}", "funding_instrument": "lygyi", "name": f"Campaign {number}"}
            for number in numbers
        ],
        line_items=[{"id": f"li{number}", "campaign": f"c{number}"} for number in numbers],
    )
    for day in days_until(SystemClock().now(), _DAYS, UTC):
        x.plant(
            spend=[
                {"line_item": f"li{number}", "day": day.day, "micros": 5_000_000}
                for number in numbers
            ],
            clicks=[
                {
                    "line_item": f"li{number}",
                    "at": day.start / SECOND,
                    "twclid": f"{number} {day.day}",
                }
                for number in numbers
            ],
        )
        sold = [
            {
                "conversion_time": spelled(day.start + HOUR),
                "event_id": event,
                "identifiers": [{"twclid": f"{number} {day.day}"}],
                "conversion_id": f"{number} {day.day} {event}",
                "value": "20.50",
                "price_currency": "EUR",
            }
            for number in numbers
            for event in _EVENTS
        ]
        for begin in range(0, len(sold), MAX_CONVERSIONS):
            _send(x, sold[begin : begin + MAX_CONVERSIONS])


def _send(x: Emulator, conversions: Sequence[object]) -> None:
    connection = HTTPConnection(urlsplit(x.url).netloc, timeout=60)
    connection.request(
        "POST",
        "/12/measurement/conversions/o8z6j",
        json.dumps({"conversions": conversions}),
        {"content-type": "application/json", "x-pixel-token": "emulator-pixel-token-o8z6j"},
    )
    if connection.getresponse().status != 200:
        raise SystemExit("the run is void: the emulator refused conversions")
    connection.close()


async def _measured(bench: "Bench", port: int, *, fetch: bool) -> BackFillLatencies:
    arrivals, opened = Arrivals(), asyncio.Event()
    asked: list[float] = []
    own = free_port()
    x = await asyncio.get_running_loop().create_server(
        lambda: StandInWithStatistics(arrivals, port, opened, asked), "127.0.0.1", own
    )
    settings = _PIXEL.format(fetch=str(fetch).lower())
    url = f"http://127.0.0.1:{own}"
    with Rig(bench.folder, store=bench.store(), extra=settings, x=url) as rig:
        await OpenLoop(rig.url).run(_RATE, 1.0, "usual")
        opened.set()
        loop = RotatingLoop(rig.url)
        await loop.run(_RATE, max(_LEAST_SECONDS, bench.chosen.seconds), "usual")
        await arrivals.all_of(loop.begun)
    x.close()
    if fetch is not bool(asked) or not loop.begun.keys() <= loop.answered.keys():
        raise SystemExit("the run is void: it fetched results, or none, against its settings")
    near = set(_near(loop.begun.items(), asked))
    return BackFillLatencies(
        answered=fractions(_answered(loop, loop.begun)),
        at_x=fractions(_at_x(loop, arrivals, loop.begun)),
        near=(fractions(_answered(loop, near)), fractions(_at_x(loop, arrivals, near)))
        if near
        else None,
        asked=len(asked) // 2,
        share=len(near) / len(loop.begun),
    )


def _near(begun: Iterable[tuple[bytes, float]], asked: Sequence[float]) -> Iterable[bytes]:
    for id_, at in begun:
        if any(abs(at - other) < _AROUND for other in asked):
            yield id_


def _answered(loop: OpenLoop, ids: Iterable[bytes]) -> list[float]:
    return [loop.answered[id_] - loop.begun[id_] for id_ in ids]


def _at_x(loop: OpenLoop, arrivals: Arrivals, ids: Iterable[bytes]) -> list[float]:
    return [max(0.0, arrivals.times[id_] - loop.answered[id_]) for id_ in ids]


def verdict(found: dict[bool, list[BackFillLatencies]]) -> list[str]:
    """Return a line for each side: medians of the runs, and the p99 of each run."""
    lines = []
    for fetch, runs in sorted(found.items()):
        name = "with a back-fill" if fetch else "no back-fill"
        lines.append(_line(name, [(each.answered, each.at_x) for each in runs]))
        near = [each.near for each in runs if each.near is not None]
        if near:
            asked, share = median(each.asked for each in runs), median(each.share for each in runs)
            lines.append(_line(f"near its {asked:.0f} requests ({share:.0%})", near))
    return lines


def _line(name: str, runs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> str:
    parts = []
    for what, place in (("202", 0), ("then at X", 1)):
        p50, p99 = (median(run[place][part] for run in runs) for part in (0, 1))
        each = ", ".join(f"{run[place][1]:.0f}" for run in runs)
        parts.append(f"{what} p50 {p50:.1f} ms, p99 {p99:.1f} ms ({each})")
    return f"  {name}: {', '.join(parts)}"
