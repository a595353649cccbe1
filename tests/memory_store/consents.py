"""Opt-outs and consent policies, in memory."""

from collections.abc import Iterable, Sequence

from memory_store.directory import MemoryDirectory
from memory_store.row import MemoryRow, take_out
from twite.domain.cause import DeliveryCause
from twite.domain.consent import REVOKED, person_keys
from twite.domain.delivery import State, Trigger
from twite.gateway.ports.queries import DecidedDelivery
from twite.x.encode import persons_of, pixel_of


class MemoryConsents:
    """The opt-out list, and the consent policies in effect."""

    salt: bytes
    people: MemoryDirectory
    _rows: dict[int, MemoryRow]
    _counted: dict[tuple[str, str], dict[str, int]]

    def __init__(self) -> None:
        self._opted_out: set[bytes] = set()

    def has_opt_outs(self) -> bool:
        return bool(self._opted_out)

    def lists(self, keys: Sequence[bytes]) -> bool:
        return not self._opted_out.isdisjoint(keys)

    async def revoke(self, keys: Sequence[bytes], *, now: int) -> None:
        del now
        self._opted_out.update(keys)

    async def restore(self, keys: Sequence[bytes]) -> None:
        self._opted_out.difference_update(keys)

    async def forget_identifiers(self, *, most: int) -> int:
        del most  # it stores nothing of visitors
        return 0

    def _answer_undelivered(
        self, *, source: str, after: int, limit: int
    ) -> Sequence[DecidedDelivery]:
        found = [
            row
            for row in self._rows.values()
            if row.source == source
            and row.id > after
            and row.state in {State.QUEUED, State.HELD, State.DEAD}
        ]
        return [
            DecidedDelivery(delivery=row.id, pixel=row.entry.pixel, evidence=row.entry.consent)
            for row in sorted(found, key=lambda row: row.id)[:limit]
        ]

    def _without_opted_out(self, rows: Iterable[MemoryRow], *, now: int) -> list[MemoryRow]:
        """Suppress the deliveries of people on the list, and return the others."""
        rows = list(rows)
        listed = (
            [row for row in rows if self.lists(self._keys_of(row))] if self.has_opt_outs() else []
        )
        self._withdraw(listed, cause=DeliveryCause.CONSENT_REVOKED, reason=REVOKED, now=now)
        return [row for row in rows if row.state is State.QUEUED]

    def _keys_of(self, row: MemoryRow) -> list[bytes]:
        pixel = pixel_of(row.entry.body, otherwise=row.entry.pixel)
        return [
            key
            for person in persons_of(row.entry.body)
            for key in person_keys(person, pixel=pixel, salt=self.salt)
        ]

    def _withdraw(
        self, rows: Iterable[MemoryRow], *, cause: DeliveryCause | None, reason: str, now: int
    ) -> int:
        withdrawn = 0
        for row in rows:
            if row.state not in {State.QUEUED, State.HELD, State.DEAD}:
                continue
            queued = row.state is State.QUEUED
            trigger = Trigger.WITHDRAWN if queued else Trigger.DISCARDED
            take_out(row, trigger, cause=cause, reason=reason, at=now)
            self._counted[row.source, row.entry.pixel]["suppressed"] += 1
            withdrawn += 1
        return withdrawn
