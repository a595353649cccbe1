"""Credential store: the sealed X credentials of pixels, from sign-ins and pasted tokens.

    login/<pixel>/oauth         credentials from a sign-in
    login/<pixel>/pixel_token   a pasted token

Each kind has its own name, so that one can be stored or deleted without reading the other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Final

import msgspec

from twite.domain.destination import (
    Destination,
    MissingCredentials,
    OAuthKeys,
    PixelToken,
    PlainOAuthKeys,
    in_plain_text,
)
from twite.domain.errors import NotOpened
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Secret
from twite.gateway.delivery.credentials import OAUTH, PIXEL_TOKEN
from twite.gateway.operations.sealed_payloads import Resealing
from twite.gateway.ports.outbox import Outbox, RewrittenPayloads
from twite.gateway.ports.secret_store import SecretStore, TurnedSeal

PREFIX: Final = "login/"
KINDS: Final = (OAUTH, PIXEL_TOKEN)


class StoredCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A pixel's stored credentials. `screen_name` is the OAuth user, "" if unknown."""

    oauth: OAuthKeys | None = None
    screen_name: str = ""
    pixel_token: PixelToken | None = None

    def given_to(self, destination: Destination) -> Destination:
        """Return a destination from the settings, with these credentials added.

        For each kind, credentials in the settings override stored ones. If there are both kinds,
        the pixel token is used first, and OAuth is the fallback.
        """
        own = (destination.credentials, destination.fallback)
        token = next(
            (credential for credential in own if isinstance(credential, PixelToken)),
            self.pixel_token,
        )
        oauth = next(
            (credential for credential in own if isinstance(credential, OAuthKeys)), self.oauth
        )
        fallback = oauth if token is not None else None
        return msgspec.structs.replace(
            destination, credentials=token or oauth or MissingCredentials(), fallback=fallback
        )


class CredentialStore:
    """Reads and writes credentials. An `audit_event` is written in the same transaction."""

    def __init__(self, secret_store: SecretStore) -> None:
        self._secret_store = secret_store

    async def keep_oauth(
        self,
        pixel: str,
        keys: OAuthKeys,
        *,
        screen_name: str,
        audit_event: AuditEvent | None = None,
    ) -> None:
        """Store OAuth credentials from a sign-in, replacing earlier ones.

        Raises LedgerUnavailable; NotOpened if a running gateway uses another key.
        """
        kept = _SignedIn(**in_plain_text(keys), screen_name=screen_name)
        await self._secret_store.put(
            _name(pixel, OAUTH), msgspec.json.encode(kept), audit_event=audit_event
        )
        await self.take_up()

    async def keep_pixel_token(
        self, pixel: str, token: PixelToken, *, audit_event: AuditEvent | None = None
    ) -> None:
        """Store a pixel token, replacing an earlier one. Raises as keep_oauth does."""
        plain = token.token.reveal().encode()
        await self._secret_store.put(_name(pixel, PIXEL_TOKEN), plain, audit_event=audit_event)
        await self.take_up()

    async def forget(self, pixel: str, kind: str, *, audit_event: AuditEvent | None = None) -> None:
        """Delete credentials of one of KINDS. Raises LedgerUnavailable, NotOpened."""
        await self._secret_store.forget(_name(pixel, kind), audit_event=audit_event)
        await self.take_up()

    async def all(self) -> Mapping[str, StoredCredentials]:
        """Return the stored credentials, by pixel. Raises NotOpened."""
        found: dict[str, StoredCredentials] = {}
        for name, plain in await self._secret_store.all(PREFIX):
            pixel, _, kind = name.removeprefix(PREFIX).partition("/")
            login = found.get(pixel, StoredCredentials())
            if kind == OAUTH:
                kept = msgspec.json.decode(plain, type=_SignedIn)
                login = msgspec.structs.replace(
                    login, oauth=kept.keys, screen_name=kept.screen_name
                )
            elif kind == PIXEL_TOKEN:
                token = PixelToken(token=Secret(plain.decode()))
                login = msgspec.structs.replace(login, pixel_token=token)
            found[pixel] = login
        return found

    async def take_up(self) -> None:
        """Make the gateway use the stored credentials. Here, no gateway is running: do nothing."""


