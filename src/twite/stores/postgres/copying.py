"""PostgreSQL databases as source and target of `twite store copy`."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Self

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store_copy import PIECE, CopiedDeployment, CopiedTable, CopyReader, Row
from twite.stores.postgres.database import PostgresReads
from twite.stores.postgres.driver.address import Address, connected, explained
from twite.stores.postgres.driver.connection import without_nul
from twite.stores.postgres.driver.errors import NUL
from twite.stores.postgres.examine import refuse_weak, weak_settings
from twite.stores.postgres.schema import (
    COPY_LOCK,
    migrate,
    newest_version,
    present_version,
    version_of,
)
from twite.stores.postgres.statements import SLOTTED
from twite.stores.sql.queries import SqlReader
from twite.stores.sql.rows.insertions import TABLES, quoted
from twite.stores.sql.rows.tables import AccountRow
from twite.stores.sql.statements import START_ONCE, named, record_of, refuse_older

# Queries that add up rows: in these tables, several connections count the same thing in a row each,
# where other engines have one row.
_SUMMED: Final = named(Path(__file__).with_name("copying.sql").read_text("utf-8"))
# Columns whose Python values differ from those of other engines.
_READ_AS: Final = {("attempt", "ambiguous"): "ambiguous::int"}
# Columns that only this engine has. The copy sets them to 0: slot 0 belongs to commands, and no
# running node has the id 0.
OWN_COLUMNS: Final = {"lease": "node"} | {kind.table(): own for kind, own in SLOTTED.items()}
_COUNTS: Final = ("received", "delivered", "duplicate", "suppressed", "rejected")
_NUMBERED: Final = ("account", "queue", "idempotency_key", "dedup_report", "known_identifier")
_LIVE: Final = "SELECT name FROM node WHERE until > clock_timestamp() ORDER BY id"
_DEPLOYMENT: Final = "SELECT salt, epoch, ahead, bodies, histories FROM deployment, pruning"
_NEXT_ID: Final = (
    "SELECT greatest(extract(epoch FROM clock_timestamp())::bigint - 1767225600, 0) << 23"
)
_HIGHEST_ID: Final = """
SELECT greatest((SELECT max(id) FROM submission), (SELECT max(id) FROM conversion),
  (SELECT max(id) FROM attempt), (SELECT max(first + entries) FROM submission), 0)"""


class _PostgresCopySide:
    """What source and target have in common. `guard` holds the locks, `driver` reads and writes."""

    tables: Sequence[CopiedTable] = TABLES

    def __init__(self, address: Address, guard: Any, driver: Any) -> None:  # noqa: ANN401 - asyncpg's
        self.shown = address.shown
        self._address = address
        self._guard = guard
        self._driver = driver

    async def count(self, table: CopiedTable) -> int:
        with self._explained():
            return int(await self._driver.fetchval(f"SELECT count(*) FROM {_relation(table)}"))  # noqa: S608 own table

    async def rows(self, table: CopiedTable, after: Row | None = None) -> AsyncIterator[list[Row]]:
        keys = ", ".join(quoted(table.columns[: table.key]))
        marks = ", ".join(f"${place}" for place in range(1, table.key + 1))
        where = "" if after is None else f"WHERE ({keys}) > ({marks})"
        columns = _columns(table, table.columns)
        statement = f"SELECT {columns} FROM {_relation(table)} {where} ORDER BY {keys}"  # noqa: S608 - as above
        with self._explained():
            async with self._driver.transaction():
                cursor = await self._driver.cursor(statement, *(after or ()))
                while piece := await cursor.fetch(PIECE):
                    yield [tuple(row) for row in piece]

    async def deployment(self) -> CopiedDeployment:
        with self._explained():
            row = await self._driver.fetchrow(_DEPLOYMENT)
        return CopiedDeployment(**dict(row))

    async def open_reader(self) -> CopyReader:
        return await SqlReader.of(PostgresReads(self._address))

    async def close(self) -> None:
        for driver in {self._driver, self._guard}:
            driver.terminate()

    def _explained(self) -> AbstractContextManager[None]:
        """Raise StoreUnusable for the errors of the database."""
        fix = "Check the database, then run the same command again: the copy continues"
        return explained(self._address, fix=fix)


class PostgresCopySource(_PostgresCopySide):
    """Implements CopySource: reads one snapshot, and lets no gateway start meanwhile."""

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect. Raises StoreUnusable if the schema has another version or a gateway runs."""
        address = Address(url)
        driver = await connected(address)
        source = cls(address, driver, driver)
        try:
            with source._explained():
                _refuse_older(await present_version(driver, address), address)
                await driver.transaction(isolation="repeatable_read").start()
                await _exclude(driver, address, has_tables=True)
        except BaseException:
            await source.close()
            raise
        return source

    async def state(self) -> str:
        with self._explained():
            # The sequence shows whether anything was written: it is not part of the snapshot, and
            # each writing transaction takes a number from it.
            row = await self._driver.fetchrow(
                "SELECT encode(salt, 'hex'), last_value FROM deployment, id_group"
            )
        return f"{row[0]} {row[1]}"


