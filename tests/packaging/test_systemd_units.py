import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy/systemd"
SERVICES = sorted(UNITS.glob("*.service"))
MOST_EXPOSURE = 2.0


@pytest.fixture
def analyze():
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd")

    def run(*arguments):
        return subprocess.run(
            ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
        )

    return run


def test_systemd_accepts_the_units(analyze, tmp_path):
    """In a root of their own, with the programs that they start."""
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    for unit in UNITS.iterdir():
        shutil.copy(unit, folder)
    for target in ("multi-user", "timers", "basic", "sysinit", "shutdown", "network-online"):
        (folder / f"{target}.target").write_text("[Unit]\nDescription=A target\n")
    (folder / "time-sync.target").write_text("[Unit]\nDescription=A target\n")
    for program in ("twite", "find"):
        file = tmp_path / "usr/bin" / program
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "usr/bin/sh").symlink_to("twite")

    names = [unit.name for unit in sorted(UNITS.iterdir())]
    checked = analyze("verify", "--man=no", f"--root={tmp_path}", *names)

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_services_have_few_privileges(analyze, service):
    judged = analyze("security", "--offline=true", "--no-pager", str(service))

    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", judged.stdout)
    assert float(exposure[1]) <= MOST_EXPOSURE


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_fresh_installation_has_every_file_that_a_service_needs(service):
    """A missing file of LoadCredential= or EnvironmentFile= would stop the start."""
    needed = re.findall(
        r"^(?:LoadCredential|EnvironmentFile)=([^-].*)$", service.read_text(), re.MULTILINE
    )

    assert needed == []
