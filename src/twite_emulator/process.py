"""A client of the emulator's control plane, and a way to start the emulator as a process."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import ClassVar
from urllib.parse import urlencode, urlsplit

import msgspec

JsonObject = dict[str, "Json"]
Json = None | bool | int | float | str | list["Json"] | JsonObject

STOP_SECONDS = 5


class EmulatorError(Exception):
    """The emulator did not start, or refused a control request; the text says why."""


class Emulator:
    """A client of a running emulator; `url` is the emulated X.

    Tests may replace `popen`, which starts an emulator.

    Parameters and results of each method: docs/reference/emulator.md.
    """

    popen: ClassVar[type[subprocess.Popen[str]]] = subprocess.Popen

    def __init__(self, url: str) -> None:
        self.url = url

    def reset(self, what: str = "all") -> None:
        """Reset everything; with `received`, keep the world, switches, faults and clock."""
        self._ask("POST", "reset", {"what": what})

    def received(self, *, last: int | None = None, bodies: bool = False) -> JsonObject:
        """Return the conversions requests: totals, and `entries`, oldest first."""
        query = {"bodies": int(bodies)} | ({} if last is None else {"last": last})
        return self._ask("GET", f"received?{urlencode(query)}")

    def counted(self, *, ids: bool = True, **only: str) -> JsonObject:
        """Return what X counted; `only` selects a `pixel` or an `event`."""
        return self._ask("GET", f"counted?{urlencode({'ids': int(ids)} | only)}")

    def hits(self) -> JsonObject:
        """Return the pixel's hits: `hits`, oldest first, each with `parameters` and `copies`."""
        return self._ask("GET", "hits")

    def fault(self, kind: str, **more: Json) -> JsonObject:
        """Arm a fault for the next request.

        `count`, `after`, `pixel` and other parameters select more requests.
        """
        return self._ask("POST", "faults", {"kind": kind, **more})

    def faults(self) -> JsonObject:
        return self._ask("GET", "faults")

    def clear_faults(self) -> None:
        self._ask("DELETE", "faults")

    def switch(self, **changes: Json) -> JsonObject:
        return self._ask("PATCH", "switches", changes)

    def add(self, **world: Json) -> JsonObject:
        """Add or change entries of the world, given as lists: pixels, events, users, …"""
        return self._ask("PUT", "world", world)

    def world(self) -> JsonObject:
        """Return the world, in the form that `add` takes."""
        return self._ask("GET", "world")

    def plant(self, **ads: Json) -> JsonObject:
        """Add what ads did: lists of `clicks`, `views` and `spend` of line items."""
        return self._ask("POST", "ads", ads)

    def asked(self) -> JsonObject:
        """Return the requests for analytics: totals, those that came too early, and `entries`."""
        return self._ask("GET", "asked")

    def truth(self, **only: str) -> JsonObject:
        """Return what X's statistics finally contain.

        `only` selects an `account`, and days from `since` to `until`.
        """
        return self._ask("GET", f"truth?{urlencode(only)}")

    def clock(self, shift: float = 0, *, now: float | None = None) -> JsonObject:
        """Move X's clock by `shift` seconds, or set it to `now`, and return its time."""
        return self._ask("POST", "clock", {"shift": shift} if now is None else {"now": now})

    def _ask(
        self, method: str, route: str, document: Mapping[str, Json] | None = None
    ) -> JsonObject:
        address = urlsplit(self.url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, f"/_emulator/{route}", body)
            response = connection.getresponse()
            answer: JsonObject = json.loads(response.read())
        finally:
            connection.close()
        if "error" in answer:
            raise EmulatorError(str(answer["error"]))
        return answer


class ReceivedTally(msgspec.Struct, frozen=True):
    """How often X received a conversion id by API and by pixel, and how often it counted the id."""

    api: int
    counted: int
    pixel: int = 0


class EventCounts(msgspec.Struct, frozen=True):
    """What X counted for one event, and for each of its conversion ids."""

    received_api: int
    received_pixel: int
    counted: int
    deduplicated: int
    ids: dict[str, ReceivedTally]


class _CountedPixel(msgspec.Struct):
    events: dict[str, EventCounts]


def counts_of(emulator: Emulator, pixel: str) -> dict[str, EventCounts]:
    """Return what X counted for a pixel, by event."""
    pixels = msgspec.convert(emulator.counted()["pixels"], dict[str, _CountedPixel])
    return pixels[pixel].events if pixel in pixels else {}


@contextmanager
def running_emulator(
    *switches: str, listen: str = "127.0.0.1:0", arguments: Sequence[str] = ()
) -> Iterator[Emulator]:
    """Start the emulator with switches like `strict_time=on`; stop it at the end.

    It listens on a free port by default. A forked child that leaves the block does not stop it.
    """
    owner = os.getpid()
    command = [sys.executable, "-m", "twite_emulator", "--listen", listen, "--json"]
    for switch in switches:
        command += ["--switch", switch]
    with (
        tempfile.TemporaryFile() as complaints,
        Emulator.popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            # Ctrl-C must not end it before the gateway's last requests.
            start_new_session=True,
        ) as process,
    ):
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                process.wait(STOP_SECONDS)
                complaints.seek(0)
                raise EmulatorError(complaints.read().decode(errors="replace").strip())
            yield Emulator(json.loads(line)["url"])
        finally:
            if os.getpid() == owner:
                _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
