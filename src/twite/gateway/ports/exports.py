"""Exports: conversions in the order of their numbers, and the targets that keep their rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import msgspec

from twite.domain.secret import Masked
from twite.gateway.ports.listing import ListedState
from twite.gateway.ports.queries import Query

# A text, number, time or boolean; None if it is unknown.
Cell = str | int | Decimal | datetime | bool | None
ExportRow = tuple[Cell, ...]


class StoredConversion(Masked, frozen=True, kw_only=True):
    """A conversion with its state, its attempts and its submission. Times are in milliseconds.

    `place` is its place among the stored conversions of the submission. `body` is empty once it is
    pruned. `last_status` is the HTTP status of the last attempt, if there was a response. `flag`
    is the kind of an unusual amount.
    """

    in_repr = ("delivery", "pixel", "event", "state")
    delivery: int
    place: int
    receipt: str
    received_at: int
    source: str
    endpoint: str
    pixel: str
    event: str
    conversion_id: str
    state: ListedState
    reason: str | None
    cause: str | None
    body: bytes
    attempts: int = 0
    last_attempt_at: int | None = None
    last_status: int | None = None
    flag: str | None = None


class ConversionsQuery(Query[Sequence[StoredConversion]], frozen=True, kw_only=True):
    """The given conversions that exist, in the order of their numbers."""

    deliveries: Sequence[int]


class ConversionsAfterQuery(Query[Sequence[StoredConversion]], frozen=True, kw_only=True):
    """The first `limit` conversions with greater numbers than `after`, in order."""

    after: int
    limit: int


class NumberQuery(Query[int], frozen=True, kw_only=True):
    """The number before which each conversion was received at least 10 s before a time (ms).

    It is one more than the last number if no conversion was received since.
    """

    at: int


class ExportPosition(msgspec.Struct, frozen=True, kw_only=True):
    """How far an export is; its target stores it with the rows. Times are in milliseconds.

    All conversions up to `number` were exported: this one has the `receipt`, and was received at
    `received_at`. The export began with those received at `since`. Rejections were exported that
    were received before `rejected_at`; `rejections` are the keys of the latest. `updated_at` is
    that of the last rows.
    """

    schema_version: int
    since: int
    number: int = 0
    receipt: str = ""
    received_at: int = 0
    rejected_at: int = 0
    rejections: tuple[str, ...] = ()
    updated_at: int = 0


class ExportBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Rows, and what the target must remember with them.

    `tracked` has the digests of rows that may still change, by number; `settled` are numbers of
    rows that no longer change.
    """

    rows: Sequence[ExportRow]
    position: ExportPosition
    tracked: Mapping[int, int]
    settled: Sequence[int] = ()


class ExportTarget(Protocol):
    """A table or a folder of objects that keeps one row for each conversion.

    A page and its position are stored together, perhaps later: then only `finish` is sure.
    Every method raises OperatorError.
    """

    async def begin(self) -> ExportPosition | None:
        """Return the position; None if there is none yet."""

    async def tracked(self, after: int, through: int, limit: int) -> Mapping[int, int]:
        """Return the digests of tracked rows with `after < number <= through`, in order."""

    async def write(self, batch: ExportBatch) -> None:
        """Insert rows, and replace those with the same key, if they differ."""

    async def finish(self) -> None:
        """Store all pages."""
