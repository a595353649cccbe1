"""Rebuild the unsettled deliveries from the outbox of a damaged file."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import DAMAGED, PATIENCE, RECOVERED
from twite.stores.sql.statements import as_json, named
from twite.stores.sqlite.recovery.pages import Pages
from twite.stores.sqlite.recovery.salvage import UNSETTLED, Salvage, SalvagedRow

_IDS: Final = msgspec.json.Decoder(list[int])
_CAUSES: Final = frozenset({None, *DeliveryCause})
_COUNTS: Final = ("attempts", "crashes")
_STATEMENTS: Final = named(Path(__file__).with_name("outbox_rebuild.sql").read_text("utf-8"))
_OPTIONAL_TIMES: Final = ("due_at", "ambiguous_since", "replayed_at", "rested_at")


class RebuiltOutbox(NamedTuple):
    """The number of deliveries that are held because of the recovery.

    `unknown` of them have values that Twite does not write.
    """

    held: int
    unknown: int


class OutboxRebuild:
    """One run, after conversions, submissions and accounts have been copied into `new`."""

    def __init__(
        self,
        *,
        pages: Pages,
        salvage: Salvage,
        connection: sqlite3.Connection,
        dead: set[int],
        received: Mapping[int, int],
        is_older: bool,
        now: int,
    ) -> None:
        """`dead` are deliveries with a damaged conversion; `received` is when each arrived.

        With `is_older`, the file does not show what was sent since.
        """
        self._pages = pages
        self._salvage = salvage
        self._new = connection
        self._dead = dead
        self._received = received
        self._is_older = is_older
        self._now = now
        self._latest = max([now, *received.values()]) + PATIENCE
        self._queues: dict[int, int] = dict(connection.execute("SELECT id, queue FROM conversion"))
        self._unknown: set[int] = set()

    def run(self) -> RebuiltOutbox:
        """Fill the table. Deliveries that may have been sent are held."""
        best: dict[int, SalvagedRow] = {}
        for row in self._salvage.rows("outbox"):
            delivery = row.values.get("id")
            if isinstance(delivery, int) and not (delivery in best and best[delivery].sure):
                best[delivery] = row
        leased = self._leased(best)
        # If a lease is lost, deliveries may have been sent without any other trace.
        is_known = leased is not None and self._salvage.whole("lease")
        sure = is_known and self._pages.log_is_whole and not self._is_older
        for delivery in leased or ():
            values, is_sure = best[delivery]
            best[delivery] = SalvagedRow({**values, "state": "sending"}, sure=is_sure)
        copy_rows(self._new, "outbox", (self._unsettled(row, sure=sure) for row in best.values()))
        values = {
            "ambiguous": as_json(id_ for id_, row in best.items() if not row.sure),
            "now": self._now,
            "cause": DeliveryCause.STORE_RECOVERED,
            "reason": RECOVERED,
        }

        def run(*names: str) -> set[int]:
            """Run statements; return the ids that the last one returns."""
            for name in names[:-1]:
                self._new.execute(_STATEMENTS[name], values)
            return {id_ for (id_,) in self._new.execute(_STATEMENTS[names[-1]], values)}

        run("remove_delivered", "remove_without_conversion")
        run("index_submissions", "put_where_they_belong", "drop_index")
        run("stand_in_for_submissions", "create_lost_accounts")
        if self._is_older or not self._salvage.whole("outbox"):
            run("create_missing_accounts", "hold_the_missing")
        self._unknown |= run("strays")
        held = run("hold_strays", "held")
        return RebuiltOutbox(held=len(held), unknown=len(held & self._unknown))

    def _leased(self, outbox: Mapping[int, SalvagedRow]) -> set[int] | None:
        """Return the deliveries that were being sent although the outbox calls them queued.

        Return None if the list of a lease is damaged. Rows of the outbox may be lost.
        """
        found: set[int] = set()
        is_whole = self._salvage.whole("outbox")
        for row in self._salvage.rows("lease"):
            if not row.values.get("unmarked"):
                continue
            try:
                listed = set(_IDS.decode(str(row.values.get("deliveries"))))
            except msgspec.DecodeError:
                return None
            present = listed & outbox.keys()
            if (
                len(listed) != row.values.get("open")
                or (is_whole and present != listed)
                or any(outbox[id_].values.get("state") != "queued" for id_ in present)
            ):
                return None
            found |= present
        return found

    def _unsettled(self, row: SalvagedRow, *, sure: bool) -> Mapping[str, object]:
        """Return an outbox row for the new file."""
        delivery = row.values["id"]
        assert isinstance(delivery, int)  # noqa: S101 checked by the caller
        values = {**row.values, "lease": None} | self._corrected(delivery, row.values)
        if delivery in self._dead:
            return values | self._at_rest("dead", DeliveryCause.DAMAGED, DAMAGED)
        if (
            delivery in self._unknown
            or values["state"] == "sending"
            or (values["state"] == "queued" and not (row.sure and sure))
        ):
            return values | self._at_rest("held", DeliveryCause.STORE_RECOVERED, RECOVERED)
        return values

    def _corrected(self, delivery: int, values: Mapping[str, object]) -> dict[str, object]:
        """Return other values for those that Twite does not write, and note the delivery.

        SQLite stores any value in any column, so a flipped bit can make a state that does not
        exist, or a time that never comes: such a delivery would never be sent or shown.
        """
        corrected: dict[str, object] = {
            name: None
            for name in _OPTIONAL_TIMES
            if values.get(name) is not None and not self._is_time(values[name])
        }
        corrected |= {name: 0 for name in _COUNTS if not _is_count(values.get(name, 0))}
        if not self._is_time(values.get("received_at")):
            corrected["received_at"] = self._received.get(delivery, self._now)
        if not isinstance(values.get("reason"), str | None):
            corrected["reason"] = RECOVERED
        if values.get("cause") not in _CAUSES:
            corrected["cause"] = DeliveryCause.STORE_RECOVERED
        if not isinstance(values.get("account"), int):
            corrected["account"] = 0
        # The queue of the conversion has been verified with its checksum.
        if values.get("queue") != self._queues.get(delivery, values.get("queue")):
            corrected["queue"] = self._queues[delivery]
        if corrected or values.get("state") not in UNSETTLED:
            self._unknown.add(delivery)
        return corrected

    def _is_time(self, value: object) -> bool:
        return isinstance(value, int) and 0 < value <= self._latest

    def _at_rest(self, state: str, cause: DeliveryCause, reason: str) -> dict[str, object]:
        why = {"cause": cause.value, "reason": reason}
        return {"state": state, **why, "due_at": None, "rested_at": self._now}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def copy_rows(
    connection: sqlite3.Connection, table: str, rows: Iterable[Mapping[str, object]]
) -> int:
    """Insert rows, and return how many. Duplicates and rows that the table rejects are left out."""
    count = f"SELECT count(*) FROM {table}"  # noqa: S608 own table
    before = connection.execute(count).fetchone()[0]
    for values in rows:
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        try:
            connection.execute(
                f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})",  # noqa: S608 own columns
                tuple(values.values()),
            )
        except (sqlite3.Error, OverflowError):
            continue
    return int(connection.execute(count).fetchone()[0]) - int(before)
