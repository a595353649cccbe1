"""The templates in tests/tags/templates together use every feature."""

import re
from pathlib import Path

import pytest

from twite.tags.engines.quickjs.scenarios import run_scenarios
from twite.tags.template.apis import APIS
from twite.tags.template.fields import Field
from twite.tags.template.lint import lint
from twite.tags.template.template import TemplateKind, read_scenarios, read_template

PATHS = sorted((Path(__file__).parents[0] / "templates").glob("*.tpl"))
TEMPLATES = {path.stem: read_template(path.read_bytes()) for path in PATHS}


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_passes_all_its_own_tests(name):
    template = TEMPLATES[name]
    scenarios = read_scenarios(template.tests)

    verdicts = run_scenarios(template, scenarios, now=1_764_000_000_000)

    assert [verdict.name for verdict in verdicts] == [
        scenario.name for scenario in scenarios.scenarios
    ]
    assert {verdict.name: verdict.failures for verdict in verdicts if verdict.failures} == {}
    assert verdicts


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_has_exactly_the_permissions_that_it_needs(name):
    assert lint(TEMPLATES[name]) == ()


def test_templates_together_use_every_api_and_kind_of_template():
    used = {
        name
        for template in TEMPLATES.values()
        for name in re.findall(r"require\('(\w+)'\)", template.code.text)
    }

    assert sorted(APIS.keys() - used) == []
    assert {template.kind for template in TEMPLATES.values()} == set(TemplateKind)


def test_templates_together_use_both_request_forms_and_code_styles():
    code = "\n".join(template.code.text for template in TEMPLATES.values())

    promised = re.search(r"sendHttp(?:Request|Get)\([^;]*\)\s*\.then\(", code)
    called_back = re.search(
        r"sendHttp(?:Request|Get)\(\s*[^,;]+,\s*(?:function|\([^)]*\) =>)", code
    )
    assert promised
    assert called_back
    assert re.search(r"^var \w+ = .*\bfunction\b|^function \w+\(", code, re.MULTILINE)
    assert re.search(r"\([^)]*\) => ", code)


def test_templates_together_declare_every_permission():
    declared = {grant.permission for template in TEMPLATES.values() for grant in template.grants}

    assert declared == {api.permission for api in APIS.values()} - {None}


def test_templates_together_have_every_field_type():
    def types(fields: tuple[Field, ...]) -> set[str]:
        below = (types(field.fields) for field in fields)
        return {field.type for field in fields}.union(*below) if fields else set()

    found = set().union(*(types(template.fields) for template in TEMPLATES.values()))

    assert found == {
        "CHECKBOX",
        "GROUP",
        "LABEL",
        "PARAM_TABLE",
        "RADIO",
        "SELECT",
        "SIMPLE_TABLE",
        "TEXT",
    }
