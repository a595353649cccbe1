"""Rules for the values of a template's fields."""

import pytest

from twite.tags.template.field_rules import FieldRemark, remarks_on
from twite.tags.template.fields import fill, read_fields


def remarks(given, *fields):
    return [
        f"{remark.field}: {remark.message}"
        for remark in remarks_on(read_fields(list(fields)), given)
    ]


def text(name="it", **said):
    return {"type": "TEXT", "name": name, **said}


def with_rule(type_, *args, **said):
    rule = {"type": type_, "args": list(args), **said}
    return {"valueValidators": [rule]}


def table(*columns, **said):
    return {"type": "SIMPLE_TABLE", "name": "rows", "simpleTableColumns": list(columns), **said}


def only_if(field, value, type_="EQUALS"):
    return {"enablingConditions": [{"paramName": field, "paramValue": value, "type": type_}]}


MODE = {
    "type": "RADIO",
    "name": "authMethod",
    "defaultValue": "oAuth",
    "radioItems": [
        {"value": "accessToken"},
        {"value": "oAuth", "subParams": [text("secret", **with_rule("NON_EMPTY"))]},
    ],
}


@pytest.mark.parametrize(
    ("rule", "fits", "not_"),
    [
        (("NON_EMPTY",), ["x", 0], {None: "must not be empty", "": "must not be empty"}),
        (
            ("REGEX", "[0-9]+|true"),
            ["12", 12, True, ""],
            {"1x": "must match [0-9]+|true"},
        ),
        (("REGEX", "(?<"), ["x"], {}),
        (
            ("NUMBER",),
            ["-5", "0.5", 7, -1.5, ""],
            {"three": "must be a number", "1e3": "must be a"},
        ),
        (
            ("NON_NEGATIVE_NUMBER",),
            ["0", "3", 0],
            {"-5": "must be 0 or more", -1: "must be 0 or more"},
        ),
        (
            ("POSITIVE_NUMBER",),
            ["1", 3, "0.5"],
            {
                "0": "must be a number above 0",
                "-1": "must be a number above 0",
                "x": "must be a number",
            },
        ),
        (
            ("PERCENTAGE",),
            ["0", "100", 50],
            {
                "101": "must be a number from 0 to 100",
                "-1": "must be a number",
                "50%": "must be a num",
            },
        ),
        (("PERCENTAGE",), [], {True: "must be a number from 0 to 100"}),
        (("DECIMAL",), ["0.5"], {"half": "must be a number"}),
        (
            ("STRING_LENGTH", 3, 5),
            ["abc", "abcde", ""],
            {"ab": "must have 3 to 5 characters", "abcdefg": "must have 3 to 5 characters"},
        ),
        (("STRING_LENGTH", "2", "2"), ["GB"], {"GBR": "must have 2 characters"}),
        (("STRING_LENGTH", 3), ["abcdefg"], {"ab": "must have at least 3 characters"}),
        (("SOME_DAY",), ["x"], {}),
    ],
)
def test_each_rule_accepts_and_refuses_its_values(rule, fits, not_):
    field = text(**with_rule(*rule))

    for value in fits:
        assert remarks({"it": value}, field) == []
    for value, said in not_.items():
        [remark] = remarks({} if value is None else {"it": value}, field)
        assert remark.startswith(f"it: {said}")


def test_error_message_of_the_template_is_used():
    field = text(**with_rule("NON_EMPTY", errorMessage="Enter your pixel"))

    assert remarks({}, field) == ["it: Enter your pixel"]


def test_wrong_values_are_kept_and_unknown_fields_are_warnings():
    fields = read_fields(
        [{"type": "CHECKBOX", "name": "on"}, table(), {"type": "PARAM_TABLE", "name": "more"}]
    )
    given = {"on": "yes", "rows": "none", "more": {}, "other": 1}

    assert remarks_on(fields, given) == (
        FieldRemark(field="other", message="is not a field of this template", doubt=True),
        FieldRemark(field="on", message="must be true or false"),
        FieldRemark(field="rows", message="must be a list of rows"),
        FieldRemark(field="more", message="must be a list of rows"),
    )
    assert fill(fields, given) == given


def test_unknown_choice_is_reported_with_the_valid_choices():
    numbers = {"type": "SELECT", "name": "n", "selectItems": [{"value": 1}, {"value": True}]}

    assert remarks({"authMethod": "accesToken"}, MODE) == [
        'authMethod: is not one of its choices: "accessToken", "oAuth"'
    ]
    assert remarks({"n": "1"}, numbers) == ["n: is not one of its choices: 1, true"]
    select = {"type": "SELECT", "name": "n", "selectItems": [{"value": 1}]}
    assert remarks({"n": True}, select) == ["n: is not one of its choices: 1"]
    assert remarks({"n": True}, numbers) == remarks({"n": 1}, numbers) == []
    assert remarks({"n": False}, numbers) == ["n: is not one of its choices: 1, true"]


