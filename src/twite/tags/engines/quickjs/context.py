"""A hardened QuickJS context of one template: its input and output are strings.

This module does not depend on the gateway, so that an engine process loads little but the engine.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import quickjs

from twite.tags.engines.context_limits import FULL, ContextLimits, limit_passed

BOOT_TIME: Final = 10.0  # seconds; the sandbox is Twite's own code
_BOOT_MEMORY: Final = 16 * 1024 * 1024  # minimum, in bytes
# Runs between two checks; a check walks the whole heap, which takes 0.05 ms.
_BETWEEN_WEIGHINGS: Final = 100
# The engine collects cyclic garbage when it creates an object, including the "out of memory" error.
# A collection in the middle of the failed operation can crash the process. The engine collects at
# one and a half times the memory in use after the last collection. A context therefore collects
# when it is created, so that the next threshold is above the memory limit. (The `gc` of the binding
# also collects Python's garbage, and takes far longer.)
_COLLECT: Final = """((ArrayBuffer) => (size) => {
  (() => { const lost = {}; lost.self = lost; lost.all = new ArrayBuffer(2 * size); })();
  [{}, {}];
  const held = new ArrayBuffer(size);
  return [{}, {}].length;
})(ArrayBuffer)"""
_THROWN: Final = msgspec.json.Decoder(tuple[str, str])
_LINE: Final = re.compile(r"<input>:([0-9]+)")
_ESCAPES: Final = re.compile(r"\\(?:u(?P<half>d[89a-f][0-9a-f]{2})|.)")
# Each file may use the files before it; functions are hoisted.
PARTS: Final = (
    "natives",
    "text",
    "names",
    "url",
    "regex",
    "permissions",
    "promise",
    "values",
    "incoming",
    "outgoing",
    "services",
    "turns",
)
# In a trace, lines below the first number belong to the template, lines between the two numbers
# to the scenario, and the others to the sandbox.
SCENARIO_LINE: Final = 50_000
SANDBOX_LINE: Final = 100_000


class TurnHead(msgspec.Struct, frozen=True):
    """The properties of a turn that the context needs."""

    run: int
    error: str | None = None
    waiting: tuple[int, ...] = ()
    listening: tuple[str, ...] = ()
    wake_at: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing can resume the run."""
        waits = bool(self.waiting or self.listening) or self.wake_at is not None
        return self.error is not None or not waits


class LimitPassed(Exception):
    """A run exceeded its time or memory limit: the context can no longer be used."""


