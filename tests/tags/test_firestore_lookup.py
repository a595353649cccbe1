"""The variable Firestore Lookup of an export: Twite's own template reads the document."""

import pytest
from export_parts import CONTAINER, boolean, import_of, result_of, table, tag, text, variable

from twite.tags.container.parts import Variable, VariableSource
from twite.tags.container.toml_file import container_text
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.engines.quickjs.scenarios import run_scenarios
from twite.tags.importer import firestore_lookup
from twite.tags.template.effects import Service
from twite.tags.template.lint import lint
from twite.tags.template.sandbox import Call, EffectAnswer
from twite.tags.template.template import read_scenarios, read_template

NAME = firestore_lookup.NAME
# As in the export of gtm-templates-knowit-experience/sgtm-ga4-ecom-item-list-promo-attribution.
BY_QUERY = (
    text("collectionPath", "ecommerce"),
    table(
        "queriesSimpleTable",
        {"queryKey": "id", "queryOperator": "==", "queryValue": "{{GA - client_id}}"},
    ),
    text("keyPath", "int_attribution"),
    boolean("setProjectId", "true"),
    text("operation", "query"),
    text("projectId", "savio-firestore"),
)
BY_PATH = (text("documentPath", "visitors/{{GA - client_id}}"), text("operation", "read"))
CLIENT = variable("GA - client_id", "ed", text("keyPath", "client_id"), variableId="1")


def lookup(*parameters, **more):
    return variable("Plan", "fs", *parameters, **more)


def plan_of(found):
    return next(each for each in found.container.variables if each.name == "Plan")


@pytest.mark.parametrize(
    ("parameters", "fields"),
    [
        (
            BY_QUERY,
            {
                "operation": "query",
                "collectionPath": "ecommerce",
                "conditions": [{"field": "id", "operator": "==", "value": "{{GA - client_id}}"}],
                "keyPath": "int_attribution",
                "projectId": "savio-firestore",
            },
        ),
        (BY_PATH, {"operation": "read", "documentPath": "visitors/{{GA - client_id}}"}),
    ],
    ids=["query", "document"],
)
def test_firestore_lookup_becomes_a_variable_of_twites_template(parameters, fields):
    found = import_of(variable=[CLIENT, lookup(*parameters)])

    assert plan_of(found) == Variable(
        name="Plan",
        type=VariableSource.TEMPLATE,
        template=NAME,
        fields=fields,
        defaults=False,
    )
    assert result_of(found, "variable", "Plan")[0] == "differs"
    assert "needs credentials" in result_of(found, "template", NAME)[1]


def test_default_and_format_of_a_firestore_lookup_are_kept():
    default = boolean("setDefaultValue", "true"), text("defaultValue", "none")

    made = plan_of(
        import_of(
            variable=[
                CLIENT,
                lookup(*BY_PATH, *default, formatValue={"caseConversionType": "LOWERCASE"}),
            ]
        )
    )

    assert (made.default, made.format.case) == ("none", "lower")


def test_project_of_a_firestore_lookup_needs_its_switch():
    found = import_of(variable=[CLIENT, lookup(*BY_PATH, text("projectId", "old"))])

    assert "projectId" not in plan_of(found).fields


def test_parts_that_need_a_firestore_lookup_are_imported():
    found = import_of(
        variable=[CLIENT, lookup(*BY_QUERY)],
        tag=[tag("Tag", f"cvt_{CONTAINER}_1", text("plan", "{{Plan}}"))],
    )

    assert [each.name for each in found.container.tags] == ["Tag"]


def test_template_for_firestore_lookup_is_written_only_if_needed():
    several = [CLIENT, lookup(*BY_QUERY), variable("Other", "fs", *BY_PATH, variableId="8")]

    assert list(import_of(variable=several).texts) == ["T1", NAME]
    assert list(import_of(variable=[CLIENT]).texts) == ["T1"]


def test_template_is_renamed_if_the_export_has_one_of_its_name():
    theirs = {
        "templateId": "1",
        "name": NAME,
        "templateData": firestore_lookup.TEXT.replace("Returns a value", "Does"),
    }
    found = import_of(templates=[theirs], variable=[CLIENT, lookup(*BY_PATH)])

    assert plan_of(found).template == f"{NAME} (2)"
    assert found.texts[f"{NAME} (2)"] == firestore_lookup.TEXT


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ((), "it names no document or collection"),
        ((text("operation", "query"),), "it names no document or collection"),
        ((*BY_PATH[:1], text("operation", "count")), "its operation count is not known to Twite"),
    ],
)
def test_firestore_lookup_without_a_document_is_left_out(parameters, reason):
    found = import_of(variable=[lookup(*parameters)])

    result, why = result_of(found, "variable", "Plan")
    assert result == "left out"
    assert reason in why


def test_unknown_parameter_of_a_firestore_lookup_is_reported():
    found = import_of(variable=[CLIENT, lookup(*BY_PATH, text("cacheFor", "5"))])

    assert "'cacheFor' is not known to Twite" in result_of(found, "variable", "Plan")[1]


def test_import_leaves_no_secret_in_plain_text():
    assert import_of(variable=[CLIENT, lookup(*BY_QUERY)]).in_plain_text == ()


def test_template_passes_its_tests_and_has_exactly_its_permissions():
    template = read_template(firestore_lookup.TEXT.encode())

    verdicts = run_scenarios(template, read_scenarios(template.tests), now=1_764_000_000_000)

    assert [(verdict.name, verdict.failures) for verdict in verdicts if verdict.failures] == []
    assert len(verdicts) == 3
    assert lint(template) == ()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"value": [{"id": "1", "data": {"plan": {"name": "gold"}}}]}, "gold"),
        ({"value": []}, None),
        ({"reason": "permission_denied"}, None),
    ],
    ids=["found", "none", "refused"],
)
def test_template_requests_the_document_and_returns_the_value(answer, expected):
    engine = QuickJsEngine(read_template(firestore_lookup.TEXT.encode()))
    fields = {
        "operation": "query",
        "collectionPath": "c",
        "conditions": [{"field": "id", "operator": "==", "value": 5}],
        "keyPath": "plan.name",
        "projectId": "p",
    }

    turn = engine.start(Call(fields=fields, now=1))
    (asked,) = [effect for effect in turn.effects if isinstance(effect, Service)]
    turn = engine.resume(turn.run, (EffectAnswer(id=asked.id, **answer),), now=2)

    assert (asked.name, list(asked.arguments)) == (
        "Firestore.query",
        ["c", [["id", "==", 5]], {"projectId": "p", "limit": 1}],
    )
    assert turn.done
    assert turn.returned == expected


def test_written_container_names_the_file_of_the_template():
    found = import_of(variable=[CLIENT, lookup(*BY_QUERY)])

    assert f'template = "{NAME}"' in container_text(found.container, ())
