"""The store, for commands: read it next to a running gateway, or change it through the gateway."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from twite.app.control_client import GatewayClient, owner_of
from twite.config.settings import Settings
from twite.config.store_url import read_store_url
from twite.config.toml import Reader
from twite.domain.errors import StoreInUse, StoreUnusable
from twite.domain.pause import Pause
from twite.domain.people.users import AuditEvent
from twite.domain.stats.backlog import Forecast
from twite.domain.submission import IgnoredTally
from twite.domain.times import DAY
from twite.gateway.alerts.forecast import LOOK_BACK, forecasts
from twite.gateway.identity.accounts import Accounts
from twite.gateway.operations.store_copy import CopyProgress, StoreCopied, copy_store
from twite.gateway.ports.directory import AccountDirectory, DirectoryReader, Passwords
from twite.gateway.ports.queries import DeliveredQuery, IgnoredQuery, Queries
from twite.gateway.ports.state import R, SealedSecret, StateKey, StateRecord, StateStore
from twite.gateway.ports.store import (
    Backup,
    Recovered,
    Restored,
    Store,
    StoreEngine,
    StoreOptions,
    StoreReader,
)
from twite.gateway.ports.store_copy import CopyTarget
from twite.gateway.ports.transport import always
from twite.machine.system import SystemClock
from twite.stores.factory import ENGINES

T = TypeVar("T")
IGNORED_DAYS: Final = 7


def engine_of(settings: Settings) -> StoreEngine:
    """Return the engine of the store's URL."""
    return ENGINES[settings.store.engine]


def may_send(store: Store) -> Callable[[], bool]:
    """Return a check to run before each request: does this gateway still own what it claimed?"""
    return always if store.ownership is None else store.ownership.may_send


async def open_store(settings: Settings) -> Store:
    """Open the store for a command, as its owner. Raises StoreInUse, StoreUnusable."""
    options = StoreOptions(
        dedup_window=settings.store.dedup_window,
        accept_weak_durability=settings.store.accept_weak_durability,
    )
    return await engine_of(settings).open(settings.store.place, options)


@asynccontextmanager
async def open_records(settings: Settings) -> AsyncIterator[StoreReader]:
    """Open the store for reading, whether or not a gateway runs. Raises StoreUnusable."""
    if not settings.store.exists:
        raise StoreUnusable(
            settings.store.shown,
            "the database does not exist yet",
            "twite serve creates it. If the gateway has run, check that store.url names its file",
        )
    reader = await engine_of(settings).open_reader(settings.store.place)
    try:
        yield reader
    finally:
        await reader.close()


def read_records(settings: Settings, read: Callable[[StoreReader], Awaitable[T]]) -> T:
    """Open the store for reading, and return what `read` returns."""

    async def opened() -> T:
        async with open_records(settings) as records:
            return await read(records)

    return asyncio.run(opened())


@asynccontextmanager
async def open_operations(settings: Settings) -> AsyncIterator[Store | GatewayClient]:
    """Change the store: directly, or through the gateway that owns it.

    Raises StoreUnusable, and StoreInUse if the owner has left no address to reach it.
    """
    try:
        store = await open_store(settings)
    except StoreInUse as in_use:
        async with owner_of(settings, in_use) as gateway:
            yield gateway
        return
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_staff(
    settings: Settings, *, passwords: Passwords | None = None
) -> AsyncIterator[Accounts]:
    """Change users and API keys.

    Creates a missing store. `passwords` hashes passwords; None uses Argon2id. Raises StoreUnusable,
    and StoreInUse if the owner of the store cannot be reached.
    """
    from twite.machine.seal import Argon2Passwords  # noqa: PLC0415  # few commands need it

    async with _open_directory(settings) as people:
        yield Accounts(
            directory=people, passwords=passwords or Argon2Passwords(), clock=SystemClock()
        )


async def noted(settings: Settings, audit_event: AuditEvent) -> None:
    """Write the intended action of a command into the audit log.

    Creates a missing store. Raises StoreUnusable, StoreInUse and LedgerUnavailable: the command
    must then stop.
    """
    async with _open_directory(settings) as people:
        await people.note(audit_event)


@asynccontextmanager
async def _open_directory(settings: Settings) -> AsyncIterator[AccountDirectory]:
    async with open_operations(settings) as owner:
        if isinstance(owner, GatewayClient):
            async with open_records(settings) as records:
                yield GatewayDirectory(records.people, owner)
        else:
            yield owner.people


