"""Run a template's own tests, each scenario in a separate context."""

from typing import Final

import msgspec
import quickjs

from twite.tags.engines.context_limits import limit_passed
from twite.tags.engines.quickjs.context import SANDBOX_LINE, SCENARIO_LINE
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.sandbox import RunLimits
from twite.tags.template.template import Failure, Scenario, ScenarioResult, Scenarios, Template

# Scenarios are the user's own code and run once, so they may take longer than a run in the gateway.
LIMITS: Final = RunLimits(time=5.0, memory=64 * 1024 * 1024)


def run_scenarios(
    template: Template, scenarios: Scenarios, *, now: int, limits: RunLimits = LIMITS
) -> tuple[ScenarioResult, ...]:
    """Run all scenarios. Raises TemplateUnusable if the template's code is not JavaScript."""
    engine = QuickJsEngine(template, limits=limits, testing=True)
    return tuple(
        _verdict(engine, template, scenarios.setup, scenario, now=now, limits=limits)
        for scenario in scenarios.scenarios
    )


def _verdict(
    engine: QuickJsEngine,
    template: Template,
    setup: str,
    scenario: Scenario,
    *,
    now: int,
    limits: RunLimits,
) -> ScenarioResult:
    try:
        reported = _OUTCOME.decode(engine.scenario(f"{setup}\n{scenario.code}", now=now))
    except quickjs.JSException as error:
        passed = limit_passed(str(error), time=limits.time, memory=limits.memory)
        reported = _ScenarioOutcome(failures=(_Failed(message=passed),))
    before = setup.count("\n") + 1
    return ScenarioResult(
        name=scenario.name,
        failures=tuple(
            _placed(failed, before=before, code_line=template.code.line)
            for failed in reported.failures
        ),
        logs=reported.logs,
    )


def _placed(failed: "_Failed", *, before: int, code_line: int) -> Failure:
    tests = [line - SCENARIO_LINE for line in failed.lines if SCENARIO_LINE < line < SANDBOX_LINE]
    code = [line for line in failed.lines if line < SCENARIO_LINE]
    return Failure(
        message=failed.message,
        setup_line=next((line for line in tests if line <= before), None),
        scenario_line=next((line - before for line in tests if line > before), None),
        template_line=next((code_line + line - 1 for line in code), None),
    )


class _Failed(msgspec.Struct, frozen=True):
    message: str
    lines: tuple[int, ...] = ()


class _ScenarioOutcome(msgspec.Struct, frozen=True):
    failures: tuple[_Failed, ...] = ()
    logs: tuple[str, ...] = ()


_OUTCOME: Final = msgspec.json.Decoder(_ScenarioOutcome)
