"""Stripe's events: signatures, what is a purchase, and the fields of a conversion."""

import json

import pytest

from builders import NOW
from formats.webhook_builders import a_message, a_webhook, reason_of
from twite.domain.errors import MalformedRequest
from twite.formats.stripe.minor_units import in_major_units
from twite.formats.stripe.read import read, verify
from twite.formats.stripe.sample import sample
from twite.formats.webhook_kind import SignatureVerdict
from twite.formats.webhook_kinds import KINDS

STRIPE = KINDS["stripe"]
# Computed with Python's `hmac`, as Stripe's library does.
SECRET = "whsec_test_secret"
BODY = b'{"id":"evt_1","object":"event","type":"checkout.session.completed"}'
DIGEST = "8ab9655b7af9df2f1a9f827e46b7203d886d1e3de561ba20cedac6527bbd6ee9"
SIGNED_AT = 1_492_774_577
HEADER = f"t={SIGNED_AT},v1={DIGEST}"

SESSION = {
    "id": "cs_live_a1",
    "object": "checkout.session",
    "livemode": True,
    "mode": "payment",
    "payment_status": "paid",
    "amount_total": 4_990,
    "amount_subtotal": 4_000,
    "currency": "eur",
    "client_reference_id": None,
    "created": 1_795_500_000,
    "customer_details": {"email": "shopper@example.com", "phone": "+442079460958"},
    "customer_email": None,
    "metadata": {},
}
INTENT = {
    "id": "pi_3",
    "object": "payment_intent",
    "livemode": True,
    "amount": 9_000,
    "amount_received": 4_990,
    "currency": "eur",
    "receipt_email": "shopper@example.com",
    "metadata": {"order_id": "1017"},
}
FREE = SESSION | {"payment_status": "no_payment_required", "amount_total": 0}
INVOICE = {
    "id": "in_1",
    "object": "invoice",
    "livemode": True,
    "billing_reason": "subscription_create",
    "amount_paid": 4_990,
    "total": 5_990,
    "currency": "eur",
    "customer_email": "shopper@example.com",
    "customer_phone": "+442079460958",
    "metadata": {},
    "parent": {"subscription_details": {"metadata": {"twclid": "click-1"}}},
}


def event(name="checkout.session.completed", payment=SESSION, **more):
    return {
        "id": "evt_1",
        "object": "event",
        "livemode": True,
        "created": 1_795_600_000,
        "type": name,
        "data": {"object": payment},
    } | more


def reading(sent, **options):
    return read(a_message(json.dumps(sent).encode()), a_webhook(STRIPE, **options))


def conversion(sent, **options):
    parsed = reading(sent, **options).parsed
    assert parsed.faults in {(), ((),)}
    (native,) = parsed.conversions
    return native


@pytest.mark.parametrize(
    ("more", "user"),
    [
        ({"customer": "cus_1"}, "cus_1"),
        ({"customer": {"id": "cus_1", "object": "customer"}}, "cus_1"),
        ({"customer": None}, None),
        ({}, None),
        ({"customer": "cus_1", "metadata": {"twite_user_id": "user-7"}}, "user-7"),
    ],
)
@pytest.mark.parametrize(
    ("payment", "name"),
    [
        (SESSION, "checkout.session.completed"),
        (INTENT, "payment_intent.succeeded"),
        (INVOICE, "invoice.paid"),
    ],
)
def test_customer_is_the_user_of_late_joins_and_a_guest_is_none(payment, name, more, user):
    kind = payment["object"].replace("checkout.", "checkout_")

    assert conversion(event(name, payment | more), payment=kind).user_id == user


def verdict(header, body=BODY, *secrets, at=SIGNED_AT, **options):
    webhook = a_webhook(STRIPE, *(secrets or (SECRET,)), **options)
    return verify(a_message(body, stripe_signature=header), webhook, at * 1_000)


def test_signature_of_the_test_vector_is_genuine():
    assert verdict(HEADER) is SignatureVerdict.GENUINE


@pytest.mark.parametrize(
    "header",
    [
        f"t={SIGNED_AT},v1={'0' * 64},v1={DIGEST}",
        f"t={SIGNED_AT}, v0={'0' * 64}, v1={DIGEST}",
        f"v1={DIGEST},t={SIGNED_AT}",
    ],
)
def test_one_of_several_signatures_is_enough(header):
    assert verdict(header) is SignatureVerdict.GENUINE


def test_each_secret_is_tried_while_one_is_replaced():
    assert verdict(HEADER, BODY, "whsec_new", SECRET) is SignatureVerdict.GENUINE


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"t={SIGNED_AT}",
        f"v1={DIGEST}",
        f"t={SIGNED_AT},v0={DIGEST}",
        f"t={SIGNED_AT + 1},v1={DIGEST}",
        f"t={SIGNED_AT},v1={DIGEST.upper()}",
        f"t=,v1={DIGEST}",
        f"t=1e9,v1={DIGEST}",
        f"t={'9' * 5_000},v1={DIGEST}",
        f"t=²,v1={DIGEST}",
        "t=\u00ff,v1=\u00ff",
    ],
)
def test_other_headers_are_wrong(header):
    message = a_message(BODY)
    message.headers[b"stripe-signature"] = header.encode("latin-1", "replace")

    found = verify(message, a_webhook(STRIPE, SECRET), SIGNED_AT * 1_000)

    assert found is SignatureVerdict.WRONG


