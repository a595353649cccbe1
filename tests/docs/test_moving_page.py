"""The commands on the page about moving a container print the output on the page."""

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import fork_server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/import-a-server-container.md").read_text()
SETTINGS = """\
[x]
api_url = "http://127.0.0.1:1"
[[pixel]]
id = "o8z6j"
auth = { pixel_token = "env:X_PIXEL_TOKEN" }
events = { purchase = "o8z6k" }
"""


def blocks(kind):
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for _, text in found]


@pytest.fixture
def folder(tmp_path):
    """A folder with the repository's examples, the page's settings, and `twite` on the path."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "twite.toml").write_text(f"{SETTINGS}\n{blocks('toml')[0]}")
    command = tmp_path / "bin/twite"
    command.parent.mkdir()
    fork_server.write_command(command)
    return tmp_path


def run_in(folder, lines):
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", "\n".join(lines)],
        cwd=folder,
        env={"PATH": f"{folder}/bin:/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_documented_commands_print_the_documented_output(folder):
    lines = "".join(blocks("console")).splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    shown = "".join(f"{line}\n" for line in lines if not line.startswith("$ "))

    code, out, err = run_in(folder, commands)

    assert (code, err) == (0, "")
    assert out == shown


def test_twite_check_passes_for_the_imported_container(folder):
    commands = [
        line.removeprefix("$ ")
        for line in "".join(blocks("console")).splitlines()
        if line.startswith("$ ")
    ]
    pointed = f"cat >> twite.toml <<'END'\n\n{blocks('toml')[1]}END"

    _, out, _ = run_in(folder, [*commands, pointed, "X_PIXEL_TOKEN=t twite check || true"])

    assert "container.toml: 1 tag can fire, 2 secrets are available" in out
