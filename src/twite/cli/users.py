"""`twite user` and `twite key`: manage console users and API keys."""

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar

import typer

from twite.app.store_access import open_staff, read_records
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, option, who
from twite.config.settings import Settings
from twite.domain.errors import InvalidAccountChange
from twite.domain.people.users import ApiKey, KeyScope, Role, User
from twite.domain.times import MINUTE, spelled
from twite.gateway.identity.accounts import Accounts, seen
from twite.gateway.identity.authentication import LINK_TIME
from twite.gateway.identity.weak_passwords import SHORTEST

NO_ADMIN: Final = (
    "There is no admin yet, so nobody can use the console. Create one: twite user add NAME --role "
    "admin"
)
T = TypeVar("T")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name")]
AsRole = Annotated[Role, typer.Option("--role", help="What the user may do")]
Pixels = Annotated[list[str] | None, option("--pixel", "ID", "Show only this pixel; repeatable")]
Stdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input")
]


user = typer.Typer(help="Example: `twite user add ada --role admin`", no_args_is_help=True)
key = typer.Typer(
    help="Example: `twite key add reports --scope accounting --scope history`", no_args_is_help=True
)


@user.command("add")
def add(
    name: Name,
    *,
    config: Config = DEFAULT_CONFIG,
    as_role: AsRole = Role.VIEWER,
    pixel: Pixels = None,
    password_stdin: Stdin = False,
) -> None:
    """Add a user and prompt for the password.

    Example: `twite user add ada --role admin`
    """
    settings = load(config)
    known_pixels(settings, pixel)
    typed = _typed(stdin=password_stdin)

    async def added(accounts: Accounts) -> bool:
        await accounts.add(name, role=as_role, password=typed, pixels=pixel, by=who())
        return any(user.is_admin for user in await accounts.users())

    has_admin = _manage(settings, added)
    printing.say(f"{name} can now sign in at {settings.console_url} as {as_role}.")
    if not has_admin:
        printing.complain(NO_ADMIN)


