"""One of two pixels of a gateway is unavailable at X: the other one is not delayed.

The promise is a ratio: the healthy pixel's p99 delivery time next to an unavailable one, relative
to the same load alone. Times are asserted in the long form only.
"""

import asyncio
import os
import time

import pytest
from sockets import sending

LONG = os.environ.get("TWITE_TRIAL") == "1"
UP, DOWN = "o8z6j", "o6dkt"
EACH = 10
SUBMISSIONS = 5_000 if LONG else 100
EVERY = 0.01  # seconds: a thousand conversions per second, half for each pixel
FAULTS = {
    "dead": {"kind": "stall", "seconds": 60},
    "answering 503": {"kind": "status", "status": 503},
    "revoked": {"kind": "status", "status": 401},
    "limited": {"kind": "rate_limit", "seconds": 600},
    "slow": {"kind": "slow", "seconds": 0.5},
}


async def delays(folder, x, *, both):
    """Return how long deliveries of the healthy pixel took, and the accounts."""
    async with sending(
        folder, x, pixels=(UP, DOWN), times=lambda outbound, _: outbound.url.endswith(UP)
    ) as gateway:
        began = time.perf_counter()
        for number in range(SUBMISSIONS):
            for pixel in (UP, DOWN) if both else (UP,):
                ids = [f"{pixel}-{number:06}-{n}" for n in range(EACH)]
                await gateway.record(*ids, pixel=pixel)
            await asyncio.sleep(max(0.0, began + number * EVERY - time.perf_counter()))
        await gateway.all_timed(SUBMISSIONS * EACH, within=60)
        return sorted(gateway.watch.took.values()), await gateway.ended()


@pytest.mark.alone
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS if LONG else ["dead", "revoked"])
async def test_unavailable_pixel_does_not_delay_another_pixel(fault, tmp_path, x_emulator, figure):
    x_emulator.switch(rate_limit=1_000_000_000)
    x_emulator.fault(**FAULTS[fault], pixel=DOWN, count=0)

    alone, _ = await delays(tmp_path / "alone", x_emulator, both=False)
    beside, accounts = await delays(tmp_path / "both", x_emulator, both=True)

    p99 = [times[int(len(times) * 0.99)] * 1_000 for times in (alone, beside)]
    ratio = p99[1] / p99[0]
    figure(
        f"one pixel up beside one that is {fault}",
        f"{2 * SUBMISSIONS * EACH:,} conversions; p99 of its deliveries {ratio:.2f} of that alone "
        f"({p99[1]:.0f} ms, {p99[0]:.0f} ms)",
    )
    assert (accounts[UP].delivered, accounts[UP].pending) == (SUBMISSIONS * EACH, 0)
    assert {account.balance for account in accounts.values()} == {0}
    if LONG:
        assert ratio <= 1.2
