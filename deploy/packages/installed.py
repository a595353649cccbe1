"""Install the hash-pinned packages for a version of Python, which this machine need not have."""

import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from source import ROOT

# The C libraries of Debian 11, Ubuntu 20.04, RHEL 8 and later.
_LIBRARIES = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


def install_all(python: str, folder: Path) -> Path:
    """Install requirements/run.txt into a folder, without code that runs at installation."""
    platforms = [f"--platform={library}_{platform.machine()}" for library in _LIBRARIES]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary", ":all:", "--no-deps", "--require-hashes", "--no-compile"]
    command += ["--python-version", python, *platforms, "--target", str(folder)]
    command += ["-r", str(ROOT / "requirements/run.txt")]
    subprocess.run(command, check=True)
    # The scripts contain the path of this folder.
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for name in ("INSTALLER", "REQUESTED", "direct_url.json"):
        for file in folder.glob(f"*.dist-info/{name}"):
            file.unlink()
    return folder


def install_package(wheel: Path, folder: Path) -> None:
    """Install Twite's own wheel, which contains only files for this folder."""
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
