"""The how-to page of value rules: its rules, tried on its orders, give the amounts of its table."""

import re
from pathlib import Path

import pytest

from command_schemas import commands
from twite.cli import run

PAGE = Path(__file__).parents[2] / "docs/how-to/send-profit-instead-of-turnover.md"
SECTION = PAGE.read_text("utf-8").partition("## Rules for other goals")[2].partition("\n## ")[0]
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
