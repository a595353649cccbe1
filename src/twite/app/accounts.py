"""Users, API keys and the audit log, for commands: in the store, or through the running gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

import aiohttp
import msgspec

from twite.app.store_access import Reachable, engine_of, open_store, reachable
from twite.config.settings import Settings
from twite.console.accounts_control import PATH
from twite.domain.errors import LedgerUnavailable, StoreInUse
from twite.domain.people.account_changes import Change, Result
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Secret
from twite.gateway.identity.account_commands import AccountCommand, AccountCommandResult, encoded
from twite.gateway.identity.accounts import Accounts, AccountStore
from twite.gateway.ports.directory import DirectoryReader, Passwords
from twite.machine import SystemClock
from twite.machine.passwords import Argon2Passwords

_PATIENCE: Final = aiohttp.ClientTimeout(total=30)
_OK: Final = 200


@asynccontextmanager
async def open_staff(
    settings: Settings, *, passwords: Passwords | None = None
) -> AsyncIterator[Accounts]:
    """Change users and API keys. Creates the store if there is none yet.

    `passwords` hashes them; None for Argon2id.

    Raises StoreUnusable, and StoreInUse if the owner of the store cannot be reached.
    """
    async with _open(settings) as people:
        yield Accounts(people=people, passwords=passwords or Argon2Passwords(), clock=SystemClock())


async def noted(settings: Settings, deed: AuditEvent) -> None:
    """Write into the audit log what a command is about to do. Creates the store as open_staff does.

    Raises StoreUnusable, StoreInUse and LedgerUnavailable: the command must then not proceed.
    """
    async with _open(settings) as people:
        await people.note(deed)


class _People(AccountStore, Protocol):
    async def note(self, deed: AuditEvent) -> None: ...


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[_People]:
    try:
        store = await open_store(settings)
    except StoreInUse:
        found = reachable(settings.store.gateway_file)
        if found is None:
            raise
        reader = await engine_of(settings).open_reader(str(settings.store.path))
        try:
            async with aiohttp.ClientSession(timeout=_PATIENCE) as http:
                yield GatewayDirectory(reader.people, http, found)
        finally:
            await reader.close()
        return
    try:
        yield store.people
    finally:
        await store.close()


class GatewayDirectory:
    """Reads the store beside the gateway of this machine, and asks the gateway to write."""

    def __init__(
        self, reader: DirectoryReader, http: aiohttp.ClientSession, gateway: Reachable
    ) -> None:
        self.user, self.users, self.api_keys = reader.user, reader.users, reader.api_keys
        self._http = http
        self._url = gateway.url
        self._token = Secret(gateway.token)

    async def change(self, change: Change, *, deed: AuditEvent, warrant: bytes = b"") -> Result:
        del warrant  # a command has no session
        return await self._ask(AccountCommand(change=change, deed=deed))

    async def note(self, deed: AuditEvent) -> None:
        await self._ask(AccountCommand(deed=deed))

    async def _ask(self, order: AccountCommand) -> Result:
        headers = {"Authorization": f"Bearer {self._token.reveal()}"}
        try:
            async with self._http.post(
                f"{self._url}{PATH}", data=encoded(order), headers=headers, allow_redirects=False
            ) as answer:
                body = await answer.read()
                if answer.status != _OK:
                    raise self._refused(f"answered {answer.status}")
                return msgspec.json.decode(body, type=AccountCommandResult).result
        except (aiohttp.ClientError, OSError) as failure:
            raise self._refused(f"cannot be reached ({type(failure).__name__})") from None
        except msgspec.DecodeError:
            raise self._refused("answered something else than a gateway does") from None

    def _refused(self, what: str) -> LedgerUnavailable:
        return LedgerUnavailable(
            reason=f"the gateway at {self._url} owns the store and {what}. "
            "Look at its log, or stop it and try again",
            retry_after=1,
        )
