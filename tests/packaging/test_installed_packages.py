"""A trial: each package, installed in an empty place, delivers a conversion and runs the demo.

TWITE_DIST is the folder that `make dist` wrote, and TWITE_PYTHONS lists the Pythons to try.
"""

import os
import re
import subprocess
import sys
import time

import pytest
from installed_twite import InstalledTwite, built_packages

from twite import __version__

PYTHONS = os.environ.get("TWITE_PYTHONS", sys.executable).split()
VERSION = re.compile(rf"twite {re.escape(__version__)} \(commit [0-9a-f]{{12}}(-dirty)?\)\n")

pytestmark = [
    pytest.mark.skipif("TWITE_TRIAL" not in os.environ, reason="a trial: TWITE_TRIAL=1"),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def packages():
    return built_packages()


def try_out(twite):
    assert VERSION.fullmatch(twite.run("--version"))
    twite.deliver()


@pytest.mark.parametrize("python", PYTHONS)
def test_installed_wheel_delivers_a_conversion(packages, tmp_path, figure, python):
    began = time.monotonic()
    requirements = packages / f"twite-{__version__}-requirements.txt"
    venv = tmp_path / "venv"
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    for command in (
        [python, "-m", "venv", str(venv)],
        [*pip, "--only-binary", ":all:", "--require-hashes", "-r", requirements.name],
    ):
        subprocess.run(command, check=True, cwd=packages)
    twite = InstalledTwite(str(tmp_path / "venv/bin/twite"), folder=tmp_path / "shop")

    try_out(twite)

    figure(f"wheel, {python}", f"{time.monotonic() - began:.1f} s to delivered, 6 commands")
    assert "the balance is 0" in twite.run("demo")


@pytest.mark.parametrize("python", PYTHONS)
def test_pyz_file_delivers_a_conversion(packages, tmp_path, figure, python):
    began = time.monotonic()
    twite = InstalledTwite(python, str(packages / "twite.pyz"), folder=tmp_path / "shop")

    try_out(twite)

    figure(f"twite.pyz, {python}", f"{time.monotonic() - began:.1f} s to delivered, 4 commands")
    assert "the balance is 0" in twite.run("demo")
