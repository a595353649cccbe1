"""The child of hostile_runs: runs templates one after the other, and tells of each.

hostile_child.py SEED FIRST END      what hostile_grammar makes of them
hostile_child.py < {"code", "settings"}     that one
"""

import ctypes
import gc
import json
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "engines")]

import msgspec  # noqa: E402  after the path
import quickjs  # noqa: E402
from hostile_runs import LEAK, Settings, Told, code, settings  # noqa: E402
from template_stage import call, template  # noqa: E402

from twite.engines.quickjs.engine import QuickJsEngine  # noqa: E402
from twite.gtm.template.sandbox import EffectAnswer, Incoming, RunLimits, Turn  # noqa: E402
from twite.gtm.template.template import TemplateUnusable  # noqa: E402

RELIEF = 0.75  # seconds of CPU; see twite.gateway.tags.runtime.thread_worker
HONEST = (HERE / "hostile_honest.js").read_text()
GIVEN = {
    "fields": {"field": "value", "list": [1, 2]},
    "event": {"event_name": "x", "items": [{"a": 1}]},
}
REQUEST = Incoming(path="/g/collect", query="v=2&tid=1&a=1&a=2", headers=(("x", "y"),), body="{}")


class Stalls:
    """How much CPU the main thread took while no other thread came to run.

    Relieves the engine of a turn that takes long, as the gateway's worker does.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self.engine: QuickJsEngine | None = None
        self.since = 0.0
        self._clock = time.pthread_getcpuclockid(threading.main_thread().ident)
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        last = time.clock_gettime(self._clock)
        while True:
            time.sleep(0.01)
            now = time.clock_gettime(self._clock)
            self.longest = max(self.longest, now - last)
            last = now
            if self.engine is not None and now - self.since > RELIEF:
                self.since = now
                self.engine.relieve()

    def turn(self, engine: QuickJsEngine, act: Callable[[], Turn]) -> tuple[Turn, float]:
        """Have an engine run a turn; return that, and its CPU."""
        began = self.since = time.clock_gettime(self._clock)
        self.engine = engine
        turn = act()
        self.engine = None
        return turn, time.clock_gettime(self._clock) - began


class Tight(QuickJsEngine):
    """An engine that can be given less memory for what comes next."""

    def squeeze(self, room: int) -> None:
        """Leave so many bytes beyond what is held now."""
        self._context.set_memory_limit(self.memory() + room)

    def widen(self) -> None:
        """Leave it as much as its limits say."""
        self._context.set_memory_limit(self._limits.memory)


class _Taken(ctypes.Structure):
    _fields_ = [(f"field{at}", ctypes.c_size_t) for at in range(10)]


def taken() -> int:
    """Return how many bytes the process has from the allocator."""
    _mallinfo.restype = _Taken
    found = _mallinfo()
    return found.field4 + found.field7  # mapped, and in use


_mallinfo = ctypes.CDLL(None).mallinfo2


def honest(engine: QuickJsEngine) -> str:
    """Return what a harmless run says."""
    turn = engine.start(call(**GIVEN | {"fields": {"honest": True}}, request=REQUEST))
    return repr(msgspec.structs.replace(turn, run=0))


def turns(engine: Tight, limits: Settings, stalls: Stalls) -> tuple[str, float]:
    """Run a template twice, answering; return how it ended, and its longest turn."""
    longest, outcome = 0.0, ""
    for again in range(2):
        act = partial(engine.start, call(**GIVEN, request=REQUEST))
        for answered in range(5):
            if limits.room is not None:
                engine.squeeze(limits.room)
            turn, took = stalls.turn(engine, act)
            longest = max(longest, took)
            if turn.done:
                break
            act = partial(_answered, engine, turn, again + answered)
        outcome = _outcome(turn)
        engine.widen()
        engine.end(turn.run)
    return outcome, longest


def _answered(engine: Tight, turn: Turn, seed: int) -> Turn:
    answers = tuple(
        EffectAnswer(id=at, status=200, headers={"a": "b"}, body='{"a":[1]}', value=[{"b": 1}])
        if (at + seed) % 3
        else EffectAnswer(id=at, reason="timed_out")
        for at in turn.waiting
    )
    return engine.resume(turn.run, answers, now=call().now + 2_000 * seed)


def _outcome(turn: Turn) -> str:
    if turn.error is None:
        return "done" if turn.done else "waits"
    return turn.error if turn.spent and len(turn.error) < 60 else "error"


def told(run: int, text: str, limits: Settings, stalls: Stalls, before: str) -> Told:
    """Run one template, and return what it came to."""
    gc.collect()
    had = taken()
    stalls.longest = longest = 0.0
    changed = ""
    try:
        engine = Tight(
            template(HONEST + text), limits=RunLimits(time=limits.time, stack=limits.stack)
        )
        outcome, longest = turns(engine, limits, stalls)
        after = honest(engine)
        if after != before and limits.stack == Settings().stack and limits.time > 0.05:
            changed = after[:2_000]
        del engine
    except TemplateUnusable as unusable:
        outcome = f"unusable: {unusable.message}"[:80]
    except quickjs.JSException as error:
        outcome = f"escaped: {error}"[:200]
    return Told(
        run=run,
        outcome=outcome,
        took=longest,
        held=stalls.longest,
        changed=changed,
        left=taken() - had,
    )


def tell(run: int, text: str, limits: Settings, stalls: Stalls, before: str) -> None:
    """Run one template, and write what it came to."""
    found = told(run, text, limits, stalls, before)
    if found.left > LEAK:
        # What Python keeps for the next time it keeps once.
        found = msgspec.structs.replace(
            found, left=min(told(run, text, limits, stalls, before).left for _ in range(2))
        )
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Run what is asked for."""
    before = honest(Tight(template(HONEST)))
    stalls = Stalls()
    if len(sys.argv) == 1:
        given = json.load(sys.stdin)
        tell(0, given["code"], msgspec.convert(given["settings"], Settings), stalls, before)
        return
    seed, first, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for run in range(first, end):
        tell(run, code(seed, run), settings(seed, run), stalls, before)


if __name__ == "__main__":
    main()
