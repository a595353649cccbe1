"""The tables of an export in PostgreSQL: its rows, its position, and the rows that may change.

Rows, tracked rows and position are written in one transaction, so an export that is killed neither
repeats nor loses a row. Without one of the tables, the other two are worth nothing: all exports of
the table begin again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from twite.domain.errors import ClientError
from twite.domain.secret import Secret
from twite.gateway.operations.export_rows import (
    BODY_KNOWN,
    COLUMNS,
    NAMES,
    OF_BODY,
    SCHEMA_VERSION,
    ColumnKind,
)
from twite.gateway.ports.exports import ExportBatch, ExportPosition
from twite.readers.database.connection import double_quoted
from twite.readers.database.postgres import PostgresClient
from twite.readers.database.table_columns import WrittenTable
from twite.redaction.shapes import MASK

_TYPES: Final[Mapping[ColumnKind, str]] = MappingProxyType(
    {
        ColumnKind.TEXT: "text",
        ColumnKind.INTEGER: "bigint",
        ColumnKind.DECIMAL: "numeric",
        ColumnKind.TIME: "timestamptz",
        ColumnKind.BOOLEAN: "boolean",
    }
)
_SCHEMA: Final = (
    "WITH wanted AS (SELECT coalesce($1, quote_ident(current_schema()), 'public') AS name) "
    "SELECT name, quote_ident(current_user) AS role, to_regnamespace(name) IS NULL AS is_missing, "
    "has_schema_privilege(to_regnamespace(name), 'CREATE') AS may_create FROM wanted"
)
_ABOUT: Final = f"Conversions and their states, exported by Twite. Schema version {SCHEMA_VERSION}"


class ExportTable(PostgresClient):
    """A table of conversions, and the positions of the exports that write it.

    Numbers and names of exports are unique only within a store, so `store` is a part of both keys.
    """

    def __init__(self, secret_url: Secret, *, table: str, store: str, export: str) -> None:
        """Raises DatabaseUnusable."""
        super().__init__(secret_url)
        parts = table.split(".")
        self._rows = WrittenTable(
            name=_quoted(parts),
            columns={column.name: _TYPES[column.kind] for column in COLUMNS},
            key=("key",),
        )
        self._tracking = WrittenTable(
            name=_quoted([*parts[:-1], f"{parts[-1]}_tracked"]),
            columns={"store": "text", "number": "bigint", "digest": "bigint"},
            key=("store", "number"),
            required=("digest",),
        )
        self._progress = WrittenTable(
            name=_quoted([*parts[:-1], f"{parts[-1]}_position"]),
            columns={"store": "text", "export": "text", "position": "text"},
            key=("store", "export"),
            required=("position",),
        )
        self._table, self._tracked = self._rows.name, self._tracking.name
        self._positions = self._progress.name
        self._schema = double_quoted(parts[0]) if parts[1:] else None
        self._index = double_quoted(f"{parts[-1]}_updated_at")
        self._store = store
        self._export = export
        self._upsert = _upsert(self._table)

    def examine(self) -> bool:
        """Return whether the tables exist. Raises ClientError if Twite cannot use them."""
        return self._run(self._exist())

    def begin(self) -> ExportPosition | None:
        """Create the tables if need be, and return the position. Raises ClientError, as above."""
        return self._run(self._begin())

    def tracked(self, after: int, through: int, limit: int) -> dict[int, int]:
        return self._run(self._read_tracked(after, through, limit))

    def write(self, batch: ExportBatch) -> None:
        self._run(self._write(batch))

    async def _exist(self) -> bool:
        tables = self._rows, self._tracking, self._progress
        do_exist = all([await table.exists(self._connection) for table in tables])
        if not do_exist:
            await self._require_schema()
        return do_exist

    async def _require_schema(self) -> None:
        """Raise ClientError if Twite cannot create tables."""
        found = await self._connection.fetchrow(_SCHEMA, self._schema)
        schema, role = found["name"], found["role"]
        if found["is_missing"]:
            raise ClientError(
                f"there is no schema {schema}. Run CREATE SCHEMA {schema}, or name another table"
            )
        if not found["may_create"]:
            raise ClientError(
                f"the role {role} cannot create tables in the schema {schema}. Run GRANT USAGE, "
                f"CREATE ON SCHEMA {schema} TO {role}, or name a table in another schema"
            )

    async def _begin(self) -> ExportPosition | None:
        if not await self._exist():
            await self._create()
        found = await self._connection.fetchval(
            f"SELECT position FROM {self._positions} WHERE store = $1 AND export = $2",  # noqa: S608  # a quoted name
            self._store,
            self._export,
        )
        return None if found is None else msgspec.json.decode(found, type=ExportPosition)

    async def _create(self) -> None:
        """Create the tables that are missing, and forget what the others know of rows."""
        digest = hashlib.blake2b(self._table.encode(), digest_size=8).digest()
        async with self._connection.transaction():
            # Another export may create them at the same time.
            await self._connection.execute(
                "SELECT pg_advisory_xact_lock($1)", int.from_bytes(digest, signed=True)
            )
            if await self._exist():
                return
            for statement in (
                self._rows.definition,
                f"COMMENT ON TABLE {self._table} IS '{_ABOUT}'",
                f"CREATE INDEX IF NOT EXISTS {self._index} ON {self._table} (updated_at)",
                self._tracking.definition,
                self._progress.definition,
                f"DELETE FROM {self._tracked}",  # noqa: S608  # as above
                f"DELETE FROM {self._positions}",  # noqa: S608  # as above
            ):
                await self._connection.execute(statement)

    async def _read_tracked(self, after: int, through: int, limit: int) -> dict[int, int]:
        rows = await self._connection.fetch(
            f"SELECT number, digest FROM {self._tracked} "  # noqa: S608  # as above
            "WHERE store = $1 AND number > $2 AND number <= $3 ORDER BY number LIMIT $4",
            self._store,
            after,
            through,
            limit,
        )
        return {row["number"]: row["digest"] for row in rows}

    async def _write(self, batch: ExportBatch) -> None:
        connection: Any = self._connection
        async with connection.transaction():
            if batch.rows:
                await connection.execute(self._upsert, *zip(*batch.rows, strict=True))
            if batch.tracked:
                await connection.execute(
                    f"INSERT INTO {self._tracked} AS old (store, number, digest) "  # as above
                    "SELECT $1, unnest($2::bigint[]), unnest($3::bigint[]) "
                    "ON CONFLICT (store, number) DO UPDATE SET digest = excluded.digest "
                    "WHERE old.digest <> excluded.digest",
                    self._store,
                    [*batch.tracked],
                    [*batch.tracked.values()],
                )
            if batch.settled:
                await connection.execute(
                    f"DELETE FROM {self._tracked} "  # noqa: S608  # as above
                    "WHERE store = $1 AND number = ANY ($2::bigint[])",
                    self._store,
                    batch.settled,
                )
            await connection.execute(
                f"INSERT INTO {self._positions} (store, export, position) VALUES ($1, $2, $3) "  # noqa: S608  # as above
                "ON CONFLICT (store, export) DO UPDATE SET position = excluded.position",
                self._store,
                self._export,
                msgspec.json.encode(batch.position).decode(),
            )


def _quoted(parts: Sequence[str]) -> str:
    return ".".join(map(double_quoted, parts))


def _upsert(table: str) -> str:
    """Return the statement that writes rows, given as one array for each column.

    A row that is equal keeps its `updated_at`. What was in a body that Twite has pruned is kept: a
    row has `identifiers`, perhaps "", unless the body is unknown. A masked id stays masked then.
    """
    unnested = ", ".join(
        f"unnest(${place}::{_TYPES[column.kind]}[])" for place, column in enumerate(COLUMNS, 1)
    )
    new = {
        column.name: f"CASE WHEN excluded.{BODY_KNOWN} IS NULL "
        f"THEN coalesce(excluded.{column.name}, old.{column.name}) "
        f"ELSE excluded.{column.name} END"
        if column.name in OF_BODY
        else f"excluded.{column.name}"
        for column in COLUMNS
    }
    new["conversion_id"] = (
        f"CASE WHEN excluded.{BODY_KNOWN} IS NULL AND old.conversion_id = '{MASK}' "
        "THEN old.conversion_id ELSE excluded.conversion_id END"
    )
    compared = [name for name in NAMES if name not in {"key", "updated_at"}]
    changes = ", ".join(f"{name} = {new[name]}" for name in NAMES if name != "key")
    return (
        f"INSERT INTO {table} AS old ({', '.join(NAMES)}) SELECT {unnested} "  # noqa: S608  # a quoted name
        f"ON CONFLICT (key) DO UPDATE SET {changes} "
        f"WHERE ({', '.join(f'old.{name}' for name in compared)}) "
        f"IS DISTINCT FROM ({', '.join(new[name] for name in compared)})"
    )
