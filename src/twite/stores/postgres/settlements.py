"""Settlements, also by a fenced node: once a success is recorded, nothing is sent again.

A settlement is retried until it is recorded, because it contains X's response. Meanwhile, its batch
occupies one of the pixel's slots, so a pixel whose responses cannot be recorded soon stops sending.

A fenced node may receive X's acceptance of deliveries that another node is already sending again.
Their success is recorded when the other node's attempt has ended. The fenced node's batch does not
wait for this: if the other gateway has died, this node may have to join again before that attempt
can end.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from twite.domain.delivery import Settlement, Trigger
from twite.domain.errors import LedgerUnavailable
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.stores.postgres import usual
from twite.stores.postgres.database import PostgresDatabase
from twite.stores.postgres.driver.errors import is_passing
from twite.stores.postgres.session import PostgresSession
from twite.stores.sql import outbox

_AGAIN: Final = 0.5  # seconds
# Seconds between two tries after an error that a retry is unlikely to fix, and between two reports
# of such errors. The alert resolves when no error was reported for STORE_FAILED_FOR.
_AFTER_A_FAULT: Final = 5.0
_REPORT_EVERY: Final = 60.0
# Seconds for which a stop waits to record late successes.
_LATE_WITHIN: Final = 10.0
_FOREVER: Final = float("inf")


class Settlements:
    """Writes settlements, and retries those that fail."""

    def __init__(
        self, database: PostgresDatabase, *, may_send: Callable[[], bool], observer: Observer
    ) -> None:
        """`may_send` returns whether this node has a lease."""
        self._database = database
        self._may_send = may_send
        self._observer = observer
        self._closed = False
        self._reported_at = float("-inf")
        # Successes that are not recorded yet, because another node is sending the deliveries.
        self.late: dict[asyncio.Task[None], Settlement] = {}

    def accepted(self) -> frozenset[int]:
        """Return deliveries that this node must not claim, because X has accepted them."""
        return frozenset().union(*map(_accepted, self.late.values()))

    async def close(self) -> None:
        """Wait for attempts of other nodes, but not long: they may have died."""
        if self.late:
            await asyncio.wait(self.late, timeout=_LATE_WITHIN)
        self._closed = True
        for task in self.late:
            task.cancel()

    async def settle(self, settlement: Settlement) -> int:
        """Settle; return the number of deliveries that were no longer under the lease.

        Raises LedgerUnavailable.
        """
        late, rest = await self._settled(settlement, delays_batch=True)
        if rest is not None:
            task = asyncio.create_task(self._settle_later(rest))
            self.late[task] = rest
            task.add_done_callback(self.late.pop)
        return late

    async def _settle_later(self, settlement: Settlement) -> None:
        rest: Settlement | None = settlement
        while rest is not None:
            await asyncio.sleep(_AGAIN)
            _, rest = await self._settled(rest, delays_batch=False)

    async def _settled(
        self, settlement: Settlement, *, delays_batch: bool
    ) -> tuple[int, Settlement | None]:
        """Settle; return how many deliveries were late, and the part that must be settled later.

        `delays_batch` is whether the batch waits for this: a node that was fenced ends its batches
        before it joins again.
        """
        while True:
            try:
                return await self._tried(settlement)
            except LedgerUnavailable as error:
                if self._closed:
                    raise
                is_fault = not is_passing(error.__cause__)
                if is_fault:
                    self._report(error)
            if is_fault and delays_batch and not self._may_send():
                return len(_named(settlement)), settlement
            await asyncio.sleep(_AFTER_A_FAULT if is_fault else _AGAIN)

    async def _tried(self, settlement: Settlement) -> tuple[int, Settlement | None]:
        named = _named(settlement)

        def unit(
            session: PostgresSession, *, tries_usual: bool = True
        ) -> tuple[int, Settlement | None]:
            late = usual.settle(session, settlement) if tries_usual else None
            if late is not None:
                return late, None
            session.lock_batch(settlement.lease, named)
            elsewhere = _sent_elsewhere(session, settlement)
            if not elsewhere:
                return outbox.settle(session, settlement), None
            late = len(elsewhere)
            if elsewhere < named:
                late += outbox.settle(session, _only(settlement, named - elsewhere))
            return late, _only(settlement, elsewhere)

        try:
            return await self._database.write(unit, patience=_FOREVER, begins=True)
        except usual.Unusual:
            shared = partial(unit, tries_usual=False)
            return await self._database.write(shared, patience=_FOREVER)

    def _report(self, unavailable: LedgerUnavailable) -> None:
        now = time.monotonic()
        if now - self._reported_at >= _REPORT_EVERY:
            self._reported_at = now
            reason = f"X's response cannot be recorded: {unavailable.reason}"
            self._observer.see(ProblemSeen(where=ProblemPlace.OUTBOX, reason=reason))


def _named(settlement: Settlement) -> frozenset[int]:
    return frozenset(id_ for change in settlement.transitions for id_ in change.deliveries)


def _accepted(settlement: Settlement) -> frozenset[int]:
    """Return the deliveries of a settlement that X has accepted."""
    return frozenset(
        id_
        for change in settlement.transitions
        if change.trigger is Trigger.DELIVERED
        for id_ in change.deliveries
    )


def _sent_elsewhere(session: PostgresSession, settlement: Settlement) -> frozenset[int]:
    """Return accepted deliveries that are now under another lease; they must be locked."""
    accepted = sorted(_accepted(settlement))
    if not accepted:
        return frozenset()
    found = session.run("sent_elsewhere", lease=settlement.lease, deliveries=accepted)
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
