"""Unmarked leases: deliveries being sent whose state in the outbox is still `queued`.

A claim of new deliveries writes only its lease, and a settlement of all of them deletes their rows:
no row of the outbox is rewritten for a delivery that X accepts at once. Before any other statement
that reads or changes states, all leases are marked: their deliveries get the state `sending`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from twite.domain.delivery import NewDeliveries, Place, last_place
from twite.stores.sql.statements import QUERIES, SqlConnection, query

# Statements that take unmarked leases into account, or concern no delivery under a lease.
_UNAFFECTED: Final = frozenset(
    {
        "promote",
        "queue_to_claim",
        "claimable",
        "remove_unmarked",
    }
)
_READS_STATES: Final = re.compile(r"\b(?:state|lease)\b|UPDATE outbox|DELETE FROM outbox")
# Statements about the deliveries of one lease, which must be marked before.
_OF_ONE_LEASE: Final = frozenset(
    {
        "taken_of",
        "leased_by",
        "remove_delivered",
        "mark_attempted",
        "count_crashes",
        "quarantined",
        "still_under",
        "postpone",
        "rest",
    }
)
# All statements before which leases must be marked.
AFFECTED: Final = frozenset(
    name
    for name, text in QUERIES.items()
    if name not in _UNAFFECTED and re.search(r"\boutbox\b", text) and _READS_STATES.search(text)
)


class VanishedDelivery(Exception):
    """A delivery of an unmarked lease no longer exists: roll back, and settle again.

    The leases are marked then, so that each delivery is looked up.
    """


class UnmarkedLeases:
    """The unmarked leases of the store's owner. Used only by the writer's thread.

    `places` has the last claimed place of each queue: all ready deliveries up to it are under an
    unmarked lease. After a rollback, `is_stale` is set: the unmarked leases must be read from the
    database.
    """

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection
        # By lease: its queue and its deliveries.
        self.leases: dict[int, tuple[int, NewDeliveries]] = {}
        self.places: dict[int, Place] = {}
        self.is_stale = True

    def __bool__(self) -> bool:
        return self.is_stale or bool(self.places)

    def add(self, lease: int, queue: int, deliveries: NewDeliveries) -> None:
        """Add a lease on all ready deliveries of a queue from its place to the last of these."""
        self.leases[lease] = queue, deliveries
        self.places[queue] = last_place(deliveries)

    def remove(self, lease: int) -> dict[int, Counter[int]]:
        """Remove the deliveries of a lease from the outbox; count them as `remove_delivered` does.

        Raises VanishedDelivery.
        """
        queue, deliveries = self.leases.pop(lease)
        latest, last = last_place(deliveries)
        received, accounts = deliveries.received_at, deliveries.accounts
        values = {
            "queue": queue,
            "earliest": received[0],
            "first": deliveries.ids[0],
            "lowest": min(deliveries.ids),
            "highest": max(deliveries.ids),
            "latest": latest,
            "last": last,
        }
        if self._connection.execute(query("remove_unmarked"), values).rowcount != len(deliveries):
            raise VanishedDelivery
        if len(set(accounts)) == 1:
            return {accounts[0]: Counter(received)}
        times: dict[int, Counter[int]] = {}
        for account, at in zip(accounts, received, strict=True):
            times.setdefault(account, Counter())[at] += 1
        return times

    def prepare(self, name: str, values: Mapping[str, object]) -> None:
        """Mark all leases, unless the statement only concerns deliveries of a marked lease.

        Leases are also marked for deliveries that become ready at once, because these may be before
        a place.
        """
        is_of_marked = name in _OF_ONE_LEASE and values["lease"] not in self.leases
        makes_ready = name == "postpone" and values["due_at"] is None
        if self.is_stale or makes_ready or not is_of_marked:
            self.mark()

    def mark(self) -> None:
        """Set the state of all deliveries under unmarked leases to `sending`."""
        if self.is_stale or self.leases:
            execute = self._connection.execute
            for lease, deliveries in execute(query("unmarked_leases")).fetchall():
                execute(query("mark_sending"), {"lease": lease, "deliveries": deliveries})
            execute(query("note_marked"))
        self.leases.clear()
        self.places.clear()
        self.is_stale = False

    def mark_if_before(self, received: Iterable[int]) -> None:
        """Mark all leases if a new delivery may be before a place."""
        last = max([rank for rank, _ in self.places.values()], default=None)
        if last is not None and min(received, default=last) < last:
            self.mark()

    def forget(self) -> None:
        """After a rollback: read the leases from the database when they are next needed."""
        self.is_stale = True
        self.leases.clear()
        self.places.clear()
