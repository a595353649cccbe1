"""Fail the Nth operation, for every N: each store call and each request to X in turn.

    python -m simulator.nth_fault

runs a small scenario once to count its operations, then once for each operation and each way to
fail. `--call 12=DIES_AFTER` or `--request 3=CUT` runs one of them, and prints its steps.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from builders import a_destination, a_destination_with_oauth
from simulator.checks import Finding
from simulator.clock import TrialClock
from simulator.files import FileStoreData
from simulator.scenario import CLICK, Happening, Offer, Stop
from simulator.store import CallFault, MemoryStoreData, StoreData
from simulator.world import World
from simulator.x import POISON, Met, RequestFault
from twite.domain.destination import Destination
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.worker import WorkerConfig

CALL_FAULTS: Final = tuple(fault for fault in CallFault if fault is not CallFault.NONE)
# A single 400 is X's verdict on the content of the request, not a network fault.
_NEVER: Final = (RequestFault.FAIR, RequestFault.ALL_ALIKE)
# Each way a request can fail; `+` means that X processed the request although the response is lost.
REQUEST_FAULTS: Final[Mapping[str, Met]] = {
    **{
        kind.name: Met(request_fault=kind, takes=False)
        for kind in RequestFault
        if kind not in _NEVER
    },
    **{
        f"{kind.name}+": Met(request_fault=kind)
        for kind in (
            RequestFault.TIMEOUT,
            RequestFault.RESET,
            RequestFault.CUT,
            RequestFault.ERROR,
            RequestFault.LOCKED,
        )
    },
}
_PIXELS: Final = ("oaaa1", "oaaa2")


class Scenario:
    """Five submissions to two pixels, one bad conversion, a repetition, a clean stop.

    One operation fails: `call` or `request` is (its number, counted from 0; how it fails).
    """

    destinations: tuple[Destination, ...]

    def __init__(
        self, *, call: tuple[int, CallFault] | None = None, request: tuple[int, str] | None = None
    ) -> None:
        self.destinations = (
            a_destination(_PIXELS[0]),
            a_destination_with_oauth(_PIXELS[1]),
        )
        self.worker_config = WorkerConfig(batch=4, in_flight=2)
        self.shift = 0
        self.calm: str | None = None
        self.calls: list[str] = []
        self.requests = 0
        self._call = call
        self._request = request
        self._counting = True

    def timeline(self) -> Iterator[tuple[int, Happening]]:
        """Return what happens when, in order."""
        yield 2 * SECOND, _offer(_PIXELS[0], "a", "b", "c")
        yield 2 * SECOND, _offer(_PIXELS[1], "a", "b")
        yield 3 * SECOND, _offer(_PIXELS[0], "d", "bad", "e", "b", event="o8z6k")
        yield 4 * SECOND, _offer(_PIXELS[0], "a", event="o8z6m")
        yield 20 * SECOND, Stop()
        yield 24 * SECOND, _offer(_PIXELS[1], "b", "c")
        yield 5 * MINUTE, _offer(_PIXELS[0], "f")

    def on_call(self, name: str) -> tuple[CallFault, int, int]:
        number = len(self.calls)
        fault = CallFault.NONE
        if self._counting:
            self.calls.append(name)
            if self._call is not None and self._call[0] == number:
                fault = self._call[1]
        return fault, 1, 1

    def on_request(self, pixel: str) -> Met:  # noqa: ARG002 the chosen request fails, of any pixel
        number = self.requests
        if self._counting:
            self.requests += 1
            if self._request is not None and self._request[0] == number:
                return REQUEST_FAULTS[self._request[1]]
        return Met()

    def away(self) -> int:
        return SECOND

    def still(self) -> None:
        self._counting = False


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """An operation whose failure broke a promise. `command` runs it again."""

    command: str
    findings: tuple[Finding, ...]


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """The results of all runs."""

    calls: int
    requests: int
    runs: int
    failed: tuple[Failed, ...]


def try_all(*, store: str | None = None, step: int = 1) -> Tried:
    """Fail each operation in each way; with `step`, run only every `step`-th case."""
    plain = Scenario()
    failed = (
        [Failed(command=_command("", store), findings=found)]
        if (found := run(plain, store=store))
        else []
    )
    choices = [f"--call {n}={fault.name}" for n in range(len(plain.calls)) for fault in CALL_FAULTS]
    choices += [f"--request {n}={name}" for n in range(plain.requests) for name in REQUEST_FAULTS]
    chosen = choices[::step]
    for choice in chosen:
        found = run(_scenario(choice.split()), store=store)
        if found:
            failed.append(Failed(command=_command(choice, store), findings=found))
    return Tried(
        calls=len(plain.calls),
        requests=plain.requests,
        runs=len(chosen) + 1,
        failed=tuple(failed),
    )


def run(
    scenario: Scenario,
    *,
    store: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Finding, ...]:
    """Run a scenario to its end, and return the failed checks."""
    return asyncio.run(_run(scenario, store, tell))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all cases, or the one on the command line; return 1 if a check failed."""
    parser = argparse.ArgumentParser(prog="python -m simulator.nth_fault")
    parser.add_argument("--call", help="N=FAULT, one of: " + ", ".join(f.name for f in CALL_FAULTS))
    parser.add_argument("--request", help="N=FAULT, one of: " + ", ".join(REQUEST_FAULTS))
    parser.add_argument("--store", help="module:Class of a store on files; default: in memory")
    given = parser.parse_args(arguments)
    if given.call or given.request:
        named = ["--call", given.call] if given.call else ["--request", given.request]
        found = run(_scenario(named), store=given.store, tell=_say)
        for finding in found:
            _say(str(finding))
        return 1 if found else 0
    tried = try_all(store=given.store)
    for failed in tried.failed:
        _say(f"{failed.findings[0]}\n  {failed.command}")
    _say(
        f"{tried.calls} store calls in {len(CALL_FAULTS)} ways, {tried.requests} requests in "
        f"{len(REQUEST_FAULTS)} ways: {tried.runs} runs, {len(tried.failed)} failed"
    )
    return 1 if tried.failed else 0


