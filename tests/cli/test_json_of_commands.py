"""Every command has `--json`, and prints what its schema says.

The fixture `command` compares the output of all other tests with the schemas, too.
`tags/test_json_of_tag_commands.py` has the commands of tags.
"""

import asyncio
import io
import json
import shlex
import signal
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest
from command_stage import ENVIRONMENT, running, twite
from json_stage import full_settings, full_store

from command_schemas import commands, documents, json_types, problems
from shop_double import shop_double
from twite.app.gateway_builder import start_gateway
from twite.cli.command_group import CommandGroup
from twite.config.settings import load
from twite.features import contributed
from twite_emulator.process import running_emulator
from x_page import OAUTH

# They print no JSON of their own.
PROTOCOLS = {"mcp"}
TOKEN = "emulator-pixel-token-o8z6j"
PASSWORD = "another sentence that does well"


class Example(NamedTuple):
    """Arguments of a command. `{folder}` is that of the settings.

    `before` are commands that run first, and `typed` is the standard input.
    """

    arguments: str = ""
    before: tuple[str, ...] = ()
    typed: str = ""


# The commands that need only the settings and a store.
OF_STORE = {
    "init": Example("--config {folder}/new.toml --pixel o8z6j --event purchase=o8z6k"),
    "check": Example("--offline"),
    "show": Example("order-2"),
    "rejected": Example(),
    "dead list": Example(),
    "dead replay": Example("order-2"),
    "dead discard": Example("order-2"),
    "dead replays": Example(),
    "dead cancel": Example("r1"),
    "deduplication": Example(),
    "joins": Example(),
    "accounting": Example(),
    "results": Example(),
    "export": Example("--to {folder}/rows.csv --since 2020-01-01"),
    "what-if": Example("--event purchase=o9abc"),
    "value try": Example("{folder}/orders.jsonl"),
    "webhook try": Example("{folder}/order.json"),
    "events snippet": Example("purchase"),
    "alerts list": Example(),
    "alerts test": Example(),
    "erase": Example("--email shopper@shop.example --yes"),
    "backup": Example("{folder}/copy.db"),
    "restore": Example("{folder}/copy.db", before=("backup {folder}/copy.db",)),
    "recover": Example("{folder}/twite.db --to {folder}/saved.db"),
    "rotate-key": Example(),
    "sync list": Example(),
    "sync run": Example("orders --dry-run"),
    "user add": Example("olga --password-stdin", typed=PASSWORD),
    "user list": Example(),
    "user role": Example("vic --role operator"),
    "user password": Example("vic --password-stdin", typed=PASSWORD),
    "user link": Example("vic"),
    "user totp": Example("vic"),
    "user remove": Example("vic"),
    "key add": Example("more --scope accounting"),
    "key list": Example(),
    "key revoke": Example("{key}"),
    "key sources": Example(),
    "audit list": Example(),
    "audit verify": Example(),
}
# The commands that ask X. The pixel has OAuth credentials.
AT_X = {
    "events list": Example(),
    "events create": Example("Newsletter --type SIGN_UP --as newsletter --yes"),
    "events update": Example("purchase --name Bought"),
    "events delete": Example("o8z6q --yes"),
    "login": Example("--pixel-token", typed=TOKEN),
    "logout": Example("--pixel-token", before=("login --pixel-token",), typed=TOKEN),
    "connect": Example(
        "--config {folder}/emulated.toml --pixel o8z6j --event purchase=o8z6k",
        before=("init --emulator --config {folder}/emulated.toml --pixel o9aaa --event a=o9aab",),
        typed=TOKEN,
    ),
}
# The commands that need a running gateway, in this order.
OF_GATEWAY = {
    "reload": Example(),
    "send": Example("{folder}/orders.jsonl --to {url} --yes"),
    "sync run": Example("orders"),
    "sync woocommerce": Example("--to {url}"),
    "webhook test": Example("crm"),
}
# The commands between two databases.
OF_POSTGRES = {
    "store copy": Example("sqlite:{folder}/twite.db env:TWITE_STORE"),
    "store hold": Example(),
}
# The commands that run until they are stopped.
PROCESSES = {
    "serve": ("--config", "{folder}/twite.toml"),
    "emulate": ("--listen", "127.0.0.1:0"),
}
EXAMPLES = OF_STORE.keys() | AT_X.keys() | OF_GATEWAY.keys() | OF_POSTGRES.keys() | PROCESSES.keys()


def own_commands():
    """Return the commands by their words, without those of features."""
    added = {name for group in contributed("commands", CommandGroup) for name in group.summaries}
    return {words: each for words, each in commands().items() if words.split()[0] not in added}


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


def test_each_command_has_an_example():
    assert own_commands().keys() == EXAMPLES | PROTOCOLS | {"demo"}


@pytest.fixture(autouse=True)
def priority(monkeypatch):
    """Keep the priority of the test's own process."""
    for name in ("what_if", "value"):
        monkeypatch.setattr(f"twite.cli.{name}.command.yield_cpu", lambda: None)


@pytest.fixture
def full(tmp_path):
    """Settings for all commands, with a store that has rows for each report."""
    full_store(tmp_path)
    return full_settings(tmp_path)


