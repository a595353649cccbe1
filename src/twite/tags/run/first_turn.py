"""First turns: run a tag's first synchronous turn while a browser waits for the answer.

    plan ─▶ setup ─▶ tag ─▶ cleanup    each one turn; a turn that waits for an answer ends this
                       └────▶ cookies, headers and pixels of these turns go into the answer

No other effects of these turns are performed. The durable run repeats them later, with the same
input and the same random numbers, and performs the rest. See docs/decisions/0032.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from twite.domain.times import SECOND
from twite.gateway.ports.events import FirstTurnEnded, Observer, ProblemPlace, ProblemSeen
from twite.tags.container.plan import FiredTag
from twite.tags.ports.engines import EngineLost
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.preview.trace import RequestTrace, current
from twite.tags.redaction.mask_line import LineMask
from twite.tags.run.payload import TagPayload, cookie_mark
from twite.tags.run.readable_request import may_respond, templates_before_response
from twite.tags.run.run_input import RunInput
from twite.tags.run.variables import PendingVariable, VariableCache, returned
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.tags.runtime.engine_worker import EngineWorker
from twite.tags.template.allowed import lacking
from twite.tags.template.effects import AfterEvent, AnyEffect, BrowserPixel
from twite.tags.template.sandbox import Call, EffectAnswer, RunResult, Turn
from twite.tags.template.tag_response import TagResponse, response_of
from twite.tags.template.template import Template, TemplateUnusable

if TYPE_CHECKING:
    from twite.tags.json_tree import Tree

WITHIN: Final = 50  # milliseconds, for each tag of a request
# The browser waits for all tags of a request at most this many times as long.
_ALL_TAGS: Final = 4
_GRACE: Final = 3  # iterations of the event loop


_Effects = tuple[tuple[Template, AnyEffect], ...]
_Running = asyncio.Task[_Effects | None]


@dataclass(slots=True, eq=False, repr=False)
class FirstTurns:
    """Runs the first turns of the tags of a request side by side; see `run_all`.

    Each tag has `within` milliseconds from when its turn begins; 0 runs none. While a turn of a tag
    is late (see `late`), the tag gets no other turn.
    """

    engine_pool: EnginePool
    _: KW_ONLY
    storage: TemplateStorage
    observer: Observer
    within: int = WITHIN
    _tasks: set[_Running] = field(init=False, default_factory=set)
    late: dict[str, set[_Running]] = field(init=False, default_factory=dict)

    async def run_all(self, given: Mapping[int, RunInput]) -> dict[int, TagResponse]:
        """Return the additions to the response of the first turns that ended in time."""
        until = asyncio.get_running_loop().time() + _ALL_TAGS * self.within / SECOND
        ended = await asyncio.gather(*(self._ended(each, until=until) for each in given.values()))
        trace = current()
        responses: dict[int, TagResponse] = {}
        for (index, each), (result, response) in zip(given.items(), ended, strict=True):
            self.observer.see(FirstTurnEnded(tag=each.rule.pixel, result=result))
            if trace is not None:
                _record(trace, each, result, response)
            if response is not None:
                responses[index] = response
        return responses

    async def _ended(self, run_input: RunInput, *, until: float) -> tuple[str, TagResponse | None]:
        tag = run_input.rule.pixel
        if not self.within or tag in self.late or not self._may_run(run_input.rule):
            return "skipped", None
        began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._run(run_input, until=until, began=began))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await self._wait(task, began, until=until)
        if not task.done():
            self._note_late(tag, task)
            return ("late" if began.done() else "skipped"), None
        effects = None if task.cancelled() else task.result()
        if effects is None:
            return "failed", None
        policy = self.engine_pool.policy
        allowed = [effect for template, effect in effects if not lacking(effect, policy(template))]
        return "in_time", response_of(tag, allowed)

    async def _wait(self, task: _Running, began: "asyncio.Future[None]", *, until: float) -> None:
        """Wait until the turn has ended, or its time is over."""
        loop = asyncio.get_running_loop()
        task.add_done_callback(lambda _: None if began.done() else began.set_result(None))
        await asyncio.wait({began}, timeout=until - loop.time())
        await asyncio.wait({task}, timeout=min(self.within / SECOND, until - loop.time()))
        for _ in range(_GRACE):
            # If the event loop was busy, the response may have arrived, but is not read yet.
            if not task.done():
                await asyncio.sleep(0)

    def _note_late(self, tag: str, task: _Running) -> None:
        def ended(task: _Running) -> None:
            others = self.late[tag]
            others.discard(task)
            if not others:
                del self.late[tag]

        self.late.setdefault(tag, set()).add(task)
        task.add_done_callback(ended)

    def _may_run(self, rule: TagRule) -> bool:
        """Whether the tag is not on probation, and has CPU time left for first turns."""
        trials = self.engine_pool.trials
        whose = f"tag {rule.name}"
        return trials.rest(whose) is None and trials.has_cpu_time(f"{whose}, first turn")

    async def _run(
        self, run_input: RunInput, *, until: float, began: "asyncio.Future[None]"
    ) -> _Effects | None:
        """Return the effects; None if nothing ran."""
        loop = asyncio.get_running_loop()
        trials, whose = self.engine_pool.trials, f"tag {run_input.rule.name}"
        worker = self.engine_pool.worker(run_input.rule.pixel)

        def may_begin() -> bool:
            # Other turns may have used up the time.
            if loop.time() >= until or trials.begin(whose):
                return False
            began.set_result(None)
            return True

        first = _FirstTurn(run_input, worker, self.storage, may_begin=may_begin)
        effects: _Effects | None = None
        try:
            effects = await first.run()
        except EngineLost as lost:
            first.begun = False
            trials.lose(whose, lost)
        except (_TurnSkipped, TemplateUnusable):
            pass  # the durable run reports the reason
        except Exception as error:  # noqa: BLE001  the event must be stored, whatever it is
            self.observer.see(ProblemSeen(where=ProblemPlace.TAG, reason=type(error).__name__))
        finally:
            if first.begun:
                trials.end(whose, took=first.took, spent=first.spent, done=False)
        trials.charge(f"{whose}, first turn", first.took)
        return effects


async def prepare_first_turns(
    engine_pool: EnginePool, container_configs: Iterable[ContainerConfig]
) -> None:
    """Load the templates that run before a response, so that the first response has cookies."""
    for config in container_configs:
        for tag in config.container.tags:
            rule = config.rules.get(tag.name)
            if rule is not None and may_respond(config.container, tag):
                own, of_triggers = templates_before_response(config.container, tag)
                engine_pool.prepare(rule.pixel, own, for_triggers=of_triggers)
                await asyncio.sleep(0)  # requests come first


def after_first_turn(payload: TagPayload, run_input: RunInput, response: TagResponse) -> TagPayload:
    """Return the payload of the durable run, which repeats the first turn."""
    return msgspec.structs.replace(
        payload,
        seed=run_input.seed,
        cookies=tuple(cookie_mark(cookie) for cookie in response.cookies),
        pixels=run_input.payload.pixels,
    )


def _record(
    trace: RequestTrace, run_input: RunInput, result: str, response: TagResponse | None
) -> None:
    """Record a first turn for a preview."""
    secrets = (secret.reveal() for secret in run_input.rule.secrets)
    mask = LineMask(secrets, run_input.payload.event)
    recorder = trace.run(f"{run_input.rule.name}, before the response", mask, run_input.templates)
    if response is not None:
        recorder.effects((*response.cookies, *response.headers))
        recorder.effects(BrowserPixel(url=url) for url in response.pixels)
    recorder.end(result.replace("_", " "))


class _TurnSkipped(Exception):
    """The turn was not begun: the tag is on probation, or there is no time left."""


class _FirstTurn:
    """One first turn.

    `begun` is whether a turn was begun, `spent` whether a turn exceeded a limit; `took` is in CPU
    seconds.
    """

    def __init__(
        self,
        run_input: RunInput,
        worker: EngineWorker,
        storage: TemplateStorage,
        *,
        may_begin: Callable[[], bool],
    ) -> None:
        self._given = run_input
        self._worker = worker
        self._storage = storage
        self._may_begin = may_begin
        # Under a separate name, because the tag's deliveries wait in the queue of its own name.
        self._whose = f"{run_input.rule.pixel}, first turn"
        self._effects: list[tuple[Template, AnyEffect]] = []
        self._listened: set[str] = set()
        self.begun = self.spent = False
        self.took = 0.0

    async def run(self) -> _Effects | None:
        """Return the effects; None if the tag does not run, needs answers first, or failed.

        Raises EngineLost, TemplateUnusable, TemplatesBusy, _TurnSkipped.
        """
        known = VariableCache(container=self._given.version, storage=self._storage)
        fired: FiredTag | str | None = None
        while fired is None:
            try:
                fired = self._given.plan(known)
            except PendingVariable as awaited:
                turn = await self._start(awaited.template, awaited.call)
                if not turn.done or turn.listening:
                    self._worker.end(turn.run)
                if not turn.done:
                    return None
                known.put(awaited, returned(turn))
        if isinstance(fired, str):
            return None
        await self._in_sequence(fired)
        return None if self.spent else tuple(self._effects)

    async def _in_sequence(self, fired: FiredTag) -> bool | None:
        """Return whether the tag succeeded; None if it or its cleanup tag waits for an answer."""
        if fired.setup is not None:
            succeeded = await self._in_sequence(fired.setup)
            needed = fired.tag.setup is not None and fired.tag.setup.needed
            if succeeded is None or (needed and not succeeded):
                return succeeded
        call = self._given.call(fired, storage=self._storage, listened=self._listened)
        turn = await self._start(fired.template, call)
        run = turn.run
        self._take(turn, fired)
        callbacks = [effect.id for effect in turn.effects if isinstance(effect, AfterEvent)]
        cleanup_waits = False
        is_over = turn.done or (set(turn.waiting) <= set(callbacks) and turn.wake_at is None)
        if fired.teardown is not None and is_over:
            needed = fired.tag.teardown is not None and fired.tag.teardown.needed
            if not needed or (turn.outcome is RunResult.SUCCESS and turn.error is None):
                cleanup_waits = await self._in_sequence(fired.teardown) is None
        has_ended = turn.error is None and turn.outcome is not RunResult.SILENT
        if callbacks and has_ended and not cleanup_waits:
            # The tag has run, and so have all tags that its callbacks report.
            answers = tuple(_completed(id_, fired, turn) for id_ in callbacks)
            turn = await self._worker.resume(self._whose, run, answers, now=call.now)
            self._record(turn)
            self._take(turn, fired)
        if not turn.done or turn.listening:
            self._worker.end(run)
        if turn.error is not None:
            return False
        return turn.outcome is RunResult.SUCCESS if turn.done and not cleanup_waits else None

    async def _start(self, template: Template, call: Call) -> Turn:
        turn = await self._worker.start(self._whose, template, call, gate=self._gate)
        self._record(turn)
        return turn

    def _gate(self) -> None:
        if not self.begun:
            if not self._may_begin():
                raise _TurnSkipped
            self.begun = True

    def _record(self, turn: Turn) -> None:
        self.took += turn.took
        self.spent = self.spent or turn.spent

    def _take(self, turn: Turn, fired: FiredTag) -> None:
        self._listened.update(turn.listening)
        self._effects += [(fired.template, effect) for effect in turn.effects]


def _completed(id_: int, fired: FiredTag, turn: Turn) -> EffectAnswer:
    status = "success" if turn.outcome is RunResult.SUCCESS else "failure"
    tag: dict[str, Tree] = {"id": fired.tag.name, "status": status, "executionTime": 0}
    return EffectAnswer(id=id_, phase="complete", value={"tags": [tag]})
