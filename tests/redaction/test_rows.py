"""The name of a name-value row decides what its value fields contain."""

import pytest

from twite.redaction.rows import person_in_row, row_of
from twite.redaction.vocabulary import FieldKind

PHONE = (FieldKind.PHONE, frozenset({"title"}), frozenset({"answer"}))


def row(**more):
    return {"title": "Telefon", "answer": "02079460059"} | more


@pytest.mark.parametrize("alone", [False, True])
def test_row_contains_the_personal_data_that_its_name_says(alone):
    assert person_in_row(row(), alone=alone) == PHONE
    assert person_in_row(row(type="text", position=3), alone=alone) == PHONE
    assert person_in_row({"answer": "Blue", "title": "Color"}, alone=alone) is None


def test_row_with_other_fields_is_read_only_where_that_is_allowed():
    assert person_in_row(row(size="L")) == PHONE
    assert person_in_row(row(size="L"), alone=True) is None


@pytest.mark.parametrize(
    "given",
    [{}, {"title": "Telefon"}, {"title": "Telefon", "size": "L"}, {"answer": "x", "value": "y"},
     {"title": 7, "answer": "x"}],
)  # fmt: skip
def test_object_without_a_name_or_a_value_is_not_a_row(given):
    assert person_in_row(given) is None


@pytest.mark.parametrize(("many", "is_row"), [(12, True), (13, False)])
def test_object_with_more_than_twelve_fields_is_not_a_row(many, is_row):
    others = {f"x{number}": 1 for number in range(many - 2)}

    assert (person_in_row(row(**others)) == PHONE) is is_row


def test_name_and_value_fields_of_a_row_are_distinguished():
    given = {"name": "Email", "Label": "E-Mail", "value": "x", "answers": ["y"], "type": "text"}

    assert row_of(given) == ({"name": "Email", "Label": "E-Mail"}, {"value", "answers"})
    assert row_of({"label": 7, "size": "L"}) == ({}, frozenset())
