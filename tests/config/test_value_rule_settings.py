"""`[[value_rule]]` and `[[value_table]]`: their keys, all errors at once, and reload."""

import pytest

from twite.config.difference import difference
from twite.domain.errors import SettingsError
from twite.formats.value_rules import ValueRule
from written import GOOD, read

RULE = """
[[value_rule]]
name = "profit"
value = "lookup('costs', contents[0].id, 'cost')"
events = ["purchase"]
"""
TABLE = """
[[value_table]]
name = "costs"
file = "costs.csv"
"""


def complaints(tmp_path, text):
    with pytest.raises(SettingsError) as wrong:
        read(tmp_path, GOOD + text)
    return [str(each) for each in wrong.value.each]


def test_rule_and_table_have_their_keys(tmp_path):
    settings = read(tmp_path, GOOD + RULE + TABLE)

    (rule,) = settings.value_rules
    assert rule == ValueRule(
        name="profit", value="lookup('costs', contents[0].id, 'cost')", events=("purchase",)
    )
    assert settings.value_tables == {"costs": tmp_path / "costs.csv"}


def test_all_mistakes_have_a_place_and_a_fix(tmp_path):
    text = """
[[value_rule]]
name = "profit"
value = "value -"
when = "summe(value)"
events = ["purchas"]
pixels = ["o8z6"]
sources = ["shopp"]

[[value_rule]]
name = "profit"
value = "lookup('cost', description, 'cost')"
"""

    found = complaints(tmp_path, text + TABLE)

    assert found == [
        "value_rule[0].pixels[0]: 'o8z6' is not the id of a [[pixel]]. Did you mean 'o8z6j'?",
        "value_rule[0].sources[0]: 'shopp' is not the name of a [[source]]. Did you mean 'shop'?",
        "value_rule[0].events[0]: 'purchas' is not an event of the rule's pixels. There is none",
        found[3],
        found[4],
        "value_rule[1].value: 'cost' is not the name of a [[value_table]]. Did you mean 'costs'?",
        found[6],
    ]
    assert found[3].startswith("value_rule[0].when: has an unknown function summe(). Available: ")
    assert found[4].startswith("value_rule[0].value: is not JMESPath: unexpected '-' at column 7")
    assert found[6].startswith("value_rule[1].name: 'profit' is already the value rule at")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (RULE, "value_rule[0].value: 'costs' is not the name of a [[value_table]]. There is none"),
        (
            RULE + 'when = "vlaue > `1`"\n' + TABLE,
            "value_rule[0].when: reads vlaue, which no conversion has. Did you mean 'value'?",
        ),
        (RULE.replace("name =", "nam ="), "value_rule[0].nam: unknown key. Did you mean 'name'?"),
        (
            TABLE.replace('"costs"', '"our costs"'),
            "value_table[0].name: 'our costs' is not a name of a table. Write letters",
        ),
        (TABLE + TABLE, "value_table[1].name: 'costs' is already the value table at"),
        (
            RULE + 'currency = "euro"\n' + TABLE,
            "value_rule[0].currency: 'euro' is not an ISO 4217 currency code, such as EUR",
        ),
    ],
)
def test_each_mistake_is_named(tmp_path, text, complaint):
    assert complaints(tmp_path, text)[0].startswith(complaint)


def test_rule_may_name_the_source_of_xs_format(tmp_path):
    text = RULE + 'sources = ["x-api"]\n' + TABLE

    assert read(tmp_path, GOOD + text).value_rules[0].sources == ("x-api",)


def test_reload_names_the_changed_keys(tmp_path):
    before = read(tmp_path, GOOD + RULE + TABLE)
    after = read(
        tmp_path, GOOD + RULE.replace("purchase", "sign_up") + TABLE.replace("costs.", "new.")
    )

    found = difference(before, after)

    assert [str(change) for change in found.changes] == [
        "value_rule profit changed: events",
        "value_table costs changed",
    ]
    assert found.restart == ()
