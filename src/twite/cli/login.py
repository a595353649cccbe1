"""`twite login`: sign in to X for a pixel, or store its pixel token; and `twite logout`."""

import asyncio
import getpass
import sys
from typing import Annotated, Final

import msgspec
import typer

from twite.app.control_client import running
from twite.app.logins import connect_alone
from twite.cli import printing
from twite.cli.options import (
    DEFAULT_CONFIG,
    Config,
    Json,
    Pixel,
    load,
    one_pixel,
    option,
    prints,
    who,
)
from twite.config.settings import Settings
from twite.domain.destination import PixelToken
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.domain.times import SECOND
from twite.gateway.delivery.credentials import OAUTH, PIXEL_TOKEN
from twite.gateway.x_account.open_sign_ins import PATIENCE
from twite.gateway.x_account.sign_in import SignInCompleted, SignInStarted, XSignIn
from twite.http.callback import Callback

_LONGEST: Final = 4_096

Back = Annotated[
    str | None,
    option("--callback", "URL", "Receive X's redirect at this local address instead of a PIN"),
]
Pin = Annotated[bool, typer.Option("--pin", help="Prompt for the PIN that X shows (default)")]
Token = Annotated[
    bool,
    typer.Option("--pixel-token", help="Store a pixel token from the prompt or standard input"),
]
_NAMES: Final = {OAUTH: "the OAuth credentials", PIXEL_TOKEN: "the pixel token"}


