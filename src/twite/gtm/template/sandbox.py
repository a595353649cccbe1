"""How a template is run: what goes in, what comes out, and the port of whoever runs it.

A run is a series of turns. Each turn is a pure function of what it is given: the engine knows no
clock, no chance, no network and no disk. A turn ends when the template waits for nothing (`done`),
or for answers to its effects, or for time to pass.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from twite.domain.json_tree import Tree
from twite.gtm.template.effects import AnyEffect


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """The request that the container serves. Header names are in lower case."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    remote_address: str = ""

    def __repr__(self) -> str:
        return f"Incoming({self.method})"


class ContainerVersion(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `getContainerVersion` tells."""

    container_id: str = "GTM-TWITE"
    debug_mode: bool = False
    environment_name: str = "Live"
    environment_mode: bool = False
    preview_mode: bool = False
    version: str = "1"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `fields` becomes `data`; `now` is in milliseconds; `seed` is the run's chance.

    `event` is None where there is no event, as in a client. `storage` is the template's storage,
    `listened` the message types that other templates listen to, `extracted` the events of a
    Measurement Protocol request, `browser_pixels` whether the client can have its browser send
    pixels.
    """

    fields: dict[str, Tree]
    now: int
    seed: int = 1
    event: dict[str, Tree] | None = None
    request: Incoming = Incoming()
    container: ContainerVersion = ContainerVersion()
    client: str = ""
    storage: dict[str, Tree] = {}
    listened: tuple[str, ...] = ()
    extracted: list[dict[str, Tree]] | None = None
    browser_pixels: bool = False

    def __repr__(self) -> str:
        return "Call(***)"


class EffectAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the effect with this id.

    A request is answered with `status`, `headers` and `body`, or with `reason` (`failed`,
    `timed_out`); a service with `value` or `reason`; a container run with `phase` (`start`,
    `complete`); a message with `type` and `value`.
    """

    id: int
    status: int | None = None
    headers: dict[str, str | list[str]] = {}
    body: str | None = None
    reason: str | None = None
    value: Tree = None
    phase: str | None = None
    type: str | None = None

    def __repr__(self) -> str:
        return f"Answer({self.id}, {self.status or self.reason or self.phase})"


class RunResult(StrEnum):
    """What a tag said of itself."""

    SUCCESS = "success"  # gtmOnSuccess
    FAILURE = "failure"  # gtmOnFailure
    SILENT = "silent"  # neither, so far


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn brought. `error` is what was thrown, or which limit was passed.

    What was asked for before something was thrown stands, as it does in Google's sandbox; after a
    limit was passed there is none of it.

    `returned` is told once: by the first turn, or by the one that settles the promise that was
    returned. `waiting` are the ids that answers are awaited for, `wake_at` the time (milliseconds)
    at which a promise runs out. `done` when neither is. An error ends the run; `spent` says that it
    was a limit, so that nobody knows what this turn would have asked for.
    """

    run: int
    effects: tuple[AnyEffect, ...] = ()
    outcome: RunResult = RunResult.SILENT
    returned: Tree = None
    error: str | None = None
    spent: bool = False
    line: int | None = None  # of the template's code, from 1
    waiting: tuple[int, ...] = ()
    listening: tuple[str, ...] = ()
    wake_at: int | None = None

    @property
    def done(self) -> bool:
        """Whether the run has ended."""
        return self.error is not None or not (self.waiting or self.wake_at is not None)


class RunLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one run may cost. `time` is in seconds of CPU a turn, sizes are in bytes."""

    time: float = 0.25
    memory: int = 16 * 1024 * 1024
    stack: int = 256 * 1024
    effects: int = 500  # a run
    output: int = 3 * 1024 * 1024  # characters of effects a turn
    recycle_after: int = 100_000  # runs


class Engine(Protocol):
    """Runs one template. It belongs to one thread, and runs turns one at a time.

    Several runs may wait for their answers at once. After a limit was passed the engine is as new:
    the runs that waited are lost with it, and `resume` says so by an error. `begun` counts the runs
    so far: none has the number of one before it.
    """

    begun: int

    def adopt(self) -> None:
        """Belong to the thread that calls this. No other may have a turn under way."""

    def relieve(self) -> None:
        """Let the turn that runs now take more memory, so that it can be ended; any thread may."""

    def start(self, call: Call) -> Turn:
        """Begin a run."""

    def resume(self, run: int, answers: tuple[EffectAnswer, ...], *, now: int) -> Turn:
        """Go on with a run: answers, or only the time that has passed."""

    def end(self, run: int) -> None:
        """Forget a run that will not be resumed."""
