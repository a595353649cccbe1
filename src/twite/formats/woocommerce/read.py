"""WooCommerce's webhooks: paid orders to purchases.

A webhook of the topic "Order updated" sends the order after every change, as it is when the shop
gets around to it. So the first message about a paid order is the purchase, and the others are
duplicates of it. [seen WC] is read in WooCommerce's code, [guess] is undocumented.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from html import unescape
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from twite.domain.conversion import DECIMALS
from twite.domain.fault import Fault, fault
from twite.domain.loopback import is_own_name
from twite.domain.normalize import e164
from twite.domain.secret import Secret
from twite.domain.times import LATEST, moment
from twite.formats.event_data.values import (
    NULL,
    amount_at,
    content_of,
    first_text,
    text_of,
    usable_amount,
)
from twite.formats.native.values import yes_or_no
from twite.formats.parsed_request import Event, Native, NativeContent, ParsedRequest
from twite.formats.webhook_kind import (
    IgnoredReason,
    IncomingWebhook,
    OptionFault,
    SignatureVerdict,
    WebhookMessage,
    WebhookReading,
    consent_signals,
    exact_object,
    ignoring,
    is_any,
    option,
    shown_name,
    signed_base64,
)

SIGNATURE: Final = "x-wc-webhook-signature"
TOPIC: Final = "x-wc-webhook-topic"
UPDATED: Final = "order.updated"
# When an admin saves a webhook, the shop posts this form without a signature, and shows an error
# for every response but 200. [seen WC]
_PING: Final = re.compile(rb"webhook_id=[0-9]{1,20}")
_REASONS: Final[Mapping[str, IgnoredReason]] = {
    "refunded": IgnoredReason.REFUND,
    "cancelled": IgnoredReason.CANCELLATION,
}
# Metadata of orders that were paid in a sandbox: WooPayments, PayPal Payments. [seen] An order
# itself has no mark of a test.
_SANDBOXES: Final[Mapping[str, str]] = {
    "_wcpay_mode": "test",
    "_ppcp_paypal_payment_mode": "sandbox",
}
# WooCommerce Subscriptions writes this to renewals. [seen]
_RENEWAL: Final = "_subscription_renewal"
# The order attribution of WooCommerce: the URL of the session's first page. [seen]
_LANDING: Final = "_wc_order_attribution_session_entry"
_BROWSER: Final = "_wc_order_attribution_user_agent"
# The PHP snippet in docs/how-to/receive-woocommerce-orders.md writes these.
CLICK: Final = "_twite_click"
CONSENT: Final = "_twite_consent"
NEW_CUSTOMER: Final = "_twite_new_customer"
_MOST_ITEMS: Final = 200
_PRICE: Final = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,20})?", re.ASCII)


class WooCommerceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a `[[webhook]]` of the kind `woocommerce`."""

    paid_since: Annotated[
        str | None,
        option(
            "from when on no other sender reports orders, such as `2026-12-01T00:00:00Z`; orders "
            "that were paid before are ignored"
        ),
    ] = None
    conversion_id: Annotated[
        Literal["id", "number", "order_key"],
        option("the field of the order that is the conversion id; the pixel must send the same"),
    ] = "id"
    user_id: Annotated[
        Literal["customer_id", "none"],
        option(
            "the field of the order that is the user id for late joins; `none` if shops with other "
            "customers send to the same pixel"
        ),
    ] = "customer_id"
    statuses: Annotated[
        tuple[str, ...],
        option("the statuses of a paid order. A plugin may add statuses of its own"),
    ] = ("processing", "completed")
    renewals: Annotated[bool, option("whether renewals of subscriptions are conversions, too")] = (
        False
    )
    shop_url: Annotated[
        str | None, option("the shop's address, such as `https://shop.example`, for `twite sync`")
    ] = None
    consumer_key: Annotated[
        str | None, option("a key of the shop's REST API with read access, for `twite sync`")
    ] = None
    consumer_secret: Annotated[Secret | None, option("the secret of this key")] = None


