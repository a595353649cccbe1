"""The pages on deployment and upgrades: commands, settings, proxies and quoted figures."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from twite.cli.application import application
from twite.config.server_tables import ServerSettings
from twite.config.settings import load
from twite.domain.destination import DEFAULT_RATE
from twite.domain.times import SECOND

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = {page.stem: page.read_text("utf-8") for page in (DOCS / "how-to").glob("*.md")}
SERVER = HOW_TO["deploy-on-one-server"]
DEPLOY = DOCS.parent / "deploy"
PROXIES = sorted((DEPLOY / "proxies").iterdir())
SITE = "t.shop.example"
CHOICE = HOW_TO["choose-between-sqlite-and-postgresql"]
PIXEL = """
[[pixel]]
id = "o8z6j"
auth = { pixel_token = "env:X_PIXEL_TOKEN" }
events = { purchase = "o8z6k" }
"""
NEXT = ("Next:", "## Next steps")
# The pages that this file checks. Other pages say it at the step that needs it.
COMPLETE = (
    "choose-a-route-from-sgtm",
    "choose-between-sqlite-and-postgresql",
    "deploy-on-kubernetes",
    "deploy-on-one-server",
    "deploy-with-docker",
    "harden-a-gateway",
    "send-a-file",
    "send-from-your-server",
    "send-orders-from-a-database",
    "upgrade-and-roll-back",
)


def block(page, language):
    return re.search(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[1]


def typed(page):
    """Yield the words of each `twite` command at a prompt; a backslash continues a line."""
    joined = re.sub(r"\\\n\s*", "", page)
    for line in re.findall(r"^ *\$ (?:sudo )?(?:\S+/)?twite (.+)$", joined, re.MULTILINE):
        yield shlex.split(re.split(r" [|>&<]", line)[0], comments=True)


def test_commands_are_found_in_the_deployment_pages():
    assert ["connect"] in list(typed(SERVER))
    assert len([words for page in HOW_TO.values() for words in typed(page)]) > 30


@pytest.mark.parametrize("name", sorted(HOW_TO))
def test_commands_at_a_prompt_exist_with_their_options(name):
    for words in typed(HOW_TO[name]):
        if words[0].startswith("-"):
            assert words == ["--version"]
            continue
        command = get_command(application(words[0])).commands[words[0]]
        rest = words[1:]
        while hasattr(command, "commands") and rest and rest[0] in command.commands:
            command = command.commands[rest.pop(0)]
        if words[0] == "sync" and hasattr(command, "commands"):
            command = command.commands["run"]  # other words are names of syncs
        options = {option for parameter in command.params for option in parameter.opts}

        shown = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}

        assert shown <= options | {"--help"}, (words, sorted(options))


def test_settings_behind_a_proxy_load_without_warnings(tmp_path):
    (tmp_path / "shop.key").write_text("a-key-of-sixteen-or-more")
    (tmp_path / "twite.toml").write_text(block(SERVER, "toml") + PIXEL)

    settings = load(tmp_path / "twite.toml", {"X_PIXEL_TOKEN": "token"})

    assert settings.warnings == ()
    assert settings.server.public_url == f"https://{SITE}"


def test_proxies_of_the_page_use_the_same_site_and_gateway():
    server = ServerSettings()

    for file in PROXIES:
        assert SITE in file.read_text()
        assert str(server.listen) in file.read_text()
    nginx = (DEPLOY / "proxies/nginx.conf").read_text()
    assert f"client_max_body_size {server.max_body >> 20}m;" in nginx
    assert f"client_body_timeout {server.receive_deadline // SECOND}s;" in nginx
    assert f"s/{SITE}/" in SERVER


def test_package_and_page_name_the_same_proxies():
    package = (DEPLOY / "packages/debian_package.py").read_text()

    for file in PROXIES:
        assert f'"deploy/proxies/{file.name}"' in package
        assert f"(../../deploy/proxies/{file.name})" in HOW_TO["set-up-a-first-party-domain"]


def test_quoted_figures_are_those_of_the_performance_page():
    page = (DOCS / "reference/performance.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| durable intake, single req")]

    speed = re.search(r"([\d,]+) single requests/s", CHOICE)[1]
    ratio = re.search(r"([\d.]+) of that", CHOICE)[1]
    assert f"; {speed}/s" in rows[0]
    assert f"**{ratio}**" in rows[1]
    quoted = re.search(r"## The size of the server\n(.*?)\n## ", SERVER, re.DOTALL)[1]
    for figure in (f"{speed} single", "13,825", "85 MB", "126 MB", "13 GB"):
        assert figure in quoted
        assert figure.removesuffix(" single") in page
    assert f"{DEFAULT_RATE:,} in 15 minutes" in quoted


@pytest.mark.parametrize("name", COMPLETE)
def test_deployment_page_says_how_to_check_it_and_names_the_next_page(name):
    assert "## Check that it works" in HOW_TO[name]
    assert any(words in HOW_TO[name] for words in NEXT)
