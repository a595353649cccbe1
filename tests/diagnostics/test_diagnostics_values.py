"""Diagnostics of rules for values: tables, sources that disagree, and X's pixel in pages."""

import msgspec
import pytest

from builders import a_submission, an_entry
from twite.diagnostics import CheckStatus
from twite.diagnostics.value_rules import value_rules
from twite.domain.stats.deduplication import DedupPath, DedupRow
from twite.domain.stats.match_keys import MatchKeys
from twite.domain.test_mode import in_test
from twite.machine.system import SystemClock
from twite.stores.sqlite import SQLiteStore
from written import GOOD, read

PAGE = '\n[[source]]\nname = "page"\npixel = "o8z6j"\norigins = ["https://page.example"]\n'
RULE = '\n[[value_rule]]\nname = "net"\nevents = ["purchase"]\nvalue = "divide(value, `1.19`)"\n'
COSTS = """
[[value_table]]
name = "costs"
file = "costs.csv"
[[value_rule]]
name = "profit"
value = "subtract(value, lookup('costs', contents[0].id, 'cost'))"
currency = "EUR"
"""
GOOD = GOOD.replace('origins = ["https://shop.example"]\n', "")


def a_row(path):
    now = SystemClock().now()
    return DedupRow(pixel="o8z6j", event="o8z6k", conversion_id="order-1", path=path, at=now)


async def found(folder, text, *, senders=(), paths=()):
    """Return the warnings, after sources sent purchases, and purchases came by other paths."""
    now = SystemClock().now()
    store = await SQLiteStore.open(str(folder / "twite.db"))
    key_set = int(MatchKeys.CLICK)
    for source in senders:
        entry = msgspec.structs.replace(an_entry(f"of-{source}"), key_set=key_set)
        await store.record(a_submission(entry, receipt=source, source=source, received_at=now))
    seen = a_submission(receipt="seen", received_at=now)
    rows = tuple(map(a_row, paths))
    await store.record(msgspec.structs.replace(seen, dedup_rows=rows))
    await store.close()
    findings = [each async for each in value_rules(read(folder, text))]
    assert {each.topic for each in findings} <= {"values"}
    return [each.found for each in findings if each.status is CheckStatus.WARNING]


async def test_settings_without_rules_have_no_finding(tmp_path):
    assert await found(tmp_path, GOOD + PAGE, senders=("shop", "page")) == []


async def test_rule_of_one_source_warns_if_another_sends_the_event(tmp_path):
    rule = RULE + 'sources = ["shop"]\n'

    assert await found(tmp_path, GOOD + PAGE + rule, senders=("shop", "page")) == [
        "the rule net applies to purchase of pixel o8z6j from shop, but not from page"
    ]


async def test_rule_warns_if_the_copies_of_the_other_source_came_second(tmp_path):
    text = GOOD + PAGE + RULE + 'sources = ["shop"]\n'
    paths = (DedupPath.PAGE, DedupPath.SERVER)

    assert await found(tmp_path, text, senders=("page",), paths=paths) == [
        "the rule net applies to purchase of pixel o8z6j from shop, but not from page"
    ]


@pytest.mark.parametrize(
    ("rule", "senders"),
    [
        (RULE, ("shop", "page")),
        (RULE + 'sources = ["shop", "page"]\n', ("shop", "page")),
        (RULE + 'sources = ["shop"]\n', ("shop",)),
        (RULE + 'sources = ["shop"]\n', ("shop", in_test("page"))),
        (RULE.replace("purchase", "sign_up") + 'sources = ["shop"]\n', ("shop", "page")),
    ],
)
async def test_rule_that_treats_all_copies_alike_is_silent(tmp_path, rule, senders):
    assert await found(tmp_path, GOOD + PAGE + rule, senders=senders) == []


@pytest.mark.parametrize(
    ("page", "paths"),
    [
        (PAGE, (DedupPath.PIXEL, DedupPath.PAGE)),
        (PAGE, (DedupPath.PIXEL,)),
        (PAGE + 'x_pixel = "load"\n', ()),
    ],
)
async def test_amount_of_x_pixel_warns_if_a_rule_changes_the_copy(tmp_path, page, paths):
    (warned,) = await found(tmp_path, GOOD + page + RULE, paths=paths)

    assert warned.startswith("X's pixel in pages sends purchase of pixel o8z6j with its own amount")
    assert warned.endswith("the rule net")


@pytest.mark.parametrize(
    ("page", "rule", "paths"),
    [
        (PAGE + 'x_pixel = "off"\n', RULE, (DedupPath.PIXEL,)),
        (PAGE, RULE, (DedupPath.PAGE, DedupPath.SERVER)),
        (PAGE, RULE, (DedupPath.BLOCKED,)),
        (PAGE, RULE.replace("purchase", "sign_up"), (DedupPath.PIXEL,)),
        ("", RULE, (DedupPath.PIXEL,)),
    ],
)
async def test_pages_that_send_no_other_amount_are_silent(tmp_path, page, rule, paths):
    warned = await found(tmp_path, GOOD + page + rule, paths=paths)

    assert [each for each in warned if "X's pixel" in each] == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: {path}: No such file or directory"),
        ("", "cannot be read: {path}: empty. Write a first line"),
        ("id,price\nA,1\n", 'cannot be read: {path}: no column "cost" after the first'),
        ("id,cost\nA,much\n", 'cannot be read: {path}: row 2: "much" in column cost'),
        ("id,cost\n", "has no rows: {path}"),
    ],
)
async def test_table_that_rules_cannot_use_is_named(tmp_path, content, said):
    path = tmp_path / "costs.csv"
    if content is not None:
        path.write_text(content)

    (warned,) = await found(tmp_path, GOOD + COSTS)

    assert warned.startswith(f"the table costs {said.format(path=path)}")


