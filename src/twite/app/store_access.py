"""The store, for commands: read beside a running gateway, or act on deliveries through it."""

import os
from base64 import b64encode
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import aiohttp
import msgspec

from twite.config.settings import Settings
from twite.domain.errors import LedgerUnavailable, StoreInUse, StoreUnusable
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Secret
from twite.gateway.ports.outbox import Operations
from twite.gateway.ports.privacy import Eraser, EraseStore
from twite.gateway.ports.store import Store, StoreReader
from twite.gateway.ports.store_engine import StoreEngine, StoreOptions
from twite.stores.factory import ENGINES

PATIENCE: Final = aiohttp.ClientTimeout(total=60)
_IN_ONE_REQUEST: Final = 10_000
_OK: Final = 200


class StoreOwner(Operations, Eraser, Protocol):
    """The process that owns the store."""


def engine_of(settings: Settings) -> StoreEngine:
    """Return the engine of the store's URL."""
    return ENGINES[settings.store.engine]


async def open_store(settings: Settings) -> Store:
    """Own the store for a command. Raises StoreInUse, StoreUnusable."""
    options = StoreOptions(dedup_window=settings.store.dedup_window)
    return await engine_of(settings).open(str(settings.store.path), options)


@asynccontextmanager
async def open_records(settings: Settings) -> AsyncIterator[StoreReader]:
    """Open the store for reading, whether or not a gateway runs. Raises StoreUnusable."""
    path = settings.store.path
    if not path.exists():
        raise StoreUnusable(
            path=str(path),
            reason="there is no such database yet",
            cure="twite serve makes it; or store.url names another file than the gateway's",
        )
    reader = await engine_of(settings).open_reader(str(path))
    try:
        yield reader
    finally:
        await reader.close()


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[StoreOwner]:
    """Act on deliveries and personal data: in the store, or through the gateway that owns it.

    Raises StoreUnusable, and StoreInUse where the owner does not say how to reach it.
    """
    try:
        store = await open_store(settings)
    except StoreInUse:
        found = reachable(settings.store.gateway_file)
        if found is None:
            raise
        async with aiohttp.ClientSession(timeout=PATIENCE) as http:
            yield GatewayOperations(http, found)
        return
    try:
        yield store
    finally:
        await store.close()


class Reachable(msgspec.Struct, frozen=True, kw_only=True):
    """The address file of a running gateway."""

    pid: int
    url: str
    token: str

    def __repr__(self) -> str:
        return f"Reachable(pid={self.pid}, url={self.url!r}, token=***)"


def reachable(file: Path) -> Reachable | None:
    """Read the address file; None if it is missing or cannot be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Reachable)
    except (OSError, msgspec.DecodeError, UnicodeError):
        return None


def running(file: Path) -> Reachable | None:
    """Read the file if its process lives: a killed gateway leaves its file behind."""
    found = reachable(file)
    if found is None:
        return None
    try:
        os.kill(found.pid, 0)  # signal 0 checks the process, and sends nothing
    except ProcessLookupError:
        return None
    except OSError:
        return found  # another user's process
    return found


class GatewayOperations:
    """Operations on the gateway of this machine. The gateway's clock counts."""

    def __init__(self, http: aiohttp.ClientSession, gateway: Reachable) -> None:
        self._http = http
        self._url = gateway.url
        self._token = Secret(gateway.token)

    async def replay(
        self,
        deliveries: Sequence[int],
        *,
        now: int,
        sure: Collection[int] = (),
        deed: AuditEvent | None = None,
    ) -> int:
        """Raises LedgerUnavailable if the gateway does not do it."""
        del now
        return await self._ask("replay", deliveries, sure=sure, deed=deed)

    async def discard(
        self, deliveries: Sequence[int], *, now: int, note: str, deed: AuditEvent | None = None
    ) -> int:
        """Raises LedgerUnavailable if the gateway does not do it."""
        del now
        return await self._ask("discard", deliveries, note=note, deed=deed)

    async def keep(self, name: str, sealed: bytes, *, deed: AuditEvent | None = None) -> None:
        """Put a sealed secret into the vault. Raises LedgerUnavailable."""
        told = {"name": name, "sealed": b64encode(sealed).decode()}
        await self._order({"do": "keep", **told, **_of(deed)})

    async def forget(self, name: str, *, deed: AuditEvent | None = None) -> None:
        """Delete a secret from the vault. Raises LedgerUnavailable."""
        await self._order({"do": "forget", "name": name, **_of(deed)})

    async def reseal(self, *, deed: AuditEvent | None = None) -> int:
        """Have all secrets resealed with the current key. Raises LedgerUnavailable."""
        return (await self._order({"do": "reseal", **_of(deed)})).done

    async def reseal_letters(self) -> int:
        """Have queued tag payloads resealed, too. Raises LedgerUnavailable."""
        letters, last = 0, 0
        while True:
            some = await self._order({"do": "reseal_letters", "after": last})
            letters += some.done
            if some.last is None:
                return letters
            last = some.last

    async def erase(self, erasing: EraseStore, *, now: int) -> int:
        """Raises LedgerUnavailable if the gateway does not do it."""
        del now
        told = {"do": "erase", "erasing": msgspec.to_builtins(erasing)}
        return (await self._order(told)).done

    async def _ask(
        self,
        do: str,
        deliveries: Sequence[int],
        *,
        deed: AuditEvent | None,
        note: str = "",
        sure: Collection[int] = (),
    ) -> int:
        done = 0
        known = frozenset(sure)
        for at in range(0, len(deliveries), _IN_ONE_REQUEST):
            some = list(deliveries[at : at + _IN_ONE_REQUEST])
            order: dict[str, object] = {"do": do, "deliveries": some, "note": note}
            if known:
                order["sure"] = [delivery for delivery in some if delivery in known]
            if not at:
                order |= _of(deed)
            done += (await self._order(order)).done
        return done

    async def _order(self, order: dict[str, object]) -> "_Done":
        headers = {"Authorization": f"Bearer {self._token.reveal()}"}
        try:
            async with self._http.post(
                f"{self._url}/-/desk", json=order, headers=headers, allow_redirects=False
            ) as answer:
                body = await answer.read()
                if answer.status != _OK:
                    raise self._refused(_answered(answer.status, body))
                return msgspec.json.decode(body, type=_Done)
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


def _answered(status: int, body: bytes) -> str:
    """Turn the gateway's refusal into an error; for the vault, with its reason."""
    try:
        errors = msgspec.json.decode(body, type=_Errors).errors
    except (msgspec.DecodeError, UnicodeDecodeError):
        errors = []
    why = [error.message for error in errors[:1] if error.code == "vault_closed"]
    return f"answered {status}" + (f": {why[0]}" if why else "")


def _of(deed: AuditEvent | None) -> dict[str, object]:
    return {} if deed is None else {"deed": msgspec.to_builtins(deed)}


class _Done(msgspec.Struct):
    done: int
    last: int | None = None


class _Error(msgspec.Struct):
    code: str
    message: str


class _Errors(msgspec.Struct):
    errors: list[_Error]