def test_changed_body_and_a_secret_without_its_prefix_are_wrong():
    assert verdict(HEADER, BODY + b" ") is SignatureVerdict.WRONG
    assert verdict(HEADER, BODY, "test_secret") is SignatureVerdict.WRONG


def test_signature_is_late_after_the_tolerance_and_never_early():
    assert verdict(HEADER, at=SIGNED_AT + 300) is SignatureVerdict.GENUINE
    assert verdict(HEADER, at=SIGNED_AT + 301) is SignatureVerdict.LATE
    assert verdict(HEADER, at=SIGNED_AT + 301, tolerance=259_200) is SignatureVerdict.GENUINE
    assert verdict(HEADER, at=SIGNED_AT - 86_400) is SignatureVerdict.GENUINE


def test_late_message_with_a_wrong_signature_is_wrong():
    wrong = f"t={SIGNED_AT},v1={'0' * 64}"

    assert verdict(wrong, at=SIGNED_AT + 9_999) is SignatureVerdict.WRONG


def test_paid_session_becomes_a_purchase():
    native = conversion(event())

    assert (native.event, native.conversion_id, native.time) == (
        "purchase",
        "cs_live_a1",
        "2026-11-25T09:46:40.000Z",
    )
    assert (bytes(native.value), native.currency) == (b'"49.90"', "eur")
    assert (native.email, native.phone) == ("shopper@example.com", "+442079460958")


def test_delayed_payment_counts_once_it_succeeds():
    unpaid = SESSION | {"payment_status": "unpaid"}
    succeeded = "checkout.session.async_payment_succeeded"

    assert reason_of(reading(event(payment=unpaid))) == "unpaid"
    assert reason_of(reading(event("checkout.session.async_payment_failed"))) == "unpaid"
    assert conversion(event(succeeded)).conversion_id == conversion(event()).conversion_id


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("client_reference_id", "cart-7"),
        ("metadata.order_id", "1017"),
        ("metadata.nothing", "cs_live_a1"),
    ],
)
def test_conversion_id_is_a_field_of_the_object(place, expected):
    session = SESSION | {"client_reference_id": "cart-7", "metadata": {"order_id": "1017"}}

    assert conversion(event(payment=session), conversion_id=place).conversion_id == expected


def test_metadata_holds_click_page_browser_and_consent():
    metadata = {
        "twclid": "click-1",
        "twite_url": "https://shop.example/cart",
        "twite_ip": "203.0.113.7",
        "twite_user_agent": "Mozilla/5.0",
        "twite_consent": "ad_storage=granted,ad_user_data=denied",
    }

    native = conversion(event(payment=SESSION | {"metadata": metadata}))

    assert (native.twclid, native.url) == ("click-1", "https://shop.example/cart")
    assert (native.ip, native.user_agent) == ("203.0.113.7", "Mozilla/5.0")
    assert native.consent == {"ad_storage": "granted", "ad_user_data": "denied"}


@pytest.mark.parametrize(
    ("name", "payment", "chosen"),
    [
        ("checkout.session.completed", SESSION, "checkout_session"),
        ("payment_intent.succeeded", INTENT, "payment_intent"),
        ("invoice.paid", INVOICE, "invoice"),
    ],
)
def test_webhook_reads_the_objects_of_one_kind(name, payment, chosen):
    for other in {"checkout_session", "payment_intent", "invoice"} - {chosen}:
        assert reason_of(reading(event(name, payment), payment=other)) == "other_message"

    native = conversion(event(name, payment), payment=chosen)

    assert (bytes(native.value), native.email) == (b'"49.90"', "shopper@example.com")


def test_invoice_has_the_metadata_of_its_subscription():
    both = INVOICE | {"metadata": {"twclid": "click-2"}}
    older = INVOICE | {"parent": None, "subscription_details": {"metadata": {"twclid": "click-3"}}}

    found = [
        conversion(event("invoice.paid", invoice), payment="invoice").twclid
        for invoice in (INVOICE, both, older)
    ]

    assert found == ["click-1", "click-2", "click-3"]


@pytest.mark.parametrize(
    "cause", ["subscription_cycle", "subscription_update", "subscription_threshold", "manual"]
)
def test_later_invoices_are_sent_only_if_the_settings_say_so(cause):
    later = event("invoice.paid", INVOICE | {"billing_reason": cause})

    assert reason_of(reading(later, payment="invoice")) == "renewal"
    assert conversion(later, payment="invoice", renewals=True).conversion_id == "in_1"


