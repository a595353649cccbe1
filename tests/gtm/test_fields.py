"""Fields, and their values in `data` of a template."""

import pytest

from twite.gtm.template.fields import fill, flat, read_fields

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


def test_every_field_that_holds_something_is_listed_whatever_it_stands_in():
    names = [field.name for field in flat(FIELDS)]

    assert names == [
        *("text", "on", "days", "mode", "below", "choice", "rows", "table", "filled"),
    ]


def test_what_nobody_filled_in_has_its_default_and_keeps_its_type():
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
def test_a_field_that_nobody_touched_holds_what_googles_form_gives_for_it(field, held):
    filled = fill(read_fields([{"name": "it", **field}]), {})

    assert filled == ({} if held is None else {"it": held})


def test_a_text_that_was_emptied_is_absent_and_has_no_default_where_the_template_allows_none():
    fields = read_fields(
        [
            {"type": "TEXT", "name": "days", "defaultValue": "90"},
            {"type": "TEXT", "name": "key", "defaultValue": "id", "canBeEmptyString": True},
        ]
    )

    assert fill(fields, {"days": "", "key": ""}) == {"key": ""}


def test_what_a_variable_has_no_value_for_is_absent_and_its_empty_text_is_there():
    fields = read_fields(
        [
            {"type": "TEXT", "name": "days", "defaultValue": "90"},
            {"type": "TEXT", "name": "user"},
        ]
    )

    filled = fill(fields, {"user": ""}, written={"days": "{{Days}}", "user": "{{User}}"})

    assert filled == {"user": ""}


def test_to_a_condition_an_absent_text_is_an_empty_one():
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
def test_a_field_that_is_not_shown_is_absent_and_so_is_an_empty_table(given, absent):
    shown = {"below": "z", "filled": "y"}
    filled = fill(FIELDS, {"text": "x", **shown, **given})

    assert set(shown) - {absent} <= set(filled)
    assert absent not in filled


def test_one_condition_of_several_is_enough():
    filled = fill(FIELDS, {"text": "", "choice": "b", "filled": "y"})

    assert filled["filled"] == "y"


def test_a_name_that_is_no_field_is_kept():
    filled = fill(FIELDS, {"other": 1, "rows": "none"})

    assert (filled["other"], filled["rows"]) == (1, "none")