def check(options: WooCommerceOptions) -> Iterator[OptionFault]:
    """Yield what is wrong with the options."""
    since = read_time(options.paid_since or "")
    if isinstance(since, Fault):
        # Without it, orders that another sender has reported would count again when they change.
        is_missing = options.paid_since is None
        yield OptionFault(
            key="paid_since",
            message="is missing. Write the time when this webhook becomes the only sender of "
            "orders, such as 2026-12-01T00:00:00Z"
            if is_missing
            else since.message,
        )
    if options.shop_url is not None and not _is_protected(options.shop_url):
        yield OptionFault(
            key="shop_url",
            message="must be an https:// address without a query, because the key is sent to it",
        )
    given = [options.shop_url, options.consumer_key, options.consumer_secret]
    if None in given and any(part is not None for part in given):
        yield OptionFault(
            key="shop_url", message="set shop_url, consumer_key and consumer_secret together"
        )
    if not options.statuses:
        yield OptionFault(key="statuses", message='needs a status, such as "processing"')
    for status in options.statuses:
        if status.startswith("wc-"):
            yield OptionFault(
                key="statuses",
                message=f"{status!r} is the name in the database: write {status[3:]!r}",
            )


def read_time(text: str) -> int | Fault:
    """Return a time with a zone in milliseconds."""
    return moment(text, now=LATEST, path="time")


def _is_protected(url: str) -> bool:
    """Return whether a key may be sent to this address: over TLS, or to this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    is_plain = parts.query == parts.fragment == "" and parts.username is None and host != ""
    return is_plain and (parts.scheme == "https" or (parts.scheme == "http" and is_own_name(host)))


WooCommerceWebhook = IncomingWebhook[WooCommerceOptions]


def verify(message: WebhookMessage, webhook: WooCommerceWebhook, now: int) -> SignatureVerdict:
    """Compare the signature of the body; it contains no time.

    WordPress stores the secret with HTML entities, and decodes them before it signs. [seen WC] A
    secret that was copied from the database still has them.
    """
    del now
    given = message.header(SIGNATURE).encode("latin-1")
    if not given and _PING.fullmatch(message.body):
        return SignatureVerdict.PING
    plain = [Secret(unescape(secret.reveal())) for secret in webhook.secrets]
    expected = [signed_base64(secret, message.body) for secret in (*webhook.secrets, *plain)]
    return SignatureVerdict.GENUINE if is_any(given, expected) else SignatureVerdict.WRONG


def read(message: WebhookMessage, webhook: WooCommerceWebhook) -> WebhookReading:
    """Read a message. Raises MalformedRequest if it is not a JSON object."""
    order = exact_object(message.body)
    topic = message.header(TOPIC) or UPDATED
    status = first_text(order, ("status",))
    if "action" in order and "arg" in order:
        # A topic such as action.woocommerce_payment_complete: only the number of the order. [seen]
        return ignoring(topic, IgnoredReason.NO_DATA)
    if status is None or first_text(order, ("id",)) is None or "line_items" not in order:
        return ignoring(topic, IgnoredReason.OTHER_MESSAGE)
    metadata = _metadata(order)
    reason = _reason(order, status, metadata, webhook.options)
    if reason is not None:
        return ignoring(topic, reason)
    native, faults = _conversion(order, metadata, webhook)
    return WebhookReading(
        name=shown_name(topic), parsed=ParsedRequest(conversions=(native,), faults=(faults,))
    )


def _reason(
    order: Event, status: str, metadata: Mapping[str, str], options: WooCommerceOptions
) -> IgnoredReason | None:
    """Return why the order is no conversion, or None."""
    if any(metadata.get(name) == mode for name, mode in _SANDBOXES.items()):
        return IgnoredReason.TEST
    if status not in options.statuses:
        return _REASONS.get(status, IgnoredReason.UNPAID)
    paid = paid_at(order)
    if paid is None:
        return IgnoredReason.UNPAID
    at, since = read_time(paid), read_time(options.paid_since or "")
    if isinstance(at, int) and isinstance(since, int) and at < since:
        return IgnoredReason.TOO_OLD
    # `created_via` is "subscription" for renewals. [guess]
    is_renewal = metadata.get(_RENEWAL) or order.get("created_via") == "subscription"
    return IgnoredReason.RENEWAL if is_renewal and not options.renewals else None


def paid_at(order: Event) -> str | None:
    """Return when the order was paid, in UTC. The time without `_gmt` is the shop's local time."""
    paid = first_text(order, ("date_paid_gmt",))
    return None if paid is None else f"{paid.removesuffix('Z')}Z"