def test_free_order_is_a_purchase_with_the_value_0():
    assert bytes(conversion(event(payment=FREE)).value) == b'"0.00"'


@pytest.mark.parametrize(
    ("sent", "options", "reason"),
    [
        (event(payment=FREE | {"mode": "subscription"}), {}, "free"),
        (event(payment=SESSION | {"mode": "setup"}), {}, "free"),
        (event("invoice.paid", INVOICE | {"amount_paid": 0}), {"payment": "invoice"}, "free"),
        (event("checkout.session.expired"), {}, "unpaid"),
        (event("charge.refunded"), {}, "refund"),
        (event("refund.created"), {}, "refund"),
        (event("charge.dispute.created"), {}, "refund"),
        (event("customer.created"), {}, "other_message"),
        (event(livemode=False), {}, "test"),
        (event("charge.refunded", livemode=False), {}, "test"),
        (event(livemode=None), {}, "test"),
        (event(payment=SESSION | {"livemode": False}), {}, "test"),
        (event(account="acct_2"), {"accounts": ["acct_1"]}, "other_account"),
        (event(account="acct_2"), {}, "other_account"),
        (
            {
                "id": "evt_test_1",
                "object": "v2.core.event",
                "type": "v1.checkout.session.completed",
                "livemode": True,
                "created": "2026-11-25T09:46:40.000Z",
                "related_object": {"id": "cs_live_a1", "type": "checkout.session"},
            },
            {},
            "no_data",
        ),
        (event(data=None), {}, "no_data"),
        ({}, {}, "no_data"),
    ],
)
def test_events_without_a_purchase_are_ignored_with_a_reason(sent, options, reason):
    assert reason_of(reading(sent, **options)) == reason


def test_payment_of_a_configured_account_counts():
    assert conversion(event(account="acct_1"), accounts=["acct_1"]).conversion_id == "cs_live_a1"


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (4_990, "eur", "49.90"),
        (5, "eur", "0.05"),
        (4_990, "jpy", "4990"),
        (4_990, "MGA", "4990"),
        (4_990, "ugx", "49.90"),
        (4_990, "isk", "49.90"),
        (4_990, "huf", "49.90"),
        (4_990, "twd", "49.90"),
        (12_340, "kwd", "12.340"),
        (-4_990, "eur", "-49.90"),
        (9_007_199_254_740_993, "eur", "90071992547409.93"),
    ],
)
def test_minor_units_are_stripes_own(amount, currency, expected):
    assert in_major_units(amount, currency) == expected


@pytest.mark.parametrize(
    ("extra", "money", "expected"),
    [
        ({}, "presentment", ("49.90", "eur")),
        (
            {"presentment_details": {"presentment_amount": 8_000, "presentment_currency": "jpy"}},
            "presentment",
            ("8000", "jpy"),
        ),
        (
            {"presentment_details": {"presentment_amount": 8_000, "presentment_currency": "jpy"}},
            "shop",
            ("49.90", "eur"),
        ),
        (
            {"currency_conversion": {"amount_total": 5_500, "source_currency": "usd"}},
            "shop",
            ("55.00", "usd"),
        ),
        (
            {"currency_conversion": {"amount_total": 5_500, "source_currency": "usd"}},
            "presentment",
            ("49.90", "eur"),
        ),
    ],
)
def test_value_is_the_merchants_or_the_persons_amount(extra, money, expected):
    native = conversion(event(payment=SESSION | extra), money=money)

    assert (json.loads(bytes(native.value)), native.currency) == expected


@pytest.mark.parametrize("amount", [None, "4990", 49.9, True, [], 10**40 + 0.5])
def test_event_without_a_whole_amount_is_a_visible_reject(amount):
    parsed = reading(event(payment=SESSION | {"amount_total": amount})).parsed

    assert [fault.code for fault in parsed.faults[0]] == ["not_an_amount"]
    assert parsed.conversions[0].conversion_id == "cs_live_a1"


@pytest.mark.parametrize("created", [None, "2026-11-25", -1, 10**30, 1.5])
def test_event_without_a_usable_time_counts_from_its_arrival(created):
    assert conversion(event(created=created)).time is None


@pytest.mark.parametrize("body", [b"", b"[]", b"webhook_id=1", b"{", b'{"a":' * 10_000])
def test_body_that_is_no_object_is_malformed(body):
    with pytest.raises(MalformedRequest):
        read(a_message(body), a_webhook(STRIPE))


def test_repr_of_a_reading_shows_no_person():
    assert "shopper" not in repr(reading(event()))


@pytest.mark.parametrize("payment", ["checkout_session", "payment_intent", "invoice"])
def test_sample_is_a_genuine_message_with_one_conversion(payment):
    webhook = a_webhook(STRIPE, payment=payment)
    message = sample(webhook, NOW, "")

    assert verify(message, webhook, NOW) is SignatureVerdict.GENUINE
    assert len(read(message, webhook).parsed.conversions) == 1
