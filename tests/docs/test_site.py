"""The stage of the site: navigation, places and links. `make docs` builds and checks the HTML."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def loaded(name):
    spec = importlib.util.spec_from_file_location(f"site_{name}", ROOT / f"docs/site/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages():
    return loaded("pages")


@pytest.fixture(scope="module")
def build(pages):
    sys.modules["pages"] = pages
    yield loaded("build")
    del sys.modules["pages"]


def test_navigation_of_the_site_contains_every_page_once(pages):
    texts = {page: (ROOT / page).read_text("utf-8") for page in pages.PAGES}

    shown = [page for found in pages.sections().values() for page in found]
    shown += [child for page, text in texts.items() for child in pages.children(page, text)]

    assert sorted([*shown, pages.INDEX]) == sorted(pages.PAGES)


def test_navigation_of_the_site_begins_with_the_roles(pages):
    roles = ["Shop developer", "Analyst", "Data engineer", "Agency", "On call"]

    assert list(pages.sections())[:5] == roles


STORE = "docs/reference/store.md"
CODE = "```sh\n[a](../../x.py)\n```\n[b](#c)"


@pytest.mark.parametrize(
    ("page", "text", "staged"),
    [
        ("README.md", "[a](docs/README.md#on-call)", "[a](index.md#on-call)"),
        ("docs/how-to/alerts/README.md", "[a](../../../README.md)", "[a](../../about.md)"),
        (STORE, "[a](../how-to/alerts/README.md)", "[a](../how-to/alerts/index.md)"),
        (STORE, "[`t`](../../tests/conftest.py)", "`t`"),
        (STORE, CODE, CODE),
        (STORE, "[a](https://x.example/b.py)", "[a](https://x.example/b.py)"),
    ],
)
def test_links_to_other_pages_lead_to_their_address_on_the_site(pages, page, text, staged):
    assert pages.staged(page, text)[0] == staged


def test_linked_data_files_become_downloads(pages):
    text, downloads = pages.staged("README.md", "![h](docs/images/history.svg)")

    assert (text, downloads) == ("![h](images/history.svg)", {"docs/images/history.svg"})


def test_pictures_are_at_the_address_that_the_markdown_pages_link_to(build, tmp_path):
    for name in ("stage/images", "html"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "stage/a.md").write_text("![b](images/b.svg)")
    (tmp_path / "stage/images/b.svg").write_text("<svg/>")

    build.copy_files(tmp_path / "stage", tmp_path / "html")

    assert [path.name for path in (tmp_path / "html").rglob("*.*")] == ["b.svg"]


def test_every_link_of_the_site_has_its_file(build, pages, tmp_path):
    texts = build.write_stage(tmp_path)

    missing = [
        f"{page}: {link}"
        for page, text in texts.items()
        for _, _, link in pages.LINK.findall(pages.FENCE.sub("", text))
        if "://" not in link and not link.startswith(("#", "mailto:"))
        if not (tmp_path / pages.site_path(page)).parent.joinpath(link.split("#")[0]).exists()
    ]

    assert missing == []
    assert len(texts) == len(pages.PAGES) > 90


def test_llms_txt_lists_the_markdown_of_all_pages_of_the_navigation(build, pages):
    text = build.llms_text()

    listed = {link for _, _, link in pages.LINK.findall(text)}

    assert listed == {
        pages.site_path(page) for found in pages.sections().values() for page in found
    }
    assert text.startswith("# Twite\n\n> Twite is a self-hosted gateway")


def test_broken_links_and_links_to_outside_files_are_reported(build, tmp_path):
    (tmp_path / "index.html").write_text(
        '<h1 id="a">A</h1><a href="#a">1</a><a href="#b">2</a><a href="b.html">3</a>'
        '<a href="https://x.example">4</a><script src="https://cdn.example/a.js"></script>'
    )
    (tmp_path / "index.md").write_text("[1](#a) [2](index.md#a) ![3](c.svg) [4](https://x.example)")

    assert build.broken_links(tmp_path) == [
        "index.html: loads https://cdn.example/a.js",
        "index.html: broken link #b",
        "index.html: broken link b.html",
        "index.md: broken link c.svg",
    ]
