"""Tax, shipping and new customers: where senders have them, for value rules, and never for X."""

import json

import pytest
from readings import FULL, read, read_bytes
from segment_calls import batch, order, read_all
from tag_cases import DESTINATIONS, a_shop
from test_beacon import a_beacon_body, seen
from test_files_rows import conversion as row_of
from test_files_rows import read as read_row
from test_stripe import INVOICE, SESSION
from test_webhook_map import MAP
from test_webhook_map import ORDER as MAPPED_ORDER
from test_webhook_map import reading_of as read_mapped
from test_woocommerce import ORDER as WOO_ORDER
from test_woocommerce import SETTINGS, WOO

from formats.webhook_builders import a_message, a_webhook
from shopify_orders import message, order_with, shopify
from twite.domain.value_change import RuleFields
from twite.formats.beacon.read import read as read_beacon
from twite.formats.event_data.conversions import parse_events
from twite.formats.event_data.of_native import event_of
from twite.formats.page_visit import SERVER
from twite.formats.shopify.read import read as read_shopify
from twite.formats.webhook_kinds import KINDS
from twite.x.encode import conversion_body

GIVEN = {"tax": "7.97", "shipping": "4.90", "new_customer": True}
NOTHING = ("null", "null", None)


def parts(native):
    return bytes(native.tax).decode(), bytes(native.shipping).decode(), native.new_customer


def only(parsed):
    (native,) = parsed.conversions
    return parts(native)


def of_stripe(paid, kind, **options):
    event = {"type": kind, "livemode": True, "created": 1_795_600_000, "data": {"object": paid}}
    webhook = a_webhook(KINDS["stripe"], **options)
    return only(webhook.kind.read(a_message(json.dumps(event).encode()), webhook).parsed)


def of_session(**fields):
    return of_stripe(SESSION | fields, "checkout.session.completed")


def of_invoice(**fields):
    payment = INVOICE | {"billing_reason": "subscription_create"} | fields
    return of_stripe(payment, "invoice.paid", payment="invoice")


def of_woocommerce(**fields):
    paid = WOO_ORDER | {"date_paid_gmt": "2026-12-02T00:00:00"} | fields
    webhook = a_webhook(WOO, **SETTINGS)
    return only(webhook.kind.read(a_message(json.dumps(paid).encode()), webhook).parsed)


def of_shopify(options=None, **fields):
    return only(read_shopify(message(order_with(**fields)), shopify(**(options or {}))).parsed)


def of_event(**fields):
    event = {"event_name": "purchase", "value": 49.9, "currency": "EUR"} | fields
    parsed = parse_events([event], source=a_shop(), destinations=DESTINATIONS, visitor=SERVER)
    return only(parsed)


def of_map(**sent):
    names = {name: name for name in ("tax", "shipping", "new_customer")}
    return only(read_mapped(MAPPED_ORDER | sent, map=MAP | names).parsed)


def money(shop, presentment):
    return {
        "shop_money": {"amount": shop, "currency_code": "EUR"},
        "presentment_money": {"amount": presentment, "currency_code": "USD"},
    }


def test_native_conversion_has_them_for_rules():
    result = read(**FULL, **GIVEN)

    assert (result.faults, result.rule_fields) == ((), RuleFields(**GIVEN))


@pytest.mark.parametrize(
    ("given", "is_new"), [(1, True), (0, False), ("yes", True), ("False", False), ("perhaps", None)]
)
def test_new_customer_is_read_as_files_spell_it(given, is_new):
    result = read(**FULL, new_customer=given)

    assert result.conversion is not None
    assert result.rule_fields.new_customer is is_new
    assert [note.path for note in result.faults] == (["new_customer"] if is_new is None else [])


@pytest.mark.parametrize("given", [{"tax": "7.97"}, {"shipping": 4.9}, {"new_customer": False}])
def test_each_may_be_missing(given):
    expected = {name: str(each) if name != "new_customer" else each for name, each in given.items()}
    if "shipping" in expected:
        expected["shipping"] = "4.90"

    assert read(**FULL, **given).rule_fields == RuleFields(**expected)


def test_they_are_no_part_of_the_conversion_or_of_what_x_and_tags_get():
    without, result = read(**FULL), read(**FULL, **GIVEN)

    assert result.conversion == without.conversion
    assert conversion_body(result.conversion) == conversion_body(without.conversion)
    assert event_of(result.native) == event_of(without.native)


def test_they_do_not_change_a_derived_id():
    given = {name: each for name, each in FULL.items() if name != "conversion_id"}

    assert read(**given, **GIVEN).conversion == read(**given).conversion


