"""The page on tags names every field that the tag routes read."""

import re
from pathlib import Path

from twite.domain.submission import NotFiredReason
from twite.formats.event_data.conversions import REASONS, SPELLINGS
from twite.http.route_table import ROUTES

PAGE = (Path(__file__).parents[2] / "docs/reference/tags.md").read_text()


def test_every_reason_to_ignore_a_tag_event_is_documented_with_its_meaning():
    table = PAGE.split("| reason | meaning |")[1].split("\n\n")[0]

    assert dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", table, re.MULTILINE)) == REASONS


def test_documented_field_synonyms_match_the_code():
    table = PAGE.split("| names with the same meaning |")[1].split("\n\n")[0]
    lines = [tuple(re.findall(r"`(\w+)`", line)) for line in table.splitlines()]

    assert tuple(line for line in lines if line) == SPELLINGS


def test_every_tag_endpoint_is_documented():
    # A client template may also claim the front page, which is not for tags.
    paths = [route.path for route in ROUTES if route.claimable and route.path != "/"]

    assert len(paths) == 4
    assert [path for path in paths if f" {path}`" not in PAGE] == []


def test_every_reason_why_a_tag_did_not_fire_is_documented():
    table = PAGE.split("| not fired for | meaning |")[1].split("\n\n")[0]

    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(NotFiredReason)
