"""Fields, and what of them a template sees as `data`."""

import pytest

from twite.sgtm.fields import Remark, fill, flat, read_fields

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
    filled, _ = fill(FIELDS, {"text": "x"})

    assert filled == {
        "text": "x",
        "on": True,
        "days": "90",
        "mode": 2,
        "below": "",
        "choice": "a",
        "filled": "",
    }


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
    filled, _ = fill(FIELDS, {"text": "x", **given})

    assert absent not in filled


def test_one_condition_of_several_is_enough():
    filled, _ = fill(FIELDS, {"text": "", "choice": "b", "filled": "y"})

    assert filled["filled"] == "y"


def test_what_is_wrong_is_remarked_on_and_kept():
    filled, remarks = fill(FIELDS, {"text": "", "on": "yes", "rows": "none", "other": 1})

    assert remarks == (
        Remark(field="other", message="is no field of this template"),
        Remark(field="text", message="must not be empty"),
        Remark(field="on", message="takes true or false"),
        Remark(field="rows", message="takes a list of rows"),
    )
    assert (filled["other"], filled["rows"]) == (1, "none")


@pytest.mark.parametrize(
    ("validator", "value", "valid"),
    [
        ({"type": "REGEX", "args": ["^[0-9]+$"]}, "12", True),
        ({"type": "REGEX", "args": ["^[0-9]+$"]}, "1x", False),
        ({"type": "REGEX", "args": ["^[0-9]+$"]}, "", True),
        ({"type": "REGEX", "args": ["(?<"]}, "x", True),
        ({"type": "POSITIVE_NUMBER"}, "3", True),
        ({"type": "POSITIVE_NUMBER"}, "three", False),
        ({"type": "TABLE_ROW_COUNT", "args": [0]}, "x", True),
    ],
)
def test_a_validator_looks_at_the_text(validator, value, valid):
    fields = read_fields([{"type": "TEXT", "name": "a", "valueValidators": [validator]}])

    _, remarks = fill(fields, {"a": value})

    assert (remarks == ()) is valid
