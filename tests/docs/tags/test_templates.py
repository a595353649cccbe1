"""The page on tag templates matches the code."""

import ast
import re
from pathlib import Path

from twite.tags.template import lint
from twite.tags.template.apis import APIS
from twite.tags.template.fields import flat
from twite.tags.template.permissions import READERS
from twite.tags.template.sandbox import RunLimits
from twite.tags.template.template import read_template

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/templates.md").read_text()


def test_every_template_api_is_documented_in_its_table():
    """The first table lists, by permission, the APIs that need no note; the second all others."""
    section = PAGE.split("## APIs")[1].split("\n## ")[0]
    alike, others = section.split("| API | permission | state | how |")

    documented = {
        name: (permission or None, "done", "")
        for permission, names in re.findall(
            r"^\| (?:`(\w+)`|none) \| (`.+) \|$", alike, re.MULTILINE
        )
        for name in re.findall(r"`(\w+)`", names)
    } | {
        name: (permission or None, state, note)
        for name, permission, state, note in re.findall(
            r"^\| `(\w+)` \| (?:`(\w+)`)? ?\| (\w+) \| ?(.*?) ?\|$", others, re.MULTILINE
        )
    }

    assert documented == {
        name: (api.permission, str(api.state), api.note) for name, api in APIS.items()
    }


def test_every_template_permission_is_documented():
    section = PAGE.split("## Permissions")[1].split("\n## ")[0]
    known = {api.permission for api in APIS.values()} - {None} | set(READERS)

    assert [name for name in sorted(known) if f"`{name}`" not in section] == []


def test_documented_limits_of_templates_match_the_code():
    limits = RunLimits()

    assert f"| CPU time | {limits.time * 1000:.0f} ms for each step |" in PAGE
    assert f"| memory of a context | {limits.memory // 2**20} MiB |" in PAGE
    assert f"| stack | {limits.stack // 1024} KiB |" in PAGE
    assert f"| effects | {limits.effects} for each run |" in PAGE
    assert f"| effects as JSON | {limits.output:,} characters |" in PAGE


def test_every_code_of_twite_tag_lint_is_documented():
    tree = ast.parse(Path(lint.__file__).read_text())
    used = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "LintWarning"
        and isinstance(node.args[0], ast.Constant)
    }

    section = PAGE.split("## Lint codes")[1]

    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == used


def test_readme_of_the_twite_tag_shows_and_describes_its_fields():
    readme = (ROOT / "sgtm/README.md").read_text()
    tag = read_template((ROOT / "sgtm/twite-tag.tpl").read_bytes())

    assert [field.name for field in flat(tag.fields) if f"| `{field.name}` |" not in readme] == []
    assert [
        image
        for image in re.findall(r"\]\((images/[^)]+)\)", readme)
        if not (ROOT / "sgtm" / image).is_file()
    ] == []