async def test_table_with_a_row_and_its_column_is_silent(tmp_path):
    (tmp_path / "costs.csv").write_text("id,cost\nA,1\n")

    assert await found(tmp_path, GOOD + COSTS) == []


def a_rule(value, more=""):
    return f'\n[[value_rule]]\nname = "own"\nvalue = "{value}"\n{more}'


@pytest.mark.parametrize(
    "rule",
    [
        COSTS.replace('currency = "EUR"\n', ""),
        COSTS.replace('currency = "EUR"\n', 'when = "value > `100`"\n'),
        a_rule("subtract(value, `4.90`)"),
        a_rule("max([add(`5`, value), `0`])"),
    ],
)
async def test_amounts_of_a_rule_warn_without_its_currency(tmp_path, rule):
    (tmp_path / "costs.csv").write_text("id,cost\nA,1\n")

    (warned,) = await found(tmp_path, GOOD + rule)

    assert warned.endswith("calculates with a table or a fixed amount, and has no currency")


@pytest.mark.parametrize(
    "rule",
    [
        COSTS,
        COSTS.replace('currency = "EUR"\n', "when = \"currency == 'EUR'\"\n"),
        a_rule("subtract(value, `4.90`)", 'currency = "EUR"\n'),
        a_rule("subtract(value, `0`)"),
        a_rule("subtract(value, tax)"),
        a_rule("multiply(value, add(`1`, `0.5`))"),
        a_rule("multiply(value, `1.5`)", "when = \"currency == 'EUR' && value > `100`\"\n"),
        a_rule("multiply(value, `1.5`)", 'when = "value > `100`"\ncurrency = "EUR"\n'),
        a_rule("multiply(value, `1.5`)", 'when = "value > `0` && quantity > `2`"\n'),
    ],
)
async def test_rule_that_fits_every_currency_or_names_one_is_silent(tmp_path, rule):
    (tmp_path / "costs.csv").write_text("id,cost\nA,1\n")

    assert await found(tmp_path, GOOD + rule) == []


@pytest.mark.parametrize(
    "rule",
    [
        a_rule("multiply(value, `1.5`)", 'when = "value > `100`"\n'),
        a_rule("multiply(value, `1.5`)", 'when = "contents[?price >= `50`]"\n'),
    ],
)
async def test_threshold_of_an_amount_warns_without_a_currency(tmp_path, rule):
    (warned,) = await found(tmp_path, GOOD + rule)

    assert warned == "the rule own compares an amount with a fixed number in any currency"


OF_NEW = RULE + 'when = "new_customer && contents[?quantity > `1`]"\n'
READS = "reads contents, new_customer, and pages and servers send purchase of pixel o8z6j"
BOTH = (DedupPath.PAGE, DedupPath.SERVER)


@pytest.mark.parametrize(
    ("page", "senders", "paths"),
    [
        (PAGE, ("shop", "page"), ()),
        (PAGE, ("page",), BOTH),
        ('origins = ["https://shop.example"]\n', ("shop",), BOTH),
    ],
)
async def test_rule_that_reads_what_a_copy_may_lack_warns(tmp_path, page, senders, paths):
    assert await found(tmp_path, GOOD + page + OF_NEW, senders=senders, paths=paths) == [
        f"the rule net {READS}"
    ]


async def test_value_that_reads_what_a_copy_may_lack_warns(tmp_path):
    rule = a_rule("subtract(value, tax)")

    (warned,) = await found(tmp_path, GOOD + PAGE + rule, senders=("shop", "page"))

    assert warned.startswith("the rule own reads tax, and pages and servers send purchase")


@pytest.mark.parametrize(
    ("rule", "senders", "paths"),
    [
        (RULE + "when = \"value > `9` && currency == 'EUR'\"\n", ("shop", "page"), BOTH),
        (RULE + "when = \"currency == 'EUR'\"\n", ("shop", "page"), BOTH),
        (OF_NEW, ("shop",), ()),
        (OF_NEW, ("page",), (DedupPath.PAGE,)),
        (OF_NEW, ("shop", in_test("page")), ()),
        (OF_NEW.replace("purchase", "sign_up"), ("shop", "page"), BOTH),
    ],
)
async def test_rule_that_reads_what_all_copies_have_is_silent(tmp_path, rule, senders, paths):
    assert await found(tmp_path, GOOD + PAGE + rule, senders=senders, paths=paths) == []


async def test_rule_of_the_server_alone_has_no_second_finding(tmp_path):
    rule = OF_NEW + 'sources = ["shop"]\n'

    (warned,) = await found(tmp_path, GOOD + PAGE + rule, senders=("shop", "page"))

    assert warned.endswith("from shop, but not from page")


async def test_tables_are_checked_without_a_store(tmp_path):
    findings = [each async for each in value_rules(read(tmp_path, GOOD + COSTS))]

    assert [each.status for each in findings] == [CheckStatus.WARNING]
