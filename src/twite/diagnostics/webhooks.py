"""Diagnostics of `[[webhook]]`: settings that lose payments, and messages without data."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import combinations
from typing import Any, Final

from twite.app.store_access import open_records, read_ignored
from twite.config.settings import Settings
from twite.domain.errors import StoreUnusable, TransientError
from twite.domain.plural import plural
from twite.domain.stats.deduplication import total
from twite.domain.submission import Endpoint
from twite.formats.generic.read import GenericOptions
from twite.formats.standard.read import StandardOptions
from twite.formats.standard.signature import is_unreadable
from twite.formats.webhook_kind import IgnoredReason, IncomingWebhook
from twite.gateway.operations.dedup_report import DEFAULT_DAYS, first_moment
from twite.gateway.ports.findings import CheckFinding, failed, passed, warning
from twite.gateway.ports.queries import DedupQuery
from twite.machine.system import SystemClock

_SHORTEST_IN_PATH: Final = 16
# How many ids of the pixel are enough to judge by, and which part of them may be too small.
_ENOUGH: Final = 20
_FEW: Final = 0.05


def webhooks(settings: Settings) -> Iterator[CheckFinding]:
    """Check the settings of each webhook."""
    for webhook in settings.webhooks:
        name, kind = webhook.name, webhook.kind.name
        yield passed("webhooks", f"{name}: {kind} at /webhooks/{name} → source {webhook.source}")
        if kind == "woocommerce" and webhook.options.shop_url is None:
            yield warning(
                "webhooks",
                f"the webhook {name} has no shop_url",
                "WooCommerce never repeats a failed delivery, and twite sync cannot fetch it.",
                "Set shop_url, consumer_key and consumer_secret, and run twite sync woocommerce "
                "every hour.",
            )
        secrets = [secret.reveal() for secret in webhook.secrets if secret]
        if kind == "stripe" and not all(text.startswith("whsec_") for text in secrets):
            yield warning(
                "webhooks",
                f"a secret of the webhook {name} does not begin with whsec_",
                "It is not a signing secret of Stripe, so its messages get 401.",
                "Copy the endpoint's signing secret from Stripe's dashboard, with its prefix.",
            )
        yield from _of_mapped(settings, webhook)
    yield from _of_stripe(settings)
    yield from _same_events(settings)


def _of_mapped(settings: Settings, webhook: IncomingWebhook[Any]) -> Iterator[CheckFinding]:
    """Report settings of the kinds `standard` and `generic` that admit nobody, or anybody."""
    name, options = webhook.name, webhook.options
    if isinstance(options, StandardOptions) and any(map(is_unreadable, webhook.secrets)):
        yield failed(
            "webhooks",
            f"a secret of the webhook {name} begins with whsec_, but the rest is not base64",
            "The sender signs with another key, so its messages get 401.",
            "Copy the secret from the sender again.",
        )
    if not isinstance(options, GenericOptions):
        return
    if options.authentication == "path":
        secrets = [secret.reveal() for secret in webhook.secrets if secret]
        if any(len(text) < _SHORTEST_IN_PATH for text in secrets):
            yield warning(
                "webhooks",
                f"a secret of the webhook {name} is short",
                "Anyone who guesses the URL can send conversions.",
                "Use a longer one: openssl rand -hex 32.",
            )
    signature = options.signature
    if signature is not None and "{url}" in signature.signed and not settings.server.public_url:
        yield failed(
            "webhooks",
            f"the webhook {name} needs server.public_url",
            "The signature covers the URL, which Twite does not know, so messages get 401.",
            "Set public_url to the address to which the sender posts.",
        )


def _of_stripe(settings: Settings) -> Iterator[CheckFinding]:
    """Report two webhooks that read different objects of the same payments."""
    pixels = {source.name: source.pixel for source in settings.submitters}
    of_stripe = [webhook for webhook in settings.webhooks if webhook.kind.name == "stripe"]
    for first, second in combinations(of_stripe, 2):
        is_same = (pixels[first.source], first.event) == (pixels[second.source], second.event)
        if is_same and first.options.payment != second.options.payment:
            yield warning(
                "webhooks",
                f"the webhooks {first.name} and {second.name} read different objects",
                "If both are of one Stripe account, each payment counts twice.",
                "Keep one of them, and choose its payment.",
            )


def _same_events(settings: Settings) -> Iterator[CheckFinding]:
    """Report webhooks that may report the same order by different ids: one sender per event."""
    pixels = {source.name: source.pixel for source in settings.sources()}
    for first, second in combinations(settings.webhooks, 2):
        is_same = (pixels[first.source], first.event) == (pixels[second.source], second.event)
        ids = [getattr(each.options, "conversion_id", "") for each in (first, second)]
        if is_same and (first.kind.name != second.kind.name or ids[0] != ids[1]):
            yield warning(
                "webhooks",
                f"the webhooks {first.name} and {second.name} send the same event",
                "X counts an order twice if both report it, unless both use the same conversion "
                "id.",
                "Let one of them report each order, for example the shop, and not the payment "
                "service.",
            )


async def webhook_ids(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Compare the conversion ids of webhooks with those that pages report for X's pixel."""
    pixels = {source.name: source.pixel for source in settings.sources()}
    sent = {(pixels[webhook.source], webhook.event) for webhook in settings.webhooks}
    if not sent:
        return
    since = first_moment(SystemClock().now(), DEFAULT_DAYS)
    try:
        async with open_records(settings) as reader:
            reports = await reader.answer(DedupQuery(since=since))
    except (StoreUnusable, TransientError):
        return  # as below
    names = {
        (destination.pixel, id_): name
        for destination in settings.destinations()
        for name, id_ in destination.events.items()
    }
    for pixel, event in sorted(sent):
        sums = total(
            report
            for report in reports
            if report.pixel == pixel and names.get((pixel, report.event)) == event
        )
        known = sums.both + sums.pixel_only
        if known >= _ENOUGH and sums.both < known * _FEW:
            yield warning(
                "webhooks",
                f"X's pixel {pixel} got {known} ids of the event {event} within seven days, and "
                f"{sums.both} of them came to Twite",
                "X counts these orders twice: the webhook sends other ids, or another sender "
                "reports to X's API.",
                "Make conversion_id the id that the page sends. Switch off other plugins or apps "
                "that send to X's API: one API sender per event.",
            )
        elif sums.two_ids:
            yield warning(
                "webhooks",
                f"{plural(sums.two_ids, 'order')} of the event {event} had two ids within seven "
                "days",
                "X counts these orders twice.",
                "Make conversion_id the id that the page sends. twite deduplication lists the "
                "orders.",
            )


async def webhook_messages(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Report messages that had no data, so that no payment could be read from them."""
    if not settings.webhooks:
        return
    try:
        async with open_records(settings) as reader:
            tallies = await read_ignored(reader)
    except (StoreUnusable, TransientError):
        return  # the check of the store reports why
    empty: Counter[tuple[str, str]] = Counter()
    for tally in tallies:
        if (tally.endpoint, tally.reason) == (Endpoint.WEBHOOK, IgnoredReason.NO_DATA):
            empty[tally.source, tally.name] += tally.times
    for (source, name), times in sorted(empty.items()):
        yield warning(
            "webhooks",
            f"{plural(times, 'message')} {name} for the source {source} had no data within the "
            "last seven days",
            "Payments in these messages are not sent to X.",
            'Choose full payloads: at Stripe, the payload style "Snapshot"; at WooCommerce, the '
            'topic "Order updated".',
        )
