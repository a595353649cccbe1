"""Users, API keys and the audit log, for commands: in the store, or through the running gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from twite.app.control_client import GatewayClient, owner_of
from twite.app.store_access import open_records, open_store
from twite.config.settings import Settings
from twite.domain.errors import StoreInUse
from twite.domain.people.users import AuditEvent
from twite.gateway.identity.accounts import Accounts
from twite.gateway.ports.directory import AccountDirectory, DirectoryReader, Passwords
from twite.machine import SystemClock
from twite.machine.passwords import Argon2Passwords


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


async def noted(settings: Settings, audit_event: AuditEvent) -> None:
    """Write into the audit log what a command is about to do. Creates the store as open_staff does.

    Raises StoreUnusable, StoreInUse and LedgerUnavailable: the command must then not proceed.
    """
    async with _open(settings) as people:
        await people.note(audit_event)


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[AccountDirectory]:
    try:
        store = await open_store(settings)
    except StoreInUse as in_use:
        async with owner_of(settings, in_use) as gateway, open_records(settings) as records:
            yield GatewayDirectory(records.people, gateway)
        return
    try:
        yield store.people
    finally:
        await store.close()


class GatewayDirectory:
    """Reads the store beside the gateway of this machine, and asks the gateway to write."""

    def __init__(self, reader: DirectoryReader, gateway: GatewayClient) -> None:
        self.user, self.users = reader.user, reader.users
        self.session, self.sessions = reader.session, reader.sessions
        self.api_key, self.api_keys = reader.api_key, reader.api_keys
        self.audit = reader.audit
        self.change, self.note = gateway.change, gateway.note
