"""`twite logout`: delete the stored credentials of a pixel."""

import asyncio
from typing import Annotated, Final

import typer

from twite.app.logins import connect_alone
from twite.cli import printing
from twite.cli.accounts.user import who
from twite.cli.options import DEFAULT_CONFIG, Config, Json, Pixel, load, one_pixel, text
from twite.gateway.delivery.credentials import OAUTH, PIXEL_TOKEN
from twite.gateway.x_account.sign_in import XSignIn

EXAMPLE: Final = "Example: `twite logout --pixel o8z6j --oauth`"
_NAMES: Final = {OAUTH: "the OAuth credentials", PIXEL_TOKEN: "the pixel token"}

Oauth = Annotated[bool, typer.Option("--oauth", help="Only the OAuth credentials")]
Token = Annotated[bool, typer.Option("--pixel-token", help="Only the pixel token")]
Revoke = Annotated[
    bool,
    typer.Option("--revoke", help="Also revoke the OAuth token at X, for every use of it"),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("logout", help=text("logout", logout, EXAMPLE))(logout)


def logout(
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    oauth: Oauth = False,
    pixel_token: Token = False,
    revoke: Revoke = False,
    as_json: Json = False,
) -> None:
    """A running gateway stops using them at once, and conversions wait for new ones.

    X may give a user one token for each app (an assumption; X does not say). Revoking it would then
    end it for other pixels too. A pixel token can only be revoked in X's Events Manager.
    """
    found = load(config)
    chosen = one_pixel(found, pixel)
    both = oauth == pixel_token
    kinds = [kind for kind, asked in ((OAUTH, oauth), (PIXEL_TOKEN, pixel_token)) if asked or both]
    forgotten = asyncio.run(_forget(connect_alone(found, by=who()), chosen, kinds, revoke=revoke))
    if as_json:
        printing.print_json({"pixel": chosen, "forgotten": forgotten, "revoked": revoke})
        return
    for kind in forgotten:
        ended = ", and revoked it at X" if revoke and kind == OAUTH else ""
        printing.say(f"Deleted {_NAMES[kind]} of pixel {chosen}{ended}.")
    if not forgotten:
        printing.say(f"Nothing is stored for pixel {chosen}.")


async def _forget(connect: XSignIn, pixel: str, kinds: list[str], *, revoke: bool) -> list[str]:
    return [kind for kind in kinds if await connect.forget(pixel, kind, revoke=revoke)]
