"""Each function of a template has its own `arguments`, an array: see gtm.template.own_arguments."""

import pytest
from template_stage import ran, returned, template

from twite.tags.engines.quickjs.scenarios import run_scenarios
from twite.tags.template.own_arguments import with_own_arguments
from twite.tags.template.template import Scenario, Scenarios

KIND = "require('getType')(arguments)"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (f"const f = (a) => {KIND}; return f(1);", "array"),
        (f"function f(a) {{ return {KIND}; }} return f(1);", "array"),
        ("const f = () => arguments; return f(1, 2, 3);", [1, 2, 3]),
        ("const f = () => { return arguments[1]; }; return f(1, 2);", 2),
        ("const f = a => arguments.length; return f();", 0),
        ("const f = a => b => [a, arguments]; return f(1, 2)(3, 4);", [1, [3, 4]]),
        ("const f = a => [arguments, ((b) => arguments)(7)]; return f(1, 2);", [[1, 2], [7]]),
        (
            "function f(a) { return [arguments, [8].map((b) => arguments[0] + b)]; } return f(1);",
            [[1], [16]],
        ),
        ("const f = function () { return arguments.map((a) => a + 1); }; return f(1, 2);", [2, 3]),
        ("const o = {f(a) { return arguments; }}; return o.f(5, 6);", [5, 6]),
        (
            "const f = (a) => ({arguments: arguments.length, a}); return f(5);",
            {"arguments": 1, "a": 5},
        ),
        ("const f = (a) => ({a, arguments}); return f(5);", {"a": 5, "arguments": [5]}),
        ("const f = (...all) => [all, arguments]; return f(1, 2);", [[1, 2], [1, 2]]),
        ("const f = (a = 4) => [a, arguments.length]; return f();", [4, 0]),
        ("const f = (a) => a ? arguments[1] : arguments.length; return [f(0), f(1, 2)];", [1, 2]),
        ("const f = () => { return arguments }\n[f][0]; return f(1);", [1]),
        ("const f = (a) => arguments.length\nconst g = f(1, 2)\nreturn g", 2),
        ("const f = (a) =>\n  arguments\n    .map((b) => b * 2)\n    .length\nreturn f(1)", 1),
        (
            "const all = []; const f = () => all.push(arguments), b = 2; f(1); return [all, b];",
            [[[1]], 2],
        ),
        (
            "arguments_ = 5; var arguments_; const f = () => arguments; return [f(1), arguments_];",
            [[1], 5],
        ),
        ("const f = (a) => { arguments[0] = 9; return [a, arguments]; }; return f(1);", [1, [9]]),
        ("const f = (a) => { if (a) { return arguments; } }; return f(1);", [1]),
        ("// arguments\nreturn 'arguments';", "arguments"),
        ("const o = {}; o.arguments = 3; return o.arguments;", 3),
        ("return require('getType')(arguments);", "array"),
        ("return arguments[0].name;", "shop"),
    ],
)
def test_arguments_of_a_function_are_an_array(code, expected):
    assert returned(code, fields={"name": "shop"}) == expected


def test_error_has_the_line_of_the_template():
    turn = ran("const f = (a) => {\n  const b = arguments[0].b;\n  return b.c;\n};\n\nf({});")

    assert turn.error == "TypeError: cannot read property 'c' of undefined"
    assert turn.line == 3


def test_mock_in_a_template_test_has_arguments():
    scenario = Scenario(
        name="mocked",
        code="mock('getEventData', () => { seen.push(arguments[0]); });\n"
        "runCode({}); assertThat(seen).isEqualTo(['value']);",
    )
    tested = template("require('getEventData')('value');")

    (result,) = run_scenarios(
        tested, Scenarios(setup="const seen = [];", scenarios=(scenario,)), now=1
    )

    assert result.failures == ()


@pytest.mark.parametrize(
    "code", ["const f = (a => {", "arguments)", "return 1;", "x.arguments = 1;"]
)
def test_code_without_arguments_is_unchanged(code):
    assert with_own_arguments(code) == code