class PostgresCopyTarget(_PostgresCopySide):
    """Implements CopyTarget. The table store_copy exists until the copy is published."""

    @classmethod
    async def open_for(cls, url: str, *, state: str, accept_weak_durability: bool) -> Self:
        """Begin a copy, or continue one of a source with the same state. Raises StoreUnusable."""
        address = Address(url)
        guard = await connected(address)
        target = cls(address, guard, guard)
        try:
            target._driver = await connected(address)
            with target._explained():
                refuse_weak(await weak_settings(guard), address, is_accepted=accept_weak_durability)
                await target._begin(state)
        except BaseException:
            await target.close()
            raise
        return target

    async def _begin(self, state: str) -> None:
        driver, address = self._driver, self._address
        await self._guard.transaction().start()
        present = await version_of(driver)
        if present > 0:
            _refuse_older(present, address)
        await _exclude(self._guard, address, has_tables=present > 0)
        begun = None
        if await driver.fetchval("SELECT to_regclass('store_copy') IS NOT NULL"):
            begun = await driver.fetchval("SELECT state FROM store_copy")
        mark = f"{state} {newest_version()}"
        if begun == mark:
            return
        if begun is not None:
            raise StoreUnusable(
                self.shown,
                "the database contains an incomplete copy of another store, of an earlier "
                "state of this store, or by another version of Twite",
                "Create a new database, and copy into that one",
            )
        async with driver.transaction():
            await migrate(driver, address, is_copy=True)
            for table in TABLES:
                if await driver.fetchval(f'SELECT EXISTS (SELECT FROM "{table.name}")'):  # noqa: S608 own table
                    raise StoreUnusable(
                        self.shown,
                        f"the database is not empty: the table {table.name} has rows",
                        "Create a new database, and copy into that one",
                    )
            await driver.execute("CREATE TABLE store_copy (state text NOT NULL)")
            await driver.execute("INSERT INTO store_copy VALUES ($1)", mark)

    async def last_key(self, table: CopiedTable) -> Row | None:
        keys = table.columns[: table.key]
        columns = _columns(table, keys)
        order = ", ".join(f"{key} DESC" for key in quoted(keys))
        with self._explained():
            row = await self._driver.fetchrow(
                f"SELECT {columns} FROM {_relation(table)} ORDER BY {order} LIMIT 1"  # noqa: S608 - as above
            )
        return None if row is None else tuple(row)

    async def add(self, table: CopiedTable, rows: Sequence[Row]) -> None:
        with self._explained():
            try:
                await self._add(table, rows)
            except NUL:
                await self._add(table, [self.stored(row) for row in rows])

    async def _add(self, table: CopiedTable, rows: Sequence[Row]) -> None:
        async with self._driver.transaction():
            await self._driver.execute("SET LOCAL synchronous_commit = on")
            for name, columns, records in _records(table, rows):
                await self._driver.copy_records_to_table(name, columns=columns, records=records)

    def stored(self, row: Row) -> Row:
        return tuple(without_nul(value) for value in row)

    async def complete(self, deployment: CopiedDeployment) -> None:
        driver = self._driver
        with self._explained():
            if await driver.fetchval(_HIGHEST_ID) >= await driver.fetchval(_NEXT_ID):
                raise StoreUnusable(
                    self.shown,
                    "the server's clock is behind the ids in the copied store",
                    "Correct the clock of the database server, then run the command again",
                )
            async with driver.transaction():
                await driver.execute(
                    "UPDATE deployment SET salt = $1, epoch = $2, ahead = $3",
                    *(deployment.salt, deployment.epoch, deployment.ahead),
                )
                await driver.execute(
                    "UPDATE pruning SET bodies = $1, histories = $2",
                    deployment.bodies,
                    deployment.histories,
                )
                for table in _NUMBERED:
                    await driver.execute(
                        f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), "  # noqa: S608 - as above
                        f"1 + coalesce(max(id), 0), false) FROM {table}"
                    )
                await driver.execute(
                    "SELECT setval('lease_number', 1 + coalesce(max(id), 0), false) FROM lease"
                )
            # Without statistics, the first queries would read whole tables.
            await driver.execute("ANALYZE " + ", ".join(f'"{table.name}"' for table in TABLES))

    async def publish(self) -> None:
        with self._explained():
            # Fails if the guard's connection was lost: a gateway may then have started.
            await self._guard.execute("SELECT 1")
            async with self._driver.transaction():
                await self._driver.execute("SET LOCAL synchronous_commit = on")
                await self._driver.execute("DROP TABLE store_copy")