class AuthorizePage(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: the page of X to open."""

    page: str


class CredentialsStored(msgspec.Struct, frozen=True, kw_only=True):
    """The credentials that were stored, and the account that they belong to.

    `kind` is `oauth` or `pixel_token`. `asked` is false if X did not answer the check; `gateway`
    says whether a running gateway uses them now.
    """

    pixel: str
    kind: str
    screen_name: str | None
    account: str | None
    roles: tuple[str, ...] | None
    asked: bool
    gateway: bool


class CredentialsForgotten(msgspec.Struct, frozen=True, kw_only=True):
    """The kinds of credentials that were deleted, and whether OAuth was revoked at X."""

    pixel: str
    forgotten: list[str]
    revoked: bool


@prints(AuthorizePage, CredentialsStored)
def login(
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    pin: Pin = False,
    callback: Back = None,
    pixel_token: Token = False,
    as_json: Json = False,
) -> None:
    """The credentials are stored encrypted, and a running gateway uses them at once.

    You sign in through your own app (`x.consumer_key` and `x.consumer_secret`). The user needs the
    role Account administrator or Ad manager. You cannot pass a pixel token as an argument, because
    other users of the machine could read it.

    Example: `twite login --pixel o8z6j`
    """
    if sum((pin, callback is not None, pixel_token)) > 1:
        raise typer.BadParameter(
            "choose one of --pin, --callback and --pixel-token", param_hint="--pixel-token"
        )
    found = load(config, credentials=True)
    chosen = one_pixel(found, pixel)
    connect = connect_alone(found, by=who())
    if pixel_token:
        token = PixelToken(token=Secret(pasted_token(as_json=as_json)))
        connected = asyncio.run(connect.paste(chosen, token))
    elif callback is not None:
        connected = asyncio.run(_by_callback(connect, chosen, callback, as_json=as_json))
    else:
        connected = asyncio.run(_by_pin(connect, chosen, as_json=as_json))
    _print_result(found, connected, as_json=as_json)


async def _by_pin(sign_in: XSignIn, pixel: str, *, as_json: bool) -> SignInCompleted:
    begun = await sign_in.begin(pixel)
    _show(begun, "Open this page, press Authorize app, and type the PIN here:", as_json=as_json)
    # Read on the main thread, so that Ctrl-C interrupts the prompt.
    pin = sys.stdin.readline(_LONGEST)
    return await sign_in.finish_by_pin(begun.token, pin)


async def _by_callback(
    sign_in: XSignIn, pixel: str, address: str, *, as_json: bool
) -> SignInCompleted:
    async with Callback(address) as callback:
        begun = await sign_in.begin(pixel, callback=address)
        _show(begun, "Open this page in a browser on this machine:", as_json=as_json)
        query = await callback.query(begun.token, seconds=PATIENCE / SECOND)
    if query is None:
        raise SettingsError(
            "--callback", "X did not redirect the browser in time. Run the command again"
        )
    return await sign_in.finish_by_callback(query)


def _show(started: SignInStarted, sentence: str, *, as_json: bool) -> None:
    if as_json:
        printing.print_json_line(AuthorizePage(page=started.page))
    else:
        printing.say(sentence)
        printing.say(started.page)


def pasted_token(*, as_json: bool) -> str:
    """Read a token without showing it."""
    if sys.stdin.isatty():
        pasted = getpass.getpass("Pixel token (not shown): ")
    else:
        pasted = sys.stdin.read(_LONGEST)
    token = pasted.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        where = (
            "pass the token on standard input"
            if as_json or not sys.stdin.isatty()
            else "paste the token"
        )
        raise SettingsError(
            "the pixel token",
            f"is empty or malformed: {where}. X creates it in Events Manager: the pixel, "
            f"Install Pixel, Manual, Conversion API, Generate access token",
        )
    return token


def _print_result(settings: Settings, completed: SignInCompleted, *, as_json: bool) -> None:
    gateway = running(settings.store.gateway_file)
    access = completed.access
    roles = None if access is None else access.roles
    if as_json:
        printing.print_json_line(
            CredentialsStored(
                pixel=completed.pixel,
                kind=completed.kind,
                screen_name=completed.screen_name or None,
                account=None if access is None else access.account,
                roles=roles,
                asked=access is not None,
                gateway=gateway is not None,
            )
        )
        return
    if completed.kind == PIXEL_TOKEN:
        printing.say(f"Stored the pixel token of {completed.pixel}, encrypted.")
    else:
        printing.say(f"Signed in as @{completed.screen_name} for pixel {completed.pixel}.")
    if access is None:
        printing.say(
            "X did not answer the request for the user's role. Run twite check to try again."
        )
    elif roles is not None:
        printing.say(f"Role on ads account {access.account}: {', '.join(roles)}.")
    else:
        printing.say(
            "X did not refuse the token. Only the first conversion shows whether X accepts it."
        )
    printing.say(
        f"The gateway (process {gateway.pid}) now uses the credentials."
        if gateway
        else "twite serve will use the credentials."
    )


Oauth = Annotated[bool, typer.Option("--oauth", help="Delete only the OAuth credentials")]
OnlyToken = Annotated[bool, typer.Option("--pixel-token", help="Delete only the pixel token")]
Revoke = Annotated[
    bool,
    typer.Option("--revoke", help="Also revoke the OAuth token at X, wherever it is used"),
]


@prints(CredentialsForgotten)
def logout(
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    oauth: Oauth = False,
    pixel_token: OnlyToken = False,
    revoke: Revoke = False,
    as_json: Json = False,
) -> None:
    """A running gateway stops using them at once, and conversions wait for new ones.

    X may give a user one token for each app (an assumption; X does not say). Revoking the token
    would then affect other pixels too. A pixel token can only be revoked in X's Events Manager.

    Example: `twite logout --pixel o8z6j --oauth`
    """
    found = load(config, credentials=True)
    chosen = one_pixel(found, pixel)
    both = oauth == pixel_token
    kinds = [kind for kind, asked in ((OAUTH, oauth), (PIXEL_TOKEN, pixel_token)) if asked or both]
    forgotten = asyncio.run(_forget(connect_alone(found, by=who()), chosen, kinds, revoke=revoke))
    if as_json:
        printing.print_json(CredentialsForgotten(pixel=chosen, forgotten=forgotten, revoked=revoke))
        return
    for kind in forgotten:
        ended = ", and revoked it at X" if revoke and kind == OAUTH else ""
        printing.say(f"Deleted {_NAMES[kind]} of pixel {chosen}{ended}.")
    if not forgotten:
        printing.say(f"No credentials are stored for pixel {chosen}.")


async def _forget(sign_in: XSignIn, pixel: str, kinds: list[str], *, revoke: bool) -> list[str]:
    return [kind for kind in kinds if await sign_in.forget(pixel, kind, revoke=revoke)]
