"""Read the pages of the repository, and place them in the site."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
OUTSIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "gtm-web/README.md", "sgtm/README.md")
INDEX = "docs/README.md"
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)
DOWNLOADS = {".json", ".svg", ".webp", ".tpl"}


def page_paths() -> list[str]:
    """Return all pages as paths in the repository."""
    return [
        *OUTSIDE,
        *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
    ]


def site_path(path: str) -> str:
    """Return where a file of the repository is in the site; docs/README.md is the front page."""
    if path in OUTSIDE:
        names = {"README.md": "about.md", "gtm-web/README.md": "gtm-tag.md"}
        return (names | {"sgtm/README.md": "sgtm-tag.md"}).get(path, path.lower())
    moved = PurePosixPath(path.removeprefix("docs/"))
    return str(moved.with_name("index.md") if moved.name == "README.md" else moved)


def target_of(page: str, link: str) -> tuple[str, str]:
    """Return the path in the repository and the anchor of a relative link in a page."""
    path, _, anchor = link.partition("#")
    full = os.path.normpath(PurePosixPath(page).parent / path) if path else page
    return full, anchor


def links(page: str, text: str) -> Iterator[str]:
    """Yield the paths of all pages that a page links to, in order, each once."""
    found = dict.fromkeys(
        target_of(page, link)[0]
        for _, _, link in LINK.findall(FENCE.sub("", text))
        if "://" not in link
    )
    yield from (path for path in found if path.endswith(".md") and path != page)


def staged(page: str, text: str) -> tuple[str, set[str]]:
    """Return a page with links for its place in the site, and the files to download from there.

    A link to a source file becomes its text: the site does not contain the code.
    """
    downloads: set[str] = set()

    def moved(match: re.Match[str]) -> str:
        mark, label, link = match.groups()
        if "://" in link or link.startswith(("#", "mailto:")):
            return match[0]
        path, anchor = target_of(page, link)
        if path not in PAGES and PurePosixPath(path).suffix not in DOWNLOADS:
            return label
        if path not in PAGES:
            downloads.add(path)
        start = PurePosixPath(site_path(page)).parent
        place = os.path.relpath(site_path(path), start)
        return f"{mark}[{label}]({place}{'#' if anchor else ''}{anchor})"

    parts = []
    end = 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(moved, text[end : fence.start()]), fence[0]]
        end = fence.end()
    parts.append(LINK.sub(moved, text[end:]))
    return "".join(parts), downloads


def title_of(text: str) -> str:
    return re.search(r"^# (.+)$", text, re.MULTILINE)[1]


def sections() -> dict[str, list[str]]:
    """Return the pages of the front page by its headings: the site's navigation."""
    text = (ROOT / INDEX).read_text("utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    return {
        name: list(links(INDEX, body)) for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


def children(page: str, text: str) -> list[str]:
    """Return the pages below a README: those of its folder that it links to."""
    folder = str(PurePosixPath(page).parent)
    if page == INDEX or PurePosixPath(page).name != "README.md" or not page.startswith("docs/"):
        return []
    return [path for path in links(page, text) if str(PurePosixPath(path).parent) == folder]


PAGES = frozenset(page_paths())
