"""The how-to page of value rules: its rules, tried on its orders, give the amounts of its table."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from command_schemas import commands
from twite.cli import run
from twite.config.value_rules import ValueRuleTable
from twite.formats.expressions import nodes
from twite.formats.value_rules import ValueRule, rule_expression

PAGE = Path(__file__).parents[2] / "docs/how-to/send-profit-instead-of-turnover.md"
TEXT = PAGE.read_text("utf-8")
SECTION = TEXT.partition("## Rules for other goals")[2].partition("\n## ")[0]
RULES = re.findall(r"```toml\n(\[\[value_rule\]\]\n.*?)```", SECTION, re.DOTALL)
_ROW = r"^\| ([\w-]+) \| (orders\.jsonl row [^|]+) \| ([^|]+) \| ([^|]+) \|$"
ROWS = re.findall(_ROW, SECTION, re.MULTILINE)
SETTINGS = """\
[[pixel]]
id = "o8z6j"
auth = { pixel_token = "env:X_PIXEL_TOKEN" }
events = { purchase = "o8z6k", lead = "o8z6m" }
[[source]]
name = "shop"
key = "env:TWITE_SHOP_KEY"
pixel = "o8z6j"
"""


def name_of(rule):
    return re.search(r'name = "(.+?)"', rule)[1]


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_rule_gives_the_amounts_of_the_table(rule, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twite.toml").write_text(SETTINGS + rule)
    (tmp_path / "orders.jsonl").write_text(re.search(r"```jsonl\n(.*?)```", SECTION, re.DOTALL)[1])

    code = run(["value", "try", "orders.jsonl"])

    out = capsys.readouterr().out
    printed = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines()]
    expected = [list(row) for row in ROWS if row[0] == name_of(rule)]
    assert code == 0
    assert [row for row in printed if row and " row " in row[1]] == expected


def test_page_has_the_four_goals_and_a_row_for_each():
    names = ["new-customers", "lead", "without-vat", "without-shipping"]

    assert [name_of(rule) for rule in RULES] == names
    assert {row[0] for row in ROWS} == set(names)
    assert "value try" in commands()


def test_first_rule_gives_the_profit_that_the_page_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    [rule] = re.findall(r"```toml\n(\[\[value_table\]\]\n.*?)```", TEXT, re.DOTALL)
    (tmp_path / "twite.toml").write_text(SETTINGS + rule)
    for name, kind in (("costs.csv", "csv"), ("order.jsonl", "jsonl")):
        (tmp_path / name).write_text(re.search(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)[1])

    code = run(["value", "try", "order.jsonl"])

    [printed] = re.findall(r"^(1 conversion of .*)$", TEXT, re.MULTILINE)
    assert (code, capsys.readouterr().out.splitlines()[0]) == (0, printed)
    before, after = re.findall(r"[0-9.]+\b", printed.partition(": ")[2])
    assert f"`value rule   profit: {before} EUR → {after} EUR`" in TEXT


def compares_an_amount(text):
    """Return whether an expression compares an amount with a fixed number."""
    return any(
        node["type"] == "comparator"
        and {"field", "literal"} == {child["type"] for child in node["children"]}
        and node["children"][0]["value"] in {"value", "tax", "shipping", "price"}
        for node, _ in nodes(rule_expression(text).tree)
    )


def examples():
    """Yield the rules of the page, of its last table, and of the settings' template."""
    for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL):
        yield from tomllib.loads(block).get("value_rule", ())
    for row in re.findall(r"^\| .*`` value = .*$", TEXT, re.MULTILINE):
        yield tomllib.loads("\n".join(re.findall(r"`` (\w+ = \".*?\") ``", row)))
    keys = {field.name: field.default_factory for field in msgspec.structs.fields(ValueRuleTable)}
    yield {name: keys[name].example for name in ("value", "when", "currency")}


@pytest.mark.parametrize("example", list(examples()), ids=lambda each: each["value"])
def test_fixed_amount_of_an_example_has_a_currency(example):
    rule = ValueRule(
        name="own",
        value=example["value"],
        when=example.get("when"),
        currency=example.get("currency"),
    )

    if rule.has_own_amounts():
        assert rule.currency or "currency" in rule.fields()
    if rule.when and compares_an_amount(rule.when):
        assert "currency" in ValueRule(name="own", value=rule.when).fields()
