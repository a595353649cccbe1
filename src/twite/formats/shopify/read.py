"""Shopify's webhooks: orders to purchases, and the privacy webhooks.

Fields, headers and their sources: shopify.dev, docs/apps/build/webhooks and the `order` resource
of the Admin API. [guess] marks what no documentation says.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec

from twite.domain.fault import Fault, fault
from twite.domain.normalize import click_id_of_url, e164
from twite.domain.people.erasure import CONVERSION_ID, EMAIL, PHONE, ErasureIdentifier, asked
from twite.formats.event_data.values import (
    NULL,
    amount_at,
    content_of,
    first_text,
    text_of,
    usable_amount,
    value_at,
)
from twite.formats.native.values import yes_or_no
from twite.formats.parsed_request import Event, Native, NativeContent, ParsedRequest
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
    signed_base64,
)

# The cart attributes that the theme snippet in `shopify/` writes.
CLICK_ATTRIBUTE: Final = "_twite_click"
CONSENT_ATTRIBUTE: Final = "_twite_consent"
# A cart attribute or an app may say whether it is the customer's first order.
NEW_CUSTOMER_ATTRIBUTE: Final = "_twite_new_customer"

# Deliveries of the Events product have the same headers without "X-". Shopify's library looks for
# these first [seen shopify-app-js].
_SIGNATURE: Final = ("shopify-hmac-sha256", "x-shopify-hmac-sha256")
_TOPIC: Final = ("shopify-topic", "x-shopify-topic")
# On test notifications [guess].
_TEST: Final = ("shopify-test", "x-shopify-test")
_OTHER_TOPICS: Final[Mapping[str, IgnoredReason]] = {
    "refunds/create": IgnoredReason.REFUND,
    "orders/cancelled": IgnoredReason.CANCELLATION,
    "customers/data_request": IgnoredReason.PRIVACY_REQUEST,
    "shop/redact": IgnoredReason.PRIVACY_REQUEST,
}
_REDACT: Final = "customers/redact"
# Everything else in these places marks a test.
_NO: Final = frozenset({"", "false", "0"})
# The gateway of test orders [seen]; the admin calls it "(for testing) Bogus Gateway" [guess].
_BOGUS: Final = "bogus"
# `source_name` [guess] → the reason, and the word in `also`. Renewals only begin like this.
_RENEWAL: Final = "subscription_contract"
_CHANNELS: Final[Mapping[str, tuple[IgnoredReason, str]]] = {
    _RENEWAL: (IgnoredReason.RENEWAL, "renewals"),
    "pos": (IgnoredReason.POINT_OF_SALE, "point_of_sale"),
    "shopify_draft_order": (IgnoredReason.DRAFT, "drafts"),
}
_MOST_ITEMS: Final = 200
_MOST_ORDERS: Final = 1_000


class ShopifyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a `[[webhook]]` of the kind `shopify`."""

    topic: Annotated[
        Literal["orders/paid", "orders/create"], option("the topic whose orders are conversions")
    ] = "orders/paid"
    conversion_id: Annotated[
        Literal["id", "order_number", "name", "confirmation_number"],
        option("the field of the order that is the conversion id; the pixel must send the same"),
    ] = "id"
    money: Annotated[
        Literal["shop", "presentment"],
        option("whether amounts are in the shop's currency or in the one that the buyer saw"),
    ] = "shop"
    also: Annotated[
        tuple[Literal["renewals", "point_of_sale", "drafts"], ...],
        option("what is sent besides orders of the web"),
    ] = ()
    ignored_channels: Annotated[
        tuple[str, ...], option("values of `source_name` whose orders are not sent")
    ] = ()


ShopifyWebhook = IncomingWebhook[ShopifyOptions]


def verify(message: WebhookMessage, webhook: ShopifyWebhook, now: int) -> SignatureVerdict:
    """Compare the signature of the body; it contains no time."""
    del now
    given = message.header(*_SIGNATURE).encode("latin-1")
    expected = [signed_base64(secret, message.body) for secret in webhook.secrets]
    return SignatureVerdict.GENUINE if is_any(given, expected) else SignatureVerdict.WRONG


def read(message: WebhookMessage, webhook: ShopifyWebhook) -> WebhookReading:
    """Read a delivery. Raises MalformedRequest."""
    options = webhook.options
    topic = message.header(*_TOPIC).lower()
    if topic == _REDACT:
        return _erasure(topic, exact_object(message.body), options)
    if topic != options.topic:
        return ignoring(topic, _OTHER_TOPICS.get(topic, IgnoredReason.OTHER_MESSAGE))
    order = exact_object(message.body)
    is_test = message.header(*_TEST).lower() not in _NO or _is_test(order)
    reason = IgnoredReason.TEST if is_test else _left_out(order, options)
    if reason is not None:
        return ignoring(topic, reason)
    conversion, faults = _conversion(order, webhook)
    return WebhookReading(
        name=topic,
        parsed=ParsedRequest(conversions=(conversion,), faults=(faults,)),
        # A payment updates the order. It may be paid weeks after it was created.
        made_at=first_text(order, ("updated_at",)),
    )


def _is_test(order: Event) -> bool:
    given = order.get("payment_gateway_names")
    names = given if isinstance(given, list) else [given]
    mark = order.get("test")
    return (mark is not None and str(mark).lower() not in _NO) or any(
        _BOGUS in (text_of(name) or "").lower() for name in names
    )


