"""Build the site into site/: `make docs`. The pages are those of docs/, with a few from outside."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pages
from pages import INDEX, ROOT

OUT = ROOT / "site"
HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "src/twite/__init__.py").read_text("utf-8"))[1]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="twite-docs-") as folder:
        stage = Path(folder, "pages")
        html = Path(folder, "html")
        texts = write_stage(stage)
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", str(HERE)]
        subprocess.run(
            [*command, "-d", str(Path(folder, "doctrees")), str(stage), str(html)],
            check=True,
            env=os.environ | {"TWITE_VERSION": VERSION, "PYTHONHASHSEED": "0"},
        )
        for page, text in texts.items():
            (html / pages.site_path(page)).write_text(text, "utf-8")
        copy_files(stage, html)
        (html / "llms.txt").write_text(llms_text(), "utf-8")
        problems = broken_links(html)
        if problems:
            sys.exit("\n".join(problems))
        shutil.rmtree(OUT, ignore_errors=True)
        shutil.copytree(html, OUT, ignore=shutil.ignore_patterns(".buildinfo*"))
    print(f"{len(texts)} pages: {OUT / 'index.html'}")  # noqa: T201 - a command


def write_stage(stage: Path) -> dict[str, str]:
    """Write all pages for Sphinx, with navigation, and return their Markdown without it."""
    texts: dict[str, str] = {}
    for page in sorted(pages.PAGES):
        text, downloads = pages.staged(page, (ROOT / page).read_text("utf-8"))
        texts[page] = text
        place = stage / pages.site_path(page)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text + navigation(page, text), "utf-8")
        for file in downloads:
            target = stage / pages.site_path(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, target)
    return texts


def copy_files(stage: Path, html: Path) -> None:
    """Copy the pictures and downloads to the places to which the Markdown pages link."""
    for file in stage.rglob("*"):
        target = html / file.relative_to(stage)
        if file.is_file() and file.suffix != ".md" and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)


def navigation(page: str, text: str) -> str:
    if page == INDEX:
        return "".join(toctree(page, found, name) for name, found in pages.sections().items())
    found = pages.children(page, (ROOT / page).read_text("utf-8")) if text else []
    return toctree(page, found) if found else ""


def toctree(page: str, found: list[str], caption: str = "") -> str:
    start = Path(pages.site_path(page)).parent
    entries = "\n".join(os.path.relpath(pages.site_path(path), start) for path in found)
    name = f":caption: {caption}\n" if caption else ""
    return f"\n```{{toctree}}\n:hidden:\n{name}\n{entries}\n```\n"


def llms_text() -> str:
    """Return an index of the Markdown pages for language models (https://llmstxt.org)."""
    about = (ROOT / "README.md").read_text("utf-8").split("\n\n")[1].replace("\n", " ")
    parts = [f"# Twite\n\n> {about}\n"]
    for name, found in pages.sections().items():
        rows = "".join(
            f"- [{pages.title_of((ROOT / path).read_text('utf-8'))}]({pages.site_path(path)})\n"
            for path in found
        )
        parts.append(f"## {name}\n\n{rows}")
    return "\n".join(parts)


class Page(HTMLParser):
    """The ids and addresses of an HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        address = values.get("src", values.get("href"))
        if address:
            self.links.add(address)
            if tag != "a":
                self.loaded.add(address)


def broken_links(html: Path) -> list[str]:
    """Return links to files or ids that do not exist, and files that pages load from elsewhere."""
    found = {path: Page(path.read_text("utf-8")) for path in html.rglob("*.html")}
    problems = []
    for path, page in sorted(found.items()):
        name = path.relative_to(html)
        problems += [f"{name}: loads {at}" for at in sorted(page.loaded) if urlsplit(at).netloc]
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            missing = not target.exists() or (
                parts.fragment and target in found and parts.fragment not in found[target].ids
            )
            if missing:
                problems.append(f"{name}: broken link {link}")
    for path in sorted(html.rglob("*.md")):
        text = pages.FENCE.sub("", path.read_text("utf-8"))
        for link in dict.fromkeys(link for _, _, link in pages.LINK.findall(text)):
            parts = urlsplit(link)
            if not parts.scheme and not (path.parent / unquote(parts.path)).exists():
                problems.append(f"{path.relative_to(html)}: broken link {link}")
    return problems


if __name__ == "__main__":
    main()
