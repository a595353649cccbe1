"""`twite sync`: run a `[[sync]]`, or fetch orders that a shop has not delivered."""

import asyncio
import time
from typing import Annotated, Any, Final

import aiohttp
import msgspec
import typer

from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, prints
from twite.cli.send.client import (
    TIMEOUT,
    SendClient,
    SendStopped,
    Submitter,
    decoded,
    gateway_url,
    posting,
    retry_patience,
)
from twite.cli.sync.cursor import SyncCursor
from twite.cli.sync.group import SyncGroup, list_syncs, run_sync
from twite.cli.sync.shop import ChangedOrder, ShopAccess, changed_orders
from twite.config.settings import Settings
from twite.domain.errors import OperatorError
from twite.domain.fault import Fault
from twite.domain.plural import plural
from twite.domain.times import SECOND
from twite.domain.webhook_delivery import CATCH_UP
from twite.formats.native.answers import NativeReceipt
from twite.formats.webhook_kind import IncomingWebhook
from twite.formats.woocommerce.read import read_time
from twite.formats.woocommerce.sample import signed_order

sync = typer.Typer(
    help="Example: `twite sync orders`, for a [[sync]] of this name",
    no_args_is_help=True,
    cls=SyncGroup,
)
sync.command("run", hidden=True)(run_sync)
sync.command("list")(list_syncs)

_KIND: Final = "woocommerce"
# An order of this size would stop every later run, too.
_TOO_LARGE: Final = 413
_WHY: Final = {
    401: "the gateway refuses the signature: it has another secret. Run twite reload",
    404: "the gateway has no webhook of this name. Run twite reload, or check --to",
}


class SyncTally(msgspec.Struct, kw_only=True):
    """What became of the orders that were read."""

    orders: int = 0
    accepted: int = 0
    duplicates: int = 0
    suppressed: int = 0
    held: int = 0
    ignored: int = 0
    rejected: int = 0

    def add(self, receipt: NativeReceipt) -> None:
        self.orders += 1
        self.accepted += receipt.accepted
        self.duplicates += receipt.duplicates
        self.suppressed += receipt.suppressed
        self.held += receipt.held
        self.ignored += receipt.ignored
        self.rejected += len(receipt.rejected)


@sync.callback()
def _group() -> None:
    """A group, so that `woocommerce` stays the name of a subcommand."""


@sync.command("woocommerce")
@prints(SyncTally)
def woocommerce(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="The webhook; default: the only one of this kind"),
    ] = None,
    *,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            show_default=False,
            help="The gateway's address; default: from the settings",
        ),
    ] = None,
    wait: Annotated[
        int,
        typer.Option(
            min=0, metavar="SECONDS", help="Give up if the gateway accepts nothing for this long"
        ),
    ] = 600,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Fetch the orders that a WooCommerce webhook did not deliver.

    Reads the orders changed since the last run, and submits each as its webhook would. Orders that
    the gateway knows count as duplicates. Exits with 1 if an order was rejected.

    Example: `twite sync woocommerce`
    """
    settings = load(config)
    webhook = _webhook(settings, name)
    access = _access(webhook)
    cursor = SyncCursor.beside(settings.store.path, webhook.name, access.url)
    is_first = cursor.at is None
    oldest = int(time.time()) * SECOND - settings.store.dedup_window
    since = read_time(webhook.options.paid_since)
    start = oldest if isinstance(since, Fault) else max(oldest, since)
    tally = asyncio.run(
        _catch_up(webhook, access, cursor, start=start, to=gateway_url(settings, to), wait=wait)
    )
    if as_json:
        printing.print_json(tally)
    else:
        _print(tally, is_first=is_first)
    if tally.rejected:
        raise typer.Exit(1)


def _webhook(settings: Settings, name: str | None) -> IncomingWebhook[Any]:
    found = [webhook for webhook in settings.webhooks if webhook.kind.name == _KIND]
    chosen = [webhook for webhook in found if name in {None, webhook.name}]
    if len(chosen) != 1:
        there = ", ".join(webhook.name for webhook in found) or "none"
        raise typer.BadParameter(
            f"name a [[webhook]] of the kind {_KIND} in {settings.path}. Available: {there}",
            param_hint="NAME",
        )
    return chosen[0]


def _access(webhook: IncomingWebhook[Any]) -> ShopAccess:
    options = webhook.options
    if not (options.shop_url and options.consumer_key and options.consumer_secret):
        raise OperatorError(
            f"the webhook {webhook.name!r} needs shop_url, consumer_key and consumer_secret. "
            "Create a key with read access in WooCommerce, Settings, Advanced, REST API"
        )
    if not webhook.secrets[0]:
        raise OperatorError(
            f"the secret of the webhook {webhook.name!r} cannot be read here: set it as the "
            "settings describe"
        )
    return ShopAccess(
        url=options.shop_url,
        consumer_key=options.consumer_key,
        consumer_secret=options.consumer_secret,
    )


async def _catch_up(
    webhook: IncomingWebhook[Any],
    access: ShopAccess,
    cursor: SyncCursor,
    *,
    start: int,
    to: str,
    wait: int,
) -> SyncTally:
    """Submit the changed orders. Raises ShopUnreadable, SendStopped."""
    tally = SyncTally()
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(
        timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        patience = retry_patience(wait, say=printing.complain)
        submitter = Submitter(post=_posting(session, webhook, to), patience=patience)
        since = start if cursor.at is None else cursor.at
        async for orders in changed_orders(session, access, since=since):
            for order in orders:
                receipt = await _submit(submitter, order)
                if receipt is not None:
                    tally.add(receipt)
                else:
                    tally.orders += 1
                    tally.rejected += 1
            if orders:
                # The orders are durable, so the next run may begin after them.
                cursor.move(orders[-1].changed_at - SECOND)
    return tally


def _posting(session: aiohttp.ClientSession, webhook: IncomingWebhook[Any], to: str) -> SendClient:
    def headers_of(body: bytes) -> dict[str, str]:
        message = signed_order(body, webhook, topic=CATCH_UP)
        return {name.decode(): text.decode() for name, text in message.headers.items()}

    return posting(session, url=to, path=f"/webhooks/{webhook.name}", headers_of=headers_of)


async def _submit(submitter: Submitter, order: ChangedOrder) -> NativeReceipt | None:
    """Submit an order; None if the gateway refuses it alone. Raises SendStopped."""
    answer, _ = await submitter.answered(order.body, lost=False)
    if answer.status == _TOO_LARGE:
        printing.complain(f"order {order.id} is too large for the gateway")
        return None
    receipt = decoded(answer.body, NativeReceipt) if answer.status == 200 else None
    if receipt is None:
        why = _WHY.get(answer.status) or f"the gateway answered with {answer.status}. Check --to"
        raise SendStopped(why)
    return receipt


def _print(tally: SyncTally, *, is_first: bool) -> None:
    printing.say(
        f"{plural(tally.orders, 'changed order')}: {tally.accepted} accepted, "
        f"{tally.duplicates} known, {tally.ignored} without a purchase, "
        f"{tally.suppressed} suppressed, {tally.held} held, {tally.rejected} rejected"
    )
    if tally.accepted and not is_first:
        printing.complain(
            "The webhook did not deliver the accepted orders. Look at WooCommerce, Settings, "
            "Advanced, Webhooks: after more than five failures, WooCommerce disables a webhook"
        )
    if tally.rejected:
        printing.complain("twite rejected shows the reasons")
