"""The vault of X credentials, the Ads API client and the Events Manager."""

import os
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from twite.app.control_client import GatewayClient
from twite.app.store_access import StateOnDemand, noted, open_operations, open_records
from twite.config.secret_key import seal_of
from twite.config.settings import Settings, load
from twite.domain.destination import Destination
from twite.domain.errors import OperatorError
from twite.domain.people.users import AuditEvent
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.identity.source_keys import SourceKeyStore, StoredSourceKeys
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.stape_proxy import TagCredentials
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.secret_store import SecretStore, TurnedSeal
from twite.gateway.ports.state import (
    R,
    SealedSecret,
    StateKey,
    StateReader,
    StateRecord,
    StateStore,
)
from twite.gateway.ports.store import Store
from twite.gateway.x_account.credential_store import (
    CredentialCommands,
    CredentialStore,
    StoredCredentials,
)
from twite.gateway.x_account.event_tags import EventTagManager, Note
from twite.gateway.x_account.inquiries import XInquiries, XInquiryAddress
from twite.gateway.x_account.open_sign_ins import OpenSignIns, SealedSignIns
from twite.gateway.x_account.sign_in import XSignIn
from twite.machine.system import SystemClock, SystemRandomness
from twite.senders.inquiries import HttpInquiries

if TYPE_CHECKING:
    from twite.config.event_mapping import SettingsFileDraft


class CredentialVault(msgspec.Struct, frozen=True, kw_only=True):
    """A running gateway's vault, with its key, which can be rotated."""

    secret_store: SecretStore
    seal: TurnedSeal


def safe_of(settings: Settings, state: StateStore) -> CredentialVault | None:
    """Return the vault; None without a key."""
    seal = vault_seal(settings)
    if seal is None:
        return None
    return CredentialVault(secret_store=SecretStore(state=state, seal=seal), seal=seal)


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


async def stored_source_keys(secret_store: SecretStore | None) -> StoredSourceKeys:
    """Return the keys of sources that the console created. Raises NotOpened."""
    return {} if secret_store is None else await SourceKeyStore(secret_store=secret_store).all()


def credential_vault(
    settings: Settings,
    vault: CredentialVault | None,
    *,
    store: Store,
    accept: Accept,
    destinations: MutableMapping[str, Destination],
    runner: DeliveryRunner,
) -> CredentialCommands | None:
    """Return the service that changes credentials while a gateway runs; None without a key."""
    if vault is None:
        return None
    return CredentialCommands(
        secret_store=vault.secret_store,
        seal=vault.seal,
        key=partial(_key_anew, settings),
        written=settings.destinations(),
        destinations=destinations,
        send_to=runner.send_to,
        outbox=store,
        passed=accept.passed,
        note=store.people.note,
    )


def tag_credentials_of(
    settings: Settings,
    *,
    secret_store: SecretStore | None,
    queries: Queries,
    destinations: MutableMapping[str, Destination],
    runner: DeliveryRunner,
    clock: Clock,
    observer: Observer,
) -> TagCredentials | None:
    """Return the store for credentials that tags send; None if no source allows them."""
    asked = any(source.stape_credentials != "configured" for source in settings.sources())
    if secret_store is None or not asked:
        return None
    return TagCredentials(
        secret_store=secret_store,
        destinations=destinations,
        rate=settings.x.rate,
        sends=runner,
        queries=queries,
        clock=clock,
        observer=observer,
    )


class FollowSecrets:
    """Uses the credentials that another gateway or a command has stored.

    A `listener` of the delivery runner. Either service may be None.
    """

    def __init__(
        self,
        commands: CredentialCommands | None,
        tag_credentials: TagCredentials | None,
        observer: Observer,
    ) -> None:
        self._logins = commands
        self._tag_credentials = tag_credentials
        self._observer = observer

    async def __call__(self) -> None:
        """Read the secrets. Raises LedgerUnavailable."""
        try:
            if self._logins is not None:
                await self._logins.follow()
            if self._tag_credentials is not None:
                await self._tag_credentials.load()
        except OperatorError as error:  # a key that this gateway does not have
            self._observer.see(ProblemSeen(where=ProblemPlace.VAULT, reason=str(error)))


def connect(
    settings: Settings,
    logins: CredentialCommands | CredentialStore | None,
    *,
    clock: Clock,
    noted_as: str | None = None,
    open_sign_ins: OpenSignIns | None = None,
) -> XSignIn:
    """Return the OAuth sign-in; see XSignIn for `noted_as`."""
    return XSignIn(
        inquiries=ask_x(settings),
        clock=clock,
        credential_store=logins,
        destinations={destination.pixel: destination for destination in settings.destinations()},
        noted_as=noted_as,
        open_sign_ins=open_sign_ins,
    )


def shared_sign_in(
    settings: Settings,
    vault: CredentialVault | None,
    commands: CredentialCommands | None,
    *,
    store: Store,
    clock: Clock,
) -> XSignIn:
    """Return the sign-in for a gateway. Any gateway on the same store can complete it."""
    if vault is None or store.ownership is None:
        return connect(settings, commands, clock=clock)
    sealed = SealedSignIns(secret_store=vault.secret_store, clock=clock)
    return connect(settings, commands, clock=clock, open_sign_ins=sealed)


