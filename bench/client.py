"""The bare HTTP client: posts ready-made batches to X again and again. No store, no queue.

python -m bench.client URL CONVERSIONS SECONDS: that many conversions in a request; prints how many
it sent, and the seconds of CPU.
"""

import asyncio
import json
import sys
import time

import aiohttp
import uvloop

from bench import fill
from bench.orders import batch_for_x

_AT_ONCE = 16


async def main(url: str, size: float, seconds: float) -> None:
    # Requests of two sizes have a mean of any size.
    small = max(1, int(size))
    bodies = [json.dumps({"conversions": batch_for_x(many)}) for many in (small, small + 1)]
    share = max(0.0, size - small)
    headers = {"Content-Type": "application/json", "X-Pixel-Token": fill.TOKEN}
    path = f"{url}/12/measurement/conversions/{fill.PIXEL}"
    sent = requests = larger = 0
    end = time.perf_counter() + seconds
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def post() -> None:
            nonlocal sent, requests, larger
            while time.perf_counter() < end:
                requests += 1
                is_larger = larger < share * requests
                larger += is_larger
                sent += small + is_larger
                async with session.post(path, data=bodies[is_larger], headers=headers) as answer:
                    await answer.read()
                    assert answer.status == 200

        await post_once(session, path, bodies[0], headers)
        began = time.process_time()
        await asyncio.gather(*(post() for _ in range(_AT_ONCE)))
        print(sent, time.process_time() - began)


async def post_once(
    session: aiohttp.ClientSession, path: str, body: str, headers: dict[str, str]
) -> None:
    """Import and prepare what the first request needs."""
    async with session.post(path, data=body, headers=headers) as answer:
        await answer.read()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
