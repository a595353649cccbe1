"""Shopify's webhooks: signatures, orders, tests, channels, consent and privacy."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopify_orders import ORDER, SECRET, message, order_with, shopify, signature_of
from twite.domain.errors import MalformedRequest
from twite.domain.secret import Secret
from twite.formats.shopify.read import read, verify
from twite.formats.webhook_kind import SignatureVerdict, WebhookMessage

BODY = b'{"id":820982911946154508,"total_price":"403.00","currency":"USD"}'
NOW = 1_795_600_000_000


def judged(body, signature, *, header=b"x-shopify-hmac-sha256", webhook=None):
    sent = WebhookMessage(headers={header: signature.encode("latin-1")}, body=body)
    return verify(sent, webhook or shopify(), NOW)


def conversion(body, **options):
    """Return the only conversion, which has no faults."""
    parsed = read(message(body), shopify(**options)).parsed
    assert (len(parsed.conversions), parsed.ignored, parsed.faults) == (1, (), ((),))
    return parsed.conversions[0]


def ignored(body, topic="orders/paid", webhook=None, **more):
    reading = read(message(body, topic, **more), webhook or shopify())
    assert reading.parsed.conversions == ()
    return [(each.name, each.reason) for each in reading.parsed.ignored]


def faults_of(body, **options):
    parsed = read(message(body), shopify(**options)).parsed
    return [(each.path, each.code) for each in parsed.faults[0]]


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (BODY, "1ZDKZwAdfM9noJW+WFAIRYVA6U2i5DmOBDIZZixly/Q="),
        ('{"name":"Zoë"}'.encode(), "lgDdsgqepI0Ozdt6SijWu/W/85kto6UMrzgCqScu4ZM="),
    ],
)
@pytest.mark.parametrize("header", [b"x-shopify-hmac-sha256", b"shopify-hmac-sha256"])
def test_known_signatures_are_genuine(body, signature, header):
    assert judged(body, signature, header=header) is SignatureVerdict.GENUINE


@pytest.mark.parametrize(
    "signature",
    ["", "1ZDKZwAdfM9noJW+WFAIRYVA6U2i5DmOBDIZZixly/q=", signature_of(BODY, "push"), "ö", "é" * 99],
)
def test_other_signatures_are_wrong(signature):
    assert judged(BODY, signature) is SignatureVerdict.WRONG


def test_signature_of_another_body_is_wrong():
    assert judged(BODY + b" ", signature_of(BODY)) is SignatureVerdict.WRONG


@pytest.mark.parametrize("secret", [SECRET, "former"])
def test_each_of_several_secrets_may_sign(secret):
    both = msgspec.structs.replace(shopify(), secrets=(Secret("former"), Secret(SECRET)))

    assert judged(BODY, signature_of(BODY, secret), webhook=both) is SignatureVerdict.GENUINE


def test_free_order_is_a_purchase_with_the_value_0():
    assert bytes(conversion(order_with(total_price="0.00")).value) == b'"0.00"'


def test_paid_order_is_a_purchase_with_exact_id_and_money():
    native = conversion(order_with())

    assert (native.event, native.conversion_id) == ("purchase", "820982911946154508")
    assert (bytes(native.value), native.currency) == (b'"403.00"', "USD")
    assert native.time == "2026-11-25T16:15:40-05:00"
    assert (native.email, native.phone) == ("jon@example.com", "+442079460958")
    assert (native.ip, native.user_agent) == ("203.0.113.7", "Mozilla/5.0 (X11)")
    assert native.twclid == "23opevjt88psuo13lu8d020qkn"
    assert native.consent is None
    lines = [(line.id, line.name, bytes(line.price), line.quantity) for line in native.contents]
    assert lines == [("MUG-1", "Mug", b'"199.00"', 2), ("2", "Pin", b'"5"', 1)]


@pytest.mark.parametrize(
    ("customer", "user"),
    [
        ({"id": 207119551, "email": "jon@example.com"}, "207119551"),
        (None, None),
        ({}, None),
        ({"id": None}, None),
        ({"id": 0}, None),
    ],
)
def test_customer_is_the_user_of_late_joins_and_a_guest_is_none(customer, user):
    assert conversion(order_with(customer=customer)).user_id == user


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("id", "820982911946154508"),
        ("order_number", "1017"),
        ("name", "#1017"),
        ("confirmation_number", "XPAV284CT"),
    ],
)
def test_conversion_id_is_the_configured_field(choice, expected):
    assert conversion(order_with(), conversion_id=choice).conversion_id == expected


def test_presentment_money_is_what_the_buyer_saw():
    native = conversion(order_with(), money="presentment")

    assert (bytes(native.value), native.currency) == (b'"370.76"', "EUR")


def test_amounts_that_are_numbers_keep_their_digits():
    body = order_with().replace(b'"total_price": "403.00"', b'"total_price": 403.10')

    assert bytes(conversion(body).value) == b'"403.10"'


def test_cart_attributes_have_the_click_id_and_consent():
    attributes = [
        {"name": "gift", "value": "yes"},
        {"name": "_twite_click", "value": "2-ymg44xgaszkegghn8wl1j291i"},
        {"name": "_twite_consent", "value": "ad_storage=granted,ad_user_data=denied"},
    ]

    native = conversion(order_with(note_attributes=attributes))

    assert native.twclid == "2-ymg44xgaszkegghn8wl1j291i"
    assert native.consent == {"ad_storage": "granted", "ad_user_data": "denied"}


@pytest.mark.parametrize(
    ("said", "signals"),
    [
        ("granted", {"ad_storage": "granted", "ad_user_data": "granted"}),
        ("Denied", {"ad_storage": "denied", "ad_user_data": "denied"}),
        ("", None),
        ("yes please", {"ad_storage": "unreadable"}),
        ("ad_storage=granted,ad_storage=denied", {"ad_storage": "unreadable"}),
    ],
)
def test_unreadable_consent_is_never_a_grant(said, signals):
    attributes = [{"name": "_twite_consent", "value": said}]

    assert conversion(order_with(note_attributes=attributes)).consent == signals


@pytest.mark.parametrize("rows", [["granted", "denied"], ["denied", "granted"], [False], [["no"]]])
def test_consent_that_is_contradictory_or_no_text_may_be_a_denial(rows):
    attributes = [{"name": "_twite_consent", "value": value} for value in rows]

    native = conversion(order_with(note_attributes=attributes))

    assert native.consent == {"ad_storage": "unreadable"}


@pytest.mark.parametrize("no", [False, None, "false", "", 0])
def test_order_that_is_no_test_is_a_conversion(no):
    assert conversion(order_with(test=no)).conversion_id == "820982911946154508"


@pytest.mark.parametrize(
    "landing",
    ["/", None, "/wallets/checkouts.json", "/?utm_source=x"],
)
def test_landing_page_without_click_id_gives_none(landing):
    assert conversion(order_with(landing_site=landing)).twclid is None


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (order_with(test=True), {}),
        (order_with(test="true"), {}),
        (order_with(test=1), {}),
        (order_with(payment_gateway_names=["Bogus"]), {}),
        (order_with(payment_gateway_names=["visa", "(for testing) Bogus Gateway"]), {}),
        (order_with(payment_gateway_names="bogus"), {}),
        (order_with(), {"X-Shopify-Test": "true"}),
        (order_with(), {"X-Shopify-Test": "1"}),
    ],
)
def test_test_orders_are_ignored(body, more):
    assert ignored(body, **more) == [("orders/paid", "test")]


@pytest.mark.parametrize(
    ("channel", "reason", "word"),
    [
        ("subscription_contract", "renewal", "renewals"),
        ("subscription_contract_checkout_one", "renewal", "renewals"),
        ("pos", "point_of_sale", "point_of_sale"),
        ("shopify_draft_order", "draft", "drafts"),
    ],
)
def test_channels_other_than_the_web_are_sent_only_if_configured(channel, reason, word):
    body = order_with(source_name=channel)

    assert ignored(body) == [("orders/paid", reason)]
    assert conversion(body, also=(word,)).conversion_id == "820982911946154508"


@pytest.mark.parametrize("channel", ["web", "poshmark", "580111", None])
def test_other_channels_are_sent(channel):
    assert conversion(order_with(source_name=channel)).conversion_id == "820982911946154508"


def test_ignored_channels_are_not_sent():
    webhook = shopify(ignored_channels=("580111",))

    assert ignored(order_with(source_name=580111), webhook=webhook) == [("orders/paid", "channel")]


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("refunds/create", "refund"),
        ("orders/cancelled", "cancellation"),
        ("orders/create", "other_message"),
        ("orders/updated", "other_message"),
        ("customers/data_request", "privacy_request"),
        ("shop/redact", "privacy_request"),
        ("app/uninstalled", "other_message"),
    ],
)
def test_other_topics_are_ignored_with_their_reason(topic, reason):
    assert ignored(order_with(), topic) == [(topic, reason)]


def test_cancelled_order_is_ignored():
    body = order_with(cancelled_at="2026-11-25T18:00:00-05:00")

    assert ignored(body) == [("orders/paid", "cancellation")]


def test_created_orders_are_sent_if_configured():
    webhook = shopify(topic="orders/create")

    parsed = read(message(order_with(), "orders/create"), webhook).parsed

    assert parsed.conversions[0].conversion_id == "820982911946154508"
    assert ignored(order_with(), "orders/paid", webhook) == [("orders/paid", "other_message")]


def test_missing_fields_are_faults_and_not_guessed():
    without = {name: value for name, value in ORDER.items() if name not in {"id", "total_price"}}

    assert faults_of(json.dumps(without).encode()) == [
        ("conversion_id", "wrong_type"),
        ("value", "not_an_amount"),
    ]
    assert faults_of(order_with(total_price_set=None), money="presentment") == [
        ("value", "not_an_amount")
    ]


def test_redaction_names_the_customer_and_the_orders():
    request = {
        "shop_id": 954889,
        "shop_domain": "x.myshopify.com",
        "customer": {"id": 191167, "email": "john@example.com", "phone": "+442079460958"},
        "orders_to_redact": [299938, 280263],
    }
    body = json.dumps(request).encode()

    reading = read(message(body, "customers/redact"), shopify())

    assert [each.kind for each in reading.erase] == ["email", "phone"] + ["conversion_id"] * 2
    assert [each.conversion_id for each in reading.erase[2:]] == ["299938", "280263"]
    assert [each.reason for each in reading.parsed.ignored] == ["erasure"]


@pytest.mark.parametrize(
    ("customer", "kinds"),
    [
        ({}, []),
        ({"phone": "555-625-1199"}, []),
        ({"email": "a@b.example", "phone": "1"}, ["email"]),
    ],
)
def test_redaction_that_cannot_be_read_is_left_to_the_merchant(customer, kinds):
    body = json.dumps({"customer": customer}).encode()

    reading = read(message(body, "customers/redact"), shopify())

    assert [each.kind for each in reading.erase] == kinds
    assert [each.reason for each in reading.parsed.ignored] == ["privacy_request"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*ORDER, "customer"]) | st.text(), inner, max_size=6)
        ),
    ),
    st.sampled_from(["orders/paid", "customers/redact"]),
)
def test_any_json_is_read_or_malformed(tree, topic):
    try:
        read(message(json.dumps(tree).encode(), topic), shopify(money="presentment"))
    except MalformedRequest:
        assert not isinstance(tree, dict)


def test_sample_is_genuine_and_a_purchase():
    webhook = shopify()
    sample = webhook.kind.sample(webhook, NOW, "")

    assert verify(sample, webhook, NOW) is SignatureVerdict.GENUINE
    (native,) = read(sample, webhook).parsed.conversions
    assert (native.event, native.email) == ("purchase", "shopper@example.com")
