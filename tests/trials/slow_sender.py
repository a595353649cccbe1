"""Run `twite` with a pause between a claim and its request: a moment to stop the process.

python slow_sender.py serve --config twite.toml
python slow_sender.py --no-fence serve --config twite.toml    control: without the lease check
python slow_sender.py --lease=3 serve --config twite.toml     with a shorter lease (seconds)
python slow_sender.py --pause=1 serve --config twite.toml     with a longer pause (seconds)
"""

import asyncio
import os
import socket
import sys

import msgspec

from twite.cli import main
from twite.domain.times import SECOND
from twite.gateway.delivery.x_client import XClient
from twite.stores.postgres import nodes
from twite.stores.postgres.nodes import PostgresOwnership
from twite.stores.postgres.statements import STATEMENTS

PAUSE = 0.03


def pause(seconds):
    """Delay each request."""
    send = XClient.send

    async def late(self, *given, **named):
        await asyncio.sleep(seconds)
        return await send(self, *given, **named)

    XClient.send = late


def shorten(lease):
    """Shorten the lease, and what depends on it: its renewal, and the end of stuck transactions."""
    nodes.LEASE = lease * SECOND
    nodes.SHARE_OUT_EVERY = nodes.LOCK_PATIENCE = lease * SECOND // 4
    for name in ("begin", "take_first_keys"):
        begin = STATEMENTS[name]
        msgspec.structs.force_setattr(begin, "text", begin.text.replace("'8s'", f"'{lease}s'"))


def name():
    """Return the name of this gateway among the nodes of its database."""
    return f"gateway-{os.getpid()}"


if __name__ == "__main__":
    rest = PAUSE
    socket.gethostname = name
    while sys.argv[1].startswith("--"):
        word, _, seconds = sys.argv.pop(1).partition("=")
        if word == "--lease":
            shorten(int(seconds))
        elif word == "--pause":
            rest = float(seconds)
        elif word == "--no-fence":
            PostgresOwnership.may_send = lambda _: True
    pause(rest)
    main()
