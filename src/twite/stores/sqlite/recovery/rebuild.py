"""Rebuild a balanced new database from the rows of a damaged file."""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from twite.domain.cause import DENIALS
from twite.domain.conversion import dedup_key
from twite.gateway.ports.store import Recovered
from twite.stores.sql.database import checksum, seed_of
from twite.stores.sql.statements import query
from twite.stores.sqlite.engine.checkpoints import read_mark
from twite.stores.sqlite.recovery.outbox_rebuild import OutboxRebuild, copy_rows
from twite.stores.sqlite.recovery.pages import Pages
from twite.stores.sqlite.recovery.salvage import Salvage

# Tables that are rebuilt from the others, or have no meaning in a new file.
_NOT_COPIED: Final = frozenset(
    {"dedup", "fresh_key", "merge_round", "recent_key", "key_filter", "suppression",
     "lease", "straggler", "deployment", "pruning", "conversion", "outbox", "account"}
)  # fmt: skip
_MANY: Final = 10_000


def make_keys(connection: sqlite3.Connection) -> None:
    """Rebuild the dedup keys from the conversions."""
    taken: dict[bytes, int] = {}
    shown: set[tuple[bytes, int]] = set()
    for id_, pixel, event, conversion_id, suppressed, cause in connection.execute(
        "SELECT conversion.id, pixel, event, conversion_id, suppressed, cause "
        "FROM conversion JOIN queue ON queue.id = queue ORDER BY conversion.id"
    ):
        key = dedup_key(pixel, event, conversion_id)
        if suppressed is not None:
            shown.add((key, id_))
        if suppressed is None or cause in DENIALS:
            before = taken.get(key)
            if before is not None:
                shown.add((key, before))
            taken[key] = id_
    connection.executemany("INSERT INTO dedup (key, delivery) VALUES (?, ?)", sorted(taken.items()))
    connection.executemany("INSERT INTO suppression (key, delivery) VALUES (?, ?)", sorted(shown))


def make_balance(connection: sqlite3.Connection) -> dict[str, int]:
    """Balance the accounts; return the lost conversions by account."""
    lost: dict[str, int] = {}
    for row in connection.execute(
        "SELECT id, source, pixel, received, delivered, duplicate, suppressed, rejected, "
        "(SELECT count(*) FROM outbox WHERE outbox.account = account.id) FROM account"
    ).fetchall():
        id_, source, pixel, received, delivered, *others = row
        missing = received - delivered - sum(others)
        if missing < 0:
            # A delivery is held as possibly sent, and also counted as delivered: do not count it
            # twice.
            delivered = max(0, delivered + missing)
        elif missing:
            lost[f"{source} → {pixel or 'no pixel'}"] = missing
        connection.execute(
            "UPDATE account SET received = ?, delivered = ? WHERE id = ?",
            (delivered + sum(others), delivered, id_),
        )
    return lost


