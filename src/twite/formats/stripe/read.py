"""Stripe format (`POST /webhooks/{name}`): a snapshot event to a conversion.

One payment causes events about several objects: a Checkout session, a payment intent, an invoice. A
webhook reads one of them, so that no payment counts twice. [seen STP]
"""

import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Final, Literal

import msgspec

from twite.domain.fault import Fault, fault
from twite.domain.secret import Secret
from twite.domain.times import LATEST, SECOND, spelled
from twite.formats.event_data.values import NULL, first_text, value_at
from twite.formats.native.values import yes_or_no
from twite.formats.parsed_request import Event, Native, ParsedRequest
from twite.formats.stripe.minor_units import in_major_units
from twite.formats.webhook_kind import (
    IgnoredReason,
    IncomingWebhook,
    SignatureVerdict,
    WebhookMessage,
    WebhookReading,
    consent_signals,
    exact_object,
    ignoring,
    is_any,
    option,
    shown_name,
)

SIGNATURE: Final = "stripe-signature"
_MOST_DIGITS: Final = 12
_Payment = Literal["checkout_session", "payment_intent", "invoice"]
# Events about a completed payment, and their objects. [doc ST]
PAYMENTS: Final[Mapping[str, _Payment]] = {
    "checkout.session.completed": "checkout_session",
    "checkout.session.async_payment_succeeded": "checkout_session",
    "payment_intent.succeeded": "payment_intent",
    "invoice.paid": "invoice",
}
_PAID: Final = frozenset({"paid", "no_payment_required"})
_UNPAID: Final = frozenset(
    {
        "checkout.session.async_payment_failed",
        "checkout.session.expired",
        "payment_intent.payment_failed",
        "invoice.payment_failed",
    }
)
_REFUNDS: Final = ("charge.refund", "charge.dispute.", "refund.", "credit_note.")
# What was paid: `amount` and `total` say what was asked for. [seen STP]
AMOUNTS: Final[Mapping[_Payment, str]] = {
    "checkout_session": "amount_total",
    "payment_intent": "amount_received",
    "invoice": "amount_paid",
}
_PRESENTMENT: Final = (
    "presentment_details.presentment_amount",
    "presentment_details.presentment_currency",
)
_CONVERTED: Final = ("currency_conversion.amount_total", "currency_conversion.source_currency")
_EMAILS: Final = ("customer_details.email", "customer_email", "receipt_email")
_PHONES: Final = ("customer_details.phone", "customer_phone", "shipping.phone")
_CUSTOMERS: Final = ("customer", "customer.id")
_SHIPPINGS: Final = ("total_details.amount_shipping", "shipping_cost.amount_total")
# The metadata of an invoice's subscription moved with the API version 2025-03-31. [seen STP]
_METADATA: Final = (
    "metadata",
    "parent.subscription_details.metadata",
    "subscription_details.metadata",
)


class StripeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a `[[webhook]]` of the kind `stripe`."""

    payment: Annotated[
        _Payment,
        option("the object whose payment is a conversion"),
    ] = "checkout_session"
    conversion_id: Annotated[
        str,
        option("the field of the order that is the conversion id; the pixel must send the same"),
    ] = "id"
    money: Annotated[
        Literal["shop", "presentment"],
        option("whether amounts are in the shop's currency or in the one that the buyer saw"),
    ] = "shop"
    renewals: Annotated[
        bool,
        option("whether renewals of subscriptions are conversions, too"),
    ] = False
    accounts: Annotated[
        tuple[str, ...],
        option("the connected accounts, such as `acct_…`, whose payments are conversions, too"),
    ] = ()
    tolerance: Annotated[
        int, option("how old a signature may be, in seconds", ge=1, le=604_800)
    ] = 300


StripeWebhook = IncomingWebhook[StripeOptions]


def verify(message: WebhookMessage, webhook: StripeWebhook, now: int) -> SignatureVerdict:
    """Compare each `v1` with the signatures by all secrets. A time in the future is accepted.

    [seen STP] There are several `v1` while Stripe replaces a secret; other schemes do not count.
    Stripe's library accepts any time in the future, too.
    """
    pairs = [part.strip().partition("=") for part in message.header(SIGNATURE).split(",")]
    at = next((value for name, _, value in pairs if name == "t"), "")
    if not (at.isascii() and at.isdecimal() and len(at) <= _MOST_DIGITS):
        return SignatureVerdict.WRONG
    expected = [_digest(secret, at, message.body) for secret in webhook.secrets]
    offered = [value.encode("latin-1") for name, _, value in pairs if name == "v1"]
    found = [is_any(each, expected) for each in offered]
    if not any(found):
        return SignatureVerdict.WRONG
    is_late = now - int(at) * SECOND > webhook.options.tolerance * SECOND
    return SignatureVerdict.LATE if is_late else SignatureVerdict.GENUINE


def signature(body: bytes, *, secret: Secret, now: int) -> bytes:
    """Return the header of a body that is signed now (ms)."""
    at = str(now // SECOND)
    return b"t=%b,v1=%b" % (at.encode(), _digest(secret, at, body))


def _digest(secret: Secret, at: str, body: bytes) -> bytes:
    """Sign `t.body`. The key is the secret's whole text, with its prefix `whsec_`. [seen STP]"""
    signed = at.encode() + b"." + body
    return hmac.digest(secret.reveal().encode(), signed, sha256).hex().encode()


