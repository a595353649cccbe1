"""The template engine on quickjs-ng: its JavaScript sandbox, and memory, time and output limits."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
import quickjs

from twite.gtm.template.allowed import lacking, matches
from twite.gtm.template.permissions import policy
from twite.gtm.template.refused import refused
from twite.gtm.template.sandbox import Call, EffectAnswer, RunLimits, Turn
from twite.gtm.template.template import Template, TemplateUnusable


@cache
def suffixes() -> msgspec.Raw:
    """Return the Public Suffix List's rules by top-level domain, as JSON: `{"uk": " co.uk … "}`.

    Rules with one label are omitted, because the list's default rule covers them. Private rules,
    such as `myshopify.com`, are included: a cookie must not be set for all shops of such a
    platform.
    """
    found: dict[str, list[str]] = {}
    text = (files("publicsuffixlist") / "public_suffix_list.dat").read_text("utf-8")
    for line in text.splitlines():
        rule = line.split("//")[0].strip()
        if rule.count(".") < 1:
            continue
        labels = rule.removeprefix("!").split(".")
        ascii_rule = ".".join(label if label == "*" else _ascii(label) for label in labels)
        mark = "!" if rule.startswith("!") else ""
        found.setdefault(_ascii(labels[-1]), []).append(mark + ascii_rule)
    return msgspec.Raw(
        msgspec.json.encode({top: f" {' '.join(rules)} " for top, rules in found.items()})
    )


def _ascii(label: str) -> str:
    return label if label.isascii() else label.encode("idna").decode("ascii")


# Without memory for an error, the engine throws null, or reports an error that cannot be shown:
# this happens where a table of property names cannot grow.
_FULL: Final = frozenset(
    {"InternalError: out of memory", "thrown: null", "thrown: [uninitialized]"}
)
_TOO_LONG: Final = "the run took too much time"
_BOOT: Final = 10.0  # seconds; the sandbox is our own code, loaded while other threads work
_BETWEEN_WEIGHINGS: Final = 100  # runs; one walks the whole heap, 0.05 ms
# The engine collects cyclic garbage while it creates an object, including the "out of memory"
# error: in the middle of the failed operation, that can crash the process. It does so at one and a
# half times the memory held after the last collection. So a failed run collects now, and the next
# threshold then lies beyond the memory limit. (The binding's own `gc` also collects Python's
# garbage, and takes far longer.)
_COLLECT: Final = """((ArrayBuffer) => (size) => {
  (() => { const lost = {}; lost.self = lost; lost.all = new ArrayBuffer(2 * size); })();
  [{}, {}];
  const held = new ArrayBuffer(size);
  return [{}, {}].length;
})(ArrayBuffer)"""
# When memory runs out inside the engine, it sometimes leaks the current object and all that it
# refers to, until the process ends. At so many times the limit, the template is switched off.
_MOST_LOST: Final = 16
_LOST = "its runs took memory that the engine cannot free: it is off until the restart"
_SPARED: Final = 0.75  # of the limit: other threads have used the rest
_MISJUDGED: Final = 1.0  # seconds of the process's clock for a turn that others ran out of time
_SECTION: Final = "SANDBOXED_JS_FOR_SERVER"


class QuickJsEngine:
    """Runs one template; see twite.gtm.template.sandbox.Engine.

    `keys` are the keys of hmacSha256, by id; `begun` is the run count of the engine it replaces.
    Raises TemplateUnusable if the code is not JavaScript.
    """

    _empty = 0
    contexts = 0  # made so far
    lost = 0  # bytes that nothing refers to, and that were not given back with their context

    def __init__(
        self,
        template: Template,
        *,
        limits: RunLimits | None = None,
        keys: Mapping[str, str] | None = None,
        testing: bool = False,
        begun: int = 0,
    ) -> None:
        self._template = template
        self._limits = limits or RunLimits()
        self._lenient = min(_MISJUDGED, 4 * self._limits.time)
        self._policy = policy(template.grants)
        self._testing = testing
        self._thread = threading.get_ident()
        self._refuse()
        # A key that it may not use is not in its reach.
        reached = {id_: key for id_, key in (keys or {}).items() if matches(self._policy.keys, id_)}
        self._boot = {
            "policy": self._policy,
            "kind": template.kind,
            "limits": {"effects": self._limits.effects, "output": self._limits.output},
            # 150 kB that few templates need.
            "suffixes": suffixes() if "computeEffectiveTldPlusOne" in template.code.text else None,
            "keys": reached,
        }
        self.keys = tuple(reached)  # their ids
        self.begun = begun  # runs so far
        self._open()

    def start(self, call: Call) -> Turn:
        """Start a run."""
        if self.lost > _MOST_LOST * self._limits.memory:
            return Turn(run=0, error=_LOST, spent=True)
        if not self._waiting and self._is_worn():
            self._open()
        self._runs += 1
        self.begun += 1
        # The event is passed as text: the template gets a new copy each time it asks.
        event = _CALL.encode(call.event or {}).decode()
        plain = msgspec.structs.replace(call, event=None)
        return self._turn("start", _CALL.encode(plain).decode(), event)

    def resume(self, run: int, answers: tuple[EffectAnswer, ...], *, now: int) -> Turn:
        """Continue a run."""
        arguments = _CALL.encode({"answers": answers, "now": now}).decode()
        return self._turn("resume", str(run), arguments)

    def end(self, run: int) -> None:
        """Discard a run that will not be resumed."""
        self._waiting.discard(run)
        self._enter("end", str(run))

    def adopt(self) -> None:
        """Assign the engine to the calling thread. No other thread may have a turn running."""
        self._thread = threading.get_ident()

    def relieve(self) -> None:
        """Raise the memory limit of the running turn; any thread may call it.

        The engine ends a turn with an error, which needs memory. Without memory, the code catches
        "null" instead, and continues.
        """
        self._room += self._limits.memory
        self._context.set_memory_limit(self._room)

    def starve(self) -> None:
        """Deny the running turn further memory; any thread may call it.

        No time limit interrupts an operator on long texts within minutes, but it needs memory. Use
        it only for a turn whose thread was abandoned, because code that catches the error
        continues.
        """
        self._context.set_memory_limit(1)

    def apis(self) -> tuple[str, ...]:
        """Return the names of the APIs that `require` returns."""
        return tuple(msgspec.json.decode(self._enter("apis"), type=list[str]))

    def scenario(self, code: str, *, now: int, seed: int) -> msgspec.Raw:
        """Run one scenario of a template's tests in a separate context; return its result."""
        self._open()
        given = {"code": "\n" * SCENARIO_LINE + code, "now": now, "seed": seed}
        return msgspec.Raw(self._enter("scenario", _CALL.encode(given).decode()).encode())

    def memory(self) -> int:
        """Return the memory of the context in bytes."""
        return int(self._context.memory()["malloc_size"])

    def let_go(self) -> None:
        """Free the memory of all runs in one call. The binding would block all Python threads."""
        self._waiting.clear()
        with contextlib.suppress(quickjs.JSException):
            self._context.set_memory_limit(12 * self._limits.memory)
            self._entrance("forget")
            self._collecting(2 * self._limits.memory)
            # A quarter may be its table of names, which stays as large as it was.
            held = self.memory()
            self.lost += held if held > self._limits.memory // 4 else 0
        self._narrow()

    def __del__(self) -> None:
        if self.contexts:
            self.let_go()

    def _is_worn(self) -> bool:
        """Return whether to recreate the context: after so many runs, or half full of garbage."""
        if self._runs >= self._limits.recycle_after:
            return True
        if self._runs == 0 or self._runs % _BETWEEN_WEIGHINGS:
            return False
        held = self.memory()
        if held > self._collect_at:
            self._collect()
            held = self.memory()
        return held > self._limits.memory // 2

    def _refuse(self) -> None:
        """Raise TemplateUnusable for code that no limit can contain."""
        found = refused(self._template.code.text)
        if found is not None:
            line = self._template.code.line + found.line - 1
            raise TemplateUnusable(section=_SECTION, line=line, message=found.message)

    def _open(self) -> None:
        """Recreate the context, without anything left over by earlier runs."""
        if self.contexts:
            self.let_go()
        self._runs = 0
        self._waiting: set[int] = set()
        self._context = quickjs.Context()
        self._collecting = self._context.eval(_COLLECT)
        self._collect()
        self._context.set_max_stack_size(self._limits.stack)
        self._context.set_time_limit(_BOOT)
        self._entrance = self._context.eval(script(testing=self._testing))
        self.contexts += 1
        # Run numbers are never reused: a late answer finds no run.
        self._enter("boot", _CALL.encode(self._boot | {"runs": self.begun}).decode())
        try:
            self._enter("load", self._template.code.text)
        except quickjs.JSException as error:
            line, message = _placed(str(error))
            raise TemplateUnusable(
                section=_SECTION, line=self._template.code.line + line - 1, message=message
            ) from None
        self._context.set_time_limit(self._limits.time)
        held = self.memory()
        self._collect_at = held + held // 4

    def _collect(self) -> None:
        """Let the engine collect now, and not while a turn is under way."""
        self._context.set_memory_limit(12 * self._limits.memory)
        self._collecting(2 * self._limits.memory)
        self._narrow()

    def _narrow(self) -> None:
        self._room = self._limits.memory
        self._context.set_memory_limit(self._room)

    def _enter(self, act: str, *given: str) -> str:
        if threading.get_ident() != self._thread:
            raise RuntimeError("a QuickJS context runs only in the thread that created it")
        outcome = str(self._entrance(act, *given))
        if outcome.startswith("!"):
            raise quickjs.JSException("\n".join(_THROWN.decode(outcome[1:])))
        return outcome

    def _turn(self, act: str, *given: str, again: bool = True) -> Turn:
        if self._room > self._limits.memory:
            self._narrow()
        begun = time.thread_time()
        try:
            turn = _TURN.decode(self._enter(act, *given))
        except msgspec.DecodeError as error:
            self._open()
            return Turn(run=0, error=f"its request cannot be read: {error}", spent=True)
        except quickjs.JSException as error:
            # A limit was exceeded: the context can no longer be trusted.
            self._open()
            error_text = limit_passed(str(error))
            spared = time.thread_time() - begun < _SPARED * self._limits.time
            if act == "start" and again and spared and error_text == _TOO_LONG:
                # The engine's clock is the whole process's: other threads used it up. No effect of
                # this turn was performed, so that it can be repeated.
                self.begun += 1
                self._context.set_time_limit(max(self._limits.time, self._lenient))
                try:
                    return self._turn(act, *given, again=False)
                finally:
                    self._context.set_time_limit(self._limits.time)
            return Turn(run=0, error=error_text, spent=True)
        if turn.error in _FULL:
            self._open()
            return Turn(run=0, error=limit_passed(turn.error), spent=True)
        for effect in turn.effects:
            permission = lacking(effect, self._policy)
            if permission is not None:
                # The sandbox checks each call; an effect without permission means that it was
                # bypassed.
                self._open()
                return Turn(run=0, error=f"an effect that {permission} does not allow", spent=True)
        if turn.done and not turn.listening:
            self._waiting.discard(turn.run)
        else:
            self._waiting.add(turn.run)
        return turn