class Rebuild:
    """One run: build a balanced new database from the rows of the old file."""

    def __init__(
        self,
        path: str,
        pages: Pages,
        connection: sqlite3.Connection,
        known: Sequence[tuple[str, str]],
    ) -> None:
        self._path = path
        self._pages = pages
        self._new = connection
        self._known = known
        self._salvage = Salvage(pages, connection)
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
        outbox = OutboxRebuild(
            pages=self._pages,
            salvage=self._salvage,
            connection=self._new,
            dead=dead,
            received=self._received(),
            is_older=self._older,
            now=self._now,
        ).run()
        self._rows["outbox"] = self._count("SELECT count(*) FROM outbox")
        make_keys(self._new)
        lost = make_balance(self._new)
        return Recovered(
            to="",
            quarantined="",
            rows=self._rows,
            damaged_pages=len(self._salvage.damaged_pages),
            log_is_whole=self._pages.log_is_whole,
            behind=max(
                0, self._known_conversions - self._new.execute(query("last_ids")).fetchone()[1]
            ),
            pending=self._count("SELECT count(*) FROM outbox WHERE state = 'queued'"),
            held=outbox.held,
            unknown=outbox.unknown,
            dead=self._count("SELECT count(*) FROM outbox WHERE state = 'dead'"),
            lost=lost,
            incomplete_tables=tuple(
                table
                for table in sorted(tables)
                if table not in _NOT_COPIED - {"conversion", "outbox", "account"}
                and not self._salvage.whole(table)
            ),
        )

    def _identity(self) -> None:
        """Continue the deployment, with numbers above those of the old file and its epoch file."""
        left = read_mark(self._path)
        found = next(iter(self._salvage.rows("deployment")), None)
        values = {} if found is None else dict(found.values)
        salt = values.get("salt")
        epoch = max(_number(values.get("epoch")), left.epoch if left else 0) + 1
        turn = max(_number(values.get("turn")), left.turn if left else 0) + 1
        self._new.execute(
            "UPDATE deployment SET salt = coalesce(?, salt), epoch = ?, turn = ?, "
            "marked = 1, clean = 1",
            (salt if isinstance(salt, bytes) else None, epoch, turn),
        )
        # Whether the file is an older copy, which does not show what was sent or received since.
        self._older = values.get("marked") != 0 and (
            left is None or left.turn > _number(values.get("turn"))
        )
        self._known_conversions = 0 if left is None else left.conversions
        pruned = next(iter(self._salvage.rows("pruning")), None)
        if pruned is not None:
            self._new.execute(
                "UPDATE pruning SET bodies = ?, histories = ?",
                (_number(pruned.values.get("bodies")), _number(pruned.values.get("histories"))),
            )

    def _copy(self, table: str, rows: Iterable[Mapping[str, object]]) -> None:
        self._rows[table] = copy_rows(self._new, table, rows)

    def _conversions(self) -> set[int]:
        """Save conversions; return the damaged ones, which are saved without their bodies."""
        times = self._received()
        seeds = {
            id_: seed_of(pixel, event)
            for id_, pixel, event in self._new.execute("SELECT id, pixel, event FROM queue")
        }
        dead: set[int] = set()
        for row in self._salvage.rows("conversion"):
            values = dict(row.values)
            delivery, queue = values.get("id"), values.get("queue")
            if isinstance(delivery, int) and isinstance(queue, int) and queue not in seeds:
                self._find_queue(seeds, values, times.get(delivery))

        def sound() -> Iterable[Mapping[str, object]]:
            for row in self._salvage.rows("conversion"):
                values = dict(row.values)
                delivery, queue = values.get("id"), values.get("queue")
                if not isinstance(delivery, int) or not isinstance(queue, int):
                    continue
                if queue not in seeds:
                    continue
                if not self._adds_up(values, seeds[queue], times.get(delivery)):
                    dead.add(delivery)
                    values |= {"body": b"", "checksum": None}
                else:
                    dead.discard(delivery)
                yield values

        self._copy("conversion", sound())
        return dead

    def _received(self) -> dict[int, int]:
        """Return when each delivery was received, according to any row that records it."""
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
        if not body:
            return True  # a pruned conversion has nothing left to send
        return at is not None and values.get("checksum") == checksum(
            seed, delivery=delivery, received_at=at, conversion_id=name.encode(), body=body
        )

    def _find_queue(
        self, seeds: dict[int, int], values: Mapping[str, object], at: int | None
    ) -> None:
        """Identify a queue whose row is lost: checksums match for only one pixel and event."""
        queue = values["queue"]
        for pixel, event in self._known:
            seed = seed_of(pixel, event)
            if values.get("body") and self._adds_up(values, seed, at):
                self._copy("queue", [{"id": queue, "pixel": pixel, "event": event}])
                assert isinstance(queue, int)  # noqa: S101 checked by the caller
                seeds[queue] = seed
                return

    def _count(self, statement: str) -> int:
        return int(self._new.execute(statement).fetchone()[0])


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
