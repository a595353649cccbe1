"""The session in README.md, pasted into a shell unchanged, with the built-in emulator."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fork_server
from free_port import free_port

ROOT = Path(__file__).parents[2]
PORT = "8080"
BASH = shutil.which("bash") or "/bin/bash"
_NOTE_FAILURES = "trap 'echo $? \"$BASH_COMMAND\" >> failed' ERR"


def session() -> str:
    """Return the first block of commands under "Quick start"."""
    page = (ROOT / "README.md").read_text("utf-8")
    return re.search(r"^## Quick start$.*?^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[1]


@pytest.fixture
def checkout(tmp_path):
    """A folder with the session's files: the command where `make` installs it, and the orders."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    command = tmp_path / ".venv/bin/twite"
    fork_server.write_command(command)
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/orders.csv").write_bytes((ROOT / "examples/orders.csv").read_bytes())
    return tmp_path


def test_demo_output_in_the_readme_is_that_of_the_tutorial():
    readme = (ROOT / "README.md").read_text("utf-8")
    tutorial = (ROOT / "docs/tutorial/first-conversion.md").read_text("utf-8")
    start = "```console\n$ make demo ARGS=--stay"

    lines = readme.split(start)[1].split("```")[0].splitlines()[1:]
    whole = tutorial.split(start)[1].split("```")[0].splitlines()

    assert len(lines) > 5
    assert [line for line in lines if line not in {*whole, "…"}] == []


def test_session_in_the_readme_works_as_pasted(checkout):
    port = str(free_port())
    text = session()
    # In an interactive zsh, "#" does not start a comment: it is an argument, and an apostrophe
    # after it opens a quote.
    assert "#" not in text
    # A user changes nothing. The ports are changed, because the usual ones may be in use.
    assert (text.count("…"), text.count(f":{PORT}")) == (0, 1)
    emulator = f"127.0.0.1:{free_port()}"
    shell = f"""{_NOTE_FAILURES}
{text.replace(f":{PORT}", f":{port}")}
until .venv/bin/twite show order-1001 | grep -q ": delivered"; do :; done
curl -s http://{emulator}/_emulator/counted > counted.json
kill %1
wait
"""
    interpreter = checkout / "python"
    fork_server.write_command(interpreter, module="")

    done = subprocess.run(
        [BASH, "-c", shell],
        cwd=checkout,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(checkout),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONEXECUTABLE": str(interpreter),
            "TWITE_X__EMULATOR": emulator,
            "TWITE_SERVER__LISTEN": f"127.0.0.1:{port}",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert not (checkout / "failed").exists(), done.stderr
    assert '"accepted":1,"duplicates":0,"suppressed":0,"rejected":[]}' in done.stdout
    assert re.search(r"order-1001.*(queued|sending|delivered)", done.stdout)
    assert re.search(r"│ all.*│ +1 │", done.stdout.split("balance")[-1])
    counted = json.loads((checkout / "counted.json").read_text())
    assert counted["pixels"]["o8z6j"]["events"]["o8z6k"]["counted"] == 1
    assert "Stopped." in done.stdout
