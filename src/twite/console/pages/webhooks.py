"""The webhooks, each with its latest deliveries and what became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.responses import Response

from twite.console.page import PageRequest, PageRoute
from twite.domain.destination import Source
from twite.domain.fault import CODES
from twite.domain.webhook_delivery import MOST_DELIVERIES, DeliveryVerdict, WebhookDelivery
from twite.formats.webhook_kind import REASONS, IgnoredReason, IncomingWebhook
from twite.gateway.ports.state import StateReader

PATH: Final = "/console/system/webhooks"
_TONES: Final[Mapping[DeliveryVerdict, str]] = {
    DeliveryVerdict.ACCEPTED: "ok",
    DeliveryVerdict.DUPLICATE: "soft",
    DeliveryVerdict.SUPPRESSED: "none",
    DeliveryVerdict.HELD: "warn",
    DeliveryVerdict.REJECTED: "bad",
    DeliveryVerdict.IGNORED: "none",
    DeliveryVerdict.ERASED: "ok",
    DeliveryVerdict.REFUSED: "bad",
    DeliveryVerdict.FAILED: "bad",
}
# What to do about a refused message.
_FIXES: Final[Mapping[str, str]] = {
    "signature_wrong": "no secret of the webhook fits: compare it with the sender's",
    "signature_late": "the signature is too old: compare the clocks, or raise the tolerance",
    "body_too_large": "the message is larger than server.max_body",
}


class ShownDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery with the colour of its verdict, and its reason in words."""

    delivery: WebhookDelivery
    tone: str
    meaning: str


class ShownWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook with its latest deliveries, newest first."""

    name: str
    kind: str
    source: str
    event: str
    deliveries: tuple[ShownDelivery, ...]


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class WebhooksPage:
    """The page of webhooks. It shows neither their secrets nor what a message contains."""

    webhooks: Sequence[IncomingWebhook[Any]]
    sources: Sequence[Source]
    state: StateReader

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (PageRoute("GET", PATH, self._show),)

    async def _show(self, request: PageRequest) -> Response:
        pixels = {source.name: source.pixel for source in self.sources}
        seen = [each for each in self.webhooks if request.viewer.sees(pixels[each.source])]
        by_name: dict[str, list[WebhookDelivery]] = {each.name: [] for each in seen}
        for delivery in await self.state.load(WebhookDelivery):
            if delivery.webhook in by_name:
                by_name[delivery.webhook].append(delivery)
        return request.page(
            "webhooks.html",
            title="Webhooks",
            webhooks=[
                ShownWebhook(
                    name=each.name,
                    kind=each.kind.name,
                    source=each.source,
                    event=each.event,
                    deliveries=tuple(map(_shown, reversed(by_name[each.name]))),
                )
                for each in seen
            ],
            most=MOST_DELIVERIES,
        )


def _shown(delivery: WebhookDelivery) -> ShownDelivery:
    reason = delivery.reason
    is_known = reason in set(IgnoredReason)
    meaning = REASONS[IgnoredReason(reason)] if is_known else _FIXES.get(reason)
    return ShownDelivery(
        delivery=delivery,
        tone=_TONES[delivery.verdict],
        meaning=meaning or CODES.get(reason, ""),
    )
