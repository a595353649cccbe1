"""Unmarked leases: deliveries being sent whose state in the outbox is still `queued`.

A usual claim writes only its lease, and a usual settlement deletes the deliveries of the lease. So
no row of the outbox is rewritten for a delivery that X accepts at once. Before any other statement
that reads or changes states, all leases are marked: their deliveries get the state `sending`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from twite.stores.sql.statements import QUERIES, SqlConnection, query

Place = tuple[int, int]  # the rank and the id of a delivery
FIRST: Final[Place] = -(1 << 62), 0

# Statements that take unmarked leases into account, or concern no delivery under a lease.
_UNAFFECTED: Final = frozenset(
    {
        "add_deliveries",
        "add_held",
        "promote",
        "usual_event",
        "ready_of_rank",
        "ready_after_rank",
        "remove_range",
        "remove_listed",
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


class LeasedDeliveries(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries of a usual claim.

    `listed` has the ids as JSON; `received` has the number of deliveries by time of receipt, for
    each account. `earliest` and `latest` are ranks.
    """

    ids: Sequence[int]
    earliest: int
    latest: int
    listed: str
    received: Mapping[int, Mapping[int, int]]


class UnmarkedLeases:
    """The unmarked leases of the store's owner. Used only by the writer's thread.

    `places` has the last claimed place of each event: all ready deliveries up to it are under an
    unmarked lease. After a rollback, `is_stale` is set: the unmarked leases must be read from the
    database.
    """

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection
        self.leases: dict[int, LeasedDeliveries] = {}
        self.places: dict[int, Place] = {}
        self.is_stale = True

    def __bool__(self) -> bool:
        return self.is_stale or bool(self.places)

    def add(self, lease: int, deliveries: LeasedDeliveries, *, event: int, place: Place) -> None:
        self.leases[lease] = deliveries
        self.places[event] = place

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
