"""The fields of a template, and their values in `data`."""

import pytest

from twite.tags.template.fields import fill, flat, read_fields

FIELDS = read_fields(
    [
        {"type": "LABEL", "name": "label", "displayName": "Hello"},
        {
            "type": "GROUP",
            "name": "group",
            "subParams": [
                {"type": "TEXT", "name": "text", "valueValidators": [{"type": "NON_EMPTY"}]},
                {"type": "CHECKBOX", "name": "on", "checkboxText": "On", "defaultValue": True},
                {
                    "type": "TEXT",
                    "name": "days",
                    "defaultValue": "90",
                    "enablingConditions": [
                        {"paramName": "on", "paramValue": True, "type": "EQUALS"}
                    ],
                },
            ],
        },
        {
            "type": "RADIO",
            "name": "mode",
            "defaultValue": 2,
            "radioItems": [
                {"value": 1, "displayValue": "One"},
                {
                    "value": 2,
                    "displayValue": "Two",
                    "subParams": [{"type": "TEXT", "name": "below"}],
                },
            ],
        },
        {
            "type": "SELECT",
            "name": "choice",
            "selectItems": [{"value": "a", "displayValue": "A"}, {"value": "b"}],
        },
        {
            "type": "SIMPLE_TABLE",
            "name": "rows",
            "simpleTableColumns": [{"type": "TEXT", "name": "name"}],
        },
        {
            "type": "PARAM_TABLE",
            "name": "table",
            "paramTableColumns": [{"param": {"type": "TEXT", "name": "name"}, "isUnique": True}],
        },
        {
            "type": "TEXT",
            "name": "filled",
            "enablingConditions": [
                {"paramName": "text", "type": "PRESENT"},
                {"paramName": "choice", "paramValue": "a", "type": "NOT_EQUALS"},
            ],
        },
    ]
)


def test_every_field_with_a_value_is_listed():
    names = [field.name for field in flat(FIELDS)]

    assert names == [
        *("text", "on", "days", "mode", "below", "choice", "rows", "table", "filled"),
    ]


def test_empty_fields_have_typed_defaults():
    filled = fill(FIELDS, {"text": "x"})

    assert filled == {
        "text": "x",
        "on": True,
        "days": "90",
        "mode": 2,
        "choice": "a",
    }


@pytest.mark.parametrize(
    ("field", "held"),
    [
        ({"type": "TEXT"}, None),
        ({"type": "TEXT", "defaultValue": ""}, None),
        ({"type": "TEXT", "canBeEmptyString": True}, ""),
        ({"type": "CHECKBOX"}, False),
        ({"type": "SELECT", "selectItems": [{"value": 1}, {"value": 2}]}, 1),
        ({"type": "SELECT", "selectItems": [{"value": 1}], "notSetText": "-"}, ""),
        ({"type": "RADIO", "radioItems": [{"value": "a"}, {"value": "b"}]}, "a"),
        ({"type": "SIMPLE_TABLE"}, None),
    ],
)
def test_untouched_field_has_the_value_of_googles_form(field, held):
    filled = fill(read_fields([{"name": "it", **field}]), {})

    assert filled == ({} if held is None else {"it": held})


def test_emptied_text_field_is_absent_unless_the_template_allows_it():
    fields = read_fields(
        [
            {"type": "TEXT", "name": "days", "defaultValue": "90"},
            {"type": "TEXT", "name": "key", "defaultValue": "id", "canBeEmptyString": True},
        ]
    )

    assert fill(fields, {"days": "", "key": ""}) == {"key": ""}


def test_undefined_variable_is_absent_and_an_empty_text_present():
    fields = read_fields(
        [
            {"type": "TEXT", "name": "days", "defaultValue": "90"},
            {"type": "TEXT", "name": "user"},
        ]
    )

    filled = fill(fields, {"user": ""}, written={"days": "{{Days}}", "user": "{{User}}"})

    assert filled == {"user": ""}


def test_condition_treats_an_absent_text_as_empty():
    fields = read_fields(
        [
            {"type": "TEXT", "name": "text"},
            {
                "type": "CHECKBOX",
                "name": "more",
                "enablingConditions": [
                    {"paramName": "text", "paramValue": "", "type": "NOT_EQUALS"}
                ],
            },
        ]
    )

    assert fill(fields, {}) == {}


@pytest.mark.parametrize(
    ("given", "absent"),
    [
        ({"on": False}, "days"),
        ({"mode": 1}, "below"),
        ({"text": "", "choice": "a"}, "filled"),
        ({"rows": []}, "rows"),
    ],
)
def test_hidden_fields_and_empty_tables_are_absent(given, absent):
    shown = {"below": "z", "filled": "y"}
    filled = fill(FIELDS, {"text": "x", **shown, **given})

    assert set(shown) - {absent} <= set(filled)
    assert absent not in filled


def test_field_is_shown_if_one_of_its_conditions_is_true():
    filled = fill(FIELDS, {"text": "", "choice": "b", "filled": "y"})

    assert filled["filled"] == "y"


def test_field_that_the_template_lacks_is_kept():
    filled = fill(FIELDS, {"other": 1, "rows": "none"})

    assert (filled["other"], filled["rows"]) == (1, "none")
