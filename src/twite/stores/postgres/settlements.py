"""Settlements, also of a node that was fenced: nothing is sent after a recorded success.

A fenced node can learn that X has accepted deliveries that another node is sending again. Their
success is recorded when that attempt has ended. The batch does not wait for this: to end the
attempt of a gateway that has died, this node may have to join again.
"""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec

from twite.domain.delivery import Settlement, Trigger
from twite.domain.errors import LedgerUnavailable
from twite.stores.postgres import usual
from twite.stores.postgres.connection import is_passing
from twite.stores.postgres.database import PostgresDatabase
from twite.stores.postgres.session import PostgresSession
from twite.stores.sql import outbox

_AGAIN: Final = 0.5  # seconds
_FOREVER: Final = float("inf")


class Settlements:
    """Writes settlements. Retries while the database is unreachable, to keep X's response."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._closed = False
        # The successes that are not recorded yet, because another node sends the deliveries.
        self.late: dict[asyncio.Task[None], Settlement] = {}

    def accepted(self) -> frozenset[int]:
        """Return deliveries that X has accepted, and that this node must not claim."""
        return frozenset().union(*map(_accepted, self.late.values()))

    def close(self) -> None:
        """Stop waiting for attempts of other nodes."""
        self._closed = True
        for task in self.late:
            task.cancel()

    async def settle(self, settlement: Settlement) -> int:
        """Settle; return the number of deliveries that were no longer under the lease.

        Raises LedgerUnavailable.
        """
        late, rest = await self._settled(settlement)
        if rest is not None:
            task = asyncio.create_task(self._settle_later(rest))
            self.late[task] = rest
            task.add_done_callback(self.late.pop)
        return late

    async def _settle_later(self, settlement: Settlement) -> None:
        rest: Settlement | None = settlement
        while rest is not None:
            await asyncio.sleep(_AGAIN)
            with suppress(LedgerUnavailable):
                _, rest = await self._settled(rest)

    async def _settled(self, settlement: Settlement) -> tuple[int, Settlement | None]:
        """Settle; return how many deliveries were late, and what must be settled later."""
        named = _named(settlement)

        def unit(
            book: PostgresSession, *, tries_usual: bool = True
        ) -> tuple[int, Settlement | None]:
            late = usual.settle(book, settlement) if tries_usual else None
            if late is not None:
                return late, None
            book.lock_batch(settlement.lease, named)
            elsewhere = _sent_elsewhere(book, settlement)
            if not elsewhere:
                return outbox.settle(book, settlement), None
            late = len(elsewhere)
            if elsewhere < named:
                late += outbox.settle(book, _only(settlement, named - elsewhere))
            return late, _only(settlement, elsewhere)

        while True:
            try:
                try:
                    return await self._database.write(unit, patience=_FOREVER, begins=True)
                except usual.Unusual:
                    shared = partial(unit, tries_usual=False)
                    return await self._database.write(shared, patience=_FOREVER)
            except LedgerUnavailable as error:
                if self._closed or not is_passing(error.__cause__):
                    raise
            await asyncio.sleep(_AGAIN)


def _named(settlement: Settlement) -> frozenset[int]:
    return frozenset(id_ for change in settlement.transitions for id_ in change.deliveries)


def _accepted(settlement: Settlement) -> frozenset[int]:
    """Return the deliveries that X has accepted."""
    return frozenset(
        id_
        for change in settlement.transitions
        if change.trigger is Trigger.DELIVERED
        for id_ in change.deliveries
    )


def _sent_elsewhere(book: PostgresSession, settlement: Settlement) -> frozenset[int]:
    """Return accepted deliveries that are now under another lease; they must be locked."""
    accepted = sorted(_accepted(settlement))
    if not accepted:
        return frozenset()
    found = book.run("sent_elsewhere", lease=settlement.lease, deliveries=accepted)
    return frozenset(id_ for (id_,) in found)


def _only(settlement: Settlement, some: frozenset[int]) -> Settlement:
    """Return the part of a settlement that concerns some of its deliveries."""
    attempt = settlement.attempt
    if attempt is not None:
        sent = tuple(id_ for id_ in attempt.deliveries if id_ in some)
        attempt = msgspec.structs.replace(attempt, deliveries=sent) if sent else None
    transitions = [
        msgspec.structs.replace(
            change, deliveries=tuple(id_ for id_ in change.deliveries if id_ in some)
        )
        for change in settlement.transitions
    ]
    return msgspec.structs.replace(
        settlement,
        attempt=attempt,
        transitions=tuple(change for change in transitions if change.deliveries),
    )