async def stored(settings: Settings) -> tuple[Destination, ...]:
    """Return the pixels with their stored credentials, for a command that only reads.

    Raises NotOpened, StoreUnusable.
    """
    seal = vault_seal(settings)
    if seal is None or not settings.store.exists:
        return settings.destinations()
    async with open_records(settings) as records:
        return await given(settings, SecretStore(state=CredentialReader(records), seal=seal))


def connect_alone(settings: Settings, *, by: str) -> XSignIn:
    """Return the OAuth sign-in for a command. It writes to the store, or through its gateway.

    `by` is the user who runs the command.

    The sign-in's methods also raise StoreUnusable, and StoreInUse if the store's owner cannot be
    reached.
    """
    seal = vault_seal(settings)
    # If there is no key, the sign-in reports that when it is used.
    # The store is opened only when needed: a sign-in that waits for X must not lock it.
    state = StateOnDemand(partial(open_secrets, settings))
    logins = None if seal is None else CredentialStore(SecretStore(state=state, seal=seal))
    return connect(settings, logins, clock=SystemClock(), noted_as=by)


@asynccontextmanager
async def open_secrets(settings: Settings) -> AsyncIterator[StateStore]:
    """Open the secrets in the store, directly or through the gateway that owns it."""
    async with open_operations(settings) as owner:
        if isinstance(owner, GatewayClient):
            async with open_records(settings) as records:
                yield GatewaySecrets(records, owner)
        else:
            yield owner


class CredentialReader:
    """Read-only secrets. Secrets sealed with a former key are not resealed."""

    def __init__(self, state: StateReader) -> None:
        self._records = state

    async def load(self, kind: type[R], *, prefix: str = "") -> Sequence[R]:
        return await self._records.load(kind, prefix=prefix)

    async def put(
        self,
        records: Sequence[StateRecord],
        *,
        gone: Sequence[StateKey] = (),
        old_secret: SealedSecret | None = None,
        audit_event: AuditEvent | None = None,
    ) -> None:
        """Do nothing."""

    async def delete(
        self, kind: type[StateRecord], *keys: StateKey, audit_event: AuditEvent | None = None
    ) -> None:
        """Do nothing."""


class GatewaySecrets(CredentialReader):
    """The secrets of a running gateway. Writes go through its control channel, sealed.

    On request, the gateway reseals secrets that a former key sealed.
    """

    def __init__(self, state: StateReader, gateway: GatewayClient) -> None:
        super().__init__(state)
        self._gateway = gateway

    async def put(
        self,
        records: Sequence[StateRecord],
        *,
        gone: Sequence[StateKey] = (),
        old_secret: SealedSecret | None = None,
        audit_event: AuditEvent | None = None,
    ) -> None:
        del gone
        for record in records:
            if isinstance(record, SealedSecret) and old_secret is None:
                await self._gateway.keep(record.name, record.sealed, audit_event=audit_event)

    async def delete(
        self, kind: type[StateRecord], *keys: StateKey, audit_event: AuditEvent | None = None
    ) -> None:
        del kind
        for key in keys:
            await self._gateway.forget(str(key), audit_event=audit_event)


def vault_seal(settings: Settings) -> TurnedSeal | None:
    """Return a seal that also opens data of the former keys, or None if there is no key."""
    server = settings.server
    return seal_of(server.secret_key, server.former_secret_keys)


def _key_anew(settings: Settings) -> TurnedSeal:
    """Read the key again; if it is no longer in the settings, return the previous one."""
    seal = vault_seal(load(settings.path, os.environ)) or vault_seal(settings)
    if seal is None:
        raise RuntimeError("a vault without a key")
    return seal


def ask_x(settings: Settings) -> XInquiries:
    """Return the Ads API client."""
    x = settings.x
    return XInquiries(
        inquiries=HttpInquiries(timeout=x.timeout),
        clock=SystemClock(),
        randomness=SystemRandomness(),
        address=XInquiryAddress(
            api_url=x.api_url.rstrip("/"),
            oauth_url=x.oauth_url.rstrip("/"),
            version=x.api_version,
            app=x.app,
        ),
    )


def events_manager(
    settings: Settings, destinations: Mapping[str, Destination], *, note: Note | None = None
) -> EventTagManager:
    """Return the Events Manager; `destinations` include stored credentials.

    `note` writes into the audit log; the default opens the store to do so.
    """
    return EventTagManager(
        inquiries=ask_x(settings),
        destinations=destinations,
        sources=settings.sources(),
        url=settings.server.public_url or f"http://{settings.server.listen}",
        drafts=partial(_draft, settings.path),
        written=partial(_written_events, settings.path),
        note=note or partial(noted, settings),
        clock=SystemClock(),
    )


def _draft(path: Path, pixel: str, name: str, event: str) -> "SettingsFileDraft":
    """Return the settings file with an event's mapping added."""
    from twite.config.event_mapping import SettingsFileDraft  # noqa: PLC0415  # few starts need it

    return SettingsFileDraft(path, pixel=pixel, name=name, event=event)


def _written_events(path: Path, pixel: str) -> Mapping[str, object]:
    """Return the events that the settings file gives to a pixel."""
    from twite.config.event_mapping import written_events  # noqa: PLC0415  # few starts need it

    return written_events(path, pixel)