def test_choice_set_by_a_variable_is_a_warning_unless_it_is_the_default():
    select = {"type": "SELECT", "name": "it", "selectItems": [{"value": "a"}], "defaultValue": "z"}
    open_ = read_fields([{**select, "macrosInSelect": True}])

    assert [remark.doubt for remark in remarks_on(open_, {"it": "b"})] == [True]
    assert [remark.doubt for remark in remarks_on(read_fields([select]), {"it": "b"})] == [False]
    assert (
        remarks({}, select) == remarks({"it": ""}, select) == remarks({"it": "{{x}}"}, select) == []
    )


@pytest.mark.parametrize("value", ["{{Price}}", "about {{Price}}"])
def test_values_from_variables_are_not_checked(value):
    fields = [
        text(**with_rule("POSITIVE_NUMBER")),
        {"type": "CHECKBOX", "name": "on"},
        table(text("n", isUnique=True, **with_rule("NUMBER"))),
    ]

    assert remarks({"it": value, "on": value, "rows": value}, *fields) == []
    assert remarks({"rows": [{"n": value}, {"n": value}, value, {value: 1}]}, *fields[2:]) == []


def test_hidden_field_is_not_checked():
    assert remarks({"authMethod": "accessToken"}, MODE) == []
    assert remarks({}, MODE) == ["secret: must not be empty"]


@pytest.mark.parametrize("type_", ["EQUALS", "NOT_EQUALS", "PRESENT"])
def test_field_that_a_variable_may_hide_is_not_checked(type_):
    dependent = text("more", **with_rule("NON_EMPTY"), **only_if("it", "x", type_))

    assert remarks({"it": "{{x}}"}, text(), dependent) == []


def test_rule_applies_while_its_condition_is_true():
    field = text("more", **with_rule("NON_EMPTY", **only_if("it", "x")))

    assert remarks({"it": "y"}, text(), field) == remarks({"it": "{{x}}"}, text(), field) == []
    assert remarks({"it": "x"}, text(), field) == ["more: must not be empty"]

    unless = text("more", **with_rule("NON_EMPTY", **only_if("it", "x", "NOT_EQUALS")))
    assert remarks({"it": "{{x}}"}, text(), unless) == []
    assert remarks({"it": "y"}, text(), unless) == ["more: must not be empty"]


def test_number_of_rows_in_a_table_is_checked():
    rows = table(text("n"), **with_rule("TABLE_ROW_COUNT", 1, 2))

    assert remarks({"rows": [{"n": "1"}] * 3}, rows) == ["rows: must have 1 to 2 rows"]
    assert remarks({"rows": [{"n": "1"}]}, rows) == remarks({}, rows) == []
    assert remarks({"rows": []}, table(**with_rule("NON_EMPTY"))) == ["rows: must not be empty"]


def test_each_cell_of_a_table_is_checked_by_its_column():
    rows = table(
        text("name", isUnique=True, **with_rule("NON_EMPTY")),
        {"type": "SELECT", "name": "kind", "selectItems": [{"value": "a"}, {"value": "b"}]},
        {"type": "CHECKBOX", "name": "on"},
    )
    given = [
        {"name": "x", "kind": "b", "on": True},
        {"kind": "c", "on": 1},
        {"name": "x", "nme": "y"},
        "z",
    ]

    assert remarks({"rows": given}, rows) == [
        "rows: row 2, name: must not be empty",
        'rows: row 2, kind: is not one of its choices: "a", "b"',
        "rows: row 2, on: must be true or false",
        "rows: row 3 has 'nme', which is not a column: name, kind, on",
        "rows: row 3, name: repeats row 1: values must be unique",
        "rows: row 4 must have the columns name, kind, on",
    ]


def test_column_is_checked_only_if_it_is_shown():
    columns = [
        {"param": text("kind"), "isUnique": False},
        {
            "param": text("path", **with_rule("NON_EMPTY"), **only_if("kind", "custom")),
            "isUnique": True,
        },
        {"param": text("id", **with_rule("NON_EMPTY"), **only_if("it", "x"))},
    ]
    rows = {"type": "PARAM_TABLE", "name": "rows", "paramTableColumns": columns}
    kinds = [{"kind": "root"}, {"kind": "custom"}, {"kind": "{{x}}"}, *[{"path": "p"}] * 2]

    assert remarks({"rows": kinds}, text(), rows) == [
        "rows: row 2, path: must not be empty",
        "rows: row 5, path: repeats row 4: values must be unique",
    ]
    assert remarks({"it": "x", "rows": [{}]}, text(), rows) == [
        "rows: row 1, id: must not be empty"
    ]


def test_cell_that_depends_on_a_variable_is_not_checked():
    rows = table(
        text("kind"),
        text("path", **with_rule("NON_EMPTY"), **only_if("kind", "root", "NOT_EQUALS")),
        {
            "type": "SELECT",
            "name": "more",
            "selectItems": [{"value": "a"}],
            "macrosInSelect": True,
        },
    )

    assert remarks({"rows": [{"kind": "{{x}}", "more": "b"}]}, rows) == []
    # A column with the name of a field is independent of it.
    assert remarks({"kind": "{{x}}", "rows": [{"kind": "y"}]}, text("kind"), rows) == [
        "rows: row 1, path: must not be empty"
    ]
