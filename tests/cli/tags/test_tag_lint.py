"""`twite tag lint`."""

import json
from pathlib import Path

import pytest

OWN = Path(__file__).parents[3] / "sgtm/twite-tag.tpl"
HEAD = '___INFO___\n{"type": "TAG", "displayName": "A tag"}\n___SANDBOXED_JS_FOR_SERVER___\n'


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "a.tpl"
        path.write_text(HEAD + text)
        return str(path)

    return write


def test_lint_prints_file_line_and_code(command, written):
    path = written("const a = new Thing();\nreturn require('getEventData')('a');")

    code, out, _ = command("tag", "lint", path)

    assert code == 1
    assert out == (
        f"{path}:4: Google's sandbox has no `new` [language]\n"
        f"{path}: getEventData needs read_event_data, which is not declared [permission_missing]\n"
    )


def test_lint_finds_nothing_in_twites_own_tag(command):
    assert command("tag", "lint", str(OWN)) == (0, "No findings.\n", "")
    assert command("tag", "lint", str(OWN), "--json") == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("text", "line", "section"),
    [
        ("const a = ;", 4, "SANDBOXED_JS_FOR_SERVER: SyntaxError"),
        ("return 1;\nif (1 {", 5, "SANDBOXED_JS_FOR_SERVER: SyntaxError"),
        # The engine does not report the line of an error in a regular expression.
        ("return 1;\nconst a = /b(/;", 4, "SANDBOXED_JS_FOR_SERVER: SyntaxError"),
        ("return 1;\n___TESTS___\nscenarios: [\n", 7, "TESTS: not YAML"),
    ],
)
def test_lint_reports_a_syntax_error_with_its_line(command, written, text, line, section):
    path = written(text)

    code, out, _ = command("tag", "lint", path)
    found = json.loads(command("tag", "lint", path, "--json")[1])

    assert code == 1
    assert out.startswith(f"{path}:{line}: {section}")
    assert out.splitlines()[0].endswith(" [syntax]")
    assert (found[0]["code"], found[0]["line"]) == ("syntax", line)


def test_lint_reports_a_syntax_error_with_the_other_findings(command, written):
    path = written("const a = new Thing();\nconst b = ;")

    _, out, _ = command("tag", "lint", path)

    assert [line.rpartition("[")[2] for line in out.splitlines()] == ["syntax]", "language]"]
