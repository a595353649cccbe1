"""What is packaged: the version, the commit and its time. Build the wheel from it."""

import os
import re
import runpy
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Source:
    """`epoch` is the time of the commit, in seconds: all packages get this time."""

    version: str
    commit: str | None
    epoch: int

    @classmethod
    def read(cls) -> Self:
        text = (ROOT / "src/twite/__init__.py").read_text("utf-8")
        module = runpy.run_path(str(ROOT / "src/twite/machine/commit.py"))
        return cls(
            version=re.findall(r'__version__ = "(.+)"', text)[0],
            commit=os.environ.get("TWITE_COMMIT") or module["commit"](),
            epoch=int(os.environ.get("SOURCE_DATE_EPOCH") or _commit_time()),
        )


def _commit_time() -> int:
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        return int(found.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return int(time.time())


def build_wheel(source: Source, out: Path, work: Path) -> Path:
    """Build the source distribution, and from this alone the wheel, as a packager would."""
    _hatchling(ROOT, "sdist", out)
    archive = out / f"twite-{source.version}.tar.gz"
    with tarfile.open(archive) as packed:
        packed.extractall(work, filter="data")
    _hatchling(work / f"twite-{source.version}", "wheel", out)
    return out / f"twite-{source.version}-py3-none-any.whl"


def _hatchling(folder: Path, target: str, out: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
