"""Add the commit to the wheel and the source distribution, for `twite --version`."""

import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitBuildHook(BuildHookInterface[Any]):
    """Writes the commit of the checkout, or of TWITE_COMMIT where git is missing."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        package = root / "src" / "twite"
        # A source distribution already contains the file.
        if version == "editable" or package.joinpath("commit.txt").exists():
            return
        module = runpy.run_path(str(package / "machine" / "commit.py"))
        found = os.environ.get("TWITE_COMMIT") or module["checked_out"](root)
        if not found:
            return
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / module["FILE"]
        file.write_text(f"{found}\n", "ascii")
        place = "twite" if self.target_name == "wheel" else "src/twite"
        build_data["force_include"][str(file)] = f"{place}/{file.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        del version, build_data, artifact_path
        if hasattr(self, "_folder"):
            self._folder.cleanup()
