"""Value rules of a running gateway: from the request to X, the history, and a changed table."""

import json

import pytest
from gateway_processes import Gateway, command, wait_for

pytestmark = pytest.mark.journey

RULES = """
[[value_rule]]
name = "profit"
events = ["purchase"]
value = "sum(contents[].multiply(quantity, subtract(price, lookup('costs', id, 'cost'))))"
[[value_rule]]
name = "lead"
events = ["sign_up"]
value = "`20`"
currency = "EUR"
[[value_table]]
name = "costs"
file = "costs.csv"
"""
LINES = [{"id": "MUG", "price": "0.30", "quantity": 3}, {"id": "HAT", "price": "19.90"}]


@pytest.fixture
def gateway(tmp_path, x_emulator):
    gateway = Gateway(tmp_path, x_emulator.url)
    gateway.config.write_text(gateway.config.read_text() + RULES)
    (tmp_path / "costs.csv").write_text("id,cost\nMUG,0.10\nHAT,9.90\n")
    with gateway:
        yield gateway


def post(gateway, name, **fields):
    order = {
        "event": "purchase",
        "conversion_id": name,
        "value": "20.80",
        "currency": "EUR",
        "twclid": "abc",
        "contents": [LINES[0], LINES[1] | {"quantity": 1}],
    }
    return gateway.post({key: value for key, value in (order | fields).items() if value})


def history(gateway, name):
    (found,) = json.loads(command(gateway, "show", name, "--json").stdout)["conversions"]
    return found


def test_rules_change_what_x_gets_and_the_history_says_so(gateway):
    post(gateway, "order-1")
    post(gateway, "lead-1", event="sign_up", value=None, currency=None, contents=None)
    post(gateway, "order-2", contents=[LINES[0] | {"id": "NEW"}])
    gateway.drained()

    order, lead, kept = (history(gateway, name) for name in ("order-1", "lead-1", "order-2"))
    printed = command(gateway, "show", "order-1").stdout

    assert (order["state"], order["sent"]["value"]) == ("delivered", "10.60")
    assert order["value_change"] == {
        "rule": "profit",
        "before": "20.80",
        "currency_before": "EUR",
        "after": "10.60",
        "currency": "EUR",
    }
    assert "value rule   profit: 20.80 EUR → 10.60 EUR" in printed
    assert (lead["sent"]["value"], lead["sent"]["price_currency"]) == ("20.00", "EUR")
    assert kept["sent"]["value"] == "20.80"
    assert kept["value_change"]["problem"] == "missing_row"


def test_changed_table_is_read_without_a_restart(gateway):
    table = gateway.folder / "costs.csv"
    table.write_text("id,cost\nMUG,0.20\nHAT,9.90\n")
    reloaded = json.loads(command(gateway, "reload", "--json").stdout)
    post(gateway, "order-1")
    table.write_text("id,cost\nMUG,0.30\nHAT,9.90\n")
    numbers = iter(range(2, 1_000))

    def value():
        name = f"order-{next(numbers)}"
        post(gateway, name)
        return history(gateway, name)["sent"]["value"]

    wait_for(lambda: value() == "10.00", gateway.ended)

    assert reloaded["changes"] == ["value_table costs changed: rows"]
    assert history(gateway, "order-1")["sent"]["value"] == "10.30"
