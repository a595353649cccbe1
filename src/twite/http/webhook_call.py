"""A request to `/webhooks/{name}`: the webhook that it names, and its source."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from twite.domain.destination import Source
from twite.domain.secret import Masked
from twite.formats.webhook_kind import IncomingWebhook


class WebhookCall(Masked, frozen=True, kw_only=True):
    """The caller of the route. Only the signature proves it, once the body is read.

    The path may contain a secret: its repr is masked.

    `at` is the time in milliseconds; `url` is the public URL of the request, `rest` the part of the
    path after the webhook's name.
    """

    in_repr = ("webhook",)
    webhook: IncomingWebhook[Any]
    source: Source
    at: int
    url: str = ""
    rest: str = ""


class WebhookSources(msgspec.Struct, frozen=True):
    """The webhooks of the settings by name, each with its source."""

    found: Mapping[str, tuple[IncomingWebhook[Any], Source]] = {}

    @classmethod
    def of(
        cls, webhooks: Iterable[IncomingWebhook[Any]], sources: Iterable[Source]
    ) -> "WebhookSources":
        by_name = {source.name: source for source in sources}
        return cls({webhook.name: (webhook, by_name[webhook.source]) for webhook in webhooks})
