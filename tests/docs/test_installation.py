"""Pages that say how to install Twite install only packages with known hashes."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# An optional reader of files, and the client library, which an application installs.
OPTIONAL = ("pip install polars", "./clients/python")
INSTALL = re.compile(r"^.*pip install.*$", re.MULTILINE)


def pages() -> list[Path]:
    folders = ("docs", "deploy", "sgtm", "examples")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()]
    return [ROOT / "README.md", *files]


def commands(text: str) -> list[str]:
    """Return the commands of pip in a page; a backslash continues a line."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line for line in INSTALL.findall(joined) if not any(part in line for part in OPTIONAL)]


def test_every_documented_installation_uses_hashes_or_only_the_checkout():
    found = {
        str(page.relative_to(ROOT)): line
        for page in pages()
        if page.suffix in {".md", ".yaml", ""}
        for line in commands(page.read_text("utf-8"))
        if "--no-deps" not in line
        or not (
            "--require-hashes" in line or "--no-build-isolation" in line or "--no-index" in line
        )
    }

    assert found == {}


def test_readme_shows_how_to_install():
    lines = commands((ROOT / "README.md").read_text("utf-8"))

    assert [line.count("--require-hashes") for line in lines] == [1, 0]
    for name in re.findall(r"-r (\S+)", " ".join(lines)):
        assert (ROOT / name).is_file()
