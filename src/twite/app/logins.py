"""The vault of X credentials: in a running gateway, and for commands beside one or without."""

import os
from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from twite.app.ads import ask_x
from twite.app.control_client import GatewayClient, owner_of
from twite.app.store_access import open_records, open_store
from twite.config.secret_key import seal_of
from twite.config.settings import Settings, load
from twite.domain.destination import Destination
from twite.domain.errors import StoreInUse
from twite.domain.people.users import AuditEvent
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.secret_store import Seal, SecretRecords, SecretStore, TurnedSeal
from twite.gateway.ports.store import Store, StoreReader
from twite.gateway.x_account.credential_store import (
    CredentialCommands,
    CredentialStore,
    StoredCredentials,
)
from twite.gateway.x_account.sign_in import XSignIn
from twite.machine import SystemClock


class CredentialVault(msgspec.Struct, frozen=True, kw_only=True):
    """A running gateway's vault, and its key, which can be rotated."""

    secret_store: SecretStore
    seal: TurnedSeal


def safe_of(settings: Settings, vault: SecretRecords) -> CredentialVault | None:
    """Return the vault; None without a key."""
    seal = vault_seal(settings)
    if seal is None:
        return None
    turned = TurnedSeal(seal)
    return CredentialVault(secret_store=SecretStore(vault=vault, seal=turned), seal=turned)


async def given(settings: Settings, secret_store: SecretStore | None) -> tuple[Destination, ...]:
    """Return the pixels with their stored credentials. Raises NotOpened."""
    written = settings.destinations()
    if secret_store is None:
        return written
    logins = await CredentialStore(secret_store).all()
    return tuple(
        logins.get(destination.pixel, StoredCredentials()).given_to(destination)
        for destination in written
    )


def login_desk(
    settings: Settings,
    safe: CredentialVault | None,
    *,
    store: Store,
    accept: Accept,
    destinations: MutableMapping[str, Destination],
    run: DeliveryRunner,
) -> CredentialCommands | None:
    """Return the service that changes credentials while a gateway runs; None without a key."""
    if safe is None:
        return None
    return CredentialCommands(
        secret_store=safe.secret_store,
        seal=safe.seal,
        key=_key_anew(settings),
        written=settings.destinations(),
        destinations=destinations,
        sends=run,
        letters=store,
        passed=accept.passed,
        note=store.people.note,
    )


def connect(
    settings: Settings,
    logins: CredentialCommands | CredentialStore | None,
    *,
    clock: Clock,
    noted_as: str | None = None,
) -> XSignIn:
    """Return the OAuth sign-in; for `noted_as`, see there."""
    return XSignIn(
        ask=ask_x(settings),
        clock=clock,
        keeper=logins,
        destinations={destination.pixel: destination for destination in settings.destinations()},
        noted_as=noted_as,
    )


async def stored(settings: Settings) -> tuple[Destination, ...]:
    """Return the pixels with their stored credentials, for a command that only reads.

    Raises NotOpened, StoreUnusable.
    """
    seal = vault_seal(settings)
    if seal is None or not settings.store.path.exists():
        return settings.destinations()
    async with open_records(settings) as records:
        return await given(settings, SecretStore(vault=CredentialReader(records), seal=seal))


def connect_alone(settings: Settings, *, by: str) -> XSignIn:
    """Return the OAuth sign-in for a command: into the store, or through its gateway.

    `by` is the user of the command.

    Its actions also raise StoreUnusable, and StoreInUse if the store's owner cannot be reached.
    """
    seal = vault_seal(settings)
    # Without a key, the sign-in itself reports that when it is used.
    logins = (
        None if seal is None else CredentialStore(SecretStore(vault=_Shut(settings), seal=seal))
    )
    return connect(settings, logins, clock=SystemClock(), noted_as=by)


@asynccontextmanager
async def open_vault(settings: Settings) -> AsyncIterator[SecretRecords]:
    """Open the vault in the store, or reach it through the gateway that owns the store."""
    try:
        store = await open_store(settings)
    except StoreInUse as in_use:
        async with owner_of(settings, in_use) as gateway, open_records(settings) as records:
            yield GatewayVault(records, gateway)
        return
    try:
        yield store.vault
    finally:
        await store.close()


class _Shut:
    """A vault opened for each action: a sign-in waiting at X must not lock the store."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def put(self, name: str, sealed: bytes, *, deed: AuditEvent | None = None) -> None:
        async with open_vault(self._settings) as vault:
            await vault.put(name, sealed, deed=deed)

    async def reseal(self, name: str, *, was: bytes, sealed: bytes) -> None:
        async with open_vault(self._settings) as vault:
            await vault.reseal(name, was=was, sealed=sealed)

    async def sealed(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        async with open_vault(self._settings) as vault:
            return await vault.sealed(prefix)

    async def forget(self, name: str, *, deed: AuditEvent | None = None) -> None:
        async with open_vault(self._settings) as vault:
            await vault.forget(name, deed=deed)


class CredentialReader:
    """A read-only vault: secrets sealed with a former key stay as they are."""

    def __init__(self, records: StoreReader) -> None:
        self._records = records

    async def put(self, name: str, sealed: bytes, *, deed: AuditEvent | None = None) -> None:
        """Do nothing."""

    async def reseal(self, name: str, *, was: bytes, sealed: bytes) -> None:
        """Do nothing."""

    async def sealed(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        return await self._records.sealed(prefix)

    async def forget(self, name: str, *, deed: AuditEvent | None = None) -> None:
        """Do nothing."""


class GatewayVault(CredentialReader):
    """The vault of a running gateway. Writes go through its control channel, sealed.

    The gateway reseals secrets of a former key on request.
    """

    def __init__(self, records: StoreReader, gateway: GatewayClient) -> None:
        super().__init__(records)
        self._gateway = gateway

    async def put(self, name: str, sealed: bytes, *, deed: AuditEvent | None = None) -> None:
        """Raises LedgerUnavailable."""
        await self._gateway.keep(name, sealed, deed=deed)

    async def forget(self, name: str, *, deed: AuditEvent | None = None) -> None:
        """Raises LedgerUnavailable."""
        await self._gateway.forget(name, deed=deed)


def vault_seal(settings: Settings) -> Seal | None:
    """Return the seal, with the former keys; None without a key."""
    server = settings.server
    return seal_of(server.secret_key, server.former_secret_keys)


def _key_anew(settings: Settings) -> Callable[[], Seal]:
    def read() -> Seal:
        now = load(settings.path, os.environ).server
        seal = seal_of(now.secret_key, now.former_secret_keys)
        return seal if seal is not None else _must(settings)

    return read


def _must(settings: Settings) -> Seal:
    """Continue with the previous key if it was removed from the settings meanwhile."""
    seal = vault_seal(settings)
    if seal is None:
        raise RuntimeError("a vault without a key")
    return seal