class CodeUnusable(Exception):
    """The template's code is not valid JavaScript; `line` is counted from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


Sha256 = Callable[[str, str], str | None]


class Sandbox:
    """A hardened context that has run no template.

    While a time limit is set, the engine calls no Python functions. So with `sha256`, which returns
    the hash of a string in an encoding, the caller must limit the time of each call.
    """

    def __init__(self, *, testing: bool = False, sha256: Sha256 | None = None) -> None:
        self.limits_time = sha256 is None
        self.context = quickjs.Context()
        self.collecting = self.context.eval(_COLLECT)
        if sha256 is None:
            self.context.set_time_limit(BOOT_TIME)
        else:
            self.context.add_callable("sha256", sha256)
        self.entrance = self.context.eval(script(testing=testing))


class TemplateContext:
    """Runs a template's code. `boot` is the sandbox's input as JSON. Raises CodeUnusable.

    `make` returns a sandbox that no other context uses.
    """

    def __init__(
        self,
        code: str,
        *,
        boot: str,
        limits: ContextLimits,
        make: Callable[[], Sandbox] = Sandbox,
    ) -> None:
        self._code = code
        self._boot = msgspec.json.decode(boot, type=dict[str, msgspec.Raw])
        self.limits = limits
        self._make = make
        self._last_run = 0
        self.contexts = 0  # created so far
        self.open()

    def start(self, call: str, event: str) -> tuple[str, TurnHead]:
        """Begin a run; return its first turn as JSON. Raises LimitPassed."""
        self._runs += 1
        self._last_run += 1
        return self._turn("start", call, event)

    def resume(self, run: int, arguments: str) -> tuple[str, TurnHead]:
        """Continue a run; return its next turn as JSON. Raises LimitPassed."""
        return self._turn("resume", str(run), arguments)

    def end(self, run: int) -> None:
        self._waiting.discard(run)
        self.enter("end", str(run))

    def loads(self, code: str) -> bool:
        """Load code that replaces the template's; return whether it is usable."""
        try:
            self.enter("load", code)
        except quickjs.JSException:
            return False
        return True

    def enter(self, act: str, *given: str) -> str:
        """Call the sandbox. Raises quickjs.JSException for an uncaught exception of the code."""
        outcome = str(self._entrance(act, *given))
        if "\\ud" in outcome:
            outcome = _well_formed(outcome)
        if outcome.startswith("!"):
            raise quickjs.JSException("\n".join(_THROWN.decode(outcome[1:])))
        return outcome

    def memory(self) -> int:
        """Return how many bytes the context holds."""
        return int(self._context.memory()["malloc_size"])

    def open(self) -> None:
        """Recreate the context, so that nothing of earlier runs is left."""
        self._runs = 0
        self._tidy_at = _BETWEEN_WEIGHINGS
        self._waiting: set[int] = set()
        made = self._make()
        self._context, self._entrance = made.context, made.entrance
        self._collecting = made.collecting
        self._collect()
        self._context.set_memory_limit(max(self.limits.memory, _BOOT_MEMORY))
        self._context.set_max_stack_size(self.limits.stack)
        self.contexts += 1
        # Run numbers are never reused, so a late response finds no run.
        runs = msgspec.Raw(str(self._last_run).encode())
        self.enter("boot", msgspec.json.encode(self._boot | {"runs": runs}).decode())
        try:
            self.enter("load", self._code)
        except quickjs.JSException as error:
            raise CodeUnusable(*_placed(str(error))) from None
        if made.limits_time:
            self._context.set_time_limit(self.limits.time)
        self._context.set_memory_limit(self.limits.memory)
        held = self.memory()
        self._collect_at = held + held // 4

    @property
    def is_untidy(self) -> bool:
        """Whether it is time to free memory."""
        return self._runs >= self._tidy_at or self._is_old

    @property
    def _is_old(self) -> bool:
        return self._runs >= self.limits.recycle_after and not self._waiting

    def tidy(self) -> None:
        """Free the memory that earlier runs left. Call it between turns.

        The context is recreated after many runs, and when it is half full, unless a run is
        suspended in it.
        """
        self._tidy_at = self._runs + _BETWEEN_WEIGHINGS
        held = self.memory()
        if held > self._collect_at:
            self._collect()
            held = self.memory()
        if self._is_old or (held > self.limits.memory // 2 and not self._waiting):
            self.open()

    def _collect(self) -> None:
        """Make the engine collect garbage now, and not during a turn."""
        self._context.set_memory_limit(12 * self.limits.memory)
        self._collecting(2 * self.limits.memory)
        self._context.set_memory_limit(self.limits.memory)

    def _turn(self, act: str, *given: str) -> tuple[str, TurnHead]:
        try:
            text = self.enter(act, *given)
        except quickjs.JSException as error:
            raise self._passed(str(error)) from None
        try:
            head = _HEAD.decode(text)
        except msgspec.DecodeError as error:
            raise LimitPassed(f"its request cannot be read: {error}") from None
        if head.error in FULL:
            raise self._passed(head.error)
        if head.is_over:
            self._waiting.discard(head.run)
        else:
            self._waiting.add(head.run)
        return text, head

    def _passed(self, error: str) -> LimitPassed:
        limits = self.limits
        return LimitPassed(limit_passed(error, time=limits.time, memory=limits.memory))


def _well_formed(text: str) -> str:
    """Replace lone surrogates, which the engine writes as escapes that no decoder accepts."""
    return _ESCAPES.sub(lambda found: "\\ufffd" if found["half"] else found[0], text)


def _placed(error: str) -> tuple[int, str]:
    """Return the line in the template's code, and the engine's error message.

    It is 1 if the engine tells none, as for a regular expression: the trace then names only lines
    of the sandbox.
    """
    head, _, stack = error.partition("\n")
    line = next(map(int, _LINE.findall(stack)), 1)
    return (line if line < SCENARIO_LINE else 1), head


_HEAD: Final = msgspec.json.Decoder(TurnHead)


@cache
def script(*, testing: bool = False) -> str:
    """Return the sandbox as a JavaScript expression; if `testing`, with the test globals."""
    return "".join(_pieces(testing=testing))


def _pieces(*, testing: bool) -> Iterator[str]:
    # A trace contains only line numbers: those of the sandbox begin after the last possible line of
    # a template.
    yield "\n" * SANDBOX_LINE + "(function (globalThis) {\n'use strict';\n"
    for name in (*PARTS, *(("testing",) if testing else ()), "harden"):
        yield (Path(__file__).with_name("sandbox") / f"{name}.js").read_text("utf-8")
    yield "return enter;\n})(globalThis)"
