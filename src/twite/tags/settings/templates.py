"""Load tag templates from files, and create their engines."""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from twite.domain.errors import SettingsError
from twite.domain.incoming_request import IncomingRequest
from twite.tags.engines.process.code_check import CodeCheck
from twite.tags.json_tree import Tree
from twite.tags.template.effects import AfterEvent, AnyEffect, RunContainer
from twite.tags.template.sandbox import Call, EffectAnswer, RunResult, Turn
from twite.tags.template.template import (
    ScenarioResult,
    Template,
    TemplateUnusable,
    read_scenarios,
    read_template,
)

if TYPE_CHECKING:
    from twite.tags.engines.quickjs.engine import QuickJsEngine

_MOST_TURNS = 100


def load_template(path: Path) -> Template:
    """Read a template. Raises SettingsError, which names the file and line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(str(path), f"cannot be read ({error.strerror})") from None
    with placed(path):
        return read_template(content)


def engine_of(template: Template) -> "QuickJsEngine":
    """Return an engine for the template. Raises TemplateUnusable for code with syntax errors."""
    from twite.tags.engines.quickjs.engine import QuickJsEngine  # noqa: PLC0415  # few have templates

    return QuickJsEngine(template)


def checked_template(path: Path, code_check: CodeCheck) -> Template:
    """Read a template and check its JavaScript. Raises SettingsError."""
    template = load_template(path)
    with placed(path):
        code_check.check(template)
    return template


@contextmanager
def placed(path: Path) -> Iterator[None]:
    """Raise SettingsError for TemplateUnusable, with the template's file, line and section."""
    try:
        yield
    except TemplateUnusable as error:
        message = f"{error.section}: {error.message}" if error.section else error.message
        raise SettingsError(f"{path}, line {error.line}", message) from None


def syntax_errors(template: Template) -> Iterator[TemplateUnusable]:
    """Yield the errors that prevent the code and the tests from running."""
    try:
        engine_of(template)
    except TemplateUnusable as error:
        yield error
    try:
        read_scenarios(template.tests)
    except TemplateUnusable as error:
        yield error


def verdicts_of(path: Path, template: Template) -> tuple[ScenarioResult, ...]:
    """Run the template's own tests. Raises SettingsError for code or tests with syntax errors."""
    from twite.tags.engines.quickjs.scenarios import run_scenarios  # noqa: PLC0415  # as above

    with placed(path):
        return run_scenarios(template, read_scenarios(template.tests), now=_now())


def run_template(
    path: Path,
    template: Template,
    *,
    fields: dict[str, Tree],
    event: dict[str, Tree] | None,
    request: IncomingRequest,
    answer: EffectAnswer | None,
) -> tuple[Turn, ...]:
    """Run a template once, without side effects.

    `answer`, if given, supplies the result of each effect. Timers fire immediately. No tags run
    for the events of runContainer: their callbacks are called at once. Raises SettingsError for
    code with syntax errors.
    """
    with placed(path):
        engine = engine_of(template)
    from twite.tags.clients.clients import extracted  # noqa: PLC0415  # as above

    now = _now()
    call = Call(
        fields=fields,
        event=event,
        request=request,
        now=now,
        seed=secrets.randbits(48),
        extracted=extracted(request),
    )
    turns = [engine.start(call)]
    callbacks: set[int] = set()  # of addEventCallback, for the end of the event
    while not turns[-1].done and len(turns) < _MOST_TURNS:
        last = turns[-1]
        answers = tuple(_without_tags(last.effects))
        callbacks |= {e.id for e in last.effects if isinstance(e, AfterEvent) and not e.event}
        requests = [effect for effect in last.waiting if effect not in callbacks]
        if not answers and requests and answer is None:
            break
        if not answers and answer is not None:
            answers = tuple(
                msgspec.structs.replace(answer, id=effect, phase="complete") for effect in requests
            )
        if not answers and last.wake_at is None:
            # The tag has run: it is the only one of the event.
            answers = tuple(
                _ended(id_, template, turns) for id_ in last.waiting if id_ in callbacks
            )
        if not answers and last.wake_at is not None:
            now = last.wake_at
        turns.append(engine.resume(last.run, answers, now=now))
    return tuple(turns)


def _without_tags(effects: Iterable[AnyEffect]) -> Iterator[EffectAnswer]:
    """Yield the answers to calls of runContainer, as if no tag fired."""
    for effect in effects:
        match effect:
            case RunContainer(id=id_):
                if effect.on_start:
                    yield EffectAnswer(id=id_, phase="start")
                if effect.on_complete:
                    yield EffectAnswer(id=id_, phase="complete")
            case AfterEvent(id=id_, event=event) if event:
                yield EffectAnswer(id=id_, phase="complete", value={"tags": []})


def _ended(id_: int, template: Template, turns: Sequence[Turn]) -> EffectAnswer:
    """Return what addEventCallback reports about the run."""
    succeeded = any(turn.outcome is RunResult.SUCCESS for turn in turns)
    status = "success" if succeeded else "failure"
    tag: dict[str, Tree] = {"id": template.name, "status": status, "executionTime": 0}
    return EffectAnswer(id=id_, phase="complete", value={"tags": [tag]})


def _now() -> int:
    return time.time_ns() // 1_000_000
