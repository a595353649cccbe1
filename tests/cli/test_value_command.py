"""`twite value try`: on files, on a store, and beside a gateway; it says what fails, and where."""

import asyncio
import json
import sqlite3
from contextlib import closing

import polars as pl
import pytest
from command_stage import settings_in
from intake_stage import DESTINATION, SHOP, intake

from twite.domain.times import spelled
from twite.formats.value_rules import ValueRule, ValueRules
from twite.gateway.ingest.value_rules import CurrentValueRules

RULES = """
[[value_table]]
name = "costs"
file = "costs.csv"
[[value_rule]]
name = "profit"
events = ["purchase"]
when = "contents"
value = "sum(contents[].multiply(quantity, subtract(price, lookup('costs', id, 'cost'))))"
[[value_rule]]
name = "lead"
events = ["sign_up"]
value = "`20`"
currency = "EUR"
"""
MUGS = [{"id": "MUG-1", "price": "12.50", "quantity": 2}]
ORDERS = (
    {"event": "purchase", "conversion_id": "order-1", "email": "shopper@example.com",
     "value": "0.1", "currency": "EUR", "contents": MUGS},
    {"event": "purchase", "conversion_id": "order-2", "email": "shopper@example.com",
     "value": "0.2", "currency": "EUR", "contents": [{"id": "MUG-9", "price": "1", "quantity": 1}]},
    {"event": "purchase", "conversion_id": "order-3", "email": "shopper@example.com",
     "value": "7", "currency": "EUR", "contents": [{"id": "MUG-1", "quantity": 1}]},
    {"event": "purchase", "conversion_id": "order-4", "email": "shopper@example.com",
     "value": "5", "currency": "USD"},
    {"event": "sign_up", "conversion_id": "lead-1", "email": "shopper@example.com"},
    {"event": "sign_up", "conversion_id": "lead-1", "email": "shopper@example.com"},
    {"event": "purchase", "conversion_id": "order-5", "email": "shopper@example.com",
     "value": "9", "currency": "EUR", "consent": {"ad_user_data": "denied"}},
    {"event": "wishlist", "conversion_id": "wish-1", "email": "shopper@example.com"},
)  # fmt: skip
AS_X = {
    "conversion_time": "2026-11-24T10:00:00.000Z",
    "event_id": "o8z6m",
    "conversion_id": "x-1",
    "identifiers": [{"twclid": "23opevjt88psuo13lu8d020qkn"}],
}


@pytest.fixture(autouse=True)
def priority(monkeypatch):
    """Keep the priority of the test's own process."""
    lowered = []
    monkeypatch.setattr("twite.cli.value.command.yield_cpu", lambda: lowered.append(True))
    return lowered


@pytest.fixture
def shop(tmp_path):
    """A settings file with rules and a table, in a folder without a store."""
    path = settings_in(tmp_path)
    path.write_text(path.read_text() + RULES)
    (tmp_path / "costs.csv").write_text("id,cost\nMUG-1,4.10\n")
    return path


def file_of(path, *orders):
    file = path.with_name("orders.jsonl")
    file.write_text("".join(json.dumps(order) + "\n" for order in orders or ORDERS))
    return str(file)


async def _received(path):
    half = ValueRule(name="half", value="divide(value, `2`)", events=("purchase",))
    rules = ValueRules([half], pixels={"o8z6j": DESTINATION.events})
    async with intake(path, CurrentValueRules(rules)) as accept:
        for order in ORDERS:
            await accept.native(source=SHOP, body=json.dumps(order).encode())
        body = json.dumps({"conversions": [AS_X]}).encode()
        await accept.from_x(destination=DESTINATION, body=body)


@pytest.fixture
def received(shop):
    asyncio.run(_received(str(shop.with_name("twite.db"))))
    return shop


def tried(command, path, *arguments):
    code, out, err = command("value", "try", *arguments, "--config", str(path), "--json")
    assert out, err
    return code, json.loads(out)


def rule(found, name):
    (each,) = (each for each in found["rules"] if each["rule"] == name)
    return each


def left_out(found):
    return {each["reason"]: each["conversions"] for each in found["not_tried"]}


def test_rows_of_a_file_are_counted_and_summed_exactly_by_rule(command, shop):
    code, found = tried(command, shop, file_of(shop))

    assert code == 1
    assert (found["conversions"], found["unmatched"]) == (5, 1)
    assert found["sums"] == [
        {"currency": "EUR", "before": "7.30", "after": "44.00"},
        {"currency": "USD", "before": "5.00", "after": "5.00"},
    ]
    profit, lead = rule(found, "profit"), rule(found, "lead")
    assert (profit["matched"], profit["changed"], profit["failed"]) == (3, 1, 2)
    assert profit["sums"] == [{"currency": "EUR", "before": "7.30", "after": "24.00"}]
    assert (lead["matched"], lead["changed"], lead["failed"]) == (1, 1, 0)
    assert lead["sums"] == [{"currency": "EUR", "before": "0.00", "after": "20.00"}]
    assert left_out(found) == {"duplicate": 1, "suppressed": 1, "event_unknown": 1}