async def _exclude(guard: Any, address: Address, *, has_tables: bool) -> None:  # noqa: ANN401 - asyncpg's
    """Keep gateways and other copies out until the end of the transaction. Raises StoreUnusable."""
    await guard.execute(
        "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '10s'"
    )
    if has_tables:
        # A gateway must renew its row before it sends, so a suspended gateway cannot continue
        # during the copy.
        await guard.execute("LOCK TABLE node IN SHARE MODE")
    if not await guard.fetchval(f"SELECT pg_try_advisory_xact_lock({COPY_LOCK})"):
        raise StoreUnusable(
            address.shown,
            "another twite store copy is using this database, or a gateway is starting",
            "Wait until the copy is complete, or stop the gateway",
        )
    running = [name for (name,) in await guard.fetch(_LIVE)] if has_tables else []
    if running:
        raise StoreUnusable(
            address.shown,
            f"a gateway is using this database ({', '.join(running)})",
            "Stop all its gateways, then run the command again. Twite treats a killed "
            "gateway as running for another 8 seconds",
        )


def _refuse_older(present: int, address: Address) -> None:
    """Raise StoreUnusable if the database is new or has an older version than this code."""
    if present == 0:
        raise StoreUnusable(
            address.shown,
            "the database has no tables of Twite",
            "Give the URL of the database that the gateway uses",
        )
    refuse_older(present, newest_version(), address.shown, fix=START_ONCE)


def _relation(table: CopiedTable) -> str:
    summed = _SUMMED.get(table.name)
    return f'"{table.name}"' if summed is None else f"({summed}) AS summed"


def _columns(table: CopiedTable, columns: tuple[str, ...]) -> str:
    return ", ".join(
        _READ_AS.get((table.name, column), name)
        for column, name in zip(columns, quoted(columns), strict=True)
    )


def _records(
    table: CopiedTable, rows: Sequence[Row]
) -> Iterator[tuple[str, Sequence[str], Sequence[Row]]]:
    """Yield (table of this engine, columns, rows)."""
    columns = table.columns
    match table.name:
        case "account":
            accounts = [record_of(AccountRow, row) for row in rows]
            named = [
                (account.id, account.source, account.pixel, account.since) for account in accounts
            ]
            yield "account", ("id", "source", "pixel", "since"), named
            counts = [
                (account.id, *(getattr(account, name) for name in _COUNTS), 0)
                for account in accounts
            ]
            yield "tally", ("account", *_COUNTS, "slot"), counts
            return
        case "attempt":
            place = columns.index("ambiguous")
            rows = [(*row[:place], bool(row[place]), *row[place + 1 :]) for row in rows]
        case name if name in OWN_COLUMNS:
            columns, rows = (*columns, OWN_COLUMNS[name]), [(*row, 0) for row in rows]
    yield table.name, columns, rows
