"""The real engine and the one for tests implement the port Engine."""

import inspect

import pytest
from scripted_tags import ScriptedEngine
from template_stage import NOW, call, template

from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.effects import HttpEffect
from twite.tags.template.sandbox import EffectAnswer, Engine, RunResult, Turn

REQUEST = HttpEffect(id=1, url="https://a.example/", method="GET")
ENGINES = {
    "quickjs": lambda: QuickJsEngine(
        template("require('sendHttpGet')('https://a.example/').then(data.gtmOnSuccess);")
    ),
    "scripted": lambda: ScriptedEngine(
        [
            Turn(run=1, effects=(REQUEST,), waiting=(1,), wake_at=NOW + 5_000),
            Turn(run=1, outcome=RunResult.SUCCESS),
        ]
    ),
}


@pytest.mark.parametrize("kind", ENGINES)
def test_run_is_started_resumed_with_responses_and_ended(kind):
    engine: Engine = ENGINES[kind]()

    first = engine.start(call())
    last = engine.resume(first.run, (EffectAnswer(id=1, status=200, body=""),), now=NOW)
    engine.end(first.run)

    assert first == Turn(run=1, effects=(REQUEST,), waiting=(1,), wake_at=NOW + 5_000)
    assert last == Turn(run=1, outcome=RunResult.SUCCESS)
    assert (first.done, last.done) == (False, True)


@pytest.mark.parametrize("kind", [QuickJsEngine, ScriptedEngine])
def test_engine_has_the_methods_of_the_port(kind):
    for name in ("start", "resume", "end"):
        asked = list(inspect.signature(getattr(Engine, name)).parameters.values())
        assert list(inspect.signature(getattr(kind, name)).parameters.values()) == asked


def test_scripted_engine_records_calls_and_succeeds_after_its_script():
    engine = ScriptedEngine()

    turn = engine.start(call())

    assert turn == Turn(run=1, outcome=RunResult.SUCCESS)
    assert engine.started == [call()]
