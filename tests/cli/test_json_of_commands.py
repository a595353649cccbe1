"""Every command has `--json`, and prints what its schema says.

The fixture `command` compares the output of all other tests with the schemas, too.
"""

from pathlib import Path

import pytest

from command_schemas import commands, documents, json_types, problems

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


# The arguments of commands that need only the settings and the store of the fixture `shop`.
EXAMPLES = {
    "check": (),
    "show": ("order-2",),
    "rejected": (),
    "dead list": (),
    "dead replay": ("order-2",),
    "dead discard": ("order-2",),
    "deduplication": (),
    "joins": (),
    "accounting": (),
    "results": (),
    "alerts list": (),
    "erase": ("--email", "shopper@shop.example", "--yes"),
    "backup": ("{folder}/backup.db",),
    "sync list": (),
    "user list": (),
    "key add": ("reports", "--scope", "accounting"),
    "key list": (),
    "audit list": (),
    "audit verify": (),
}
# The files whose tests run the other commands with `--json` and the fixtures that compare.
ELSEWHERE = {
    "init": "test_init",
    "connect": "test_connect",
    "events list": "test_events",
    "events create": "test_events",
    "export": "test_export_command",
    "send": "test_send",
    "value try": "test_value_command",
    "webhook try": "test_webhook_command",
    "alerts test": "test_alerts_command",
    "user link": "test_people_commands",
    "import": "tags/test_import",
    "tag test": "tags/test_tag",
    "tag try": "tags/test_tag_try",
    "tag list": "tags/test_tag_list",
    "tag run": "tags/test_tag",
    "tag lint": "tags/test_tag_lint",
    "tag fields": "tags/test_tag",
    "compare": "tags/test_compare_command",
}
# Their types are declared, but no test compares their whole output. Do not add to this list.
NOT_COMPARED = {
    "demo",
    "emulate",
    "events delete",
    "events snippet",
    "events update",
    "key revoke",
    "login",
    "logout",
    "recover",
    "reload",
    "restore",
    "rotate-key",
    "serve",
    "store copy",
    "store hold",
    "sync run",
    "sync woocommerce",
    "tag preview",
    "user add",
    "user password",
    "user remove",
    "user role",
    "user totp",
    "webhook test",
    "what-if",
}


def test_new_command_has_an_example():
    known = EXAMPLES.keys() | ELSEWHERE.keys() | PROTOCOLS | NOT_COMPARED

    assert commands().keys() - known == set(), "add arguments to EXAMPLES"


@pytest.mark.parametrize("words", sorted(EXAMPLES))
def test_command_prints_what_its_schema_says(command, shop, words):
    arguments = [each.format(folder=shop.parent) for each in EXAMPLES[words]]

    code, out, err = command(*words.split(), *arguments, "--json", "--config", str(shop))

    assert code in {0, 1}, err
    assert documents(out), f"twite {words} printed no JSON: {err}"
    assert problems(words, out) == []


@pytest.mark.parametrize("words", sorted(ELSEWHERE.keys() & commands().keys()))
def test_other_command_is_run_with_json_by_its_own_tests(words):
    text = (Path(__file__).parent / f"{ELSEWHERE[words]}.py").read_text("utf-8")

    assert '"--json"' in text
    assert all(f'"{word}"' in text for word in words.split())
