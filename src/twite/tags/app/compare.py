"""`twite compare`: run a container on captured traffic, without sending its requests."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

import msgspec

from twite.domain.errors import MalformedRequest
from twite.domain.submission import NotFiredReason
from twite.tags.app.compare_endpoints import CompareEndpoints, reads_of
from twite.tags.compare.capture import CapturedCase, CapturedRequest
from twite.tags.compare.comparison import (
    ComparisonResult,
    ShownDifference,
    TagRequest,
    compared,
)
from twite.tags.container.parts import Container, ContainerTag
from twite.tags.container.plan import (
    DECIDED,
    FiredTag,
    FiringPlan,
    PendingTriggers,
    client_name,
    only,
    plan,
)
from twite.tags.container.values import EventContext
from twite.tags.json_tree import Tree
from twite.tags.ports.tags import ContainerConfig, PersonHandling
from twite.tags.redaction.scrub_event import scrubbed_event
from twite.tags.run.readable_request import kept, readable
from twite.tags.run.variables import (
    PendingVariable,
    VariableCache,
    call_of,
    returned,
    returned_at_ingest,
)
from twite.tags.runtime.engine_pool import TemplateStorage
from twite.tags.settings.templates import engine_of
from twite.tags.template import sandbox
from twite.tags.template.effects import HttpEffect
from twite.tags.template.sandbox import Call, EffectAnswer, Engine, RunResult, Turn
from twite.tags.template.template import Template
from twite.tags.template.texts import Value

_MOST_TURNS: Final = 100
_NOT_FIRED: Final = (NotFiredReason.TRIGGER, NotFiredReason.EXCEPTION)
_SEED: Final = 1  # fixed, so that the same capture gives the same result


class Comparison:
    """Runs a container for captured cases. Each template has one engine; no request is sent.

    The rules of the tags decide whether they see events as in a gateway that stores only hashed
    personal data, and from which sources. They do not see events that `endpoints` rejects.
    """

    def __init__(self, config: ContainerConfig, *, endpoints: CompareEndpoints) -> None:
        container = config.container
        self._container = container
        self._rules = config.rules
        self._endpoints = endpoints
        self._engines = _Engines()
        self._about = sandbox.ContainerVersion(
            container_id=container.public_id, version=container.version
        )

    def tags(self) -> tuple[str, ...]:
        return tuple(tag.name for tag in self._container.tags)

    def compare(
        self, case: CapturedCase, *, ignore: Sequence[str], tags: frozenset[str]
    ) -> ShownDifference:
        """Return the results of a case; `tags` are the tags to run, empty for all."""
        run = self._run(case.sent)
        kept_back: list[str] = []
        try:
            events = self._endpoints.entered(case)
        except MalformedRequest as error:
            return ShownDifference(line=case.line, unread=error.message)
        reads = reads_of(case.request)
        client = "" if reads is None else client_name(self._container, reads)
        for entered in events:
            occasion = EventContext(
                event=entered.event,
                now=case.now,
                request=case.request,
                consent=entered.granted,
                client=case.client or client,
                # One random number per event, as in a gateway. It is not the old system's.
                draw=case.line,
            )
            at_intake = _AtIntake(self._engines, self._about)
            planned = plan(self._container, occasion, variables=at_intake, filled=False)
            wanted = [
                fired
                for fired in planned.fired
                if (not tags or fired.tag.name in tags)
                and self._rules[fired.tag.name].listens_to(entered.source)
            ]
            if entered.kept_back is not None:
                # A request that neither system sends is not a difference.
                kept_back += [entered.kept_back] if wanted or case.sent else []
                continue
            run.failed += [
                (passed.tag, passed.why)
                for passed in planned.passed
                if passed.reason is NotFiredReason.UNFILLED and (not tags or passed.tag in tags)
            ]
            for fired in wanted:
                pending = fired.pending or DECIDED
                run.tag(fired.tag, occasion, region=entered.region, pending=pending)
        nothing_left = bool(events) and all(event.kept_back is not None for event in events)
        return ShownDifference(
            line=case.line,
            compared=ComparisonResult() if nothing_left else compared(run.asked, case.sent, ignore),
            failed=tuple(run.failed),
            kept_back=tuple(kept_back),
        )

    def asked_by(self, tag: ContainerTag, context: EventContext) -> tuple[HttpEffect, ...]:
        """Return the requests of a tag for an event. Triggers are ignored."""
        run = self._run(())
        run.tag(tag, context, region=None)
        return tuple(made.request for made in run.asked)

    def _run(self, sent: Sequence[CapturedRequest]) -> "_CaseRun":
        hashed = {
            name for name, rule in self._rules.items() if rule.persons is PersonHandling.HASHED
        }
        return _CaseRun(self._container, self._about, self._engines, hashed, sent)


@dataclass(slots=True)
class _CaseRun:
    """Runs tags for a case; collects their requests and failures.

    Each request gets the response that the old system got for it, from `sent` of the case.
    """

    container: Container
    about: sandbox.ContainerVersion
    engines: "_Engines"
    hashed: AbstractSet[str]
    sent: Sequence[CapturedRequest]
    asked: list[TagRequest] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def tag(
        self,
        tag: ContainerTag,
        context: EventContext,
        *,
        region: str | None,
        pending: PendingTriggers = DECIDED,
    ) -> None:
        """Run a tag that fires, with fields taken from the event as a gateway would store it.

        The captured responses decide the triggers in `pending`.
        """
        if tag.name in self.hashed:
            may = readable(self.container, tag, decides=pending != DECIDED)
            event = scrubbed_event(context.event, region=region, phones=False)
            context = msgspec.structs.replace(
                context,
                event=msgspec.convert(event, dict[str, Tree]),
                request=kept(context.request, may, hashed=True),
            )
        planned = self._planned(only(self.container, tag.name, pending), context)
        for fired in planned.fired:
            self._run(fired, context)
        self.failed += [
            (passed.tag, passed.why)
            for passed in planned.passed
            if passed.tag == tag.name and passed.reason not in _NOT_FIRED
        ]

    def _run(self, fired: FiredTag, context: EventContext) -> RunResult:
        """Run a tag with its setup and teardown tags."""
        tag = fired.tag
        if fired.setup is not None:
            outcome = self._run(fired.setup, context)
            if tag.setup is not None and tag.setup.needed and outcome is not RunResult.SUCCESS:
                self.failed.append((tag.name, f"its setup tag {tag.setup.tag!r} did not succeed"))
                return RunResult.FAILURE
        last = self._alone(fired, context)
        if last.error is not None:
            self.failed.append((tag.name, _kind_of(last)))
        succeeded = last.error is None and last.outcome is RunResult.SUCCESS
        needs = tag.teardown is not None and tag.teardown.needed
        if fired.teardown is not None and (succeeded or not needs):
            self._run(fired.teardown, context)
        return RunResult.SUCCESS if succeeded else RunResult.FAILURE

    def _alone(self, fired: FiredTag, context: EventContext) -> Turn:
        call = Call(
            fields=dict(fired.fields),
            now=context.now,
            seed=_SEED,
            event=fired.event,
            request=context.request,
            client=context.client,
            container=self.about,
        )
        turn, requests = self._to_its_end(fired.template, call, now=context.now)
        self.asked += [TagRequest(tag=fired.tag.name, request=request) for request in requests]
        return turn

    def _planned(self, container: Container, context: EventContext) -> FiringPlan:
        """Plan a tag; requests of variables count as sent only if they were captured."""
        known = VariableCache(container=self.about, storage=TemplateStorage())
        while True:
            try:
                return plan(container, context, variables=known)
            except PendingVariable as awaited:
                last, requests = self._to_its_end(awaited.template, awaited.call, now=context.now)
                known.put(awaited, returned(last))
                name = f"variable {awaited.template.name}"
                captured = {request.url for request in self.sent}
                self.asked += [
                    TagRequest(tag=name, request=request)
                    for request in requests
                    if request.url in captured
                ]

    def _to_its_end(
        self, template: Template, call: Call, *, now: int
    ) -> tuple[Turn, list[HttpEffect]]:
        """Run a template with the old system's responses; return the last turn and the requests."""
        engine = self.engines.of(template)
        turn = engine.start(call)
        found: list[HttpEffect] = []
        outcome, value = turn.outcome, turn.returned
        for _ in range(_MOST_TURNS):
            requests = [effect for effect in turn.effects if isinstance(effect, HttpEffect)]
            found += requests
            if turn.done:
                break
            answers = tuple(_answer(effect, requests, self.sent) for effect in turn.waiting)
            # Without pending effects, the run waits for a timer.
            at = now if answers else turn.wake_at or now
            turn = engine.resume(turn.run, answers, now=at)
            outcome = turn.outcome if outcome is RunResult.SILENT else outcome
            value = turn.returned if value is None else value
        else:
            engine.end(turn.run)
        return msgspec.structs.replace(turn, outcome=outcome, returned=value), found


