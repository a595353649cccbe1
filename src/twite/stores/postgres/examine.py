"""Examine a server: whether its settings keep acknowledged commits, its version and its clock."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store import ConnectedGateway, ServerExamination, StoreExamination
from twite.stores.postgres.database import CONNECTIONS
from twite.stores.postgres.driver.address import Address, opened
from twite.stores.postgres.driver.connection import PostgresConnection
from twite.stores.postgres.schema import newest_version, present_version

if TYPE_CHECKING:
    import asyncpg

# Settings that can lose acknowledged commits, and how.
_NEEDED_ON: Final = {
    "fsync": "a power failure can damage the database",
    "full_page_writes": "a power failure can damage pages",
    "synchronous_commit": "a power failure loses the latest commits",
}
_SETTINGS: Final = (
    "SELECT name, setting FROM pg_settings "
    "WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')"
)
_GATEWAYS: Final = """
SELECT node.name, node.version, ownership.account IS NOT NULL
FROM node LEFT JOIN ownership ON ownership.node = node.id AND ownership.account = '#leader'
WHERE node.until > clock_timestamp() ORDER BY node.id
"""
# How many connections the server, the database and the role allow, minus those of other programs.
_CONNECTIONS: Final = """
WITH own AS (SELECT count(*) AS open FROM pg_stat_activity WHERE application_name = 'twite'),
used AS (
  SELECT sum(numbackends) AS everywhere,
    sum(numbackends) FILTER (WHERE datname = current_database()) AS here
  FROM pg_stat_database),
allowed AS (
  SELECT sum(CASE name WHEN 'max_connections' THEN 1 ELSE -1 END * setting::int) AS most
  FROM pg_settings
  WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections'))
SELECT greatest(0, least(
  allowed.most - used.everywhere + own.open,
  (SELECT datconnlimit FROM pg_database WHERE datname = current_database() AND datconnlimit >= 0)
    - used.here + own.open,
  (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user AND rolconnlimit >= 0)))::int
FROM own, used, allowed
"""
# Whether the role may create tables and change Twite's.
_MAY_MIGRATE: Final = """
SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
  AND coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class
    WHERE oid = to_regclass('schema_version')), true)
"""
_CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


async def weak_settings(driver: "asyncpg.Connection[Any]") -> tuple[str, ...]:
    """Describe each setting that allows the server to lose acknowledged commits."""
    return _described(dict(await driver.fetch(_SETTINGS)))


def weak_settings_of(connection: PostgresConnection) -> tuple[str, ...]:
    """Do the same as `weak_settings`, as a view."""
    return _described(dict(connection.execute(_SETTINGS).fetchall()))


def _described(found: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(
        f"{name} is off: {effect}"
        for name, effect in _NEEDED_ON.items()
        if found.get(name, "on") == "off"
    )


def refuse_weak(weak: tuple[str, ...], address: Address, *, is_accepted: bool) -> None:
    """Raise StoreUnusable if a server can lose acknowledged commits, unless that is accepted."""
    if weak and not is_accepted:
        raise StoreUnusable(
            address.shown,
            "; ".join(weak),
            "Turn the setting on, or set store.accept_weak_durability = true",
        )


async def examined(url: str) -> StoreExamination:
    """Return what `twite check` reports. Raises StoreUnusable."""
    address = Address(url)
    async with opened(address) as driver:
        return await _examined(driver, address)


async def _examined(driver: "asyncpg.Connection[Any]", address: Address) -> StoreExamination:
    # A pooler may send each transaction to another connection.
    async with driver.transaction():
        present = await present_version(driver, address)
        began = time.time()
        there = await driver.fetchval(_CLOCK)
        here = (began + time.time()) * 500
        rows = await driver.fetch(_GATEWAYS) if present else ()
        server = ServerExamination(
            software=f"PostgreSQL {await driver.fetchval('SHOW server_version')}",
            weak=await weak_settings(driver),
            clock_ahead=there - round(here),
            schema=present,
            newest_schema=newest_version(),
            may_migrate=await driver.fetchval(_MAY_MIGRATE),
            hosts=len(address.urls),
            attributes=address.attributes,
            # A pooler sends its clients an invented process id.
            is_pooled=driver.get_server_pid() != await driver.fetchval("SELECT pg_backend_pid()"),
            size=await driver.fetchval("SELECT pg_database_size(current_database())"),
            connections=await driver.fetchval(_CONNECTIONS),
            connections_each=CONNECTIONS,
            gateways=tuple(
                ConnectedGateway(name=name, version=version, is_leader=is_leader)
                for name, version, is_leader in rows
            ),
        )
        return StoreExamination(server=server)
