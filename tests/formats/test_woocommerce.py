"""WooCommerce's messages: signatures, the ping, what is a purchase, the fields of a conversion."""

import json

import pytest

from builders import NOW
from formats.webhook_builders import a_message, a_webhook, reason_of
from twite.domain.errors import MalformedRequest
from twite.domain.secret import Secret
from twite.formats.webhook_kind import SignatureVerdict
from twite.formats.webhook_kinds import KINDS
from twite.formats.woocommerce.read import WooCommerceOptions, check, read, verify
from twite.formats.woocommerce.sample import sample

WOO = KINDS["woocommerce"]
# Computed with Python's `hmac`, as WooCommerce does.
BODY = b'{"id":820982911946154508,"total_price":"403.00","currency":"USD"}'
SHOWN = "wc secret&key"
STORED = "wc secret&amp;key"
SIGNATURE = "LaSRGsTfHWC5SED/244AJcqukqIdVDQxyoFQ1EcSMns="
WITH_ENTITIES = "TSPpmbI7HkJQorDRC2SSGlkF9y1+6Ieq0V2u2tLhXpY="

SETTINGS = {
    "paid_since": "2026-12-01T00:00:00Z",
    "shop_url": "https://shop.example",
    "consumer_key": "ck_1",
    "consumer_secret": Secret("cs_1"),
}
ORDER = {
    "id": 820982911946154508,
    "number": "WC-1017",
    "order_key": "wc_order_58d2d042d1d",
    "status": "processing",
    "created_via": "checkout",
    "currency": "EUR",
    "total": "49.90",
    "total_tax": "8.00",
    "date_created": "2026-11-25T11:00:00",
    "date_created_gmt": "2026-11-25T09:00:00",
    "date_paid": "2026-11-25T11:06:40",
    "date_paid_gmt": "2026-11-25T09:06:40",
    "billing": {"email": "shopper@example.com", "phone": "020 7946 0958", "country": "GB"},
    "customer_ip_address": "203.0.113.7",
    "customer_user_agent": "Mozilla/5.0",
    "transaction_id": "pi_3",
    "meta_data": [
        {"id": 1, "key": "_wc_order_attribution_utm_source", "value": "x"},
        {
            "id": 2,
            "key": "_wc_order_attribution_session_entry",
            "value": "https://shop.example/?twclid=click-1&utm_source=x",
        },
    ],
    "line_items": [
        {
            "product_id": 57,
            "variation_id": 0,
            "sku": "MUG-1",
            "name": "Mug",
            "quantity": 3,
            "total": "50.00",
            "price": 16.666666666666668,
        }
    ],
    "refunds": [],
}


def body_of(order):
    return json.dumps(order).encode()


@pytest.mark.parametrize(
    ("customer", "user"), [(26, "26"), ("26", "26"), (0, None), ("0", None), (None, None)]
)
def test_customer_is_the_user_of_late_joins_and_a_guest_is_none(customer, user):
    assert conversion(ORDER | {"customer_id": customer}).user_id == user


def test_customers_of_several_shops_are_not_taken_for_one():
    order = ORDER | {"customer_id": 26}

    assert conversion(order, user_id="none").user_id is None


def reading(order, topic="order.updated", **options):
    return read(a_message(body_of(order), x_wc_webhook_topic=topic), a_webhook(WOO, **options))


def test_free_order_is_a_purchase_with_the_value_0():
    assert bytes(conversion(ORDER | {"total": "0.00"}).value) == b'"0.00"'


def conversion(order, **options):
    parsed = reading(order, **options).parsed
    assert parsed.faults == ((),)
    (native,) = parsed.conversions
    return native


def with_metadata(**values):
    rows = [{"id": 1, "key": name, "value": value} for name, value in values.items()]
    return ORDER | {"meta_data": rows}


def verdict(signature, *secrets, body=BODY):
    headers = {} if signature is None else {"x_wc_webhook_signature": signature}
    return verify(a_message(body, **headers), a_webhook(WOO, *secrets), NOW)


@pytest.mark.parametrize("secrets", [[SHOWN], [STORED], ["another", SHOWN]])
def test_signature_is_by_the_secret_as_the_admin_shows_it(secrets):
    assert verdict(SIGNATURE, *secrets) is SignatureVerdict.GENUINE


