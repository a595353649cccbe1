"""`twite webhook`: try messages of a webhook, without sending conversions."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import aiohttp
import msgspec
import typer

from twite.app.control_client import running
from twite.app.value_rules.table_files import read_tables, rules_of
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, prints
from twite.cli.send.client import TIMEOUT, SendNoResponse, decoded, gateway_url, posting
from twite.config.settings import Settings
from twite.domain.errors import MalformedRequest, OperatorError
from twite.domain.plural import plural
from twite.formats.strict_json import as_fault
from twite.formats.webhook_kind import IncomingWebhook, WebhookMessage
from twite.gateway.ingest.value_rules import CurrentValueRules
from twite.gateway.ingest.webhook_preview import (
    TEST_HEADER,
    PreviewedConversion,
    WebhookPreview,
    preview,
)
from twite.machine.system import SystemClock

webhook = typer.Typer(
    help="Example: `twite webhook try order.json`, then `twite webhook test shop`",
    no_args_is_help=True,
)

_STDIN: Final = "-"
_STYLES: Final = {"accepted": "bold green", "rejected": "bold red"}
_WHY: Final = {
    401: "the gateway has another secret for this webhook. Run twite reload",
    404: "the gateway has no webhook of this name. Run twite reload, or check --to",
}


@webhook.command("try")
@prints(WebhookPreview)
def try_body(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="The body of a message, or - for standard input")
    ],
    *,
    name: Annotated[
        str | None,
        typer.Option("--webhook", metavar="NAME", help="The webhook; default: the only one"),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            metavar="NAME:VALUE",
            help="A header of the message, such as X-Shopify-Topic:orders/create; repeatable",
        ),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Print what a message becomes, masked, without sending anything.

    The message needs no signature. Exits with 1 if a conversion is rejected.

    Example: `twite webhook try order.json`
    """
    settings = load(config)
    chosen = _chosen(settings, name, hint="--webhook")
    now = SystemClock().now()
    sample = chosen.kind.sample(chosen, now, "")
    message = WebhookMessage(
        headers={**sample.headers, **_headers(header or [])},
        body=_read(file, most=settings.server.max_body),
    )
    try:
        reading = chosen.kind.read(message, chosen)
    except MalformedRequest as malformed:
        fault = as_fault(malformed, malformed.path)
        at = f" at {fault.path}" if fault.path else ""
        raise OperatorError(f"{file}: rejected ({fault.code}){at}: {fault.message}") from None
    source = next(each for each in settings.submitters if each.name == chosen.source)
    destinations = {each.pixel: each for each in settings.destinations()}
    found = preview(
        reading,
        source=source,
        destinations=destinations,
        now=now,
        value_rules=CurrentValueRules(rules_of(settings, read_tables(settings))),
    )
    _show(found, as_json=as_json)


@webhook.command("test")
@prints(WebhookPreview)
def send_sample(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The webhook")],
    *,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            show_default=False,
            help="The gateway's address; default: the gateway of this machine",
        ),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Send a signed sample to the gateway, and print the result.

    The gateway counts the sample as an ignored test, and never sends it to X. Exits with 1 if the
    gateway refuses the sample, or rejects its conversion.

    Example: `twite webhook test shop`
    """
    settings = load(config)
    chosen = _chosen(settings, name, hint="NAME")
    if not chosen.secrets[0]:
        raise OperatorError(
            f"the secret of the webhook {chosen.name!r} cannot be read here: set it as the "
            "settings describe"
        )
    public = (settings.server.public_url or "").rstrip("/")
    path = f"/webhooks/{chosen.name}"
    message = chosen.kind.sample(chosen, SystemClock().now(), f"{public}{path}")
    gateway = running(settings.store.gateway_file) if to is None else None
    url = gateway_url(settings, to) if gateway is None else gateway.url
    found = asyncio.run(_sent(message, url=url, path=path))
    _show(found, as_json=as_json)
    if not as_json:
        printing.say("The gateway counted this test as ignored. It is never sent to X.")


def _chosen(settings: Settings, name: str | None, *, hint: str) -> IncomingWebhook[Any]:
    found = [each for each in settings.webhooks if name in {None, each.name}]
    if len(found) != 1:
        there = ", ".join(each.name for each in settings.webhooks) or "none"
        raise typer.BadParameter(
            f"name a [[webhook]] in {settings.path}. Available: {there}", param_hint=hint
        )
    return found[0]


def _headers(given: list[str]) -> dict[bytes, bytes]:
    found = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon:
            raise typer.BadParameter(
                f"{text!r} is not of the form NAME:VALUE", param_hint="--header"
            )
        found[name.strip().lower().encode()] = value.strip().encode()
    return found


def _read(file: str, *, most: int) -> bytes:
    """Return a body. Raises OperatorError."""
    try:
        with sys.stdin.buffer if file == _STDIN else Path(file).open("rb") as opened:
            body = opened.read(most + 1)
    except OSError as error:
        raise OperatorError(f"{file}: cannot be read: {error.strerror or error}") from None
    if len(body) > most:
        raise OperatorError(
            f"{file}: longer than server.max_body ({most} bytes). The gateway would answer 413"
        )
    return body


async def _sent(message: WebhookMessage, *, url: str, path: str) -> WebhookPreview:
    """Post a sample, and return the gateway's preview. Raises OperatorError."""
    headers = {name.decode(): value.decode() for name, value in message.headers.items()}
    headers[TEST_HEADER] = "1"
    rest = f"/{quote(message.rest)}" if message.rest else ""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(
        timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        post = posting(session, url=url, path=path + rest, headers_of=lambda _body: headers)
        answer = await post(message.body)
    if isinstance(answer, SendNoResponse):
        raise OperatorError(f"{answer.reason}. Start twite serve, or check --to")
    found = decoded(answer.body, WebhookPreview) if answer.status == 200 else None
    if found is None:
        why = _WHY.get(answer.status) or f"the gateway answered with {answer.status}. Check --to"
        raise OperatorError(why)
    return found


def _show(webhook_preview: WebhookPreview, *, as_json: bool) -> None:
    if as_json:
        printing.print_json(webhook_preview)
    else:
        _print(webhook_preview)
    if webhook_preview.has_errors:
        raise typer.Exit(1)


def _print(webhook_preview: WebhookPreview) -> None:
    name = printing.safe(webhook_preview.message or "unnamed")
    printing.say(f"Message {name}: {plural(len(webhook_preview.conversions), 'conversion')}")
    for each in webhook_preview.conversions:
        _print_conversion(each)
    for ignored in webhook_preview.ignored:
        printing.say(f"  ignored ({ignored.reason}): {ignored.meaning}")
    if webhook_preview.erased_identifiers:
        printing.say(
            f"  erases a person by {plural(webhook_preview.erased_identifiers, 'identifier')}"
        )


def _print_conversion(conversion: PreviewedConversion) -> None:
    verdict = printing.styled(conversion.verdict, _STYLES.get(conversion.verdict, "bold"))
    printing.say(
        "  ", verdict, f": {printing.safe(conversion.reason)}" if conversion.reason else ""
    )
    for name, value in conversion.conversion.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        printing.say(f"    {name:<14} {printing.safe(text)}")
    if conversion.value_change:
        printing.say(f"    {'value rule':<14} {printing.safe(conversion.value_change)}")
    for error in conversion.errors:
        printing.say(f"    {error.code:<14} {error.path or 'the whole message'}")
        printing.say(f"    {'':<14} {printing.safe(error.message)}")