def read(message: WebhookMessage, webhook: StripeWebhook) -> WebhookReading:
    """Read an event. Raises MalformedRequest if it is not a JSON object."""
    event = exact_object(message.body)
    name = first_text(event, ("type",)) or "unnamed"
    payment = value_at(event, "data.object")
    if not isinstance(payment, Mapping):
        # A thin event: version 2, or a version 1 event at an endpoint for thin payloads.
        return ignoring(name, IgnoredReason.NO_DATA)
    reason = _reason(name, event, payment, webhook.options)
    if reason is not None:
        return ignoring(name, reason)
    native, faults = _conversion(event, payment, webhook)
    return WebhookReading(
        name=shown_name(name), parsed=ParsedRequest(conversions=(native,), faults=(faults,))
    )


def _reason(  # noqa: PLR0911 - one for each reason
    name: str, event: Event, payment: Event, options: StripeOptions
) -> IgnoredReason | None:
    """Return why the event is no conversion, or None."""
    if event.get("livemode") is not True or payment.get("livemode") is False:
        return IgnoredReason.TEST
    account = first_text(event, ("account",))
    if account is not None and account not in options.accounts:
        return IgnoredReason.OTHER_ACCOUNT
    if name.startswith(_REFUNDS):
        return IgnoredReason.REFUND
    if name in _UNPAID:
        return IgnoredReason.UNPAID
    if PAYMENTS.get(name) != options.payment:
        return IgnoredReason.OTHER_MESSAGE
    if options.payment == "checkout_session" and payment.get("payment_status") not in _PAID:
        return IgnoredReason.UNPAID
    mode = payment.get("mode")
    is_free = payment.get(AMOUNTS[options.payment]) == 0
    # A session without a payment is a free order, begins a trial, or stores a card. [doc ST] A
    # trial also has a first invoice. One that was paid outside Stripe has its amount. [guess]
    if mode == "setup" or (is_free and mode != "payment"):
        return IgnoredReason.FREE
    return _reason_of_invoice(payment, options) if options.payment == "invoice" else None


def _reason_of_invoice(invoice: Event, options: StripeOptions) -> IgnoredReason | None:
    is_first = invoice.get("billing_reason") == "subscription_create"
    return None if is_first or options.renewals else IgnoredReason.RENEWAL


def _conversion(
    event: Event, payment: Event, webhook: StripeWebhook
) -> tuple[Native, tuple[Fault, ...]]:
    options = webhook.options
    metadata = _metadata(payment)
    value, currency, faults = _worth(payment, options)
    native = Native(
        event=webhook.event,
        conversion_id=first_text(payment, (options.conversion_id, "id")),
        time=_time(event),
        value=value,
        currency=currency,
        email=first_text(payment, _EMAILS),
        phone=first_text(payment, _PHONES),
        twclid=first_text(metadata, ("twclid",)),
        ip=first_text(metadata, ("twite_ip",)),
        user_agent=first_text(metadata, ("twite_user_agent",)),
        url=first_text(metadata, ("twite_url",)),
        consent=consent_signals(
            *[value_at(payment, f"{place}.twite_consent") for place in _METADATA]
        ),
        # It is null without a customer. [seen STP]
        user_id=first_text(metadata, ("twite_user_id",)) or first_text(payment, _CUSTOMERS),
        tax=_part(payment, _taxes(payment), currency),
        shipping=_part(payment, [value_at(payment, place) for place in _SHIPPINGS], currency),
        new_customer=yes_or_no(metadata.get("twite_new_customer")),
    )
    return native, faults


def _taxes(payment: Event) -> list[object]:
    """Return the amounts that may be the tax: that of a session, or the sum of an invoice's."""
    listed = payment.get("total_taxes")
    taxes = listed if isinstance(listed, list) else []
    amounts = [tax.get("amount") for tax in taxes if isinstance(tax, Mapping)]
    whole = [amount for amount in amounts if type(amount) is int]
    of_invoice = sum(whole) if isinstance(listed, list) and len(whole) == len(taxes) else None
    return [value_at(payment, "total_details.amount_tax"), of_invoice]


def _part(payment: Event, amounts: Sequence[object], currency: str | None) -> msgspec.Raw:
    """Return the first amount that is a whole number, unless the value is in another currency."""
    found = next((amount for amount in amounts if type(amount) is int), None)
    if found is None or found < 0 or first_text(payment, ("currency",)) != currency:
        return NULL
    return msgspec.Raw(msgspec.json.encode(in_major_units(found, currency or "")))


def _metadata(payment: Event) -> Event:
    """Return what the merchant attached; an object's own values precede its subscription's."""
    found: dict[str, object] = {}
    for place in reversed(_METADATA):
        part = value_at(payment, place)
        if isinstance(part, Mapping):
            found |= part
    return found


def _time(event: Event) -> str | None:
    """Return when the payment completed: a session itself is created up to a day before."""
    created = event.get("created")
    if not isinstance(created, int) or not 0 <= created * SECOND <= LATEST:
        return None
    return spelled(created * SECOND)


def _worth(
    payment: Event, options: StripeOptions
) -> tuple[msgspec.Raw, str | None, tuple[Fault, ...]]:
    """Return value, currency and faults.

    Since the API version 2025-03-31, `currency` is the merchant's and `presentment_details` has the
    person's. Before, `currency` was the person's, and `currency_conversion` had the merchant's;
    that field ended on 2025-09-30. [doc ST]
    """
    place = AMOUNTS[options.payment]
    pair = _PRESENTMENT if options.money == "presentment" else _CONVERTED
    amount, currency = value_at(payment, pair[0]), first_text(payment, pair[1:])
    if amount is None:
        amount, currency = payment.get(place), first_text(payment, ("currency",))
    if type(amount) is not int:
        wrong = fault("value", "not_an_amount", f"the event has no whole number in {place!r}")
        return NULL, currency, (wrong,)
    return msgspec.Raw(msgspec.json.encode(in_major_units(amount, currency or ""))), currency, ()
