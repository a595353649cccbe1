"""The engine port: runs of templates, with their input and output.

A run is a series of turns. Each turn is a pure function of its input: the engine has no clock, no
randomness, no network and no disk. A turn ends when the template waits for nothing (`done`), for
answers to its effects, or for a timer.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from twite.domain.incoming_request import IncomingRequest
from twite.tags.json_tree import Tree
from twite.tags.template.effects import AnyEffect


class ContainerVersion(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    container_id: str = "GTM-TWITE"
    debug_mode: bool = False
    environment_name: str = "Live"
    environment_mode: bool = False
    preview_mode: bool = False
    version: str = "1"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `fields` becomes `data`; `now` is in milliseconds; `seed` seeds random numbers.

    `event` is None if there is no event, as in a client. `storage` is the template's storage,
    `listened` the message types that other templates listen to, `extracted` the events that the
    request contains, and `browser_pixels` whether the browser can be made to load pixels.
    """

    fields: dict[str, Tree]
    now: int
    seed: int = 1
    event: dict[str, Tree] | None = None
    request: IncomingRequest = IncomingRequest()
    container: ContainerVersion = ContainerVersion()
    client: str = ""
    storage: dict[str, Tree] = {}
    listened: tuple[str, ...] = ()
    extracted: list[dict[str, Tree]] | None = None
    browser_pixels: bool = False

    def __repr__(self) -> str:
        return "Call(***)"


class EffectAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to the effect with this id.

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
        return f"EffectAnswer({self.id}, {self.status or self.reason or self.phase})"


class RunResult(StrEnum):
    SUCCESS = "success"  # gtmOnSuccess
    FAILURE = "failure"  # gtmOnFailure
    SILENT = "silent"  # neither, so far


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one turn. `error` is the thrown error, or the exceeded limit.

    Effects before an error remain valid, as in Google's sandbox. If a limit was exceeded, there are
    no effects.

    `returned` is set once: by the first turn, or by the turn that settles the returned promise.
    `waiting` contains the ids of effects that wait for an answer; `wake_at` is the time
    (milliseconds) when a promise times out. If neither is set, the run is `done`. An error ends the
    run; `spent` is whether the error was an exceeded limit, after which the turn's effects are
    unknown.
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
    took: float = 0.0  # CPU seconds, if the engine measures them

    @property
    def done(self) -> bool:
        """Whether the run has ended."""
        return self.error is not None or not (self.waiting or self.wake_at is not None)


class RunLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one run. `time` is in CPU seconds per turn; sizes are in bytes."""

    time: float = 0.25
    memory: int = 16 * 1024 * 1024
    stack: int = 256 * 1024
    effects: int = 500  # per run
    output: int = 3 * 1024 * 1024  # characters of effects per turn
    recycle_after: int = 100_000  # runs


class Engine(Protocol):
    """Runs one template, one turn at a time.

    Several runs may wait for their answers at once. After an exceeded limit, the engine is reset.
    The runs that were waiting are then lost: `resume` returns an error for them.
    """

    def start(self, call: Call) -> Turn:
        """Start a run."""

    def resume(self, run: int, answers: tuple[EffectAnswer, ...], *, now: int) -> Turn:
        """Continue a run with answers, or after a timer."""

    def end(self, run: int) -> None:
        """Forget a run that will not be resumed."""
