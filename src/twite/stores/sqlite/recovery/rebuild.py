"""Rebuild a balanced new database from the rows of a damaged file."""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.consent import is_denial
from twite.domain.conversion import dedup_key
from twite.domain.delivery import DAMAGED, RECOVERED
from twite.gateway.ports.store import Recovered
from twite.stores.sql.database import checksum, seed_of
from twite.stores.sql.statements import as_json, query
from twite.stores.sqlite.engine.checkpoints import read_mark
from twite.stores.sqlite.recovery.pages import Pages
from twite.stores.sqlite.recovery.salvage import Salvage, SalvagedRow


def put_where_they_belong(new: sqlite3.Connection) -> None:
    """Assign each conversion to its submission, by the conversion's number."""
    new.execute("CREATE INDEX by_first ON submission (first, entries)")
    # If two submissions begin at the same number, the first had no conversions.
    new.execute(
        "UPDATE conversion SET submission = coalesce("
        "(SELECT CASE WHEN conversion.id < whose.first + whose.entries THEN whose.id END "
        "FROM submission AS whose WHERE whose.first <= conversion.id "
        "ORDER BY whose.first DESC, whose.entries DESC LIMIT 1), "
        "CASE WHEN submission IN (SELECT id FROM submission) THEN -id ELSE submission END) "
        "WHERE NOT EXISTS (SELECT 1 FROM submission AS said WHERE said.id = conversion.submission "
        "AND conversion.id >= said.first AND conversion.id < said.first + said.entries)"
    )
    new.execute("DROP INDEX by_first")


def stand_in_for_submissions(new: sqlite3.Connection, *, now: int) -> None:
    """Create a placeholder for each lost submission whose conversions survive."""
    new.execute(
        "INSERT INTO submission (id, receipt, source, door, received_at, first, entries, body) "
        "SELECT conversion.submission, 'recovered-' || conversion.submission, "
        "coalesce(max(account.source), 'recovered'), 'native', "
        "coalesce(min(outbox.received_at), ?), min(conversion.id), "
        "max(conversion.id) - min(conversion.id) + 1, x'' "
        "FROM conversion LEFT JOIN outbox ON outbox.id = conversion.id "
        "LEFT JOIN account ON account.id = outbox.account "
        "WHERE conversion.submission NOT IN (SELECT id FROM submission) "
        "GROUP BY conversion.submission",
        (now,),
    )


def hold_the_missing(new: sqlite3.Connection, *, now: int) -> None:
    """Hold conversions that may have been sent."""
    new.execute(
        "INSERT INTO account (source, pixel) SELECT DISTINCT submission.source, lane.pixel "
        "FROM conversion JOIN submission ON submission.id = conversion.submission "
        "JOIN lane ON lane.id = conversion.lane WHERE true ON CONFLICT DO NOTHING"
    )
    new.execute(
        "INSERT INTO outbox (id, lane, account, received_at, state, rested_at, reason) "
        "SELECT conversion.id, conversion.lane, account.id, submission.received_at, 'held', ?, ? "
        "FROM conversion JOIN submission ON submission.id = conversion.submission "
        "JOIN lane ON lane.id = conversion.lane "
        "JOIN account ON account.source = submission.source AND account.pixel = lane.pixel "
        "WHERE conversion.suppressed IS NULL AND length(conversion.body) > 0 "
        "AND conversion.id NOT IN (SELECT id FROM outbox) "
        "AND conversion.id NOT IN (SELECT delivery FROM discarded) "
        "AND conversion.id NOT IN (SELECT delivery FROM attempted "
        "JOIN attempt ON attempt.id = attempt WHERE outcome = 'delivered')",
        (now, RECOVERED),
    )


def make_keys(new: sqlite3.Connection) -> None:
    """Rebuild the dedup keys from the conversions."""
    taken: dict[bytes, int] = {}
    shown: set[tuple[bytes, int]] = set()
    for id_, pixel, event, conversion_id, suppressed in new.execute(
        "SELECT conversion.id, pixel, event, conversion_id, suppressed "
        "FROM conversion JOIN lane ON lane.id = lane ORDER BY conversion.id"
    ):
        key = dedup_key(pixel, event, conversion_id)
        if suppressed is not None:
            shown.add((key, id_))
        if suppressed is None or is_denial(suppressed):
            before = taken.get(key)
            if before is not None:
                shown.add((key, before))
            taken[key] = id_
    new.executemany("INSERT INTO dedup (key, delivery) VALUES (?, ?)", sorted(taken.items()))
    new.executemany("INSERT INTO suppression (key, delivery) VALUES (?, ?)", sorted(shown))


