"""`twite erase`: erase a person's data, by the process that owns the store.

1  list the identifiers: new conversions with them are suppressed
2  find their data and erase it, slice by slice, until nothing is found
3  truncate the write-ahead log, so that no file holds the data
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Final, TypeVar

import msgspec

from twite.app.logins import vault_seal
from twite.app.store_access import engine_of, open_operations, open_records
from twite.config.settings import Settings
from twite.domain.consent import person_keys
from twite.domain.errors import NotOpened
from twite.domain.people.erasure import ErasureIdentifier, ErasureSubject, all_of
from twite.domain.people.users import AuditAction, AuditEvent
from twite.domain.plural import plural
from twite.gateway.operations import sealed_payloads
from twite.gateway.ports.privacy import EraseSearch, EraseStore, EraseTraces
from twite.gateway.ports.store import Store
from twite.gateway.ports.tags import PREFIX as TAG

T = TypeVar("T")
Opened = Callable[[str, bytes], bytes]

# The target duration of a slice; the pause for other writers is four times as long.
_SLICE: Final = 100
_CUTS: Final = 20
_KEYS: Final = 1_000
_SHARE: Final = 4
# How long to wait for in-flight deliveries, and between two checks, in seconds.
_PATIENCE: Final = 60.0
_AGAIN: Final = 0.5


class EraseResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an erasure.

    `listed` is the number of keys added to the list of withdrawn consent. `left` counts conversions
    still in flight at the end of the wait; `is_log_empty` is whether the write-ahead log is free of
    erased data.
    """

    conversions: int
    submissions: int
    dedup_rows: int
    texts: int
    listed: int
    left: int
    is_log_empty: bool


class EraseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The people to erase.

    `pixel` limits conversion ids to one pixel. If `returns` is set, later conversions are not
    suppressed.
    """

    asked: tuple[ErasureIdentifier, ...]
    pixel: str | None
    returns: bool
    who: str

    @property
    def whom(self) -> ErasureSubject:
        """The identifiers to look for."""
        return all_of(self.asked)


class PayloadReader:
    """Opens queued tag payloads. `unopened` counts those that cannot be opened."""

    def __init__(self, settings: Settings) -> None:
        self._seal = vault_seal(settings)
        self.unopened: set[bytes] = set()

    def opened(self, tag: str, body: bytes) -> bytes:
        """Return the payload, decrypted if possible."""
        if not body or b'"sealed"' not in body:
            return body
        try:
            return sealed_payloads.opened(body, name=tag, seal=self._seal)
        except (NotOpened, msgspec.DecodeError, UnicodeDecodeError):
            self.unopened.add(hashlib.blake2b(body, digest_size=8).digest())
            return body


async def look(
    settings: Settings, request: EraseRequest, *, opened: Opened, pursued: Sequence[int] = ()
) -> EraseTraces:
    """Return the records that contain the person's identifiers.

    Raises StoreUnusable, LedgerUnavailable.
    """
    async with open_records(settings) as records:
        return await records.traces(
            EraseSearch(
                subject=request.whom, pixel=request.pixel, opened=opened, pursued=frozenset(pursued)
            )
        )


async def erase(
    settings: Settings,
    request: EraseRequest,
    first_traces: EraseTraces,
    *,
    opened: Opened,
    report: Callable[[str], None] = lambda _said: None,
    patience: float = _PATIENCE,
    store: Store | None = None,
) -> EraseResult:
    """Erase until nothing is found. `store` is that of this process, if it is open.

    Raises StoreUnusable, StoreInUse, LedgerUnavailable: finished slices stay erased, and the next
    call continues.
    """
    async with open_records(settings) as records:
        salt = records.salt
        pixels = {account.pixel for account in await records.balance()}
    keys = () if request.returns else _keys(settings, request, salt=salt, pixels=pixels)
    counts = {"conversions": 0, "submissions": 0, "dedup_rows": 0, "texts": 0}
    async with _owner(settings, store) as owner:
        for at in range(0, len(keys), _KEYS):
            await owner(EraseStore(keys=keys[at : at + _KEYS]))
        await owner(EraseStore(audit_event=_audit_event(request, first_traces, salt=salt)))
        found, until = first_traces, None
        erased = EraseTraces()
        pursued: set[int] = set()
        while True:
            pursued.update(found.in_progress)
            for slice_ in _slices(found):
                counts["conversions"] += await owner(slice_)
            erased.conversions += found.conversions
            erased.cuts += found.cuts
            erased.dedup_rows += found.dedup_rows
            erased.known += found.known
            counts["submissions"] += len(found.cuts)
            counts["dedup_rows"] += len(found.dedup_rows)
            counts["texts"] += len(found.texts)
            found = await look(settings, request, opened=opened, pursued=sorted(pursued))
            until = until or time.monotonic() + patience
            if not found.size or time.monotonic() >= until:
                break
            if found.in_progress:
                report(
                    f"{plural(len(found.in_progress), 'conversion is', 'conversions are')} "
                    "in flight to X: waiting for the response."
                )
                await asyncio.sleep(_AGAIN)
        is_log_empty = bool(await owner(EraseStore(anew=counts["dedup_rows"] > 0, ends=True)))
        if is_log_empty and engine_of(settings).is_server:
            # VACUUM has freed the places of old row versions, but has not overwritten them.
            for slice_ in _slices(erased):
                await owner(msgspec.structs.replace(slice_, overwrites=True))
            is_log_empty = bool(await owner(EraseStore(ends=True)))
    return EraseResult(**counts, listed=len(keys), left=found.size, is_log_empty=is_log_empty)


@asynccontextmanager
async def _owner(
    settings: Settings, store: Store | None
) -> AsyncIterator[Callable[[EraseStore], Awaitable[int]]]:
    """Yield a function: the store's owner erases a slice, then other writers get a pause."""
    async with nullcontext(store) if store else open_operations(settings) as operations:

        async def do(erase: EraseStore) -> int:
            began = time.monotonic()
            done = await operations.erase(erase, now=time.time_ns() // 1_000_000)
            if not erase.ends:
                await asyncio.sleep((time.monotonic() - began) * _SHARE)
            return done

        yield do


def _slices(traces: EraseTraces) -> Iterator[EraseStore]:
    yield from (EraseStore(cuts=some) for some in _some(traces.cuts, _CUTS))
    yield from (EraseStore(dedup_rows=some) for some in _some(traces.dedup_rows, _SLICE))
    yield from (EraseStore(known=some) for some in _some(traces.known, _SLICE))
    yield from (EraseStore(texts=some) for some in _some(traces.texts, _SLICE))
    # Conversions come last: after an interruption, they lead to the data that remains.
    yield from (EraseStore(conversions=some) for some in _some(traces.conversions, _SLICE))


def _some(all_: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    for at in range(0, len(all_), size):
        yield tuple(all_[at : at + size])


def _keys(
    settings: Settings, request: EraseRequest, *, salt: bytes, pixels: Collection[str]
) -> tuple[bytes, ...]:
    """Return the keys of all identifiers at every known pixel."""
    known = {pixel for pixel in pixels if pixel and not pixel.startswith(TAG)}
    at = {*known, *(destination.pixel for destination in settings.destinations())}
    return tuple(
        key
        for pixel in sorted(at)
        for person in request.whom.persons
        for key in person_keys(person, pixel=pixel, salt=salt)
    )


def _audit_event(request: EraseRequest, traces: EraseTraces, *, salt: bytes) -> AuditEvent:
    """Return the audit entry. Its digest is the same for the same identifiers in this store."""
    whom = request.whom
    named = sorted(
        [*whom.words, *(conversion_id.encode() for conversion_id in whom.conversion_ids)]
    )
    digest = hmac.digest(salt, b"erase\0" + b"\0".join(named), "sha256").hex()[:16]
    return AuditEvent(
        at=time.time_ns() // 1_000_000,
        who=request.who,
        what=AuditAction.ERASE,
        subject=digest,
        detail=f"identifiers: {len(request.asked)}; conversions: {len(traces.conversions)}; "
        f"requests: {len(traces.cuts)}; report rows: {len(traces.dedup_rows)}",
    )