def test_other_signatures_are_wrong():
    assert verdict(WITH_ENTITIES, SHOWN) is SignatureVerdict.WRONG
    assert verdict(SIGNATURE, "another") is SignatureVerdict.WRONG
    assert verdict(SIGNATURE, SHOWN, body=BODY + b"\n") is SignatureVerdict.WRONG
    assert verdict("", SHOWN) is SignatureVerdict.WRONG
    assert verdict(None, SHOWN) is SignatureVerdict.WRONG


def test_ping_is_the_unsigned_form_and_nothing_else():
    assert verdict(None, SHOWN, body=b"webhook_id=7") is SignatureVerdict.PING
    for body in (b"", b"webhook_id=", b"webhook_id=7&a=b", b"webhook_id=x", b" webhook_id=7", BODY):
        assert verdict(None, SHOWN, body=body) is SignatureVerdict.WRONG
    assert verdict("wrong", SHOWN, body=b"webhook_id=7") is SignatureVerdict.WRONG


def test_paid_order_becomes_a_purchase():
    native = conversion(ORDER)

    assert (native.event, native.conversion_id, native.time) == (
        "purchase",
        "820982911946154508",
        "2026-11-25T09:06:40Z",
    )
    assert (bytes(native.value), native.currency) == (b'"49.90"', "EUR")
    assert (native.email, native.phone) == ("shopper@example.com", "+442079460958")
    assert (native.ip, native.user_agent) == ("203.0.113.7", "Mozilla/5.0")
    assert native.url == "https://shop.example/?twclid=click-1&utm_source=x"
    (line,) = native.contents
    assert (line.id, line.name, line.quantity, line.group) == ("MUG-1", "Mug", 3, "57")
    assert bytes(line.price) == b'"16.67"'
    assert native.consent is None


@pytest.mark.parametrize(
    ("place", "expected"), [("number", "WC-1017"), ("order_key", "wc_order_58d2d042d1d")]
)
def test_conversion_id_is_the_chosen_field(place, expected):
    assert conversion(ORDER, conversion_id=place).conversion_id == expected


def test_snippet_of_the_docs_leaves_click_and_consent_as_metadata():
    native = conversion(
        with_metadata(_twite_click="1.1795600000000.click-2", _twite_consent="denied")
    )

    assert native.twclid == "1.1795600000000.click-2"
    assert native.consent == {"ad_storage": "denied", "ad_user_data": "denied"}


@pytest.mark.parametrize(
    "rows",
    [["granted", "denied"], ["denied", "granted"], [False], [["denied"]], [{"ads": "denied"}]],
)
def test_consent_that_is_contradictory_or_no_text_may_be_a_denial(rows):
    metadata = [{"key": "_twite_consent", "value": value} for value in rows]

    signals = conversion(ORDER | {"meta_data": metadata}).consent

    assert signals not in (None, {"ad_storage": "granted", "ad_user_data": "granted"})


@pytest.mark.parametrize("value", ["", None])
def test_empty_consent_is_none(value):
    metadata = [{"key": "_twite_consent", "value": value}]

    assert conversion(ORDER | {"meta_data": metadata}).consent is None


def test_order_without_a_browser_has_the_one_of_its_attribution():
    order = with_metadata(_wc_order_attribution_user_agent="Mozilla/6.0")

    assert conversion(order | {"customer_user_agent": ""}).user_agent == "Mozilla/6.0"


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (ORDER | {"status": "pending", "date_paid_gmt": None}, "unpaid"),
        (ORDER | {"status": "on-hold"}, "unpaid"),
        (ORDER | {"status": "failed"}, "unpaid"),
        (ORDER | {"date_paid_gmt": None}, "unpaid"),
        (ORDER | {"status": "cancelled"}, "cancellation"),
        (ORDER | {"status": "refunded"}, "refund"),
        (ORDER | {"created_via": "subscription"}, "renewal"),
        (with_metadata(_subscription_renewal="12"), "renewal"),
        (with_metadata(_subscription_renewal=12), "renewal"),
        (with_metadata(_wcpay_mode="test"), "test"),
        (with_metadata(_ppcp_paypal_payment_mode="sandbox"), "test"),
        ({"action": "woocommerce_payment_complete", "arg": 1017}, "no_data"),
        ({"id": 1017}, "other_message"),
        ({"id": 57, "status": "publish", "name": "Mug"}, "other_message"),
    ],
)
def test_messages_without_a_purchase_are_ignored_with_a_reason(order, reason):
    assert reason_of(reading(order)) == reason


