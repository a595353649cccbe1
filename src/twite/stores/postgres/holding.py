"""Hold the pending deliveries of a restored database, which does not know what was sent since."""

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import UNKNOWN_COPY
from twite.domain.errors import StoreUnusable
from twite.stores.postgres.driver.address import Address, opened
from twite.stores.postgres.schema import present_version
from twite.stores.postgres.statements import STATEMENTS

if TYPE_CHECKING:
    import asyncpg

# Longer than the lease of a gateway, which the backup may contain.
_EXPIRED_WITHIN: Final = 12.0  # seconds
_LOOK: Final = 0.5
_GATEWAYS: Final = "SELECT name FROM node WHERE until > clock_timestamp() ORDER BY id"
# No gateway starts until the deliveries are held.
_ALONE: Final = "LOCK TABLE node IN SHARE ROW EXCLUSIVE MODE"


async def hold_pending(url: str) -> int:
    """Return the number of held deliveries. Raises StoreUnusable, also if a gateway runs."""
    address = Address(url)
    async with opened(address) as driver:
        if not await present_version(driver, address):
            raise StoreUnusable(
                address.shown,
                "the database contains no store",
                "Restore the backup with pg_restore first",
            )
        await _wait_for_expiry(driver, address)
        return await _held(driver, address)


async def _wait_for_expiry(driver: "asyncpg.Connection[Any]", address: Address) -> None:
    end = time.monotonic() + _EXPIRED_WITHIN
    while True:
        try:
            await _refuse_gateways(driver, address)
        except StoreUnusable:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(_LOOK)
        else:
            return


async def _refuse_gateways(driver: "asyncpg.Connection[Any]", address: Address) -> None:
    names = [row[0] for row in await driver.fetch(_GATEWAYS)]
    if names:
        raise StoreUnusable(
            address.shown,
            f"gateways use the database ({', '.join(names)})",
            "Stop them, and run the command again",
        )


async def _held(driver: "asyncpg.Connection[Any]", address: Address) -> int:
    hold = STATEMENTS["hold_pending"]
    why = {"cause": DeliveryCause.STORE_RESTORED, "reason": UNKNOWN_COPY}
    now = time.time_ns() // 1_000_000
    values = hold.values({**why, "now": now})
    pause = STATEMENTS["pause_syncs"]
    async with driver.transaction():
        await driver.execute(_ALONE)
        await _refuse_gateways(driver, address)
        done = await driver.execute(hold.text, *values)
        await driver.execute(STATEMENTS["drop_leases"].text)
        await driver.execute(pause.text, *pause.values({"now": str(now)}))
    return int(done.rpartition(" ")[2])  # such as "UPDATE 12"
