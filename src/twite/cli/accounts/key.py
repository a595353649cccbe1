"""`twite key`: API keys."""

import asyncio
from typing import Annotated, Final

import typer

from twite.app.store_access import open_records, open_staff
from twite.cli import COMMANDS, printing
from twite.cli.accounts.user import Pixels, known_pixels, who
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load
from twite.config.settings import Settings
from twite.domain.people.users import ApiKey, KeyScope
from twite.domain.times import spelled
from twite.gateway.identity.accounts import CreatedKey, seen

EXAMPLE: Final = "Example: `twite key add reports --scope accounting --scope lives`"

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name for the key")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, from the list")]
Scopes = Annotated[
    list[KeyScope], typer.Option("--scope", help="What the key may read; repeatable")
]


def register(app: typer.Typer) -> None:
    """Add the command and what it can do."""
    key = typer.Typer(help=f"{COMMANDS['key']}\n\n{EXAMPLE}", no_args_is_help=True)
    key.command("add", help=f"Create a key. It is shown once and not stored.\n\n{EXAMPLE}")(add)
    key.command("list", help="List keys.\n\nExample: `twite key list --json`")(listed)
    key.command("revoke", help="Revoke a key at once.\n\nExample: `twite key revoke 3f9c0a1b2c`")(
        revoke
    )
    app.add_typer(key, name="key")


def add(
    name: Name,
    *,
    scope: Scopes,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixels = None,
    as_json: Json = False,
) -> None:
    settings = load(config, credentials=False)
    known_pixels(settings, pixel)
    made = asyncio.run(_made(settings, name, scope, pixel))
    if as_json:
        printing.print_json({"key": made.text.reveal(), **_told(made.key)})
        return
    printing.complain("This is shown once. Send it as Authorization: Bearer …")
    printing.say(made.text.reveal())


def listed(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    keys = asyncio.run(_keys(load(config, credentials=False)))
    if as_json:
        printing.print_json([_told(key) for key in keys])
    elif not keys:
        printing.say("There are no keys yet: twite key add NAME --scope accounting")
    else:
        printing.print_table(
            "",
            ["id", "name", "scopes", "pixels", "created", "revoked"],
            [
                [
                    key.id,
                    key.name,
                    ", ".join(sorted(key.scopes)),
                    seen(key.pixels),
                    f"{spelled(key.created_at)} by {key.made_by}",
                    "" if key.revoked_at is None else spelled(key.revoked_at),
                ]
                for key in keys
            ],
        )


def revoke(id_: KeyId, *, config: Config = DEFAULT_CONFIG) -> None:
    asyncio.run(_revoked(load(config, credentials=False), id_))
    printing.say(f"{id_} is revoked.")


def _told(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "pixels": key.pixels,
        "created_at": spelled(key.created_at),
        "made_by": key.made_by,
        "revoked_at": None if key.revoked_at is None else spelled(key.revoked_at),
    }


async def _made(
    settings: Settings, name: str, scopes: list[KeyScope], pixels: list[str] | None
) -> CreatedKey:
    async with open_staff(settings) as user_accounts:
        return await user_accounts.make_key(name, scopes=scopes, pixels=pixels, by=who())


async def _revoked(settings: Settings, id_: str) -> None:
    async with open_staff(settings) as user_accounts:
        await user_accounts.revoke_key(id_, by=who())


async def _keys(settings: Settings) -> list[ApiKey]:
    async with open_records(settings) as records:
        return list(await records.people.api_keys())
