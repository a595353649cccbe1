"""The docs match the code."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from twite.domain.delivery import TRANSITIONS
from twite.domain.fault import CODES
from twite.formats.parsed_request import Native, NativeContent
from twite.observers.metrics import Metrics

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_table_of_delivery_states_matches_the_code():
    page = (DOCS / "explanation/life-of-a-conversion.md").read_text()

    documented = re.findall(r"^\| (\w+) \| (\w+) \| (\w+) \|$", page, re.MULTILINE)

    assert documented[1:] == [
        (state, trigger, following)
        for state, triggers in TRANSITIONS.items()
        for trigger, following in triggers.items()
    ]


def test_every_error_code_is_documented_with_its_meaning():
    page = (DOCS / "reference/error-codes.md").read_text()

    documented = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", page, re.MULTILINE))

    assert {code: documented.get(code) for code in CODES} == CODES


def test_every_metric_is_documented():
    page = (DOCS / "reference/metrics.md").read_text()
    families = text_string_to_metric_families(Metrics().latest().decode())
    names = {metric.name for metric in families}

    documented = set(re.findall(r"^\| `(twite_\w+?)(?:_total)?` \|", page, re.MULTILINE))

    assert documented == names


def test_every_link_between_pages_is_valid():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]

    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert broken == []


def test_every_link_to_a_heading_is_valid():
    roots = [
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "gtm-web/README.md", "sgtm/README.md")
    ]
    pages = [*roots, *DOCS.rglob("*.md")]

    broken = [
        f"{page.relative_to(ROOT)}: {target}#{anchor}"
        for page in pages
        for target, anchor in re.findall(
            r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text("utf-8")
        )
        if anchor not in anchors(page.parent / target if target else page)
    ]

    assert broken == []


def anchors(page):
    """Return GitHub's anchors for the headings of a page."""
    if page.suffix != ".md":
        return set()
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = [
        re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    ]
    slugs = [re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in headings]
    earlier: dict[str, int] = {}
    found = set()
    for slug in slugs:
        times = earlier.get(slug, 0)
        earlier[slug] = times + 1
        found.add(f"{slug}-{times}" if times else slug)
    return found


def test_every_decision_record_is_listed():
    index = (DOCS / "decisions/README.md").read_text()

    unlisted = [
        page.name for page in (DOCS / "decisions").glob("0*.md") if f"({page.name})" not in index
    ]

    assert unlisted == []


def test_every_field_of_a_conversion_is_documented():
    page = (DOCS / "reference/http.md").read_text()
    table = page.split("| field | accepted value")[1].split("\n\n")[0]
    line = next(
        paragraph
        for paragraph in page.split("\n\n")
        if paragraph.startswith("A line of `contents`")
    )

    documented = set(
        re.findall(r"`(\w+)`", " ".join(re.findall(r"^\|([^|]+)\|", table, re.MULTILINE)))
    )

    assert documented == set(Native.__struct_fields__)
    assert set(NativeContent.__struct_fields__) <= set(re.findall(r"`(\w+)`", line))


@pytest.mark.parametrize("page", sorted((DOCS / "how-to").glob("*.md")), ids=lambda page: page.stem)
def test_how_to_page_says_how_to_check_it_and_names_the_next_page(page):
    text = page.read_text("utf-8")

    assert "Check that it works" in text
    assert text.rstrip().split("\n\n")[-1].startswith("Next: ")