def test_renewals_and_other_statuses_count_if_the_settings_say_so():
    renewal = ORDER | {"created_via": "subscription"}
    shipped = ORDER | {"status": "shipped"}

    assert conversion(renewal, renewals=True).conversion_id
    assert reason_of(reading(shipped)) == "unpaid"
    assert conversion(shipped, statuses=["shipped"]).conversion_id


def test_live_order_of_a_gateway_with_a_sandbox_counts():
    assert conversion(with_metadata(_wcpay_mode="prod")).conversion_id


@pytest.mark.parametrize(
    ("change", "options", "code"),
    [
        ({"total": None}, {}, "not_an_amount"),
        ({"total": ""}, {}, "not_an_amount"),
        ({"number": ""}, {"conversion_id": "number"}, "wrong_type"),
    ],
)
def test_paid_order_that_lacks_a_field_is_a_visible_reject(change, options, code):
    parsed = reading(ORDER | change, **options).parsed

    assert [fault.code for fault in parsed.faults[0]] == [code]


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("24.95", b'"24.95"'),
        (24, b'"24.00"'),
        (0.1, b'"0.10"'),
        (-1, b"null"),
        ("", b"null"),
        ("free", b"null"),
        (1e300, b"null"),
        (None, b"null"),
    ],
)
def test_price_is_rounded_and_an_unreadable_one_left_out(price, expected):
    line = ORDER["line_items"][0] | {"price": price}

    assert bytes(conversion(ORDER | {"line_items": [line]}).contents[0].price) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"billing": None},
        {"billing": []},
        {"meta_data": {"0": "x"}},
        {"meta_data": ["x", {"key": 1}, {"key": "a", "value": {}}, None]},
        {"line_items": {}},
        {"line_items": [None, 7, {"quantity": "two", "price": []}]},
        {"customer_ip_address": None, "customer_user_agent": None},
    ],
)
def test_odd_parts_do_not_cost_the_order(change):
    assert bytes(conversion(ORDER | change).value) == b'"49.90"'


@pytest.mark.parametrize("body", [b"", b"[]", b"webhook_id=1", b"{", b'{"a":' * 10_000])
def test_body_that_is_no_object_is_malformed(body):
    with pytest.raises(MalformedRequest):
        read(a_message(body), a_webhook(WOO))


def test_repr_of_a_reading_shows_no_person():
    assert "shopper" not in repr(reading(ORDER))


def test_order_that_was_paid_before_the_webhook_was_the_only_sender_is_ignored():
    earlier, later = "2026-11-25T09:06:40Z", "2026-11-25T10:06:41+01:00"

    assert conversion(ORDER, paid_since=earlier).conversion_id
    assert reason_of(reading(ORDER, paid_since=later)) == "too_old"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"paid_since": None}, "paid_since"),
        ({"paid_since": "2026-12-01"}, "paid_since"),
        ({"statuses": []}, "statuses"),
        ({"statuses": ["wc-processing"]}, "statuses"),
        ({"shop_url": None}, "shop_url"),
        ({"consumer_secret": None}, "shop_url"),
        ({"shop_url": "http://shop.example"}, "shop_url"),
        ({"shop_url": "https://user@shop.example"}, "shop_url"),
        ({"shop_url": "https://shop.example?x=1"}, "shop_url"),
        ({"shop_url": "https://[shop"}, "shop_url"),
        ({"shop_url": "ftp://127.0.0.1"}, "shop_url"),
    ],
)
def test_wrong_settings_are_named(change, key):
    (wrong,) = check(WooCommerceOptions(**SETTINGS | change))

    assert wrong.key == key


@pytest.mark.parametrize("url", ["https://shop.example/blog", "http://127.0.0.1:8080"])
def test_shop_is_reached_by_https_or_on_this_machine(url):
    assert list(check(WooCommerceOptions(**SETTINGS | {"shop_url": url}))) == []


def test_sample_is_a_genuine_message_with_one_conversion():
    webhook = a_webhook(WOO, SHOWN)
    message = sample(webhook, NOW, "")

    assert verify(message, webhook, NOW) is SignatureVerdict.GENUINE
    assert len(read(message, webhook).parsed.conversions) == 1
