"""The redaction page matches the lists in the code, and its examples are true."""

import re
from pathlib import Path

import pytest

from twite.redaction import words
from twite.redaction.shapes import holds_a_person
from twite.redaction.vocabulary import person_in
from words_of_persons import OF_PERSONS

PAGE = (Path(__file__).parents[2] / "docs/reference/redaction.md").read_text("utf-8")
LISTS = {
    **OF_PERSONS,
    "whose": words.WHOSE | words.BESIDE,
    "people": words.PEOPLE,
    "tokens": words.TOKENS | words.CLICKS,
    "secrets": words.SECRETS | words.SECRET_WORDS | words.SECRET_PAIRS,
}


@pytest.mark.parametrize("kind", LISTS)
def test_examples_of_a_list_are_in_the_code(kind):
    [examples] = re.findall(rf"^\| {kind} \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)
    shown = set(re.findall(r"`([^`]+)`", examples))

    assert len(shown) > 4
    assert shown <= LISTS[kind]


def test_every_redaction_list_of_the_code_is_documented():
    table = PAGE.split("| list | treatment | examples |")[1].split("\n\n")[0]

    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE) == list(LISTS)


def test_documented_examples_of_personal_data_are_recognized():
    values = PAGE.partition("|---|---|")[2].partition("\n\n")[0]
    examples = re.findall(r"`([^`]+)`", values)

    assert len(examples) > 7
    assert [example for example in examples if not holds_a_person(example)] == []
    assert all(map(person_in, ("tel_nr", "cust_phone", "billing_first_name", "prénom")))
