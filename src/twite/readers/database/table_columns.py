"""Tables in PostgreSQL that others may have created: whether Twite can write its columns."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from twite.domain.errors import ClientError
from twite.readers.database.connection import double_quoted

# A column of a domain has the type below it. The last one is whether PostgreSQL converts a value of
# the wanted type when it is inserted.
_COLUMNS: Final = """
SELECT attribute.attname::text AS name, format_type(attribute.atttypid, NULL) AS type,
  attribute.attnotnull AS is_required,
  attribute.atthasdef OR attribute.attidentity <> '' AS has_default,
  base.oid = wanted.type::regtype OR EXISTS (
    SELECT FROM pg_cast WHERE castsource = wanted.type::regtype AND casttarget = base.oid
    AND castcontext IN ('a', 'i')) AS is_usable
FROM pg_attribute AS attribute
JOIN pg_type ON pg_type.oid = attribute.atttypid
JOIN pg_type AS base ON base.oid = coalesce(nullif(pg_type.typbasetype, 0), pg_type.oid)
LEFT JOIN unnest($2::text[], $3::text[]) AS wanted (name, type) ON wanted.name = attribute.attname
WHERE attribute.attrelid = to_regclass($1) AND attribute.attnum > 0 AND NOT attribute.attisdropped
ORDER BY attribute.attnum
"""
_IS_UNIQUE: Final = """
SELECT EXISTS (
  SELECT FROM pg_index
  WHERE indrelid = to_regclass($1) AND indisunique AND indisvalid AND indimmediate
    AND indpred IS NULL AND indexprs IS NULL AND $2::text[] = (
      SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute
      WHERE attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])))
"""


class WrittenTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table, and what Twite writes into it.

    `name` is quoted. `columns` has the type of each column, as PostgreSQL spells it, and `key` the
    columns of the primary key. Only `required` ones and those of the key are never NULL.
    """

    name: str
    columns: Mapping[str, str]
    key: Sequence[str]
    required: Sequence[str] = ()

    @property
    def definition(self) -> str:
        """The statement that creates the table."""
        columns = [
            f"{name} {type_}{' NOT NULL' if name in self.required else ''}"
            for name, type_ in self.columns.items()
        ]
        columns.append(f"PRIMARY KEY ({', '.join(self.key)})")
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({', '.join(columns)})"

    async def exists(self, connection: Any) -> bool:  # noqa: ANN401  # asyncpg has no types
        """Return whether there is such a table. Raises ClientError if Twite cannot write it."""
        names, types = zip(*self.columns.items(), strict=True)
        found = {
            row["name"]: row for row in await connection.fetch(_COLUMNS, self.name, names, types)
        }
        if not found:
            return False
        missing = [f"{name} {type_}" for name, type_ in self.columns.items() if name not in found]
        if missing:
            raise self._unusable(
                f"has no {_listed('column', [each.split()[0] for each in missing])}",
                ", ".join(f"ADD COLUMN {each}" for each in missing),
            )
        for name, type_ in self.columns.items():
            if not found[name]["is_usable"]:
                raise self._unusable(
                    f"has the column {name} of the type {found[name]['type']} instead of {type_}",
                    f"ALTER COLUMN {name} TYPE {type_} USING {name}::text::{type_}",
                )
        for name, row in found.items():
            is_filled = name in {*self.key, *self.required}
            is_other = name not in self.columns
            if row["is_required"] and not (is_filled or (is_other and row["has_default"])):
                raise self._unusable(
                    f"needs a value in its column {double_quoted(name)}, which Twite may "
                    "leave empty",
                    f"ALTER COLUMN {double_quoted(name)} DROP NOT NULL",
                )
        if not await connection.fetchval(_IS_UNIQUE, self.name, sorted(self.key)):
            key = ", ".join(self.key)
            raise self._unusable(
                f"has no unique index of its {_listed('column', self.key)}", f"ADD UNIQUE ({key})"
            )
        return True

    def _unusable(self, fact: str, change: str) -> ClientError:
        return ClientError(
            f"the table {self.name} {fact}. If it is that of an export, run ALTER TABLE "
            f"{self.name} {change}. Otherwise, name another table"
        )


def _listed(word: str, names: Sequence[str]) -> str:
    return f"{word}{'s' if len(names) > 1 else ''} {', '.join(names)}"
