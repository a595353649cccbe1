"""`twite webhook try`: what a message would become, masked, without a gateway."""

import io
import json

import pytest

from canaries import EMAIL, PHONE, found_in
from shopify_orders import order_with

WEBHOOKS = """
[[webhook]]
name = "crm"
kind = "generic"
secret = "env:NOWHERE"
source = "shop"
authentication = "path"
ignore = { refund = "type == 'order.refunded'" }
[webhook.map]
conversion_id = "id"
value = "total"
currency = "currency"
email = "mail"
phone = "tel"
"""
SHOPIFY = '\n[[webhook]]\nname = "orders"\nkind = "shopify"\nsecret = "env:NO"\nsource = "shop"\n'
ORDER = {
    "type": "order.paid",
    "id": 820982911946154508,
    "total": "403.10",
    "currency": "USD",
    "mail": EMAIL,
    "tel": PHONE,
}


@pytest.fixture
def settings(shop):
    shop.write_text(shop.read_text() + WEBHOOKS)
    return shop


@pytest.fixture
def attempt(command, settings, tmp_path):
    def ran(message, *more):
        file = tmp_path / "order.json"
        file.write_bytes(message if isinstance(message, bytes) else json.dumps(message).encode())
        return command("webhook", "try", str(file), "--config", str(settings), *more)

    return ran


def test_preview_shows_the_amount_after_a_rule_and_the_rule(attempt, settings):
    rule = '[[value_rule]]\nname = "half"\nvalue = "divide(value, `2`)"\n'
    settings.write_text(settings.read_text() + rule)

    _, out, _ = attempt(ORDER)
    found = json.loads(attempt(ORDER, "--json")[1])

    (conversion,) = found["conversions"]
    assert (conversion["conversion"]["value"], conversion["conversion"]["currency"]) == (
        "201.55",
        "USD",
    )
    assert conversion["value_change"] == "half: 403.10 USD → 201.55 USD"
    assert "half: 403.10 USD → 201.55 USD" in out


def test_preview_without_a_fitting_rule_names_none(attempt):
    found = json.loads(attempt(ORDER, "--json")[1])

    assert found["conversions"][0]["value_change"] == ""


def test_message_is_printed_as_a_masked_conversion(attempt):
    code, out, err = attempt(ORDER)

    assert (code, err) == (0, "")
    assert out.startswith("Message order.paid: 1 conversion\n  accepted\n")
    assert "820982911946154508" in out
    assert "403.10" in out
    assert found_in(out.encode()) == []


def test_json_has_the_conversion_and_its_verdict(attempt):
    code, out, _ = attempt(ORDER, "--json")

    (found,) = json.loads(out)["conversions"]
    assert (code, found["verdict"]) == (0, "accepted")
    assert found["conversion"]["conversion_id"] == "820982911946154508"
    assert found_in(out.encode()) == []


def test_rejected_conversion_exits_1_with_the_errors(attempt):
    code, out, _ = attempt(ORDER | {"total": [EMAIL], "currency": EMAIL})

    assert code == 1
    assert "the expression yields a list" in out
    assert "currency_unknown" in out
    assert found_in(out.encode()) == []


def test_ignored_message_is_explained(attempt):
    code, out, _ = attempt(ORDER | {"type": "order.refunded"})

    assert code == 0
    assert "ignored (refund): a refund: X has no way to correct a conversion" in out


def test_text_that_is_no_json_is_rejected(attempt):
    code, _, err = attempt(EMAIL.encode())

    assert code == 1
    assert "order.json: rejected (wrong_type): not JSON" in err
    assert found_in(err.encode()) == []


def test_body_above_the_limit_is_refused(attempt):
    code, _, err = attempt(b" " * (1024 * 1024 + 1))

    assert code == 1
    assert "longer than server.max_body" in err


def test_missing_file_is_named(command, settings, tmp_path):
    code, _, err = command("webhook", "try", str(tmp_path / "no.json"), "--config", str(settings))

    assert code == 1
    assert "no.json: cannot be read: No such file or directory" in err


def test_message_is_read_from_standard_input(command, settings, monkeypatch):
    body = io.TextIOWrapper(io.BytesIO(json.dumps(ORDER).encode()))
    monkeypatch.setattr("sys.stdin", body)

    code, out, _ = command("webhook", "try", "-", "--config", str(settings))

    assert (code, "accepted" in out) == (0, True)


def test_several_webhooks_need_a_name(attempt, settings):
    settings.write_text(settings.read_text() + SHOPIFY)

    code, _, err = attempt(ORDER)

    assert code == 2
    assert "name a [[webhook]]" in " ".join(err.split())
    assert "crm, orders" in err


def test_headers_select_the_kind_of_message(attempt, settings):
    settings.write_text(settings.read_text() + SHOPIFY)
    named = ("--webhook", "orders")

    usual = attempt(order_with(), *named)
    refund = attempt(order_with(), *named, "--header", "X-Shopify-Topic: refunds/create")
    wrong = attempt(order_with(), *named, "--header", "nothing")

    assert (usual[0], "820982911946154508" in usual[1]) == (0, True)
    assert "ignored (refund)" in refund[1]
    assert (wrong[0], "not of the form NAME:VALUE" in wrong[2]) == (2, True)