def make_balance(new: sqlite3.Connection) -> dict[str, int]:
    """Balance the accounts; return the lost conversions by account."""
    # The row of an account may be lost although deliveries of the account exist.
    new.execute(
        "INSERT OR IGNORE INTO account (id, source, pixel) SELECT DISTINCT outbox.account, "
        "coalesce(submission.source, 'recovered'), lane.pixel FROM outbox "
        "JOIN conversion ON conversion.id = outbox.id JOIN lane ON lane.id = outbox.lane "
        "LEFT JOIN submission ON submission.id = conversion.submission "
        "WHERE outbox.account NOT IN (SELECT id FROM account)"
    )
    lost: dict[str, int] = {}
    for row in new.execute(
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
        new.execute(
            "UPDATE account SET received = ?, delivered = ? WHERE id = ?",
            (delivered + sum(others), delivered, id_),
        )
    return lost


# Tables that are rebuilt from the others, or have no meaning in a new file.
_NOT_COPIED: Final = frozenset(
    {"dedup", "fresh_key", "merge_round", "recent_key", "key_filter", "suppression",
     "lease", "straggler", "deployment", "pruning", "conversion", "outbox", "account"}
)  # fmt: skip
_MANY: Final = 10_000
_IDS: Final = msgspec.json.Decoder(list[int])


class Rebuild:
    """One run: build a balanced new database from the rows of the old file."""

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
        """Continue the deployment, with numbers above those of the old file and its epoch file."""
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
        # Whether the file is an older copy, which does not show what was sent or received since.
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
        """Insert rows. Duplicates and rows that the table rejects are left out."""
        before = self._count(f"SELECT count(*) FROM {table}")  # noqa: S608 own table
        for values in rows:
            names = ", ".join(values)
            marks = ", ".join("?" * len(values))
            try:
                self._new.execute(
                    f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})",  # noqa: S608 own columns
                    tuple(values.values()),
                )
            except (sqlite3.Error, OverflowError):
                continue
        after = self._count(f"SELECT count(*) FROM {table}")  # noqa: S608 - as above
        self._rows[table] = after - before

    def _conversions(self) -> set[int]:
        """Save conversions; return the damaged ones, which are saved without their bodies."""
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
        # A pruned conversion has nothing left to send, and a conversion that is older than
        # checksums cannot be verified.
        if not body or (values.get("checksum") is None and delivery <= self._unsummed):
            return True
        return at is not None and values.get("checksum") == checksum(
            seed, delivery=delivery, received_at=at, conversion_id=name.encode(), body=body
        )

    def _find_lane(
        self, seeds: dict[int, int], values: Mapping[str, object], at: int | None
    ) -> None:
        """Identify a lane whose row is lost: checksums match for only one pixel and event."""
        lane = values["lane"]
        for pixel, event in self._known:
            seed = seed_of(pixel, event)
            if values.get("body") and self._adds_up(values, seed, at):
                self._copy("lane", [{"id": lane, "pixel": pixel, "event": event}])
                assert isinstance(lane, int)  # noqa: S101 checked by the caller
                seeds[lane] = seed
                return

    def _outbox(self, dead: set[int]) -> tuple[int, int]:
        """Save unsettled deliveries; return the numbers of pending and of doubtful (held) ones."""
        execute = self._new.execute
        best: dict[int, SalvagedRow] = {}
        for row in self._salvage.rows("outbox"):
            delivery = row.values.get("id")
            if isinstance(delivery, int) and not (delivery in best and best[delivery].sure):
                best[delivery] = row
        leased = self._leased(best)
        # If a lease is lost, deliveries may have been sent without any other trace.
        is_known = leased is not None and self._salvage.whole("lease")
        sure = is_known and self._pages.log_is_whole and not self._older
        for delivery in leased or ():
            values, is_sure = best[delivery]
            best[delivery] = SalvagedRow({**values, "state": "sending"}, sure=is_sure)
        self._copy("outbox", (self._unsettled(row, dead, sure=sure) for row in best.values()))
        # A row that cannot be reached from the root may be left over from a delivery settled long
        # ago.
        unsure = as_json(id_ for id_, row in best.items() if not row.sure)
        execute(
            "DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(?)) "
            "AND id IN (SELECT delivery FROM attempted "
            "JOIN attempt ON attempt.id = attempt WHERE outcome = 'delivered')",
            (unsure,),
        )
        execute("DELETE FROM outbox WHERE id NOT IN (SELECT id FROM conversion)")
        put_where_they_belong(self._new)
        stand_in_for_submissions(self._new, now=self._now)
        if self._older or not self._salvage.whole("outbox"):
            hold_the_missing(self._new, now=self._now)
        self._rows["outbox"] = self._count("SELECT count(*) FROM outbox")
        held = "SELECT count(*) FROM outbox WHERE state = 'held' AND reason = ?"
        pending = "SELECT count(*) FROM outbox WHERE state = 'queued'"
        return self._count(pending), execute(held, (RECOVERED,)).fetchone()[0]

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

    def _unsettled(self, row: SalvagedRow, dead: set[int], *, sure: bool) -> Mapping[str, object]:
        """Return an outbox row for the new file. Deliveries that may have been sent are held."""
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