class _Engines:
    """The engines of templates, created on first use."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Template, Engine]] = {}

    def of(self, template: Template) -> Engine:
        found = self._made.get(id(template))
        if found is None:
            found = self._made[id(template)] = template, engine_of(template)
        return found[1]


class _AtIntake:
    """The minimum of an intake turn (see gateway.tags) that variables need."""

    def __init__(self, engines: _Engines, version: sandbox.ContainerVersion) -> None:
        self._engines = engines
        self._about = version

    def value(self, template: Template, fields: dict[str, Tree], context: EventContext) -> Value:
        call = call_of(template, fields, context, version=self._about, storage=TemplateStorage())
        engine = self._engines.of(template)
        turn = engine.start(call)
        if not turn.done:
            engine.end(turn.run)
        return returned_at_ingest(template, turn)


def _kind_of(turn: Turn) -> str:
    """Return the kind of the failure without the thrown value, which may hold personal data."""
    kind = (turn.error or "").partition(":")[0][:60]
    return kind if turn.line is None else f"{kind}, line {turn.line} of the template's code"


def _answer(
    waiting: int, requests: Sequence[HttpEffect], sent: Sequence[CapturedRequest]
) -> EffectAnswer:
    """Return the response that the old system got, or success if the request was not captured."""
    request = next((asked for asked in requests if asked.id == waiting), None)
    if request is None:
        # A service call, or the end of the event.
        return EffectAnswer(id=waiting, reason="failed", phase="complete")
    same = next((captured for captured in sent if captured.url == request.url), None)
    if same is None:
        return EffectAnswer(id=waiting, status=200, body="{}")
    return EffectAnswer(id=waiting, status=same.status, body=same.answer)