@user.command("list")
def listed(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """List users.

    Example: `twite user list --json`
    """
    users = read_records(load(config), lambda records: records.people.users())
    if users and not any(user.is_admin for user in users):
        printing.complain(NO_ADMIN)
    if as_json:
        printing.print_json([_as_json(user) for user in users])
    elif not users:
        printing.say("There are no users yet. Create one: twite user add NAME --role admin")
    else:
        printing.print_table(
            ["name", "role", "sees", "code", "since"],
            [
                [
                    user.name,
                    user.role.value,
                    seen(user.pixels),
                    "no" if user.code_since is None else "yes",
                    spelled(user.created_at),
                ]
                for user in users
            ],
        )


@user.command("role")
def role(
    name: Name, *, as_role: AsRole, config: Config = DEFAULT_CONFIG, pixel: Pixels = None
) -> None:
    """Change a user's role and pixels. The user is signed out.

    Example: `twite user role ada --role operator --pixel o8z6j`
    """
    settings = load(config)
    known_pixels(settings, pixel)
    sees = _manage(
        settings, lambda accounts: accounts.allow(name, role=as_role, pixels=pixel, by=who())
    )
    printing.say(f"{name} is now {as_role} and sees {seen(sees)}.")


@user.command("password")
def password(name: Name, *, config: Config = DEFAULT_CONFIG, password_stdin: Stdin = False) -> None:
    """Change a user's password. The user is signed out.

    Example: `twite user password ada`
    """
    settings = load(config)
    typed = _typed(stdin=password_stdin)
    _manage(settings, lambda accounts: accounts.give_password(name, typed, by=who()))
    printing.say(f"{name} has a new password and was signed out everywhere.")


@user.command("totp")
def totp(name: Name, *, config: Config = DEFAULT_CONFIG) -> None:
    """Turn off two-factor authentication of a user.

    Use it if the user lost the device.

    Example: `twite user totp ada`
    """
    _manage(load(config), lambda accounts: accounts.drop_codes(name, by=who()))
    printing.say(f"{name} now signs in without a code, and can set up a new one in the console.")


@user.command("link")
def link(name: Name, *, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Print a link that signs a user in once, within 15 minutes.

    Example: `twite user link ada`
    """
    settings = load(config)
    token = _manage(settings, lambda accounts: accounts.make_link(name, by=who()))
    url = f"{settings.console_url}/link/{token.reveal()}"
    if as_json:
        printing.print_json({"link": url})
        return
    printing.complain(f"It signs in as {name}, once, within {LINK_TIME // MINUTE} minutes.")
    printing.say(url)


@user.command("remove")
def remove(name: Name, *, config: Config = DEFAULT_CONFIG) -> None:
    """Remove a user.

    Example: `twite user remove ada`
    """
    _manage(load(config), lambda accounts: accounts.remove(name, by=who()))
    printing.say(f"{name} was removed and signed out everywhere.")


def _typed(*, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\n")
    printing.complain(
        f"Use at least {SHORTEST} characters, ideally 15 or more. A sentence works well."
    )
    typed = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != typed:
        raise InvalidAccountChange("the passwords differ. Nothing was changed")
    return typed


def known_pixels(settings: Settings, pixels: list[str] | None) -> None:
    """Reject a pixel that is not configured, as a usage error."""
    known = {destination.pixel for destination in settings.destinations()}
    for pixel in pixels or ():
        if pixel not in known:
            there = ", ".join(sorted(known)) or "none"
            raise typer.BadParameter(
                f"no pixel {pixel!r} in {settings.path}. Available: {there}", param_hint="--pixel"
            )


def _as_json(user: User) -> dict[str, object]:
    return {
        "name": user.name,
        "role": user.role.value,
        "pixels": user.pixels,
        "code": user.code_since is not None,
        "created_at": spelled(user.created_at),
    }


def _manage(settings: Settings, act: Callable[[Accounts], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_staff(settings) as accounts:
            return await act(accounts)

    return asyncio.run(run())


KeyName = Annotated[str, typer.Argument(metavar="NAME", help="A name for the key")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, from the list")]
Scopes = Annotated[
    list[KeyScope], typer.Option("--scope", help="What the key may read; repeatable")
]


@key.command("add")
def add_key(
    name: KeyName,
    *,
    scope: Scopes,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixels = None,
    as_json: Json = False,
) -> None:
    """Create a key. Twite shows the key once and does not store it.

    Example: `twite key add reports --scope accounting --scope history`
    """
    settings = load(config)
    known_pixels(settings, pixel)
    made = _manage(
        settings, lambda accounts: accounts.make_key(name, scopes=scope, pixels=pixel, by=who())
    )
    if as_json:
        printing.print_json({"key": made.text.reveal(), **_key_as_json(made.key)})
        return
    printing.complain("The key is shown only once. Send it as Authorization: Bearer …")
    printing.say(made.text.reveal())


@key.command("list")
def list_keys(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """List keys.

    Example: `twite key list --json`
    """
    keys = read_records(load(config), lambda records: records.people.api_keys())
    if as_json:
        printing.print_json([_key_as_json(key) for key in keys])
    elif not keys:
        printing.say("There are no keys yet. Create one: twite key add NAME --scope accounting")
    else:
        printing.print_table(
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


@key.command("revoke")
def revoke(id_: KeyId, *, config: Config = DEFAULT_CONFIG) -> None:
    """Revoke a key immediately.

    Example: `twite key revoke 3f9c0a1b2c`
    """
    _manage(load(config), lambda accounts: accounts.revoke_key(id_, by=who()))
    printing.say(f"{id_} is revoked.")


def _key_as_json(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "pixels": key.pixels,
        "created_at": spelled(key.created_at),
        "made_by": key.made_by,
        "revoked_at": None if key.revoked_at is None else spelled(key.revoked_at),
    }