def test_failures_name_the_expression_the_missing_field_and_a_row(command, shop):
    _, found = tried(command, shop, file_of(shop))

    assert [
        (each["problem"], each["detail"], each["place"]["row"])
        for each in rule(found, "profit")["failures"]
    ] == [
        ("missing_row", 'value: the table costs has no cost for "MUG-9"', 2),
        ("expression_failed", "value: subtract() does not take null: price is missing", 3),
    ]


def test_examples_show_the_amount_before_and_after(command, shop):
    _, found = tried(command, shop, file_of(shop))

    assert rule(found, "profit")["examples"] == [
        {
            "place": {"file": "orders.jsonl", "row": 1, "conversion_id": "order-1"},
            "before": "0.10",
            "currency_before": "EUR",
            "after": "16.80",
            "currency": "EUR",
        }
    ]
    (lead,) = rule(found, "lead")["examples"]
    assert (lead["before"], lead["after"], lead["currency"]) == (None, "20.00", "EUR")
    (other,) = found["unmatched_examples"]
    assert (other["place"]["row"], other["before"], other["after"]) == (4, "5.00", "5.00")


def test_text_says_what_the_json_says(command, shop):
    code, out, _ = command("value", "try", file_of(shop), "--config", str(shop))

    assert code == 1
    assert out.startswith("5 conversions of orders.jsonl: 7.30 → 44.00 EUR, 5.00 → 5.00 USD")
    assert "price is missing" in out
    assert "1 conversion without a rule, for example orders.jsonl row 4 (order-4): 5.00 USD." in out
    assert "1 conversion not tried (event_unknown)" in out
    assert "shopper" not in out


def test_rules_that_do_not_fail_exit_with_0(command, shop, priority):
    code, found = tried(command, shop, file_of(shop, ORDERS[0], ORDERS[4]))

    assert (code, found["conversions"], priority) == (0, 2, [])


def test_csv_is_read_with_the_options_of_send(command, shop):
    file = shop.with_name("orders.csv")
    row = "o-1;1.234,50;shopper@example.com;MUG-1 x2 @12,50"
    file.write_text(f"Bestellung;Betrag;Mail;items\n{row}\n")
    options = ("--map", "conversion_id=Bestellung", "--map", "value=Betrag", "--map", "email=Mail")

    _, found = tried(
        command, shop, str(file), *options, "--event", "purchase", "--currency", "EUR",
        "--decimal", "comma",
    )  # fmt: skip

    assert found["sums"] == [{"currency": "EUR", "before": "1234.50", "after": "16.80"}]
    assert rule(found, "profit")["examples"][0]["place"]["row"] == 2


def test_parquet_is_read(command, shop):
    file = shop.with_name("orders.parquet")
    columns = {"event": ["sign_up"], "conversion_id": ["lead-1"], "email": ["shopper@example.com"]}
    pl.DataFrame(columns).write_parquet(file)

    _, found = tried(command, shop, str(file))

    assert rule(found, "lead")["changed"] == 1


def test_past_conversions_are_tried_with_their_original_amounts(command, received, priority):
    code, found = tried(command, received, "--since", "1d")

    assert code == 1
    assert priority == [True]
    assert found["sums"] == [
        {"currency": "EUR", "before": "7.30", "after": "64.00"},
        {"currency": "USD", "before": "5.00", "after": "5.00"},
    ]
    assert rule(found, "lead")["matched"] == 2
    places = {each["place"]["conversion_id"] for each in rule(found, "lead")["examples"]}
    assert places == {"lead-1", "x-1"}
    assert left_out(found) == {"suppressed": 1}


def test_past_orders_are_tried_with_their_tax(command, shop):
    order = ORDERS[3] | {"tax": "0.80", "new_customer": True}

    async def received(path):
        async with intake(path) as accept:
            await accept.native(source=SHOP, body=json.dumps(order).encode())

    asyncio.run(received(str(shop.with_name("twite.db"))))
    net = '[[value_rule]]\nname = "net"\nwhen = "new_customer"\nvalue = "subtract(value, tax)"\n'
    shop.write_text(shop.read_text() + net)

    _, found = tried(command, shop)
    _, of_file = tried(command, shop, file_of(shop, order))

    assert rule(found, "net")["sums"] == [{"currency": "USD", "before": "5.00", "after": "4.20"}]
    assert rule(of_file, "net")["sums"] == rule(found, "net")["sums"]