class GatewayDirectory:
    """Reads the store directly, and writes through the gateway that owns it."""

    def __init__(self, reader: DirectoryReader, gateway: GatewayClient) -> None:
        self.user, self.users = reader.user, reader.users
        self.session, self.sessions = reader.session, reader.sessions
        self.api_key, self.api_keys = reader.api_key, reader.api_keys
        self.audit = reader.audit
        self.change, self.note = gateway.change, gateway.note


class StateOnDemand:
    """Implements StateStore by opening a store for each call, with `opened`."""

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[StateStore]]) -> None:
        self._opened = opened

    async def load(self, kind: type[R], *, prefix: str = "") -> Sequence[R]:
        async with self._opened() as state:
            return await state.load(kind, prefix=prefix)

    async def put(
        self,
        records: Sequence[StateRecord],
        *,
        gone: Sequence[StateKey] = (),
        old_secret: SealedSecret | None = None,
        audit_event: AuditEvent | None = None,
    ) -> None:
        async with self._opened() as state:
            await state.put(records, gone=gone, old_secret=old_secret, audit_event=audit_event)

    async def delete(
        self, kind: type[StateRecord], *keys: StateKey, audit_event: AuditEvent | None = None
    ) -> None:
        async with self._opened() as state:
            await state.delete(kind, *keys, audit_event=audit_event)


def back_up(settings: Settings, to: Path) -> Backup:
    """Copy the store into a new file, whether or not a gateway runs. Raises StoreUnusable."""
    return engine_of(settings).back_up(settings.store.place, str(to))


def restore_store(settings: Settings, source: Path) -> Restored:
    """Replace the store with a backup. Raises StoreInUse, StoreUnusable."""
    return engine_of(settings).restore(settings.store.place, str(source))


def hold_pending(settings: Settings) -> int:
    """Hold all pending deliveries of a restored store; return their number.

    Raises StoreUnusable.
    """
    return asyncio.run(engine_of(settings).hold_pending(settings.store.place))


def recover_store(settings: Settings, path: Path | None, to: Path | None) -> Recovered:
    """Save the readable parts of the store, or of another file.

    Raises StoreInUse, StoreUnusable.
    """
    known = [
        (pixel.pixel, event)
        for pixel in settings.destinations()
        for event in dict.fromkeys(pixel.events.values())
    ]
    place = settings.store.place if path is None else str(path)
    return engine_of(settings).recover(place, None if to is None else str(to), known)


async def copy_stores(
    source: str,
    target: str,
    environ: Mapping[str, str],
    *,
    accept_weak_durability: bool,
    progress: CopyProgress,
) -> StoreCopied:
    """Copy a store into a new one; both are values of `store.url`.

    Raises SettingsError, StoreInUse, StoreUnusable.
    """
    here, from_place = _store_at(source, "SOURCE", environ)
    there, to_place = _store_at(target, "TARGET", environ)

    @asynccontextmanager
    async def open_target(state: str) -> AsyncIterator[CopyTarget]:
        opened = await there.open_copy_target(
            to_place, state=state, accept_weak_durability=accept_weak_durability
        )
        try:
            yield opened
        finally:
            await opened.close()

    opened = await here.open_copy_source(from_place)
    try:
        return await copy_store(opened, open_target, progress)
    finally:
        await opened.close()


def _store_at(text: str, place: str, environ: Mapping[str, str]) -> tuple[StoreEngine, str]:
    """Return the engine of a value of `store.url`, and the location for the engine."""
    reader = Reader(environ=environ, folder=Path.cwd())
    url = read_store_url(str(reader.resolved(text, place)), place)
    return ENGINES[url.engine], str(url.path) if url.server is None else url.server.reveal()


async def read_forecasts(settings: Settings, reader: StoreReader) -> list[Forecast]:
    """Forecast each pixel of the settings from its current state."""
    now = time.time_ns() // 1_000_000
    return forecasts(
        settings.destinations(),
        await reader.backlog(),
        await reader.answer(DeliveredQuery(since=now - LOOK_BACK)),
        now=now,
        paused=[pause.pixel for pause in await reader.load(Pause) if not pause.event],
    )


async def read_ignored(queries: Queries) -> list[IgnoredTally]:
    """Return the ignored events of the last seven days, today included."""
    return list(
        await queries.answer(IgnoredQuery(since=SystemClock().now() // DAY - IGNORED_DAYS + 1))
    )
