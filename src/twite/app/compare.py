"""`twite compare`: run a container on captured traffic, without sending its requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from twite.app.compare_endpoints import CompareEndpoints, reads_of
from twite.app.logins import CredentialReader
from twite.app.store_access import open_records
from twite.config.containers import load_container, sealed_secrets, secret_reader
from twite.config.secret_key import seal_of
from twite.config.settings import Settings, load
from twite.config.templates import engine_of
from twite.domain.errors import MalformedRequest, SettingsError
from twite.domain.json_tree import Tree
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.ports.tags import PersonHandling
from twite.gateway.tags.run.readable_request import kept, readable
from twite.gateway.tags.run.variables import (
    PendingVariable,
    VariableCache,
    call_of,
    returned,
    returned_at_ingest,
)
from twite.gateway.tags.runtime.engine_pool import TemplateStorage
from twite.gtm.compare.capture import CapturedCase, CapturedRequest, CaptureUnusable, read_cases
from twite.gtm.compare.comparison import (
    STAND_IN,
    ComparisonResult,
    ShownDifference,
    TagRequest,
    compared,
)
from twite.gtm.container.parts import Container, ContainerTag
from twite.gtm.container.plan import (
    DECIDED,
    FiredTag,
    FiringPlan,
    NotFiredReason,
    PendingTriggers,
    client_name,
    only,
    plan,
)
from twite.gtm.container.secrets import opened
from twite.gtm.container.values import EventContext
from twite.gtm.template import sandbox
from twite.gtm.template.effects import HttpEffect
from twite.gtm.template.sandbox import Call, EffectAnswer, Engine, RunResult, Turn
from twite.gtm.template.template import Template
from twite.gtm.template.texts import Value
from twite.redaction.scrub_event import scrubbed_event

_MOST_TURNS: Final = 100
_NOT_FIRED: Final = (NotFiredReason.TRIGGER, NotFiredReason.EXCEPTION)
_SEED: Final = 1  # fixed, so that the same capture gives the same result


def read_capture(path: Path) -> tuple[CapturedCase, ...]:
    """Read a capture. Raises SettingsError with file and line."""
    try:
        with path.open("rb") as file:
            return read_cases(file)
    except OSError as error:
        message = f"cannot be read ({error.strerror})"
        raise SettingsError(place=str(path), message=message) from None
    except CaptureUnusable as error:
        raise SettingsError(place=f"{path}, line {error.line}", message=error.message) from None


async def shadow_of(
    config: Path, named: Path | None, environ: Mapping[str, str], *, source: str | None = None
) -> tuple["Comparison", int]:
    """Return a runner for the container, and the number of its secrets that are missing here.

    `named` is a container file to use instead of the one in the settings; `source` overrides the
    source of all requests. Raises SettingsError.
    """
    settings = _settings(config, environ, needed=named is None)
    path = named or (settings.container if settings is not None else None)
    if path is None:
        raise SettingsError(
            place="container.file",
            message="no container is configured. Set one there, or use --container",
        )
    container = load_container(path)
    sealed = {} if settings is None else await sealed_of(settings)
    lacking = set()

    def secret_at(kept: str) -> str:
        try:
            return secret_reader(path, environ, sealed)(kept)
        except SettingsError:
            lacking.add(kept)
            return STAND_IN

    persons = PersonHandling.HASHED
    if settings is not None and settings.imported is not None:
        persons = settings.imported.rule.persons
    shadow = Comparison(
        opened(container, secret_at),
        hashed=persons is PersonHandling.HASHED,
        endpoints=_endpoints(settings, source),
    )
    return shadow, len(lacking)


def _endpoints(settings: Settings | None, source: str | None) -> CompareEndpoints:
    sources = () if settings is None else settings.submitters
    if source is not None and source not in {known.name for known in sources}:
        there = ", ".join(known.name for known in sources) or "none"
        raise SettingsError(place="--source", message=f"no source {source!r}. Available: {there}")
    rule = None if settings is None or settings.imported is None else settings.imported.rule
    return CompareEndpoints(
        [known for known in sources if rule is None or rule.listens_to(known.name)],
        {} if settings is None else {pixel.pixel: pixel for pixel in settings.pixels},
        named=next((known for known in sources if known.name == source), None),
    )


def _settings(config: Path, environ: Mapping[str, str], *, needed: bool) -> Settings | None:
    if not needed and not config.exists():
        return None
    return load(config, environ, credentials=False)


async def sealed_of(settings: Settings) -> Mapping[str, str]:
    """Return the container's sealed secrets from the store; without a key, an empty dict.

    Raises NotOpened.
    """
    key = settings.server.secret_key
    seal = seal_of(key or None, settings.server.former_secret_keys)
    if seal is None or not settings.store.exists:
        return {}
    async with open_records(settings) as records:
        return await sealed_secrets(SecretStore(state=CredentialReader(records), seal=seal))


class Comparison:
    """Runs a container for captured cases. Each template has one engine; no request is sent.

    With `hashed`, tags see events as in a gateway that stores only hashed personal data. They do
    not see events that `endpoints` rejects.
    """

    def __init__(self, container: Container, *, hashed: bool, endpoints: CompareEndpoints) -> None:
        self._container = container
        self._endpoints = endpoints
        self._hashed = hashed
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
            wanted = [fired for fired in planned.fired if not tags or fired.tag.name in tags]
            if entered.kept_back is not None:
                # A request that neither system sends is not a difference.
                kept_back += [entered.kept_back] if wanted or case.sent else []
                continue
            run.failed += [
                (passed.tag, passed.why)
                for passed in planned.passed
                if passed.bar is NotFiredReason.UNFILLED and (not tags or passed.tag in tags)
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

    def asked_by(self, tag: ContainerTag, occasion: EventContext) -> tuple[HttpEffect, ...]:
        """Return the requests of a tag for an event. Triggers are ignored."""
        run = self._run(())
        run.tag(tag, occasion, region=None)
        return tuple(made.request for made in run.asked)

    def _run(self, sent: Sequence[CapturedRequest]) -> "_CaseRun":
        return _CaseRun(self._container, self._about, self._engines, self._hashed, sent)


@dataclass(slots=True)
class _CaseRun:
    """Runs tags for a case; collects their requests and failures.

    Each request gets the response that the old system got for it, from `sent` of the case.
    """

    container: Container
    about: sandbox.ContainerVersion
    engines: "_Engines"
    hashed: bool
    sent: Sequence[CapturedRequest]
    asked: list[TagRequest] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def tag(
        self,
        tag: ContainerTag,
        occasion: EventContext,
        *,
        region: str | None,
        pending: PendingTriggers = DECIDED,
    ) -> None:
        """Run a tag that fires, with fields taken from the event as a gateway would store it.

        The captured responses decide the triggers in `pending`.
        """
        if self.hashed:
            may = readable(self.container, tag, decides=pending != DECIDED)
            event = scrubbed_event(occasion.event, region=region, phones=False)
            occasion = msgspec.structs.replace(
                occasion,
                event=msgspec.convert(event, dict[str, Tree]),
                request=kept(occasion.request, may, hashed=True),
            )
        planned = self._planned(only(self.container, tag.name, pending), occasion)
        for fired in planned.fired:
            self._run(fired, occasion)
        self.failed += [
            (passed.tag, passed.why)
            for passed in planned.passed
            if passed.tag == tag.name and passed.bar not in _NOT_FIRED
        ]

    def _run(self, fired: FiredTag, occasion: EventContext) -> RunResult:
        """Run a tag with its setup and teardown tags."""
        tag = fired.tag
        if fired.setup is not None:
            outcome = self._run(fired.setup, occasion)
            if tag.setup is not None and tag.setup.needed and outcome is not RunResult.SUCCESS:
                self.failed.append((tag.name, f"its setup tag {tag.setup.tag!r} did not succeed"))
                return RunResult.FAILURE
        last = self._alone(fired, occasion)
        if last.error is not None:
            self.failed.append((tag.name, _kind_of(last)))
        succeeded = last.error is None and last.outcome is RunResult.SUCCESS
        needs = tag.teardown is not None and tag.teardown.needed
        if fired.teardown is not None and (succeeded or not needs):
            self._run(fired.teardown, occasion)
        return RunResult.SUCCESS if succeeded else RunResult.FAILURE

    def _alone(self, fired: FiredTag, occasion: EventContext) -> Turn:
        call = Call(
            fields=dict(fired.fields),
            now=occasion.now,
            seed=_SEED,
            event=fired.event,
            request=occasion.request,
            client=occasion.client,
            container=self.about,
        )
        turn, requests = self._to_its_end(fired.template, call, now=occasion.now)
        self.asked += [TagRequest(tag=fired.tag.name, request=request) for request in requests]
        return turn

    def _planned(self, container: Container, occasion: EventContext) -> FiringPlan:
        """Plan a tag; requests of variables count as sent only if they were captured."""
        known = VariableCache(container=self.about, storage=TemplateStorage())
        while True:
            try:
                return plan(container, occasion, variables=known)
            except PendingVariable as awaited:
                last, requests = self._to_its_end(awaited.template, awaited.call, now=occasion.now)
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

    def __init__(self, engines: _Engines, about: sandbox.ContainerVersion) -> None:
        self._engines = engines
        self._about = about

    def value(self, template: Template, fields: dict[str, Tree], occasion: EventContext) -> Value:
        call = call_of(template, fields, occasion, about=self._about, storage=TemplateStorage())
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