def _conversion(
    order: Event, metadata: Mapping[str, str], webhook: WooCommerceWebhook
) -> tuple[Native, tuple[Fault, ...]]:
    faults = []
    place = webhook.options.conversion_id
    identity = first_text(order, (place,))
    if identity is None:
        # No other id may replace it: the next message about this order could have the right one.
        faults.append(fault("conversion_id", "wrong_type", f"the order has no {place}"))
    value = amount_at(order, ("total",))
    if value == NULL:
        faults.append(fault("value", "not_an_amount", "the order has no total"))
    currency = first_text(order, ("currency",))
    native = Native(
        event=webhook.event,
        conversion_id=identity,
        time=paid_at(order),
        value=value,
        currency=currency,
        email=first_text(order, ("billing.email",)),
        phone=_phone(order),
        twclid=metadata.get(CLICK),
        ip=first_text(order, ("customer_ip_address",)),
        user_agent=first_text(order, ("customer_user_agent",)) or metadata.get(_BROWSER),
        url=metadata.get(_LANDING),
        contents=_contents(order, currency or "") or None,
        consent=consent_signals(*_values(order, CONSENT)),
        # 0 for a guest. [doc WC]
        user_id=first_text(order, (webhook.options.user_id,)),
        # Tax of the shipping is in `total_tax`, not in `shipping_total`. [seen WC]
        tax=usable_amount(order, ("total_tax",)),
        shipping=usable_amount(order, ("shipping_total",)),
        new_customer=yes_or_no(metadata.get(NEW_CUSTOMER)),
    )
    return native, tuple(faults)


def _metadata(order: Event) -> dict[str, str]:
    """Return the texts of `meta_data`; the first of a name counts, as in WordPress."""
    found: dict[str, str] = {}
    for row in _rows(order):
        name, text = text_of(row.get("key")), text_of(row.get("value"))
        if name and text:
            found.setdefault(name, text)
    return found


def _values(order: Event, name: str) -> list[object]:
    """Return all values of a name, whatever they are."""
    return [row.get("value") for row in _rows(order) if row.get("key") == name]


def _rows(order: Event) -> list[Event]:
    rows = order.get("meta_data")
    return [row for row in (rows if isinstance(rows, list) else ()) if isinstance(row, Mapping)]


def _phone(order: Event) -> str | None:
    """Return the phone number, in E.164 if the address names the country."""
    phone = first_text(order, ("billing.phone",))
    country = first_text(order, ("billing.country",))
    if phone is None or country is None:
        return phone
    number = e164(phone, country.upper())
    return number if number.startswith("+") else phone


def _contents(order: Event, currency: str) -> list[NativeContent]:
    lines = order.get("line_items")
    given = lines[:_MOST_ITEMS] if isinstance(lines, list) else []
    return [_content(line, currency) for line in given if isinstance(line, Mapping)]


def _content(line: Event, currency: str) -> NativeContent:
    """Return a line. The price is a quotient such as 16.666666666666668, so it is rounded."""
    price = text_of(line.get("price")) or ""
    rounded = NULL
    if _PRICE.fullmatch(price):
        decimals = DECIMALS.get(currency.upper(), 2)
        rounded = msgspec.Raw(msgspec.json.encode(f"{Decimal(price):.{decimals}f}"))
    return msgspec.structs.replace(
        content_of(line),
        id=first_text(line, ("sku", "variation_id", "product_id")),
        name=first_text(line, ("name",)),
        price=rounded,
        group=first_text(line, ("product_id",)),
        type=None,
    )