class CredentialCommands(CredentialStore):
    """The vault of a running gateway.

    Changes take effect before the command is answered. Commands on the same machine seal secrets
    with the same key, so no secret is sent in plain text.
    """

    def __init__(
        self,
        *,
        secret_store: SecretStore,
        seal: TurnedSeal,
        key: Callable[[], TurnedSeal],
        written: Sequence[Destination],
        destinations: MutableMapping[str, Destination],
        send_to: Callable[[Destination], None],
        outbox: Outbox,
        passed: Callable[[], Awaitable[None]],
        note: Callable[[AuditEvent], Awaitable[None]],
    ) -> None:
        """`key` reads the keys in the settings again; `written` has the pixels of the settings.

        `destinations` are the pixels in use; `send_to` replaces the credentials that a pixel's
        worker uses; `outbox` has the queued tag payloads; `passed` waits until requests that are
        being accepted are on disk; `note` writes to the audit log.
        """
        super().__init__(secret_store)
        self._seal = seal
        self._key = key
        self._written = tuple(written)
        self._destinations = destinations
        self._send_to = send_to
        self._resealing = Resealing(outbox=outbox, seal=seal)
        self._passed = passed
        self._note = note
        self._turn = asyncio.Lock()

    async def take_up(self) -> None:
        """Use the stored credentials. Raises NotOpened."""
        # One refresh at a time, so that older credentials never replace newer ones.
        async with self._turn:
            logins = await self.all()
            for written in self._written:
                now = logins.get(written.pixel, StoredCredentials()).given_to(written)
                if now != self._destinations.get(written.pixel):
                    self._destinations[written.pixel] = now
                    self._send_to(now)

    def use(
        self, written: Sequence[Destination], destinations: MutableMapping[str, Destination]
    ) -> None:
        """Replace the pixels of the settings, and the pixels in use, after a reload."""
        self._written = tuple(written)
        self._destinations = destinations

    async def follow(self) -> None:
        """Use the credentials that another gateway or a command has stored.

        If they were sealed with another key, read the keys in the settings again. Raises NotOpened,
        SettingsError, LedgerUnavailable.
        """
        try:
            await self.take_up()
        except NotOpened:
            self._seal.turn(self._key())
            await self.take_up()

    async def keep(
        self, name: str, sealed: bytes, *, audit_event: AuditEvent | None = None
    ) -> None:
        """Store sealed credentials. Raises NotOpened, LedgerUnavailable."""
        await self._secret_store.put_sealed(name, sealed, audit_event=audit_event)
        await self.take_up()

    async def forget_sealed(self, name: str, *, audit_event: AuditEvent | None = None) -> None:
        await self._secret_store.forget(name, audit_event=audit_event)
        await self.take_up()

    async def reseal(self, *, audit_event: AuditEvent | None = None) -> int:
        """Read the key again and seal all secrets with it; return their number.

        From then on, new payloads are sealed with this key; `reseal_payloads` reseals queued ones.
        Raises NotOpened, SettingsError, LedgerUnavailable.
        """
        key = self._key()
        if audit_event is not None:
            await self._note(audit_event)
        self._seal.turn(key)
        secrets = await self._secret_store.all("")
        # A request that was just accepted must be in the queue before its payload is resealed.
        await self._passed()
        return len(secrets)

    async def reseal_payloads(self, *, after: int) -> RewrittenPayloads:
        """Reseal some payloads of deliveries with an id above `after`. Raises LedgerUnavailable."""
        return await self._resealing.some(after=after)


class _SignedIn(PlainOAuthKeys, frozen=True, kw_only=True):
    screen_name: str = ""


def _name(pixel: str, kind: str) -> str:
    return f"{PREFIX}{pixel}/{kind}"
