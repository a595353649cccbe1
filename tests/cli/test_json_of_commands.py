"""Every command has `--json`, and prints what its schema says.

The fixture `command` compares the output of all other tests with the schemas, too.
"""

import pytest

from command_schemas import commands, json_types, problems

# They print no JSON of their own.
PROTOCOLS = {"mcp"}


@pytest.mark.parametrize("words", commands().keys() - PROTOCOLS)
def test_command_has_json_and_declares_what_it_prints(words):
    command = commands()[words]
    options = {option for parameter in command.params for option in parameter.opts}

    assert "--json" in options, f"twite {words}: add the option `as_json: Json`"
    assert json_types(command), f"twite {words}: declare the output with @prints(…)"


@pytest.mark.parametrize(
    ("printed", "problem"),
    [
        ('{"held": 1}', []),
        ('{"held": "1"}', ['held: "1" is not of type "integer"']),
        ("{}", [': "held" is a required property']),
        (
            '{"held": 1, "more": 2}',
            [": Additional properties are not allowed ('more' was unexpected)"],
        ),
    ],
)
def test_output_that_differs_from_the_schema_is_a_problem(printed, problem):
    assert problems("store hold", printed) == problem


def test_error_with_json_prints_nothing_on_standard_output(command, tmp_path):
    code, out, err = command("show", "order-1", "--json", "--config", str(tmp_path / "none.toml"))

    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert len(err.splitlines()) == 1
