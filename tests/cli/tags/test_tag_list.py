"""`twite tag list`: the known public templates, and whether a file is one of them."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from twite.tags.settings import gallery
from twite.tags.settings.gallery import PublicTemplate, public_templates
from twite.tags.template.apis import APIS
from twite.tags.template.permissions import READERS

OWN = Path(__file__).parents[2] / "tags/templates/cookie_keeper.tpl"
NO_COMMIT = "0" * 40


@pytest.fixture
def with_own_template(monkeypatch):
    """Add a template of this project, with its hash, to the list."""

    def let(sha256: str) -> None:
        own = PublicTemplate(
            name="Keeps a cookie",
            kind="tag",
            repository="shop/cookie",
            path="template.tpl",
            commit=NO_COMMIT,
            sha256=sha256,
            tests=3,
            passed=3,
            tried="Meta: accepted",
        )
        monkeypatch.setattr(gallery, "public_templates", lambda: (own,))
        monkeypatch.setattr("twite.tags.commands.tag.listing.public_templates", lambda: (own,))

    return let


def test_list_of_known_templates_is_consistent():
    known = public_templates()
    permissions = {api.permission for api in APIS.values()} | set(READERS)

    assert len(known) >= 100
    assert len({found.sha256 for found in known}) == len(known)
    for found in known:
        assert re.fullmatch(r"[0-9a-f]{40}", found.commit)
        assert re.fullmatch(r"[0-9a-f]{64}", found.sha256)
        assert found.kind in {"tag", "client", "variable"}
        assert 0 <= found.passed <= found.tests
        assert set(found.needs) <= permissions, found.name


def test_known_templates_are_found_by_name_or_repository(command):
    code, out, _ = command("tag", "list", "--find", "snowplow")

    assert code == 0
    assert "Snowplow Client" in out
    assert out.endswith(f"3 of {len(public_templates())} templates.\n")
    rows = json.loads(command("tag", "list", "--find", "snowplow", "--json")[1])
    assert {row["repository"].partition("/")[0] for row in rows} == {"snowplow"}


def test_file_with_the_hash_of_a_known_template_is_described(command, with_own_template):
    with_own_template(hashlib.sha256(OWN.read_bytes()).hexdigest())

    code, out, _ = command("tag", "list", str(OWN))

    assert code == 0
    assert out == (
        f"✓ {OWN}: Keeps a cookie of shop/cookie at commit 0000000, 3 of 3 passed; Meta: accepted\n"
    )


def test_changed_file_with_the_name_of_a_known_template_is_reported(command, with_own_template):
    with_own_template("0" * 64)

    code, out, _ = command("tag", "list", str(OWN))

    assert code == 1
    assert out == (
        f"✗ {OWN}: not in the list\n"
        "    shop/cookie has a template of this name with different content at commit "
        "0000000: the file is another version, or was changed\n"
    )


def test_file_of_an_unknown_template_exits_1(command):
    code, out, _ = command("tag", "list", str(OWN), "--json")

    assert code == 1
    assert json.loads(out) == [{"file": str(OWN), "known": None, "similar": []}]
