"""The docs of the console name every page with its role and a screenshot."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLDER = Path(__file__).parents[2] / "docs/reference"
# Not visible pages: X redirects browsers to one of them; the others are streams.
ASIDE = {
    "/console/connect/callback",
    "/console/changes",
    "/console/tags/{session}/changes",
}


async def test_every_page_is_documented_with_its_role(stage):
    text = (FOLDER / "console.md").read_text()
    documented = dict(re.findall(r"^`(/console[^`]*)` · (\w+)", text, re.MULTILINE))

    assert documented == {
        route.path: "no" if route.role is None else route.role.value
        for route in stage.routes
        if route.method == "GET" and route.path not in ASIDE
    }


async def test_every_page_has_screenshots():
    text = (FOLDER / "console.md").read_text()
    shown = re.findall(r"\]\((console/[\w-]+\.webp)\)", text)

    assert len(shown) == 2 * len(re.findall(r"^## ", text, re.MULTILINE))
    # The page shows one theme of each size, and the other is beside it.
    others = [
        name.replace("-desktop.", "-desktop-dark.").replace("-phone.", "-phone-light.")
        for name in shown
    ]
    files = {f"console/{file.name}" for file in (FOLDER / "console").iterdir()}
    assert files == {*shown, *others}
    assert len(files) == 2 * len(shown)
