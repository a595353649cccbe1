"""Examine a server: whether its settings keep acknowledged commits, its version and its clock."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store import ConnectedGateway, ServerExamination, StoreExamination
from twite.stores.postgres.database import CONNECTIONS
from twite.stores.postgres.driver.address import Address, opened
from twite.stores.postgres.driver.connection import PostgresConnection
from twite.stores.postgres.schema import newest_version, present_version
from twite.stores.sql.statements import named

if TYPE_CHECKING:
    import asyncpg

# Settings that can lose acknowledged commits, and how.
_NEEDED_ON: Final = {
    "fsync": "a power failure can damage the database",
    "full_page_writes": "a power failure can damage pages",
    "synchronous_commit": "a power failure loses the latest commits",
}
_SQL: Final = named(Path(__file__).with_name("examine.sql").read_text("utf-8"))


async def weak_settings(driver: "asyncpg.Connection[Any]") -> tuple[str, ...]:
    """Describe each setting that allows the server to lose acknowledged commits."""
    return _described(dict(await driver.fetch(_SQL["settings"])))


def weak_settings_of(connection: PostgresConnection) -> tuple[str, ...]:
    """Do the same as `weak_settings`, as a view."""
    return _described(dict(connection.execute(_SQL["settings"]).fetchall()))


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
        there = await driver.fetchval(_SQL["clock"])
        here = (began + time.time()) * 500
        rows = await driver.fetch(_SQL["gateways"]) if present else ()
        server = ServerExamination(
            software=f"PostgreSQL {await driver.fetchval('SHOW server_version')}",
            weak=await weak_settings(driver),
            clock_ahead=there - round(here),
            schema=present,
            newest_schema=newest_version(),
            may_migrate=await driver.fetchval(_SQL["may_migrate"]),
            hosts=len(address.urls),
            attributes=address.attributes,
            # A pooler sends its clients an invented process id.
            is_pooled=driver.get_server_pid() != await driver.fetchval("SELECT pg_backend_pid()"),
            size=await driver.fetchval("SELECT pg_database_size(current_database())"),
            connections=await driver.fetchval(_SQL["connections"]),
            connections_each=CONNECTIONS,
            gateways=tuple(
                ConnectedGateway(name=name, version=version, is_leader=is_leader)
                for name, version, is_leader in rows
            ),
        )
        return StoreExamination(server=server)