def test_stored_request_has_them_as_they_were_given():
    stored = read_bytes(json.dumps(FULL | GIVEN).encode()).body
    without = read_bytes(json.dumps(FULL).encode()).body

    assert {name: json.loads(stored)[name] for name in GIVEN} == GIVEN
    assert not GIVEN.keys() & json.loads(without).keys()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"tax": "much"}, ("tax", "not_an_amount")),
        ({"shipping": -1}, ("shipping", "amount_negative")),
        ({"tax": {"of": "shopper@example.com"}}, ("tax", "not_an_amount")),
    ],
)
def test_unusable_amount_is_left_out_with_a_note(given, found):
    body = json.dumps(FULL | given).encode()

    reading = read_bytes(body)

    (result,) = reading.results
    assert [(each.path, each.code) for each in result.faults] == [found]
    assert result.conversion is not None
    assert result.rule_fields == RuleFields()
    assert not given.keys() & json.loads(reading.body).keys()


@pytest.mark.parametrize(
    ("options", "fields", "found"),
    [
        (
            {"money": "shop"},
            {
                "total_tax": "7.97",
                "total_shipping_price_set": money("4.90", "5.90"),
                "customer": {"id": 1, "orders_count": 1},
            },
            ('"7.97"', '"4.90"', True),
        ),
        (
            {"money": "presentment"},
            {
                "total_price_set": money("49.90", "59.90"),
                "total_tax_set": money("7.97", "9.10"),
                "total_shipping_price_set": money("4.90", "5.90"),
                "customer": {"id": 1, "orders_count": 2},
            },
            ('"9.10"', '"5.90"', False),
        ),
    ],
)
def test_shopify_has_them_in_the_currency_of_the_value(options, fields, found):
    assert of_shopify(options, **fields) == found


def test_shopify_cart_attribute_says_who_is_new():
    attribute = {"name": "_twite_new_customer", "value": "true"}

    *_, is_new = of_shopify(note_attributes=[attribute], customer={"orders_count": 9})
    *_, unknown = of_shopify(customer={"id": 1})

    assert (is_new, unknown) == (True, None)


def test_woocommerce_has_them():
    metadata = [{"key": "_twite_new_customer", "value": "1"}]

    found = of_woocommerce(total_tax="7.97", shipping_total="4.12", meta_data=metadata)

    assert found == ('"7.97"', '"4.12"', True)
    assert of_woocommerce(total_tax="", shipping_total=None) == NOTHING


def test_stripe_has_them_in_major_units():
    details = {"amount_tax": 797, "amount_shipping": 490, "amount_discount": 0}
    taxes = [{"amount": 500}, {"amount": 297}]

    assert of_session(total_details=details, metadata={"twite_new_customer": "false"}) == (
        '"7.97"',
        '"4.90"',
        False,
    )
    assert of_invoice(total_taxes=taxes, shipping_cost={"amount_total": 490})[:2] == (
        '"7.97"',
        '"4.90"',
    )
    assert of_session() == NOTHING


def test_stripe_leaves_out_what_is_in_another_currency_than_the_value():
    found = of_session(
        total_details={"amount_tax": 797, "amount_shipping": 490},
        currency_conversion={"amount_total": 5_500, "source_currency": "usd"},
    )

    assert found == NOTHING


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"tax": 7.97, "shipping": "4.90", "customer_type": "new"}, ('"7.97"', '"4.90"', True)),
        ({"customer_type": "returning"}, ("null", "null", False)),
        ({"new_customer": "false", "customer_type": "new"}, ("null", "null", False)),
        ({"ecommerce": {"tax": "1.00", "shipping": 2}}, ('"1.00"', '"2"', None)),
        ({"tax": {}, "shipping": "free", "new_customer": []}, NOTHING),
    ],
)
def test_event_data_has_googles_names(fields, found):
    assert of_event(**fields) == found


def test_segment_has_them_in_the_properties():
    parsed, _ = read_all(batch(order(GIVEN)))

    assert only(parsed) == ('"7.97"', '"4.90"', True)


def test_mapping_finds_them():
    assert of_map(tax=7.97, shipping="4.90", new_customer=True) == ('"7.97"', '"4.90"', True)
    assert of_map(tax="much", shipping=[], new_customer="perhaps") == NOTHING


def test_beacon_has_them():
    body = a_beacon_body({"event": "purchase", "value": "49.90", "currency": "EUR"} | GIVEN)

    assert only(read_beacon(body, visitor=seen()).parsed) == ('"7.97"', '"4.90"', True)


def test_row_of_a_file_has_them():
    cells = {"total": "49,90", "tax": "7,97", "shipping_total": "4,90", "new_customer": "no"}
    row = read_row(said={"decimal": "comma"}, **cells)

    found = row_of(row)

    assert [found[name] for name in GIVEN] == ["7.97", "4.90", False]


def test_row_with_other_words_is_sent_without_them():
    row = read_row(tax="much", shipping="DHL", new_customer="perhaps")

    assert row.errors == ()
    assert not GIVEN.keys() & row_of(row).keys()
    assert {(each.field, each.code) for each in row.notes} == {
        ("tax", "part_unread"),
        ("shipping", "part_unread"),
    }
