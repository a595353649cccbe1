"""The table of webhook kinds. `webhook_kind.py` documents the columns."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from twite.formats.generic.presets import GOOGLE_LEAD_FORM, HUBSPOT, POSTHOG
from twite.formats.generic.read import GenericOptions
from twite.formats.generic.read import check as check_generic
from twite.formats.generic.read import read as read_generic
from twite.formats.generic.read import verify as verify_generic
from twite.formats.generic.sample import sample as generic_sample
from twite.formats.shopify.read import ShopifyOptions
from twite.formats.shopify.read import read as read_shopify
from twite.formats.shopify.read import verify as verify_shopify
from twite.formats.shopify.sample import sample as shopify_sample
from twite.formats.standard.read import StandardOptions
from twite.formats.standard.read import read as read_standard
from twite.formats.standard.read import verify as verify_standard
from twite.formats.standard.sample import sample as standard_sample
from twite.formats.stripe.read import StripeOptions
from twite.formats.stripe.read import read as read_stripe
from twite.formats.stripe.read import verify as verify_stripe
from twite.formats.stripe.sample import sample as stripe_sample
from twite.formats.webhook_kind import WebhookKind
from twite.formats.webhook_map import check_map
from twite.formats.woocommerce.read import WooCommerceOptions
from twite.formats.woocommerce.read import check as check_woocommerce
from twite.formats.woocommerce.read import read as read_woocommerce
from twite.formats.woocommerce.read import verify as verify_woocommerce
from twite.formats.woocommerce.sample import sample as woocommerce_sample

_STANDARD: Final = WebhookKind(
    name="standard",
    options=StandardOptions,
    verify=verify_standard,
    read=read_standard,
    sample=standard_sample,
    check=check_map,
    # Some senders report an order again after each change, at any later time.
    ignores_old=True,
)
_GENERIC: Final = WebhookKind(
    name="generic",
    options=GenericOptions,
    verify=verify_generic,
    read=read_generic,
    sample=generic_sample,
    check=check_generic,
    ignores_old=True,  # as above; without a signed time, replays stay genuine, too
)

KINDS: Final[Mapping[str, WebhookKind[Any]]] = {
    kind.name: kind
    for kind in (
        WebhookKind(
            name="shopify",
            options=ShopifyOptions,
            verify=verify_shopify,
            read=read_shopify,
            sample=shopify_sample,
            # The signature contains no time, so a copy of a delivery stays genuine.
            ignores_old=True,
            lacks=frozenset({"description", "search", "url"}),
        ),
        WebhookKind(
            name="stripe",
            options=StripeOptions,
            verify=verify_stripe,
            read=read_stripe,
            sample=stripe_sample,
            # The dashboard resends events for weeks.
            ignores_old=True,
            lacks=frozenset({"contents", "description", "search"}),
        ),
        WebhookKind(
            name="woocommerce",
            options=WooCommerceOptions,
            verify=verify_woocommerce,
            read=read_woocommerce,
            sample=woocommerce_sample,
            check=check_woocommerce,
            # An order is sent again after each change, for years.
            ignores_old=True,
            lacks=frozenset({"description", "search"}),
        ),
        _STANDARD,
        _GENERIC,
        replace(_STANDARD, name="posthog", preset=POSTHOG),
        replace(_GENERIC, name="hubspot", preset=HUBSPOT),
        replace(_GENERIC, name="google_lead_form", preset=GOOGLE_LEAD_FORM),
    )
}
