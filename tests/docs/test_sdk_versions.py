"""The reference lists the versions of the SDKs that the tests run."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^((?:segment|rudder)[a-z-]*)==([0-9.]+)", re.MULTILINE)


def test_reference_lists_the_tested_versions_of_the_sdks():
    page = (ROOT / "docs/reference/segment.md").read_text()
    section = page.partition("## Tested SDKs")[2].partition("\n## ")[0]
    listed = {
        (name, version)
        for name, versions in re.findall(
            r"^\| `([^`]+)`[^|]*\| ([0-9., ]+) \|", section, re.MULTILINE
        )
        for version in versions.split(", ")
    }

    packages = json.loads((ROOT / "requirements/node/package.json").read_text())["devDependencies"]
    tested = {
        (name, version)
        for name, version in packages.items()
        if name.startswith(("@segment/", "@rudderstack/"))
    }
    for requirements in ("dev.txt", "sdk.txt"):
        tested |= set(PINNED.findall((ROOT / "requirements" / requirements).read_text()))
    assert listed == tested