async def _run(
    scenario: Scenario, store: str | None, tell: Callable[[str], None]
) -> tuple[Finding, ...]:
    store_data: StoreData = MemoryStoreData() if store is None else FileStoreData(store)
    world = World(scenario=scenario, store_data=store_data, clock=TrialClock(), tell=tell)
    try:
        await world.play()
    finally:
        await store_data.close()
    return tuple(world.judge.findings)


def _scenario(choice: Sequence[str]) -> Scenario:
    """Read `--call N=FAULT` or `--request N=FAULT`."""
    number, _, fault = choice[1].partition("=")
    if choice[0] == "--call":
        return Scenario(call=(int(number), CallFault[fault]))
    if fault not in REQUEST_FAULTS:
        raise KeyError(fault)
    return Scenario(request=(int(number), fault))


def _offer(pixel: str, *ids: str, event: str = "o8z6k") -> Offer:
    names = {"o8z6k": "purchase", "o8z6m": "sign_up"}
    keys = tuple((pixel, event, id_) for id_ in ids)
    written = [
        {
            "event": names[event],
            "conversion_id": id_,
            "twclid": CLICK,
            "description": POISON if id_ == "bad" else "good",
        }
        for id_ in ids
    ]
    return Offer(
        pixel=pixel,
        body=msgspec.json.encode({"conversions": written}),
        keys=keys,
        poison=tuple(id_ == "bad" for id_ in ids),
        suppressed=(False,) * len(ids),
    )


def _command(choice: str, store: str | None) -> str:
    more = "" if store is None else f" --store {store}"
    return f"python -m simulator.nth_fault {choice}{more}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
