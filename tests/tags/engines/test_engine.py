"""The engine: its APIs, its limits, and when it renews a context."""

import pytest
from template_stage import NOW, call, template

from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.apis import APIS
from twite.tags.template.effects import LogEffect
from twite.tags.template.permissions import PermissionPolicy
from twite.tags.template.sandbox import EffectAnswer, RunLimits
from twite.tags.template.template import TemplateUnusable

COUNTS = """
const storage = require('templateDataStorage');
return require('getType')(storage.getItemCopy('x'));
"""


def test_engine_has_exactly_the_documented_apis():
    assert QuickJsEngine(template("")).apis() == tuple(sorted(APIS))


def test_same_call_has_the_same_result():
    engine = QuickJsEngine(template("return require('generateRandom')(0, 1e9);"))

    turns = [engine.start(call(seed=5)) for _ in range(3)]

    assert len({turn.returned for turn in turns}) == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("for (;;) {}", "the run took too much time. A step may use 100 ms of CPU time. Simplify "),
        (
            "const all = []; for (;;) all.push('x'.repeat(1e5) + all.length);",
            "the run used too much memory. A template may use 16 MiB. Keep less data",
        ),
        (
            "for (;;) require('logToConsole')('x');",
            "more than 500 effects. One run may cause no more. Send, store and log less in a run",
        ),
        (
            "require('logToConsole')('x'.repeat(4e6));",
            "more than 3145728 characters of effects. One step may cause no more. Send shorter",
        ),
        ("const deep = () => deep(); deep();", "Maximum call stack size exceeded"),
    ],
)
def test_error_names_the_limit_that_was_exceeded(code, error):
    # Filling the memory takes longer than the time limit used for the other cases.
    limits = RunLimits(time=3.0 if "memory" in error else 0.1)
    engine = QuickJsEngine(template(code), limits=limits)

    turn = engine.start(call())

    assert error in (turn.error or "")
    assert turn.done
    assert turn.spent is ("the run" in str(turn.error))


def test_run_that_waits_is_lost_when_another_exceeds_a_limit():
    engine = QuickJsEngine(
        template("if (data.bad) for (;;) {} require('sendHttpGet')('https://a.example/');"),
        limits=RunLimits(time=0.05),
    )
    waiting = engine.start(call())
    engine.start(call(fields={"bad": True}))

    lost = engine.resume(waiting.run, (), now=NOW)

    assert lost.error == "unknown run: the run has ended, or it exceeded a limit"


def test_run_that_has_ended_is_unknown():
    engine = QuickJsEngine(template("require('sendHttpGet')('https://a.example/');"))
    waiting = engine.start(call())

    engine.end(waiting.run)

    assert engine.resume(waiting.run, (), now=NOW).error is not None


def test_context_is_renewed_after_a_number_of_runs_unless_one_waits():
    code = "if (data.wait) require('sendHttpGet')('https://a.example/');"
    engine = QuickJsEngine(template(code), limits=RunLimits(recycle_after=2))

    waiting = engine.start(call(fields={"wait": True}))
    for _ in range(3):
        engine.start(call())
    while_waiting = engine.contexts
    engine.end(waiting.run)
    engine.start(call())

    assert (while_waiting, engine.contexts) == (1, 2)


def test_response_to_a_lost_run_reaches_no_later_run():
    code = "if (data.bad) for (;;) {} require('sendHttpGet')('https://a.example/', () => 1);"
    engine = QuickJsEngine(template(code), limits=RunLimits(time=0.05))
    lost = engine.start(call())
    engine.start(call(fields={"bad": True}))
    later = engine.start(call())

    reported = engine.resume(lost.run, (EffectAnswer(id=1, status=200),), now=NOW)

    assert reported.error is not None
    assert engine.resume(later.run, (), now=NOW).waiting == (1,)


def test_memory_of_a_context_does_not_grow_with_its_runs():
    engine = QuickJsEngine(
        template("require('sendHttpGet')('https://a.example/').then(() => data.gtmOnSuccess());")
    )

    def runs(count: int) -> int:
        for _ in range(count):
            engine.end(engine.start(call(event={"a": "x" * 100})).run)
        return engine.memory()

    runs(500)
    first = runs(200)

    assert runs(2_000) < first * 1.3


def test_context_with_half_its_memory_used_is_renewed():
    engine = QuickJsEngine(template("return data.n;"), limits=RunLimits(memory=1024 * 1024))
    assert engine.memory() > 512 * 1024

    turns = [engine.start(call(fields={"n": n})) for n in range(500)]

    assert [turn.returned for turn in turns] == list(range(500))
    assert engine.contexts == 5


NO_JAVASCRIPT = [
    ("const a = 1;\nconst b = 9n ** 300000n;", 2),
    ("const a = ;", 1),
    ("\n\nconst a = 1;\nconst a = 2;", 4),
    ("return 1;\n}\nfoo(", 3),
]


@pytest.mark.parametrize(("code", "line"), NO_JAVASCRIPT)
def test_syntax_error_is_refused_with_its_line(code, line):
    with pytest.raises(TemplateUnusable) as caught:
        QuickJsEngine(template(code))

    assert (caught.value.section, caught.value.line) == ("SANDBOXED_JS_FOR_SERVER", line)


def test_each_test_of_a_template_has_a_new_context():
    engine = QuickJsEngine(template("return 1;"), testing=True)
    for _ in range(3):
        engine.scenario("runCode({});", now=NOW)
    after_scenarios = engine.contexts
    engine = QuickJsEngine(template("return 1;"), testing=True)
    engine.start(call())
    engine.scenario("runCode({});", now=NOW)

    assert (after_scenarios, engine.contexts) == (3, 2)


def test_effect_that_bypassed_the_sandbox_is_denied():
    engine = QuickJsEngine(template("require('logToConsole')('x'); return 1;"))
    # The result is as if a template had bypassed the check in each call.
    engine._policy = PermissionPolicy()  # noqa: SLF001  # only the second check

    turn = engine.start(call())

    assert turn.error == "an effect that logging does not allow"
    assert turn.effects == ()


def test_object_can_have_keys_with_names_of_its_prototype():
    code = """
    const found = {};
    const names = ['constructor', 'toString', 'valueOf', 'hasOwnProperty', '__proto__'];
    names.forEach((name) => { found[name] = name; });
    require('logToConsole')(found);
    """

    turn = QuickJsEngine(template(code)).start(call())

    assert turn.error is None
    assert turn.effects == (
        LogEffect(
            text='{"constructor":"constructor","toString":"toString","valueOf":"valueOf",'
            '"hasOwnProperty":"hasOwnProperty","__proto__":"__proto__"}'
        ),
    )
