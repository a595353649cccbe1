"""The tests in a template: reading, running and reporting them."""

from xml.etree import ElementTree as ET

import pytest

from twite.tags.engines.context_limits import too_long
from twite.tags.engines.quickjs.scenarios import run_scenarios
from twite.tags.template.sandbox import RunLimits
from twite.tags.template.template import (
    Failure,
    Scenario,
    ScenarioResult,
    Scenarios,
    TemplatePart,
    TemplateUnusable,
    junit,
    placed,
    read_scenarios,
    read_template,
)

HEAD = b'___INFO___\n{"type": "TAG"}\n___SANDBOXED_JS_FOR_SERVER___\n'
CODE = b"const send = require('sendHttpRequest');\nsend('https://a.example/', {});\n"
SENT = "mock('sendHttpRequest', 1); runCode({}); "
WITH = '["https://a.example/",{}]'


def verdict(code: str, *, setup: str = "", template: bytes = CODE) -> ScenarioResult:
    scenarios = Scenarios(setup=setup, scenarios=(Scenario(name="one", code=code),))
    limits = RunLimits(time=0.3)
    [found] = run_scenarios(read_template(HEAD + template), scenarios, now=5, limits=limits)
    return found


def failed(code: str, **more: object) -> list[str]:
    return [failure.message for failure in verdict(code, **more).failures]


def test_template_tests_are_read_with_their_setup():
    text = "scenarios:\n- name: One\n  code: |-\n    a();\n    b();\n- name: 2\nsetup: 'c();'\n"

    assert read_scenarios(TemplatePart(text=text, line=1)) == Scenarios(
        setup="c();",
        scenarios=(Scenario(name="One", code="a();\nb();"), Scenario(name="2", code="")),
    )


@pytest.mark.parametrize("text", ["", "\n\n", "scenarios: []", "setup: ''", "scenarios:\n"])
def test_section_without_tests_is_empty(text):
    assert read_scenarios(TemplatePart(text=text, line=1)).scenarios == ()
    assert read_scenarios(None) == Scenarios()


@pytest.mark.parametrize(
    ("text", "line"), [("scenarios:\n- a: b: c\n", 11), ("scenarios: 7\n", 10), ("- a\n", 10)]
)
def test_unreadable_section_is_named_with_its_line(text, line):
    with pytest.raises(TemplateUnusable) as caught:
        read_scenarios(TemplatePart(text=text, line=10))

    assert (caught.value.section, caught.value.line) == ("TESTS", line)


def test_failed_assertion_reports_value_and_line():
    found = verdict("const a = 1;\nassertThat(a, 'the a').isEqualTo(2);", setup="const b = 0;\n")

    assert found.failures == (Failure(message="the a: expected 1 isEqualTo 2", scenario_line=2),)


def test_error_in_the_template_names_its_line_and_that_of_the_test():
    code = "mock('sendHttpRequest', () => fail('sent'));\nrunCode({});"

    assert verdict(code).failures == (Failure(message="sent", scenario_line=1, template_line=5),)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("assertApi('a').wasCalled();", "assertApi(a): expected to be called"),
        (
            SENT + "assertApi('sendHttpRequest').wasNotCalled();",
            f"assertApi(sendHttpRequest): expected not to be called, but was called with {WITH}",
        ),
        (
            SENT + "assertApi('sendHttpRequest').wasCalledWith(1);",
            f"assertApi(sendHttpRequest): expected to be called with [1], but {WITH}",
        ),
        (
            SENT + "assertApi('sendHttpRequest').wasNotCalledWith('https://a.example/', {});",
            f"assertApi(sendHttpRequest): expected not to be called with {WITH}",
        ),
        ("fail();", "fail was called"),
        ("fail('no');", "no"),
        ("null.x;", "TypeError: cannot read property 'x' of null"),
        ("assertThat('a').isAnyOf('b', 'c');", 'expected "a" isAnyOf "b", "c"'),
        ("assertThat(5).hasLength(5);", "expected 5 hasLength 5"),
        ("assertThat(0 / 0).isNull();", "expected NaN isNull"),
        ("fail('half \\ud800');", "half \ufffd"),
        ("assertThat(undefined).contains(1);", "expected undefined contains 1"),
        (
            "runCode({});",
            "Error: permission denied: send_http (https://a.example/)",
        ),
        (
            "for (;;) {}",
            too_long(0.3),
        ),
    ],
)
def test_failed_template_tests_are_reported(code, message):
    assert failed(code) == [message]


