"""The commands of the page on running a tag template work as printed, in an empty folder."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gateway_processes import ENVIRONMENT

import fork_server
from free_port import free_port

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs/how-to"
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
BASH = shutil.which("bash") or "bash"
PORTS = ("8080", "9090", "9000")

pytestmark = pytest.mark.journey


def blocks(page):
    """Return each command with the output that the page shows; "" if it shows none."""
    return BLOCK.findall((PAGES / page).read_text())


@pytest.fixture
def typed(tmp_path, tmp_path_factory):
    """Type a page's commands into one shell; return its output."""
    if shutil.which("curl") is None:
        pytest.skip("the page needs curl")
    running = []
    commands = tmp_path_factory.mktemp("bin")
    fork_server.write_command(commands / "twite")

    def run(script):
        # `twite` and `python3` are those of this environment.
        environment = ENVIRONMENT | {
            "PATH": f"{commands}:{Path(sys.executable).parent}:{ENVIRONMENT.get('PATH', '')}"
        }
        shell = subprocess.Popen(
            [BASH, "-u", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(shell)
        out, errors = shell.communicate(timeout=120)
        return shell.returncode, out, errors

    yield run
    for shell in running:
        # The shell has its own process group, so that whatever a failed page leaves behind can be
        # ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)


def test_commands_of_the_page_lead_from_an_empty_folder_to_a_delivery(typed, tmp_path):
    script = "\n".join(typed for typed, _ in blocks("run-a-tag-template.md"))
    ports = {port: str(free_port()) for port in PORTS}
    script = re.sub(r"\b(8080|9090|9000)\b", lambda found: ports[found[1]], script)
    script = f"set -e\nexport TWITE_SERVER__LISTEN=127.0.0.1:{ports['8080']}\n{script}"

    code, out, errors = typed(script)

    assert code == 0, errors
    assert "order-1001  event purchase of pixel tag:crm: delivered" in out
    assert "  tag:crm      did not fire: consent ad_storage" in out
    [line] = (tmp_path / "vendor.log").read_text().splitlines()
    assert line.startswith("key-of-the-vendor ")
    assert '"note":"EUR"' in line
    assert "order-1001" in line


def test_documented_output_of_template_tests_is_correct(typed):
    shown = [(typing, said) for typing, said in blocks("test-a-tag-template.md") if said]

    answered = [typed(typing)[1] for typing, _ in blocks("test-a-tag-template.md")]

    assert [answer for answer in answered if answer] == [said for _, said in shown]
    assert len(shown) == 5


def test_documented_output_of_the_cut_over_is_correct(typed, tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")

    answered = [(typed(typing)[1], said) for typing, said in blocks("cut-over-from-sgtm.md")]

    assert [(came, said) for came, said in answered if said and came != said] == []
    assert [bool(said) for _, said in answered] == [False, False, True]