def test_only_one_source_is_tried_if_it_is_named(command, received):
    _, found = tried(command, received, "--source", "x-api")

    assert (found["conversions"], rule(found, "lead")["matched"]) == (1, 1)


def test_amounts_that_are_no_longer_stored_are_said(command, received):
    with closing(sqlite3.connect(received.with_name("twite.db"))) as store, store:
        store.execute("UPDATE submission SET body = x''")

    code, found = tried(command, received)

    assert (code, found["conversions"]) == (0, 0)
    assert left_out(found) == {"body_not_stored": 6, "suppressed": 1}
    (said,) = (each for each in found["not_tried"] if each["reason"] == "body_not_stored")
    assert "store.keep_bodies" in said["meaning"]
    *_, part = found["missing"]
    assert (part["reason"], part["conversions"]) == ("body_not_stored", 6)


def test_part_of_a_range_before_the_first_conversion_is_named(command, received):
    _, found = tried(command, received)

    (part,) = found["missing"]
    assert (part["since"], part["reason"]) == (found["since"], "not_received")
    with closing(sqlite3.connect(received.with_name("twite.db"))) as store, store:
        [(first,)] = store.execute("SELECT min(received_at) FROM submission")
    assert part["until"] == spelled(first)
    assert tried(command, received, "--since", part["until"])[1]["missing"] == []


def test_part_of_a_range_that_was_pruned_is_named(command, received):
    with closing(sqlite3.connect(received.with_name("twite.db"))) as store, store:
        # The first conversion was received 40 days ago, and deleted after 30.
        store.execute("UPDATE account SET since = since - 40 * 86400000 WHERE since > 0")

    code, out, _ = command("value", "try", "--since", "50d", "--config", str(received))
    _, found = tried(command, received, "--since", "50d")

    before, pruned = found["missing"]
    assert (before["reason"], pruned["reason"]) == ("not_received", "history_not_stored")
    assert before["until"] == pruned["since"]
    line = f"missing from {pruned['since']} until 20"
    assert any(
        each.startswith(line) and "store.keep_history" in each for each in out.splitlines()
    ), out
    assert code == 1


def test_empty_range_says_which_part_is_missing(command, received):
    code, _, err = command("value", "try", "--until", "3d", "--config", str(received))

    assert code == 1
    assert "the gateway had received nothing yet" in " ".join(err.split())


def test_store_that_a_gateway_uses_is_read_and_not_changed(command, received):
    async def beside():
        async with intake(str(received.with_name("twite.db"))) as accept:
            before = await accept.intake.balance()
            found = await asyncio.to_thread(tried, command, received)
            return before == await accept.intake.balance(), found

    is_same, (_, found) = asyncio.run(beside())

    assert is_same
    assert found["conversions"] == 6


def test_store_is_read_in_pages_with_a_pause_after_each(command, received, monkeypatch):
    pauses = []

    class Pause:
        async def __call__(self):
            pauses.append(True)

    monkeypatch.setattr("twite.app.what_if.past_values.YieldingPause", Pause)
    monkeypatch.setattr("twite.app.what_if.past_values._AT_ONCE", 1)

    _, found = tried(command, received)

    assert found["conversions"] == 6
    assert len(pauses) >= 6


def test_unreadable_table_is_named(command, shop):
    shop.with_name("costs.csv").write_text("id,price\nMUG-1,4.10\n")

    code, found = tried(command, shop, file_of(shop, ORDERS[0]))

    assert code == 1
    (problem,) = found["unreadable_tables"]
    assert 'no column "cost" after the first' in problem
    (failure,) = rule(found, "profit")["failures"]
    assert failure["problem"] == "table_unreadable"


@pytest.mark.parametrize(
    ("arguments", "code", "reported"),
    [
        (("{file}", "--since", "7d"), 2, "is for the store, not for files"),
        (("--event", "purchase"), 2, "name a file for this option"),
        (("--source", "nobody"), 2, "Available: shop"),
        (("{file}", "--source", "nobody"), 2, "Available: shop"),
        (("{file}", "--currency", "EURO"), 2, "not an ISO 4217 currency code"),
        (("none.csv",), 1, "none.csv"),
        (("--since", "2000-01-01", "--until", "2001-01-01"), 1, "there is no conversion in"),
    ],
)
def test_wrong_use_is_explained(command, received, arguments, code, reported):
    file = file_of(received)
    given = [each.format(file=file) for each in arguments]

    ended, _, err = command("value", "try", *given, "--config", str(received))

    assert (ended, reported in err) == (code, True), err


def test_settings_without_rules_are_an_error(command, tmp_path):
    path = settings_in(tmp_path)

    code, _, err = command("value", "try", "--config", str(path))

    assert (code, "there is no [[value_rule]]" in err) == (1, True)
