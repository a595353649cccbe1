"""The page on `twite check` shows every warning and failure of the code, with its fix."""

import ast

import pytest

import diagnostics_page
from diagnostics_page import ALERTS, FILES, KINDS, PAGE, Row


def calls():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=kind), args=[topic, _, meaning, fix]) if (
                    kind in KINDS
                ):
                    yield path.name, topic, meaning, fix


def test_page_contains_the_findings_of_the_code():
    assert diagnostics_page.page() == PAGE.read_text("utf-8"), "run make generate"


def test_every_finding_has_a_constant_topic_and_a_meaning():
    topics = {ast.literal_eval(topic) for _, topic, _, _ in calls()}

    assert topics - {ALERTS} <= {row.topic for row in diagnostics_page.rows()}
    assert [row for row in diagnostics_page.rows() if not row.meaning] == []
    assert len(diagnostics_page.rows()) >= len({ast.dump(ast.List(c[1:])) for c in calls()}) - 1


def test_finding_on_the_page_shows_values_as_words_in_capitals():
    (found,) = [row for row in diagnostics_page.rows() if row.finding.startswith("cannot write")]

    assert found == Row(
        "disk",
        "failed",
        "cannot write a file in FOLDER (STRERROR)",
        "Twite cannot write to the store.",
        "Check the owner of the folder and how the disk is mounted.",
    )


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("f'{event}pixel {p.id}: {len(names)}'", ["EVENT pixel ID: NAMES"]),
        ("'a' if b else f'{c.lower()} d'", ["a", "C d"]),
        ("'a ' + NAME", ["a first", "a second"]),
        ("describe()", ["DESCRIBE"]),
    ],
)
def test_text_of_an_expression(code, texts):
    scope = ast.parse("if x:\n    NAME = 'first'\nelse:\n    NAME = 'second'")

    assert diagnostics_page.templates(ast.parse(code, mode="eval").body, [scope]) == texts
