"""Rebuild a balanced new database from the rows of a damaged file."""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.delivery import DAMAGED, RECOVERED
from twite.gateway.ports.store_engine import Recovered
from twite.stores.sql.checksum import checksum, seed_of
from twite.stores.sql.named import query
from twite.stores.sqlite.engine.mark import read_mark
from twite.stores.sqlite.recovery import repair as edit
from twite.stores.sqlite.recovery.pages import Pages
from twite.stores.sqlite.recovery.salvage import Salvage, SalvagedRow

# What is made anew from the rest, or has no meaning in a new file.
_NOT_COPIED: Final = frozenset(
    {"dedup", "fresh_key", "merge_round", "suppression", "lease", "straggler", "deployment",
     "pruning", "conversion", "outbox", "account"}
)  # fmt: skip
_MANY: Final = 10_000


class Rebuild:
    """One run, from the rows of the old file to a balanced new one."""

    def __init__(
        self,
        path: str,
        pages: Pages,
        new: sqlite3.Connection,
        known: Sequence[tuple[str, str]],
    ) -> None:
        self._path = path
        self._pages = pages
        self._new = new
        self._known = known
        self._salvage = Salvage(pages, new)
        self._rows: dict[str, int] = {}
        self._now = time.time_ns() // 1_000_000

    def run(self) -> Recovered:
        """Fill the new database."""
        tables = [name for (name,) in self._new.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )]  # fmt: skip
        self._identity()
        for table in tables:
            if table not in _NOT_COPIED:
                self._copy(table, (row.values for row in self._salvage.rows(table)))
        dead = self._conversions()
        self._copy("account", (row.values for row in self._salvage.rows("account")))
        pending, held = self._outbox(dead)
        edit.make_keys(self._new)
        lost = edit.make_balance(self._new)
        return Recovered(
            to="",
            quarantined="",
            rows=self._rows,
            damaged_pages=len(self._salvage.damaged_pages),
            log_is_whole=self._pages.log_is_whole,
            behind=max(
                0, self._known_conversions - self._new.execute(query("last_ids")).fetchone()[1]
            ),
            pending=pending,
            held=held,
            dead=self._count("SELECT count(*) FROM outbox WHERE state = 'dead'"),
            lost=lost,
            unsure=tuple(
                table
                for table in sorted(tables)
                if table not in _NOT_COPIED - {"conversion", "outbox", "account"}
                and not self._salvage.whole(table)
            ),
        )

    def _identity(self) -> None:
        """Be the same deployment, further on than the old file or its mark had come."""
        left = read_mark(self._path)
        found = next(iter(self._salvage.rows("deployment")), None)
        values = {} if found is None else dict(found.values)
        salt = values.get("salt")
        epoch = max(_number(values.get("epoch")), left.epoch if left else 0) + 1
        turn = max(_number(values.get("turn")), left.turn if left else 0) + 1
        self._new.execute(
            "UPDATE deployment SET salt = coalesce(?, salt), epoch = ?, turn = ?, unsummed = ?, "
            "marked = 1, clean = 1",
            (
                salt if isinstance(salt, bytes) else None,
                epoch,
                turn,
                _number(values.get("unsummed")),
            ),
        )
        self._unsummed = _number(values.get("unsummed"))
        # What was sent since is not known here, and what was received since is not here.
        self._older = values.get("marked") != 0 and (
            left is None or left.turn > _number(values.get("turn"))
        )
        self._known_conversions = 0 if left is None else left.conversions
        pruned = next(iter(self._salvage.rows("pruning")), None)
        if pruned is not None:
            self._new.execute(
                "UPDATE pruning SET bodies = ?, lives = ?",
                (_number(pruned.values.get("bodies")), _number(pruned.values.get("lives"))),
            )

    def _copy(self, table: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Put rows in; what the table does not take is left out, and what comes twice."""
        before = self._count(f"SELECT count(*) FROM {table}")  # noqa: S608 - a table of ours
        for values in rows:
            names = ", ".join(values)
            marks = ", ".join("?" * len(values))
            try:
                self._new.execute(
                    f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})",  # noqa: S608 - columns of ours
                    tuple(values.values()),
                )
            except (sqlite3.Error, OverflowError):
                continue
        after = self._count(f"SELECT count(*) FROM {table}")  # noqa: S608 - as above
        self._rows[table] = after - before

    def _conversions(self) -> set[int]:
        """Save conversions; return those that are damaged, and saved without their bodies."""
        times = self._received()
        seeds = {
            id_: seed_of(pixel, event)
            for id_, pixel, event in self._new.execute("SELECT id, pixel, event FROM lane")
        }
        dead: set[int] = set()
        for row in self._salvage.rows("conversion"):
            values = dict(row.values)
            delivery, lane = values.get("id"), values.get("lane")
            if isinstance(delivery, int) and isinstance(lane, int) and lane not in seeds:
                self._find_lane(seeds, values, times.get(delivery))

        def sound() -> Iterable[Mapping[str, object]]:
            for row in self._salvage.rows("conversion"):
                values = dict(row.values)
                delivery, lane = values.get("id"), values.get("lane")
                if not isinstance(delivery, int) or not isinstance(lane, int):
                    continue
                if lane not in seeds:
                    continue
                if not self._adds_up(values, seeds[lane], times.get(delivery)):
                    dead.add(delivery)
                    values |= {"body": b"", "checksum": None}
                else:
                    dead.discard(delivery)
                yield values

        self._copy("conversion", sound())
        return dead

    def _received(self) -> dict[int, int]:
        """Return when each delivery was received, of whatever tells it."""
        times: dict[int, int] = {}
        for first, entries, at in self._new.execute(
            "SELECT first, entries, received_at FROM submission WHERE entries < ?", (_MANY,)
        ):
            times.update(dict.fromkeys(range(first, first + entries), at))
        for row in self._salvage.rows("outbox"):
            delivery, at = row.values.get("id"), row.values.get("received_at")
            if isinstance(delivery, int) and isinstance(at, int):
                times.setdefault(delivery, at)
        return times

    def _adds_up(self, values: Mapping[str, object], seed: int, at: int | None) -> bool:
        body, name, delivery = values.get("body"), values.get("conversion_id"), values.get("id")
        if not (isinstance(body, bytes) and isinstance(name, str) and isinstance(delivery, int)):
            return False
        # A pruned one has nothing left to be sent, one from before checksums nothing to go by.
        if not body or (values.get("checksum") is None and delivery <= self._unsummed):
            return True
        return at is not None and values.get("checksum") == checksum(
            seed, delivery=delivery, received_at=at, conversion_id=name.encode(), body=body
        )

    def _find_lane(
        self, seeds: dict[int, int], values: Mapping[str, object], at: int | None
    ) -> None:
        """Name a lane whose row is lost, by the one pixel and event with which this adds up."""
        lane = values["lane"]
        for pixel, event in self._known:
            seed = seed_of(pixel, event)
            if values.get("body") and self._adds_up(values, seed, at):
                self._copy("lane", [{"id": lane, "pixel": pixel, "event": event}])
                assert isinstance(lane, int)  # noqa: S101 - looked at by the caller
                seeds[lane] = seed
                return

    def _outbox(self, dead: set[int]) -> tuple[int, int]:
        """Save what was not settled; return how many are pending, and how many held for doubt."""
        execute = self._new.execute
        best: dict[int, SalvagedRow] = {}
        for row in self._salvage.rows("outbox"):
            delivery = row.values.get("id")
            if isinstance(delivery, int) and not (delivery in best and best[delivery].sure):
                best[delivery] = row
        sure = self._pages.log_is_whole and not self._older
        self._copy("outbox", (self._unsettled(row, dead, sure=sure) for row in best.values()))
        # What was not reached from the root may be what was settled long ago.
        unsure = msgspec.json.encode([id_ for id_, row in best.items() if not row.sure]).decode()
        execute(
            "DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(?)) "
            "AND id IN (SELECT delivery FROM attempted "
            "JOIN attempt ON attempt.id = attempt WHERE outcome = 'delivered')",
            (unsure,),
        )
        execute("DELETE FROM outbox WHERE id NOT IN (SELECT id FROM conversion)")
        edit.put_where_they_belong(self._new)
        edit.stand_in_for_submissions(self._new, now=self._now)
        if self._older or not self._salvage.whole("outbox"):
            edit.hold_the_missing(self._new, now=self._now)
        self._rows["outbox"] = self._count("SELECT count(*) FROM outbox")
        held = "SELECT count(*) FROM outbox WHERE state = 'held' AND reason = ?"
        pending = "SELECT count(*) FROM outbox WHERE state = 'queued'"
        return self._count(pending), execute(held, (RECOVERED,)).fetchone()[0]

    def _unsettled(self, row: SalvagedRow, dead: set[int], *, sure: bool) -> Mapping[str, object]:
        """Return a row of the outbox as it may go on: what may have been sent is held."""
        values: dict[str, object] = {**row.values, "lease": None}
        if values["id"] in dead:
            return values | self._at_rest("dead", DAMAGED)
        if values.get("state") == "sending" or (
            values.get("state") == "queued" and not (row.sure and sure)
        ):
            return values | self._at_rest("held", RECOVERED)
        return values

    def _at_rest(self, state: str, reason: str) -> dict[str, object]:
        return {"state": state, "reason": reason, "due_at": None, "rested_at": self._now}

    def _count(self, statement: str) -> int:
        return int(self._new.execute(statement).fetchone()[0])


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
