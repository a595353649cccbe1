"""Run `twite` with a pause between a claim and its request: a stop of the process falls into it.

python slow_sender.py serve --config twite.toml
python slow_sender.py --no-fence serve --config twite.toml    the control: without the lease's check
"""

import asyncio
import sys

from twite.cli import main
from twite.gateway.delivery.x_client import XClient
from twite.stores.postgres.nodes import PostgresOwnership

PAUSE = 0.03
_send = XClient.send


async def late(self, destination, bodies):
    await asyncio.sleep(PAUSE)
    return await _send(self, destination, bodies)


if __name__ == "__main__":
    XClient.send = late
    if sys.argv[1] == "--no-fence":
        del sys.argv[1]
        PostgresOwnership.may_send = lambda _: True
    main()
