"""Examine a server: whether its settings keep acknowledged commits, its version and its clock."""

import time
from typing import Any, Final

import asyncpg

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store import StoreExamination
from twite.stores.postgres.connection import LOST, READ_ONLY, Address
from twite.stores.postgres.schema import present_version

# Settings that can lose acknowledged commits, and how.
_NEEDED_ON: Final = {
    "fsync": "a power failure can damage the database",
    "full_page_writes": "a power failure can damage pages",
    "synchronous_commit": "a power failure loses the latest commits",
}
_SETTINGS: Final = "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)"
_CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


async def connected(address: Address) -> "asyncpg.Connection[Any]":
    """Connect. Raises StoreUnusable."""
    try:
        return await address.connect()
    except (*LOST, *READ_ONLY, asyncpg.PostgresError, ValueError) as error:
        raise StoreUnusable(
            path=address.shown,
            reason=address.reason(error),
            cure="Check store.url, and that the database runs and accepts this role",
        ) from error


async def weak_settings(driver: "asyncpg.Connection[Any]") -> tuple[str, ...]:
    """Return a sentence for each setting with which the server can lose acknowledged commits."""
    found = dict(await driver.fetch(_SETTINGS, list(_NEEDED_ON)))
    return tuple(
        f"{name} is off: {effect}"
        for name, effect in _NEEDED_ON.items()
        if found.get(name, "on") == "off"
    )


def refuse_weak(weak: tuple[str, ...], address: Address, *, is_accepted: bool) -> None:
    """Raise StoreUnusable if a server can lose acknowledged commits, unless that is accepted."""
    if weak and not is_accepted:
        raise StoreUnusable(
            path=address.shown,
            reason="; ".join(weak),
            cure="Turn the setting on, or set store.accept_weak_durability = true",
        )


async def examined(url: str) -> StoreExamination:
    """Return what `twite check` reports. Raises StoreUnusable."""
    address = Address(url)
    driver = await connected(address)
    try:
        present = await present_version(driver, address)
        began = time.time()
        there = await driver.fetchval(_CLOCK)
        here = (began + time.time()) * 500
        return StoreExamination(
            software=f"PostgreSQL {await driver.fetchval('SHOW server_version')}",
            weak=await weak_settings(driver),
            is_new=present == 0,
            clock_ahead=there - round(here),
        )
    except asyncpg.PostgresError as error:
        raise StoreUnusable(
            path=address.shown, reason=address.reason(error), cure="Check the role's privileges"
        ) from error
    finally:
        await driver.close()
