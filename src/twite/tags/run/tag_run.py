"""Tag run: execute a tag's template for one delivery, turn by turn, and perform its requests.

    plan ─▶ setup ─▶ tag ─▶ teardown ─▶ what waits for the end of the event
             each: start ─▶ effects ─▶ checked, performed ─▶ answers ─▶ resume ─▶ …

A run's clock starts at the receipt of the event, and its random seed belongs to the delivery. A
repeated run therefore sends the same data, so that the recipient can drop the duplicate.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec

from twite.domain.submission import NotFiredReason
from twite.gateway.ports.events import TagSaid
from twite.tags.container.plan import FiredTag, PendingTriggers
from twite.tags.google.calls import InsertIds
from twite.tags.json_tree import Tree
from twite.tags.ports.engines import EngineLost
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.preview.trace import RequestTrace
from twite.tags.redaction.mask_line import LineMask
from twite.tags.run.outbound import TOO_MANY, RunContext, TagOutbound, TemplateRun
from twite.tags.run.outcome import RunOutcome, timed_out
from twite.tags.run.payload import TagPayload
from twite.tags.run.run_calls import RunCalls, answered
from twite.tags.run.run_input import RunInput, does_not_run
from twite.tags.run.run_timeout import RunTimeout, first_done
from twite.tags.run.variables import PendingVariable, VariableCache
from twite.tags.runtime.tag_log import LONGEST_LINE, STORAGE_FULL, TagLog, TagLogLine
from twite.tags.template.allowed import lacking
from twite.tags.template.effects import (
    AfterEvent,
    AnyEffect,
    Forget,
    HttpEffect,
    Keep,
    LogEffect,
    MessageEffect,
    RunContainer,
    Service,
)
from twite.tags.template.sandbox import EffectAnswer, RunResult, Turn
from twite.tags.template.template import TemplateKind, TemplateUnusable
from twite.tags.template.texts import UNDEFINED, Value

T = TypeVar("T")
_NOT_FIRED: Final = (NotFiredReason.TRIGGER, NotFiredReason.EXCEPTION)


class TagRun:
    """One run, to be run once. `seed` is the random seed of the delivery.

    If triggers are pending, the run evaluates them first, and calls `on_fired` before the tag runs.
    If a lookup for a trigger fails and this is not the `last_try`, the run ends undecided. `burned`
    is the CPU time of its turns in seconds, `spent` whether a variable exceeded a limit, `lost` the
    error if the engine process ended during a turn.
    """

    def __init__(
        self,
        run_context: RunContext,
        *,
        container_config: ContainerConfig,
        rule: TagRule,
        payload: TagPayload,
        seed: int,
        trace: RequestTrace | None = None,
        last_try: bool = True,
        on_fired: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._run_context = run_context
        self._last_try = last_try
        self._on_fired = on_fired
        self._pending = payload.pending
        self._rule = rule
        self._payload = payload
        self._seed = seed
        self._input = RunInput(
            container_config=container_config, rule=rule, payload=payload, seed=seed
        )
        self._variables = VariableCache(container=self._input.version, storage=run_context.storage)
        self._worker = run_context.engine_pool.worker(rule.pixel)
        self._began = run_context.clock.elapsed()
        self.burned = 0.0
        self.spent = False
        self.lost: EngineLost | None = None
        self._runs: list[TemplateRun] = []
        self._timeout = RunTimeout(run_context.clock, self._runs)
        self._mask = LineMask((secret.reveal() for secret in rule.secrets), payload.event)
        templates = self._input.templates
        self._recorder = None if trace is None else trace.run(rule.name, self._mask, templates)
        self._lines = TagLog(lambda: self._mask, self._log_line)
        self._way_out = TagOutbound(
            run_context, rule=rule, mask=self._mask, lines=self._lines, marks=self._marks
        )
        self._calls = RunCalls(
            run_context,
            rule=rule,
            payload=payload,
            seed=seed,
            lines=self._lines,
            mask=self._mask,
            trace=trace,
        )

    @property
    def left(self) -> bool:
        """Whether a request was sent, or may have been."""
        return self._way_out.left

    async def run(self) -> RunOutcome:
        """Run, and record the outcome for previews and for a tag that waits for this tag.

        Raises only CancelledError and the errors of `on_fired`.
        """
        ran = await self._to_the_end()
        calls = self._run_context.container_calls
        if calls is not None:
            calls.end(self._payload.call, self._rule.name, succeeded=ran.succeeded)
        if self._recorder is not None:
            self._recorder.end("success" if ran.succeeded else ran.not_run or ran.reason)
        return ran

    async def _to_the_end(self) -> RunOutcome:
        """Run to the end, within the tag's timeout.

        Raises as `run` does. The run's turns and requests count against the timeout, the wait for
        the process does not.
        """
        outcome = RunResult.SILENT
        error: str | None = timed_out(self._rule.timeout)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rule.timeout / 1_000) as self._timeout.limit:
                    if self._pending is not None:
                        undone = await self._decide(self._pending)
                        if undone is not None:
                            return undone
                    planned = await self._filled(self._input.plan)
                    if isinstance(planned, str):
                        return RunOutcome(not_run=planned)
                    outcome, error = await self._run(planned)
        except TemplateUnusable as unusable:
            return RunOutcome(not_run=f"the template cannot be run: {unusable}")
        except EngineLost as lost:
            self.lost, error = lost, str(lost)
        finally:
            # Requests that were cut off here count as attempts.
            await self._forget()
        return RunOutcome(
            outcome=outcome,
            error=error,
            tried=(*self._way_out.tried, *self._calls.unstored),
            notes=tuple(self._calls.notes),
            lost=self.lost is not None,
            undecided=self._pending is not None,
        )

    async def _decide(self, pending: PendingTriggers) -> RunOutcome | None:
        """Evaluate the pending triggers; None if the tag fires."""
        unknown = self._input.unknown_trigger(pending)
        if unknown is not None:
            return RunOutcome(not_run=f"the container no longer has its trigger {unknown!r}")
        skipped = await self._filled(lambda known: self._input.decide(pending, known))
        tried = tuple(self._way_out.tried)
        if not self._last_try and any(request.may_pass for request in tried):
            return RunOutcome(tried=tried, undecided=True)
        if skipped is None:
            if self._on_fired is not None:
                await self._on_fired()
            self._pending = None
            return None
        if skipped.reason in _NOT_FIRED:
            return RunOutcome(tried=tried, not_fired=skipped.why)
        return RunOutcome(not_run=does_not_run(skipped))

    async def _run(self, fired: FiredTag) -> tuple[RunResult, str | None]:
        outcome, error = await self._with_beside(fired)
        for run in self._runs:
            # For templates that requested a call after all tags have run.
            self._report_end(run, fired, outcome)
        while any(not run.is_over for run in self._runs):
            await self._step()
        # Effects that were requested before an error are performed.
        await asyncio.gather(*(task for run in self._runs for task in run.tasks))
        return outcome, error

    async def _filled(self, plan: Callable[[VariableCache], T]) -> T:
        """Call `plan` until all variables that it needs have a value."""
        while True:
            try:
                return plan(self._variables)
            except PendingVariable as awaited:
                self._variables.put(awaited, await self._asked_for(awaited))

    async def _asked_for(self, pending: PendingVariable) -> Value:
        """Run a variable's template, and perform its requests, until it returns a value."""
        with self._way_out.looking_up():
            run = TemplateRun(pending.template, began=self._run_context.clock.elapsed())
            self._runs.append(run)
            whose, template = self._rule.pixel, pending.template
            turn = await self._timed(self._worker.start(whose, template, pending.call))
            self.spent = self.spent or turn.spent
            await self._follow(run, turn)
            while not run.is_over:
                await self._step()
        if run.error is not None:
            self._lines.say(f"the variable template {run.template.name!r} failed: {run.error}")
        return UNDEFINED if run.error is not None or run.returned is None else run.returned

    async def _with_beside(self, fired: FiredTag) -> tuple[RunResult, str | None]:
        """Run a tag with its setup and cleanup tags, unless it has run once for this event."""
        tag = self._input.once_per_event(fired)
        if tag is None:
            return await self._in_sequence(fired)
        once = self._run_context.once_per_event
        with self._timeout.stopped():
            begun = await once.begin(tag)
        if not begun:
            self._calls.notes.append(f"the tag {fired.tag.name!r} had already run for this event")
            return RunResult.SUCCESS, None
        before, is_shared = len(self._runs), False
        try:
            outcome, error = await self._in_sequence(fired)
            # A listener gets only messages of its delivery: other deliveries must run it again.
            listens = any(run.listening for run in self._runs[before:])
            is_shared = outcome is RunResult.SUCCESS and error is None and not listens
        finally:
            once.end(tag, succeeded=is_shared)
        return outcome, error

    async def _in_sequence(self, fired: FiredTag) -> tuple[RunResult, str | None]:
        if fired.setup is not None:
            outcome, error = await self._with_beside(fired.setup)
            needed = fired.tag.setup is not None and fired.tag.setup.needed
            if needed and (outcome is not RunResult.SUCCESS or error is not None):
                why = error or f"the setup tag {fired.setup.tag.name!r} did not succeed"
                return RunResult.FAILURE, why
        outcome, error = await self._run_template(fired)
        if fired.teardown is not None:
            needed = fired.tag.teardown is not None and fired.tag.teardown.needed
            if not needed or (outcome is RunResult.SUCCESS and error is None):
                await self._with_beside(fired.teardown)
        return outcome, error

    async def _run_template(self, fired: FiredTag) -> tuple[RunResult, str | None]:
        """Run one template until it waits only for the end of the event."""
        run = TemplateRun(fired.template, began=self._run_context.clock.elapsed())
        self._runs.append(run)
        call = self._input.call(
            fired,
            storage=self._run_context.storage,
            listened={kind for earlier in self._runs for kind in earlier.listening},
        )
        turn = await self._timed(self._worker.start(self._rule.pixel, fired.template, call))
        await self._follow(run, turn)
        while not run.is_over:
            await self._step()
        return run.outcome, run.error

    async def _step(self) -> None:
        """Wait for a response or a timer of any run, and resume that run."""
        tasks = {task for run in self._runs if run.error is None for task in run.tasks}
        waits = [
            run.wake_at - self._now(run)
            for run in self._runs
            if run.wake_at is not None and run.error is None
        ]
        wait = max(0, min(waits)) / 1_000 if waits else None
        if not tasks:
            await asyncio.sleep(wait or 0)
        else:
            await first_done(tasks, wait)
        for run in list(self._runs):
            done = [task for task in run.tasks if task.done()]
            is_due = run.wake_at is not None and run.wake_at <= self._now(run)
            if run.error is None and (done or is_due):
                run.tasks.difference_update(done)
                answers = (task.result() for task in done)
                # onStart precedes onComplete; otherwise, in the order of the calls.
                ordered = sorted(answers, key=lambda answer: (answer.phase != "start", answer.id))
                await self._resume(run, tuple(ordered))

    async def _resume(self, run: TemplateRun, answers: tuple[EffectAnswer, ...]) -> None:
        now = self._now(run)
        if self._recorder is not None:
            self._recorder.answers(answers)
        turn = await self._timed(self._worker.resume(self._rule.pixel, run.id, answers, now=now))
        await self._follow(run, turn)

    async def _follow(self, run: TemplateRun, turn: Turn) -> None:
        """Record a turn, and start the effects that it requests."""
        if self._recorder is not None:
            self._recorder.turn(run.template.name, turn)
        run.turns += 1
        run.id = turn.run or run.id
        run.wake_at, run.listening = turn.wake_at, turn.listening
        run.returned = turn.returned if run.returned is None else run.returned
        if turn.outcome is not RunResult.SILENT:
            run.outcome = turn.outcome
        if self._way_out.is_too_much(turn):
            # As with every limit, no effects of the turn that exceeds it are performed.
            run.error = TOO_MANY
            return
        policy = self._run_context.engine_pool.policy(run.template)
        for effect in turn.effects:
            lacked = lacking(effect, policy)
            if lacked is not None:
                run.error = f"the permission {lacked} does not allow one of its calls"
                return
            await self._perform(effect, run)
            if run.error is not None:
                return
        if turn.error is not None:
            first = run.template.code.line
            place = "" if turn.line is None else f" (line {first + turn.line - 1})"
            run.error = self._mask.over(f"{turn.error}{place}", most=LONGEST_LINE)

    async def _perform(self, effect: AnyEffect, run: TemplateRun) -> None:
        match effect:
            case HttpEffect():
                run.tasks.add(asyncio.create_task(self._way_out.request(effect)))
            case Service():
                run.tasks.add(asyncio.create_task(self._way_out.call(effect)))
            case LogEffect(text=text, own=own):
                self._lines.write(text, own=own)
            case Keep() | Forget():
                if not self._run_context.storage.change(run.template, effect):
                    self._lines.say(STORAGE_FULL)
            case MessageEffect(type=kind, content=content):
                await self._deliver(kind, content, template_run=run)
            case AfterEvent(id=id_):
                if not self._calls.after_event(effect, run):
                    run.after.append(id_)
            case RunContainer() if run.template.kind is TemplateKind.TAG:
                await self._calls.perform(effect, run)
            case _:
                self._ignore(effect, run)

    def _ignore(self, effect: AnyEffect, run: TemplateRun) -> None:
        line = self._input.ignored(effect, turn=run.turns)
        if line is not None:
            self._lines.say_once(line)

    async def _deliver(self, kind: str, content: Tree, *, template_run: TemplateRun) -> None:
        """Deliver a message to the runs of this delivery that listen for it."""
        for run in self._runs:
            if run is not template_run and kind in run.listening and run.error is None:
                await self._resume(run, (EffectAnswer(id=0, type=kind, value=content),))

    def _report_end(self, run: TemplateRun, fired: FiredTag, result: RunResult) -> None:
        tag: dict[str, Tree] = {
            "id": fired.tag.name,
            "status": "success" if result is RunResult.SUCCESS else "failure",
            "executionTime": self._run_context.clock.elapsed() - self._began,
        }
        for id_ in run.after:
            completed = EffectAnswer(id=id_, phase="complete", value={"tags": [tag]})
            run.tasks.add(asyncio.create_task(answered(completed)))

    def _marks(self) -> InsertIds:
        """Return the insert ids of this delivery, unique across gateways."""
        seed = (self._rule.pixel, self._seed, self._payload.at, self._payload.event)
        return InsertIds(msgspec.json.encode(seed, order="sorted"), at=self._payload.at)

    def _log_line(self, line: TagLogLine) -> None:
        self._run_context.observer.see(TagSaid(tag=self._rule.pixel, text=line.text, own=line.own))

    def _now(self, run: TemplateRun) -> int:
        return self._payload.at + self._run_context.clock.elapsed() - run.began

    async def _timed(self, going: Coroutine[Any, Any, Turn]) -> Turn:
        """Await a turn. Only its CPU time counts against the tag's timeout."""
        with self._timeout.stopped() as used:
            try:
                turn = await going
                used.seconds = turn.took
            except EngineLost as lost:
                used.seconds = lost.took
                raise
            finally:
                self.burned += used.seconds
                self._run_context.engine_pool.took(self._rule.pixel, used.seconds)
        return turn

    async def _forget(self) -> None:
        """Cancel pending tasks, and make the engine forget the runs."""
        tasks = [task for run in self._runs for task in run.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._calls.close()
        for run in self._runs:
            if run.id:
                self._worker.end(run.id)
