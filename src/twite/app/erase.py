"""Erase somebody: look beside the owner of the store, and have it done by the owner.

1  whoever is named is listed: what comes of them from now on is suppressed
2  look, and erase what was found, in slices; until nothing is found
3  the log is emptied, so that the files hold nothing of it
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

import msgspec

from twite.app.store_access import open_desk, open_records
from twite.config.secret_key import seal_of
from twite.config.settings import Settings
from twite.domain.consent import person_keys
from twite.domain.errors import NotOpened
from twite.domain.people.erasure import ErasureIdentifier, ErasureSubject, all_of
from twite.domain.people.users import AuditAction, AuditEvent
from twite.gateway.operations.erase import EraseStore, EraseTraces
from twite.gateway.tags.run import payload as letter
from twite.stores.sqlite.search import Opened, known, search

T = TypeVar("T")

# So much is done between commits of others, and four times as long is left to them.
_SLICE: Final = 100
_CUTS: Final = 20
_KEYS: Final = 1_000
_SHARE: Final = 4
# What is on its way to X is waited for.
_PATIENCE: Final = 60.0
_AGAIN: Final = 0.5


class EraseResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `listed` is how many keys are on the list of those who revoked for it.

    `left` were there still when patience ended, on their way to X; `is_log_empty` is whether the
    log holds nothing of what went.
    """

    conversions: int
    submissions: int
    sightings: int
    texts: int
    listed: int
    left: int
    is_log_empty: bool


class EraseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to be erased. `pixel` narrows conversion ids; `returns`: they may come again."""

    asked: tuple[ErasureIdentifier, ...]
    pixel: str | None
    returns: bool
    who: str

    @property
    def whom(self) -> ErasureSubject:
        """What is looked for."""
        return all_of(self.asked)


class TagPayloadReader:
    """Opens what waits for tags. `unopened` counts those that cannot be."""

    def __init__(self, settings: Settings) -> None:
        server = settings.server
        self._seal = seal_of(server.secret_key, server.former_secret_keys)
        self.unopened: set[bytes] = set()

    def opened(self, tag: str, body: bytes) -> bytes:
        """Return all of a letter that can be read."""
        if not body or b'"sealed"' not in body:
            return body
        try:
            return letter.written(letter.read(body, name=tag, seal=self._seal), name=tag)
        except (NotOpened, msgspec.DecodeError, UnicodeDecodeError):
            self.unopened.add(hashlib.blake2b(body, digest_size=8).digest())
            return body


async def look(
    settings: Settings, wish: EraseRequest, *, opened: Opened, pursued: Sequence[int] = ()
) -> EraseTraces:
    """Return what names them. Raises StoreUnusable, LedgerUnavailable."""
    async with open_records(settings) as records:
        return await records.read(
            partial(
                search, whom=wish.whom, pixel=wish.pixel, opened=opened, pursued=frozenset(pursued)
            )
        )


async def erase(
    settings: Settings,
    wish: EraseRequest,
    first: EraseTraces,
    *,
    opened: Opened,
    told: Callable[[str], None] = lambda _said: None,
    patience: float = _PATIENCE,
) -> EraseResult:
    """Erase what was found, and what is found after it.

    Raises StoreUnusable, StoreInUse, LedgerUnavailable: what was done stays done, and doing it
    again goes on from there.
    """
    async with open_records(settings) as records:
        salt, pixels = await records.read(known)
    keys = () if wish.returns else _keys(settings, wish, salt=salt, pixels=pixels)
    counts = {"conversions": 0, "submissions": 0, "sightings": 0, "texts": 0}
    async with _owner(settings) as owner:
        for at in range(0, len(keys), _KEYS):
            await owner(EraseStore(keys=keys[at : at + _KEYS]))
        await owner(EraseStore(deed=_deed(wish, first, salt=salt)))
        found, until = first, None
        pursued: set[int] = set()
        while True:
            pursued.update(found.in_progress)
            for slice_ in _slices(found):
                counts["conversions"] += await owner(slice_)
            counts["submissions"] += len(found.cuts)
            counts["sightings"] += len(found.sightings)
            counts["texts"] += len(found.texts)
            found = await look(settings, wish, opened=opened, pursued=sorted(pursued))
            until = until or time.monotonic() + patience
            if not found.size or time.monotonic() >= until:
                break
            if found.in_progress:
                told(f"{len(found.in_progress)} are on their way to X: waiting for the answer.")
                await asyncio.sleep(_AGAIN)
        is_log_empty = bool(await owner(EraseStore(anew=counts["sightings"] > 0, ends=True)))
    return EraseResult(**counts, listed=len(keys), left=found.size, is_log_empty=is_log_empty)


@asynccontextmanager
async def _owner(settings: Settings) -> AsyncIterator[Callable[[EraseStore], Awaitable[int]]]:
    """Have the store's owner do slices, and leave it time for others after each."""
    async with open_desk(settings) as desk:

        async def do(erasing: EraseStore) -> int:
            began = time.monotonic()
            done = await desk.erase(erasing, now=time.time_ns() // 1_000_000)
            if not erasing.ends:
                await asyncio.sleep((time.monotonic() - began) * _SHARE)
            return done

        yield do


def _slices(found: EraseTraces) -> Iterator[EraseStore]:
    yield from (EraseStore(cuts=some) for some in _some(found.cuts, _CUTS))
    yield from (EraseStore(sightings=some) for some in _some(found.sightings, _SLICE))
    yield from (EraseStore(texts=some) for some in _some(found.texts, _SLICE))
    # Last: whoever is ended in the middle finds the rest by what is left of these.
    yield from (EraseStore(conversions=some) for some in _some(found.conversions, _SLICE))


def _some(all_: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    for at in range(0, len(all_), size):
        yield tuple(all_[at : at + size])


def _keys(
    settings: Settings, wish: EraseRequest, *, salt: bytes, pixels: Sequence[str]
) -> tuple[bytes, ...]:
    """Return the keys of everybody at every pixel that is known."""
    at = {*pixels, *(destination.pixel for destination in settings.destinations())}
    return tuple(
        key
        for pixel in sorted(at)
        for person in wish.whom.persons
        for key in person_keys(person, pixel=pixel, salt=salt)
    )


def _deed(wish: EraseRequest, found: EraseTraces, *, salt: bytes) -> AuditEvent:
    """Return what the audit keeps: a digest that the same identifiers have again, here alone."""
    whom = wish.whom
    named = sorted([*whom.words, *(one.encode() for one in whom.conversion_ids)])
    digest = hmac.digest(salt, b"erase\0" + b"\0".join(named), "sha256").hex()[:16]
    return AuditEvent(
        at=time.time_ns() // 1_000_000,
        who=wish.who,
        what=AuditAction.ERASE,
        subject=digest,
        detail=f"identifiers: {len(wish.asked)}; conversions: {len(found.conversions)}; "
        f"submissions: {len(found.cuts)}; sightings: {len(found.sightings)}",
    )