ASSERTIONS = [
    ("isUndefined()", "1"),
    ("isDefined()", "undefined"),
    ("isNull()", "1"),
    ("isNotNull()", "null"),
    ("isTrue()", "1"),
    ("isFalse()", "0"),
    ("isTruthy()", "0"),
    ("isFalsy()", "1"),
    ("isNaN()", "1"),
    ("isNotNaN()", "0 / 0"),
    ("isInfinity()", "1"),
    ("isNotInfinity()", "1 / 0"),
    ("isEqualTo({a: [2]})", "{a: [1]}"),
    ("isEqualTo({a: 1})", "{a: 1, b: 2}"),
    ("isEqualTo([])", "{}"),
    ("isEqualTo(null)", "undefined"),
    ("isNotEqualTo([1])", "[1]"),
    ("isStrictlyEqualTo({})", "{}"),
    ("isNotStrictlyEqualTo(1)", "1"),
    ("isAnyOf(2, 3)", "1"),
    ("isNoneOf(1, 2)", "1"),
    ("isNotAnyOf(1, 2)", "1"),
    ("isGreaterThan(1)", "1"),
    ("isGreaterThanOrEqualTo(2)", "1"),
    ("isLessThan(1)", "1"),
    ("isLessThanOrEqualTo(1)", "2"),
    ("contains(3)", "[1, 2]"),
    ("contains('z')", "'abc'"),
    ("doesNotContain(1)", "[1, 2]"),
    ("containsExactly(1)", "[1, 2]"),
    ("containsExactly(1, 1)", "[1, 2]"),
    ("doesNotContainExactly(2, 1)", "[1, 2]"),
    ("hasLength(1)", "[]"),
    ("isEmpty()", "[1]"),
    ("isNotEmpty()", "{}"),
    ("isArray()", "{}"),
    ("isBoolean()", "1"),
    ("isFunction()", "{}"),
    ("isNumber()", "'1'"),
    ("isObject()", "[]"),
    ("isString()", "1"),
]


@pytest.mark.parametrize(("assertion", "value"), ASSERTIONS)
def test_every_assertion_can_fail(assertion, value):
    assert len(failed(f"assertThat({value}).{assertion};")) == 1


def test_failed_assertions_in_callbacks_and_promises_count():
    later = "require('callLater')(() => assertThat(1).isEqualTo(2));"
    swallowed = (
        "require('Promise').create((resolve) => resolve())"
        ".then(() => fail('inside')).catch(() => {});"
    )

    assert failed(later) == ["expected 1 isEqualTo 2"]
    assert failed(swallowed) == ["inside"]


@pytest.mark.parametrize(
    "code",
    [
        "assertThat(data.none).isUndefined(); data.none = 1;",
        "const data = {a: 1}; assertThat(data.a).isEqualTo(1);",
    ],
)
def test_data_of_a_template_test_is_an_empty_object_or_its_own(code):
    assert verdict(code).failures == ()


def test_template_tests_do_not_affect_each_other():
    scenario = "mock('getType', 'mocked'); runCode({});"
    scenarios = Scenarios(
        scenarios=(
            Scenario(name="one", code=scenario + "assertApi('getType').wasCalled();"),
            Scenario(name="two", code="runCode({}); assertThat(runCode({})).isEqualTo('number');"),
        )
    )
    code = b"return require('getType')(1);"

    verdicts = run_scenarios(read_template(HEAD + code), scenarios, now=5)

    assert [result.failures for result in verdicts] == [(), ()]


def test_mock_does_not_affect_the_code_of_the_test():
    code = "mock('getType', 'mocked'); assertThat(require('getType')(1)).isEqualTo('number');"

    assert failed(code) == []


def test_callback_of_an_earlier_run_uses_the_mock_of_its_run():
    template = b"require('callLater')(require('getType'));"
    code = "mock('getType', () => fail('a')); runCode({}); mock('getType', () => fail('b'));"

    assert failed(code, template=template) == ["a"]


def test_junit_report_names_failures_and_drops_invalid_characters():
    verdicts = (
        ScenarioResult(name="good <one>", logs=("said",)),
        ScenarioResult(name="bad", failures=(Failure(message="no\x00", template_line=7),)),
    )

    root = ET.fromstring(junit("A tag", verdicts))  # noqa: S314  # own text, a line above

    assert root.attrib == {
        "name": "A tag",
        "tests": "2",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
    }
    assert [case.get("name") for case in root] == ["good <one>", "bad"]
    assert root[0].findtext("system-out") == "said"
    failure = root[1].find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("no\ufffd", "template line 7")


def test_position_of_a_failure_shows_the_known_lines():
    assert placed(Failure(message="", setup_line=1, template_line=2)) == (
        "setup line 1, template line 2"
    )
    assert placed(Failure(message="")) == ""