@pytest.fixture(scope="module")
def x():
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def at_x(tmp_path, x, monkeypatch):
    """Settings for commands that ask X."""
    monkeypatch.setenv("TWITE_X__API_URL", x.url)
    path = full_settings(tmp_path, x.url)
    text = path.read_text()
    token = 'auth = { pixel_token = "env:X_PIXEL_TOKEN" }'
    assert token in text
    path.write_text(text.replace(token, OAUTH))
    return path


@pytest.fixture
def printed(command, monkeypatch):
    """Run an example, and return the documents that it printed."""

    def ran(words, example, config, **known):
        known |= {"folder": config.parent}
        for before in example.before:
            monkeypatch.setattr("sys.stdin", io.StringIO(f"{example.typed}\n"))
            assert command(*_given(before, config, known))[0] == 0
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{example.typed}\n"))
        said = f"{words.removesuffix(' run')} {example.arguments}"
        code, out, err = command(*_given(said, config, known), "--json")
        assert documents(out), f"twite {words} printed no JSON: {err}"
        assert problems(words, out) == []
        assert code in {0, 1}
        assert "Error:" not in err
        return documents(out)

    return ran


def _given(line, config, known):
    quoted = {name: shlex.quote(str(value)) for name, value in known.items()}
    words = shlex.split(line.format(**quoted))
    takes_config = any(opts == ["--config", "-c"] for opts in _options(words))
    return words if "--config" in words or not takes_config else [*words, "--config", str(config)]


def _options(words):
    named = commands().get(" ".join(words[:2])) or commands().get(words[0])
    return [parameter.opts for parameter in named.params] if named else [["--config", "-c"]]


@pytest.mark.parametrize("words", OF_STORE)
def test_command_on_a_store_prints_what_its_schema_says(printed, command, full, words):
    listed = json.loads(command("key", "list", "--json", "--config", str(full))[1])

    found = printed(words, OF_STORE[words], full, key=listed[0]["id"])

    assert [each for each in found if each in ([], {})] == []


@pytest.mark.parametrize("words", AT_X)
def test_command_that_asks_x_prints_what_its_schema_says(printed, at_x, words):
    assert printed(words, AT_X[words], at_x) != [[]]


async def test_commands_with_a_gateway_print_what_their_schemas_say(printed, tmp_path, x):
    with shop_double() as shop:
        path = full_settings(tmp_path, x.url, shop=shop)
        gateway = await start_gateway(load(path, ENVIRONMENT))
        url = json.loads((tmp_path / "twite.db.gateway").read_text())["url"]
        path.write_text(path.read_text().replace("sign_up", "lead"))
        try:
            found = {
                words: await asyncio.to_thread(printed, words, example, path, url=url)
                for words, example in OF_GATEWAY.items()
            }
        finally:
            await gateway.stop()

    assert [report["accepted"] for report in found["sync woocommerce"]] == [1]
    assert [report["files"][0]["accepted"] for report in found["send"]] == [1]
    assert [report["result"] for report in found["reload"]] == ["reloaded"]


@pytest.mark.parametrize("words", OF_POSTGRES)
def test_command_between_stores_prints_what_its_schema_says(
    printed, full, words, empty_postgres_url, monkeypatch
):
    monkeypatch.setenv("TWITE_STORE", empty_postgres_url)
    copied = printed("store copy", OF_POSTGRES["store copy"], full)
    text = full.read_text()
    full.write_text(text.replace("[x]", '[store]\nurl = "env:TWITE_STORE"\n[x]', 1))

    assert copied if words == "store copy" else printed(words, OF_POSTGRES[words], full)


@pytest.mark.parametrize("words", PROCESSES)
def test_command_that_keeps_running_prints_one_document_when_it_is_ready(full, words):
    arguments = [each.format(folder=full.parent) for each in PROCESSES[words]]

    with running(words, *arguments) as (process, ready):
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=20)

    assert problems(words, json.dumps(ready)) == []
    assert (process.returncode, rest) == (0, "")


@pytest.mark.journey
def test_demo_prints_what_its_schema_says(tmp_path):
    orders = tmp_path / "orders.csv"
    with (Path(__file__).parents[2] / "examples/orders.csv").open(encoding="utf-8-sig") as whole:
        orders.write_text("".join(islice(whole, 320)), encoding="utf-8")

    code, out, err = twite("demo", "--json", "--orders", str(orders), seconds=180)

    assert code == 0, err
    assert [report["balance"]["balance"] for report in documents(out)] == [0]
    assert problems("demo", out) == []


@pytest.mark.parametrize("words", sorted(commands().keys() - PROTOCOLS))
def test_wrong_option_with_json_is_one_line_and_nothing_else(command, words):
    code, out, err = command(*words.split(), "--no-such-option", "--json")

    assert (code, out) == (2, "")
    assert err.startswith("Error: No such option: --no-such-option")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("words", sorted(OF_STORE.keys() - {"init"}))
def test_wrong_settings_with_json_are_an_error_and_nothing_else(command, full, words):
    full.write_text("[nonsense]\n")
    known = {"folder": full.parent, "key": "k"}

    code, out, err = command(*_given(f"{words} {OF_STORE[words].arguments}", full, known), "--json")

    if words == "check":
        assert [(each["ok"], code) for each in documents(out)] == [(False, 1)]
    else:
        assert (code, out) == (1, "")
        assert err.startswith("Error: ")
