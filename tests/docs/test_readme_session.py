"""The session in README.md, pasted into a shell unchanged, with the emulator in place of X."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import fork_server
from twite.testing.emulator import running_emulator

ROOT = Path(__file__).parents[2]
TOKEN = "emulator-pixel-token-o8z6j"
PORT = "8080"
BASH = shutil.which("bash") or "/bin/bash"
_NOTE_FAILURES = "trap 'echo $? \"$BASH_COMMAND\" >> failed' ERR"


def session() -> str:
    """Return the first block of commands under "Quick start"."""
    page = (ROOT / "README.md").read_text("utf-8")
    return re.search(r"^## Quick start$.*?^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[1]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def checkout(tmp_path):
    """A folder with the session's files: the command where `make` installs it, and the orders."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    command = tmp_path / ".venv/bin/twite"
    fork_server.write_command(command)
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/orders.csv").write_bytes((ROOT / "examples/orders.csv").read_bytes())
    return tmp_path


def test_readme_session_works_as_pasted(checkout):
    port = str(free_port())
    text = session()
    # In an interactive zsh, "#" does not start a comment: it is an argument, and an apostrophe
    # after it opens a quote.
    assert "#" not in text
    # A user changes only the token. The port is changed, because the usual one may be in
    # use.
    assert (text.count("…"), text.count(f":{PORT}")) == (1, 1)
    pasted = text.replace("…", TOKEN).replace(f":{PORT}", f":{port}")

    with running_emulator() as x:
        done = subprocess.run(
            [BASH, "-c", f"{_NOTE_FAILURES}\n{pasted}\nkill %1; wait"],
            cwd=checkout,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(checkout),
                "PYTHONPATH": os.pathsep.join(sys.path),
                "TWITE_X__API_URL": x.url,
                "TWITE_SERVER__LISTEN": f"127.0.0.1:{port}",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        counted = x.counted()

    # Some of the example's rows are bad on purpose, and a dry run of them says so.
    assert (checkout / "failed").read_text().splitlines() == [
        "1 .venv/bin/twite send examples/orders.csv --dry-run"
    ], done.stderr
    assert '"accepted":1,"duplicates":0,"suppressed":0,"rejected":[]}' in done.stdout
    assert re.search(r"order-1001.*(queued|sending|delivered)", done.stdout)
    assert re.search(r"│ all.*│ +1 │", done.stdout.split("balance")[-1])
    assert counted["pixels"]["o8z6j"]["events"]["o8z6k"]["counted"] == 1