def _placed(error: str) -> tuple[int, str]:
    """Return the line of the code, and the engine's error message."""
    head, _, stack = error.partition("\n")
    _, _, place = stack.partition("<input>:")
    digits = place.split(":")[0]
    return (int(digits) if digits.isdigit() else 1), head


def limit_passed(error: str) -> str:
    """Return the limit that the engine's error message is about."""
    head = error.partition("\n")[0]
    if "interrupted" in head:
        return _TOO_LONG
    if head == "null" or head in _FULL or "out of memory" in head:
        return "the run took too much memory"
    return f"the run exceeded a limit: {head}"


_CALL: Final = msgspec.json.Encoder()
_TURN: Final = msgspec.json.Decoder(Turn)
_THROWN: Final = msgspec.json.Decoder(tuple[str, str])


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

# Lines of a trace below the first are the template's, those between the two the scenario's.
SCENARIO_LINE: Final = 50_000
SANDBOX_LINE: Final = 100_000


@cache
def script(*, testing: bool = False) -> str:
    """Return the sandbox as an expression; with the test globals, if requested."""
    return "".join(_pieces(testing=testing))


def _pieces(*, testing: bool) -> Iterator[str]:
    # A trace names lines alone: those of the sandbox begin where no template ends.
    yield "\n" * SANDBOX_LINE + "(function (globalThis) {\n'use strict';\n"
    for name in (*PARTS, *(("testing",) if testing else ()), "harden"):
        yield (files(__package__) / "sandbox" / f"{name}.js").read_text("utf-8")
    yield "return enter;\n})(globalThis)"
