"""`twite user` and `twite key`: manage console users and API keys."""

import asyncio
import getpass
import sys
import warnings
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar

import msgspec
import typer

from twite.app.store_access import open_staff, read_records
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, option, prints, who
from twite.cli.source_keys import SourceKeyView, read_source_keys
from twite.config.settings import Settings
from twite.domain.errors import InvalidAccountChange
from twite.domain.people.users import ApiKey, AuditAction, KeyScope, Role, User
from twite.domain.times import MINUTE, spelled
from twite.gateway.identity.accounts import Accounts, seen
from twite.gateway.identity.authentication import LINK_TIME
from twite.gateway.identity.weak_passwords import SHORTEST

NO_ADMIN: Final = (
    "There is no admin yet, so nobody can use the console. Create one: twite user add NAME --role "
    "admin"
)
T = TypeVar("T")


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """A console user. `pixels` is null for all; `code` says whether two-factor is on."""

    name: str
    role: Role
    pixels: tuple[str, ...] | None
    code: bool
    created_at: str


class SignInLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link that signs a user in once."""

    link: str


class AccountChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was made, as in the audit log. `subject` is the user's name or the key's id."""

    action: AuditAction
    subject: str


class ApiKeyView(msgspec.Struct, frozen=True, kw_only=True):
    """An API key, without the key itself. `pixels` is null for all."""

    id: str
    name: str
    scopes: tuple[str, ...]
    pixels: tuple[str, ...] | None
    created_at: str
    made_by: str
    revoked_at: str | None


