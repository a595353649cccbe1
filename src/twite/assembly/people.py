"""Users, keys and the audit, for commands: in the store, or through the gateway that owns it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

import aiohttp
import msgspec

from twite.assembly.desk import Reachable, reachable
from twite.assembly.settings import Settings
from twite.console.people_desk import PATH
from twite.domain.errors import LedgerUnavailable, StoreInUse
from twite.domain.people import Deed
from twite.domain.secret import Secret
from twite.domain.staffing import Change, Upshot
from twite.gateway.people import Passwords
from twite.gateway.people_orders import PeopleDone, PeopleOrder, encoded
from twite.gateway.staff import Staff, StaffRoom
from twite.machine import SystemClock
from twite.machine.passwords import Argon2Passwords
from twite.stores.sqlite import SQLiteReader, SQLiteStore
from twite.stores.sqlite.people import SQLitePeopleReader

_PATIENCE: Final = aiohttp.ClientTimeout(total=30)
_OK: Final = 200


@asynccontextmanager
async def open_staff(
    settings: Settings, *, passwords: Passwords | None = None
) -> AsyncIterator[Staff]:
    """Change users and keys. Makes the store where there is none yet.

    `passwords` hashes them; None for Argon2id.

    Raises StoreUnusable, and StoreInUse where the owner does not say how to reach it.
    """
    async with _open(settings) as people:
        yield Staff(people=people, passwords=passwords or Argon2Passwords(), clock=SystemClock())


async def noted(settings: Settings, deed: Deed) -> None:
    """Write into the audit what a command is about to do. Makes the store as open_staff does.

    Raises StoreUnusable, StoreInUse and LedgerUnavailable: then it is not to be done.
    """
    async with _open(settings) as people:
        await people.note(deed)


class _People(StaffRoom, Protocol):
    async def note(self, deed: Deed) -> None: ...


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[_People]:
    path = str(settings.store.path)
    try:
        store = await SQLiteStore.open(path, dedup_window=settings.store.dedup_window)
    except StoreInUse:
        found = reachable(settings.store.gateway_file)
        if found is None:
            raise
        reader = await SQLiteReader.open(path)
        try:
            async with aiohttp.ClientSession(timeout=_PATIENCE) as http:
                yield GatewayPeople(reader, http, found)
        finally:
            await reader.close()
        return
    try:
        yield store.people
    finally:
        await store.close()


class GatewayPeople(SQLitePeopleReader):
    """Reads beside the gateway of this machine, and asks it to write."""

    def __init__(
        self, reader: SQLiteReader, http: aiohttp.ClientSession, gateway: Reachable
    ) -> None:
        super().__init__(reader)
        self._http = http
        self._url = gateway.url
        self._token = Secret(gateway.token)

    async def change(self, change: Change, *, deed: Deed, warrant: bytes = b"") -> Upshot:
        del warrant  # a command has no session
        return await self._ask(PeopleOrder(change=change, deed=deed))

    async def note(self, deed: Deed) -> None:
        await self._ask(PeopleOrder(deed=deed))

    async def _ask(self, order: PeopleOrder) -> Upshot:
        headers = {"Authorization": f"Bearer {self._token.reveal()}"}
        try:
            async with self._http.post(
                f"{self._url}{PATH}", data=encoded(order), headers=headers, allow_redirects=False
            ) as answer:
                body = await answer.read()
                if answer.status != _OK:
                    raise self._refused(f"answered {answer.status}")
                return msgspec.json.decode(body, type=PeopleDone).upshot
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
