"""Parquet objects below a prefix as the target of an export.

Objects are only added: of several rows with one key, the one with the latest `updated_at` counts.
`_twite/` has the state of each store: the position, the rows that may still change, and the next
object, which is written after the state. Only the version of the state that a run knows can be
replaced, so of two runs at once, one is refused before it writes an object. If a run is killed
between state and object, the next one writes the object.
"""

import asyncio
import hashlib
import io
import sys
import zlib
from array import array
from base64 import b64decode, b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from twite.console.export_files import NO_POLARS, parquet_schema, polars
from twite.domain.errors import ClientError
from twite.domain.times import DAY, spelled
from twite.gateway.ports.exports import ExportBatch, ExportPosition, ExportRow
from twite.readers.object_storage import ObjectChanged, ObjectStorage

ROWS_OF_AN_OBJECT: Final = 20_000
_AT_ONCE: Final = (
    "another run exported into the same prefix at the same time, and this run ended. Run it again "
    "once the other one has ended"
)


def state_path(store: str) -> str:
    """Return the path of the state of a store's export."""
    return f"_twite/{store}.json"


class _StoredState(msgspec.Struct, frozen=True, kw_only=True):
    """`numbers` and `digests` are arrays of 64-bit integers, compressed, in base64.

    `path` and `content` are an object that may not have been written yet; "" without one.
    """

    sequence: int
    position: ExportPosition
    numbers: str
    digests: str
    path: str = ""
    content: bytes = b""


class ObjectTarget:
    """Implements ExportTarget. Rows are in memory until there are enough for an object."""

    def __init__(self, storage: ObjectStorage, *, store: str) -> None:
        self._storage = storage
        self._state_path = state_path(store)
        self._sequence = 0
        self._numbers: array[int] = array("q")
        self._digests: array[int] = array("q")
        # Digests of tracked rows since the last object; None for settled ones.
        self._changes: dict[int, int | None] = {}
        self._rows: list[ExportRow] = []
        self._position: ExportPosition | None = None
        self._stored_position: ExportPosition | None = None
        # The version of the state that the next one replaces; None if there is no state.
        self._version: Mapping[str, str] | None = None
        self._has_object = False
        self.objects = 0

    async def begin(self) -> ExportPosition | None:
        found = await asyncio.to_thread(self._storage.read, self._state_path)
        if found is None:
            return None
        try:
            state = msgspec.json.decode(found.content, type=_StoredState)
            self._numbers, self._digests = _unpacked(state.numbers), _unpacked(state.digests)
        except (msgspec.DecodeError, ValueError, zlib.error):
            raise ClientError(
                f"{self._state_path} cannot be read. Delete it to export everything again"
            ) from None
        self._sequence, self._position = state.sequence, state.position
        self._stored_position, self._version = state.position, found.version
        if state.path:
            self._has_object = True
            await asyncio.to_thread(self._storage.put, state.path, state.content)
        return state.position

    async def tracked(self, after: int, through: int, limit: int) -> Mapping[int, int]:
        start, end = bisect_right(self._numbers, after), bisect_right(self._numbers, through)
        end = min(end, start + limit)
        pairs = zip(self._numbers[start:end], self._digests[start:end], strict=True)
        return dict(pairs)

    async def write(self, batch: ExportBatch) -> None:
        self._rows += batch.rows
        self._changes |= batch.tracked
        self._changes |= dict.fromkeys(batch.settled)
        self._position = batch.position
        if len(self._rows) >= ROWS_OF_AN_OBJECT:
            await self._store_rows()

    async def finish(self) -> None:
        await self._store_rows()
        if self._has_object:
            # Another run may have replaced the state since: then it wrote the object, too.
            with suppress(ObjectChanged):
                await asyncio.to_thread(self._store_state, "", b"")

    async def _store_rows(self) -> None:
        is_stored = self._position == self._stored_position and not (self._rows or self._changes)
        if self._position is None or is_stored:
            return
        try:
            await asyncio.to_thread(self._store, self._position)
        except ObjectChanged:
            raise ClientError(_AT_ONCE) from None

    def _store(self, position: ExportPosition) -> None:
        self._sequence += 1
        content, path = _parquet(self._rows) if self._rows else b"", ""
        if content:
            digest = hashlib.sha256(content).hexdigest()[:12]
            day = spelled(position.updated_at // DAY * DAY)[:10]
            path = f"exported_on={day}/{self._sequence:010}-{digest}.parquet"
        self._merge()
        self._store_state(path, content)
        if path:
            self._storage.put(path, content)
            self.objects += 1
        self._rows, self._stored_position = [], position

    def _store_state(self, path: str, content: bytes) -> None:
        """Replace the state. Raises ObjectChanged if another run has replaced it."""
        assert self._position is not None  # noqa: S101  # for the type checker
        state = _StoredState(
            sequence=self._sequence,
            position=self._position,
            numbers=_packed(self._numbers),
            digests=_packed(self._digests),
            path=path,
            content=content,
        )
        encoded = msgspec.json.encode(state)
        self._version = self._storage.replace(self._state_path, encoded, self._version)
        self._has_object = bool(path)

    def _merge(self) -> None:
        """Put the changes into the arrays, which are in the order of the numbers."""
        numbers: array[int] = array("q")
        digests: array[int] = array("q")
        start = 0
        for number, digest in sorted(self._changes.items()):
            end = bisect_left(self._numbers, number, start)
            numbers += self._numbers[start:end]
            digests += self._digests[start:end]
            start = end + (self._numbers[end : end + 1] == array("q", [number]))
            if digest is not None:
                numbers.append(number)
                digests.append(digest)
        self._numbers = numbers + self._numbers[start:]
        self._digests = digests + self._digests[start:]
        self._changes = {}


def _parquet(rows: Sequence[ExportRow]) -> bytes:
    library = polars()
    if library is None:
        raise ClientError(NO_POLARS)
    file = io.BytesIO()
    library.DataFrame(rows, schema=parquet_schema(library), orient="row").write_parquet(file)
    return file.getvalue()


def _packed(values: "array[int]") -> str:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return b64encode(zlib.compress(values.tobytes(), 1)).decode()


def _unpacked(text: str) -> "array[int]":
    values = array("q", zlib.decompress(b64decode(text)))
    if sys.byteorder == "big":
        values.byteswap()
    return values