class CreatedApiKey(ApiKeyView, frozen=True, kw_only=True):
    """A new API key. `key` is shown only once."""

    key: str


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
@prints(AccountChanged)
def add(
    name: Name,
    *,
    config: Config = DEFAULT_CONFIG,
    as_role: AsRole = Role.VIEWER,
    pixel: Pixels = None,
    password_stdin: Stdin = False,
    as_json: Json = False,
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
    done = f"{name} can now sign in at {settings.console_url} as {as_role}."
    _print_change(AuditAction.USER_ADD, name, done, as_json=as_json)
    if not has_admin:
        printing.complain(NO_ADMIN)


@user.command("list")
@prints(list[UserView])
def listed(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """List users.

    Example: `twite user list --json`
    """
    users = read_records(load(config), lambda records: records.people.users())
    if users and not any(user.is_admin for user in users):
        printing.complain(NO_ADMIN)
    if as_json:
        printing.print_json([_user_view(user) for user in users])
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
@prints(AccountChanged)
def role(
    name: Name,
    *,
    as_role: AsRole,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixels = None,
    as_json: Json = False,
) -> None:
    """Change a user's role and pixels. The user is signed out.

    Example: `twite user role ada --role operator --pixel o8z6j`
    """
    settings = load(config)
    known_pixels(settings, pixel)
    sees = _manage(
        settings, lambda accounts: accounts.allow(name, role=as_role, pixels=pixel, by=who())
    )
    done = f"{name} is now {as_role} and sees {seen(sees)}."
    _print_change(AuditAction.USER_ROLE, name, done, as_json=as_json)


@user.command("password")
@prints(AccountChanged)
def password(
    name: Name,
    *,
    config: Config = DEFAULT_CONFIG,
    password_stdin: Stdin = False,
    as_json: Json = False,
) -> None:
    """Change a user's password. The user is signed out.

    Example: `twite user password ada`
    """
    settings = load(config)
    typed = _typed(stdin=password_stdin)
    _manage(settings, lambda accounts: accounts.give_password(name, typed, by=who()))
    done = f"{name} has a new password and was signed out everywhere."
    _print_change(AuditAction.USER_PASSWORD, name, done, as_json=as_json)


@user.command("totp")
@prints(AccountChanged)
def totp(name: Name, *, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Turn off two-factor authentication of a user.

    Use it if the user lost the device.

    Example: `twite user totp ada`
    """
    _manage(load(config), lambda accounts: accounts.drop_codes(name, by=who()))
    done = f"{name} now signs in without a code, and can set up a new one in the console."
    _print_change(AuditAction.USER_CODES_OFF, name, done, as_json=as_json)


@user.command("link")
@prints(SignInLink)
def link(name: Name, *, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Print a link that signs a user in once, within 15 minutes.

    Example: `twite user link ada`
    """
    settings = load(config)
    token = _manage(settings, lambda accounts: accounts.make_link(name, by=who()))
    url = f"{settings.console_url}/link/{token.reveal()}"
    if as_json:
        printing.print_json(SignInLink(link=url))
        return
    printing.complain(f"It signs in as {name}, once, within {LINK_TIME // MINUTE} minutes.")
    printing.say(url)


@user.command("remove")
@prints(AccountChanged)
def remove(name: Name, *, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Remove a user.

    Example: `twite user remove ada`
    """
    _manage(load(config), lambda accounts: accounts.remove(name, by=who()))
    done = f"{name} was removed and signed out everywhere."
    _print_change(AuditAction.USER_REMOVE, name, done, as_json=as_json)


def _print_change(action: AuditAction, subject: str, done: str, *, as_json: bool) -> None:
    if as_json:
        printing.print_json(AccountChanged(action=action, subject=subject))
    else:
        printing.say(done)


def _typed(*, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\n")
    printing.complain(
        f"Use at least {SHORTEST} characters, ideally 15 or more. A sentence works well."
    )
    with warnings.catch_warnings():
        # Otherwise it would show what is typed.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            typed, again = getpass.getpass("Password: "), getpass.getpass("Once more: ")
        except getpass.GetPassWarning:
            raise InvalidAccountChange(
                "there is no terminal to ask for a password. Pass it on standard input, with "
                "--password-stdin"
            ) from None
    if again != typed:
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


def _user_view(user: User) -> UserView:
    return UserView(
        name=user.name,
        role=user.role,
        pixels=user.pixels,
        code=user.code_since is not None,
        created_at=spelled(user.created_at),
    )


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
@prints(CreatedApiKey)
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
        view = msgspec.structs.asdict(_key_view(made.key))
        printing.print_json(CreatedApiKey(key=made.text.reveal(), **view))
        return
    printing.complain("The key is shown only once. Send it as Authorization: Bearer …")
    printing.say(made.text.reveal())


@key.command("list")
@prints(list[ApiKeyView])
def list_keys(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """List keys.

    Example: `twite key list --json`
    """
    keys = read_records(load(config), lambda records: records.people.api_keys())
    if as_json:
        printing.print_json([_key_view(key) for key in keys])
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


@key.command("sources")
@prints(list[SourceKeyView])
def list_source_keys(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """List the keys of sources, and when each was last used.

    Example: `twite key sources`
    """
    keys = read_source_keys(load(config, credentials=True))
    if as_json:
        printing.print_json(keys)
    else:
        printing.print_table(
            ["source", "key", "created at", "last used"],
            [
                [
                    key.source,
                    key.id or "in the settings",
                    "" if key.created_at is None else f"{key.created_at} by {key.made_by}",
                    key.used_at or "not yet",
                ]
                for key in keys
            ],
        )


@key.command("revoke")
@prints(AccountChanged)
def revoke(id_: KeyId, *, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Revoke a key immediately.

    Example: `twite key revoke 3f9c0a1b2c`
    """
    _manage(load(config), lambda accounts: accounts.revoke_key(id_, by=who()))
    _print_change(AuditAction.KEY_REVOKE, id_, f"{id_} is revoked.", as_json=as_json)


def _key_view(key: ApiKey) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        name=key.name,
        scopes=tuple(sorted(key.scopes)),
        pixels=key.pixels,
        created_at=spelled(key.created_at),
        made_by=key.made_by,
        revoked_at=None if key.revoked_at is None else spelled(key.revoked_at),
    )
