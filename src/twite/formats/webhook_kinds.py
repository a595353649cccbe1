"""The table of webhook kinds. `webhook_kind.py` documents the columns."""

from collections.abc import Mapping
from typing import Any, Final

from twite.formats.shopify.read import ShopifyOptions
from twite.formats.shopify.read import read as read_shopify
from twite.formats.shopify.read import verify as verify_shopify
from twite.formats.shopify.sample import sample as shopify_sample
from twite.formats.webhook_kind import WebhookKind

KINDS: Final[Mapping[str, WebhookKind[Any]]] = {
    kind.name: kind
    for kind in (
        WebhookKind(
            name="shopify",
            options=ShopifyOptions,
            verify=verify_shopify,
            read=read_shopify,
            sample=shopify_sample,
        ),
    )
}
