"""Copy a store into another one, table by table, and compare both before it may be used."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import msgspec

from twite.domain.errors import StoreUnusable
from twite.domain.history import ConversionCounts
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import ConversionOrigin
from twite.gateway.ports.store_copy import (
    CopiedTable,
    CopyReader,
    CopySide,
    CopySource,
    CopyTarget,
    Row,
)

# The most rows and bytes in one transaction.
_ROWS: Final = 5_000
_BYTES: Final = 4 * 1024 * 1024
_HISTORIES: Final = 200
FIX: Final = "Copy into a new database, and report the fault if the copy fails again"


class CopyProgress(Protocol):
    """Reports how many rows of a table were copied, or compared if `is_checking`."""

    def __call__(self, table: str, done: int, total: int, *, is_checking: bool) -> None: ...


class StoreCopied(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a copy. `rows` counts the rows by table, `copied` those of this run.

    `histories` is the number of conversions whose histories were compared, and `pending` the number
    of deliveries that the next gateway will send.
    """

    source: str
    target: str
    rows: Mapping[str, int]
    copied: int
    histories: int
    conversions: int
    pending: int
    seconds: float


async def copy_store(
    source: CopySource,
    open_target: Callable[[str], AbstractAsyncContextManager[CopyTarget]],
    progress: CopyProgress,
) -> StoreCopied:
    """Copy a store, or continue an interrupted copy.

    `open_target` gets the state of the source. Raises StoreUnusable: the target cannot be used yet;
    calling again continues the copy.
    """
    began = time.monotonic()
    state = await source.state()
    async with open_target(state) as target:
        totals = {table.name: await source.count(table) for table in source.tables}
        copied = 0
        for table in source.tables:
            copied += await _copied(source, target, table, totals[table.name], progress)
        await target.complete(await source.deployment())
        sample: list[int] = []
        for table in source.tables:
            sample += await _compared(source, target, table, totals[table.name], progress)
        pending = await _compared_answers(source, target, sample)
        if await source.state() != state:
            raise StoreUnusable(
                source.shown,
                "the store was changed during the copy",
                "Stop all gateways and commands that use it, and copy into a new database",
            )
        await target.publish()
    return StoreCopied(
        source=source.shown,
        target=target.shown,
        rows=totals,
        copied=copied,
        histories=len(sample),
        conversions=totals["conversion"],
        pending=pending,
        seconds=time.monotonic() - began,
    )


async def _copied(
    source: CopySource, target: CopyTarget, table: CopiedTable, total: int, progress: CopyProgress
) -> int:
    """Copy the rows that the target does not have yet; return their number."""
    after = await target.last_key(table)
    done = before = 0 if after is None else await target.count(table)
    async for rows in _grouped(source.rows(table, after)):
        await target.add(table, rows)
        done += len(rows)
        progress(table.name, done, total, is_checking=False)
    return done - before


async def _grouped(pieces: AsyncIterator[list[Row]]) -> AsyncIterator[list[Row]]:
    group: list[Row] = []
    size = 0
    async for piece in pieces:
        group += piece
        size += sum([len(part) for row in piece for part in row if isinstance(part, bytes)])
        if len(group) >= _ROWS or size >= _BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


async def _compared(
    source: CopySource, target: CopyTarget, table: CopiedTable, total: int, progress: CopyProgress
) -> list[int]:
    """Compare all rows; return the ids of some conversions. Raises StoreUnusable."""
    sample: list[int] = []
    every = max(1, total // _HISTORIES)
    done = 0
    theirs = target.rows(table)
    async for ours in source.rows(table):
        copies: list[Row] = await anext(theirs, [])
        if ours != copies and not _is_same(table, ours, copies, target):
            raise _differ(target, f"table {table.name}, after {done} equal rows")
        if table.name == "conversion":
            sample += [row[0] for row in ours[-done % every :: every] if isinstance(row[0], int)]
        done += len(ours)
        progress(table.name, done, total, is_checking=True)
    if await anext(theirs, None) is not None or done != total:
        raise _differ(target, f"table {table.name}, number of rows")
    return sample[:_HISTORIES]


def _is_same(
    table: CopiedTable, ours: Sequence[Row], copies: Sequence[Row], target: CopyTarget
) -> bool:
    kept = [target.stored(row)[: table.compared] for row in ours]
    return kept == [row[: table.compared] for row in copies]


async def _compared_answers(source: CopySource, target: CopyTarget, sample: Sequence[int]) -> int:
    """Compare the accounting and the histories; return the number of pending deliveries."""
    ours = await source.open_reader()
    try:
        theirs = await target.open_reader()
        try:
            return await _compared_readers(ours, theirs, target, sample)
        finally:
            await theirs.close()
    finally:
        await ours.close()


async def _compared_readers(
    own_reader: CopyReader, copy_reader: CopyReader, target: CopyTarget, sample: Sequence[int]
) -> int:
    counts = _sorted(await own_reader.balance())
    if counts != _sorted(await copy_reader.balance()):
        raise _differ(target, "accounting")
    for delivery in sample:
        texts = [
            _text(await reader.get(delivery, QueryScope())) for reader in (own_reader, copy_reader)
        ]
        if target.stored((texts[0],)) != (texts[1],):
            raise _differ(target, f"history of conversion {delivery}")
    return sum(count.pending for count in counts)


def _sorted(counts: Sequence[ConversionCounts]) -> list[ConversionCounts]:
    return sorted(counts, key=lambda count: (count.source, count.pixel))


def _text(origin: ConversionOrigin | None) -> str:
    return msgspec.json.encode(origin).decode().replace("\\u0000", "\0")


def _differ(side: CopySide, where: str) -> StoreUnusable:
    return StoreUnusable(side.shown, f"the copy differs from its source ({where})", FIX)