def _left_out(order: Event, options: ShopifyOptions) -> IgnoredReason | None:
    """Return why an order is no conversion, or None."""
    channel = (first_text(order, ("source_name",)) or "").lower()
    if channel in {name.lower() for name in options.ignored_channels}:
        return IgnoredReason.CHANNEL
    known = _CHANNELS.get(_RENEWAL if channel.startswith(_RENEWAL) else channel)
    if known is not None and known[1] not in options.also:
        return known[0]
    return None if order.get("cancelled_at") is None else IgnoredReason.CANCELLATION


def _conversion(order: Event, webhook: ShopifyWebhook) -> tuple[Native, tuple[Fault, ...]]:
    options = webhook.options
    faults = []
    identity = first_text(order, (options.conversion_id,))
    if identity is None:
        faults.append(
            fault(
                "conversion_id",
                "wrong_type",
                f"the order has no {options.conversion_id}, which conversion_id names",
            )
        )
    amount, currency = (
        ("total_price", "currency")
        if options.money == "shop"
        else (
            "total_price_set.presentment_money.amount",
            "total_price_set.presentment_money.currency_code",
        )
    )
    tax, shipping = (
        ("total_tax", "total_shipping_price_set.shop_money.amount")
        if options.money == "shop"
        else (
            "total_tax_set.presentment_money.amount",
            "total_shipping_price_set.presentment_money.amount",
        )
    )
    value = amount_at(order, (amount,))
    if value == NULL:
        faults.append(fault("value", "not_an_amount", f"the order has no {amount}"))
    clicks = [text for value in _attribute(order, CLICK_ATTRIBUTE) if (text := text_of(value))]
    landing = first_text(order, ("landing_site",)) or ""
    native = Native(
        event=webhook.event,
        conversion_id=identity,
        time=first_text(order, ("processed_at", "created_at")),
        value=value,
        currency=first_text(order, (currency,)),
        email=first_text(order, ("email", "contact_email", "customer.email")),
        phone=_phone(order),
        twclid=clicks[0] if clicks else click_id_of_url(landing),
        ip=first_text(order, ("browser_ip", "client_details.browser_ip")),
        user_agent=first_text(order, ("client_details.user_agent",)),
        contents=_contents(order) or None,
        consent=consent_signals(*_attribute(order, CONSENT_ATTRIBUTE)),
        # An order without a customer has none. The customer of a guest is of one email. [guess]
        user_id=first_text(order, ("customer.id",)),
        tax=usable_amount(order, (tax,)),
        shipping=usable_amount(order, (shipping,)),
        new_customer=_is_new_customer(order),
    )
    return native, tuple(faults)


def _is_new_customer(order: Event) -> bool | None:
    """Return whether it is the first order, from a cart attribute, or else the order count.

    Orders of API versions before 2025-01 have the count, this order included. [guess]
    """
    given = _attribute(order, NEW_CUSTOMER_ATTRIBUTE)
    if given:
        return yes_or_no(given[0])
    count = value_at(order, "customer.orders_count")
    return count <= 1 if type(count) is int else None


def _attribute(order: Event, name: str) -> list[object]:
    """Return a cart attribute: "set on a cart carry over to the resulting order" [doc]."""
    given = order.get("note_attributes")
    return [
        row.get("value")
        for row in (given if isinstance(given, list) else [])
        if isinstance(row, Mapping) and row.get("name") == name
    ]


def _phone(order: Event) -> str | None:
    """Return the phone number, in E.164 if the address names the country."""
    phone = first_text(
        order, ("phone", "customer.phone", "billing_address.phone", "shipping_address.phone")
    )
    country = first_text(order, ("billing_address.country_code", "shipping_address.country_code"))
    if phone is None or country is None:
        return phone
    number = e164(phone, country.upper())
    return number if number.startswith("+") else phone


def _contents(order: Event) -> list[NativeContent]:
    lines = order.get("line_items")
    given = lines[:_MOST_ITEMS] if isinstance(lines, list) else []
    return [_content(line) for line in given if isinstance(line, Mapping)]


def _content(line: Event) -> NativeContent:
    """Return a line; prices are in the shop's currency, as text or as a number [seen both]."""
    known = content_of(line)
    return msgspec.structs.replace(
        known,
        id=first_text(line, ("sku", "variant_id", "product_id")),
        name=first_text(line, ("title", "name")),
        group=first_text(line, ("product_id",)),
        type=None,
    )


def _erasure(topic: str, request: Event, options: ShopifyOptions) -> WebhookReading:
    """Read `customers/redact`: the identifiers that can be searched for [seen].

    Without any, or with a phone number without its country, the merchant must erase the person.
    """
    found = list(_asked(request, options))
    person = tuple(each for each in found if isinstance(each, ErasureIdentifier))
    is_whole = bool(person) and len(person) == len(found)
    reason = IgnoredReason.ERASURE if is_whole else IgnoredReason.PRIVACY_REQUEST
    return ignoring(topic, reason, person)


def _asked(request: Event, options: ShopifyOptions) -> Iterator[ErasureIdentifier | Fault]:
    for kind, place in ((EMAIL, "customer.email"), (PHONE, "customer.phone")):
        text = text_of(value_at(request, place))
        if text:
            yield asked(kind, text, region=None)
    orders = request.get("orders_to_redact")
    if options.conversion_id == "id" and isinstance(orders, list):
        for order in orders[:_MOST_ORDERS]:
            if text := text_of(order):
                yield asked(CONVERSION_ID, text, region=None)
