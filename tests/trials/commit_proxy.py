"""Forward connections to PostgreSQL servers, and cut some of them around COMMIT.

python commit_proxy.py SEED FOLDER...

Each folder has a link `server` to the folder of a server's socket; clients connect to a socket in
the folder itself. Each line on standard input cuts the connection of one later commit that writes:
before it reaches the server, while it is under way, or after it. Each cut is reported as a line of
output.
"""

import asyncio
import random
import sys
from contextlib import suppress
from pathlib import Path

import uvloop

SOCKET = ".s.PGSQL.5432"
PLACES = ("before", "during", "after")


class Cuts:
    """The remaining cuts."""

    def __init__(self, chance):
        self.chance = chance
        self.wanted = 0

    def place(self):
        """Return where to cut this commit, or None."""
        if not self.wanted:
            return None
        self.wanted -= 1
        place = self.chance.choice(PLACES)
        print(place, flush=True)
        return place


class Upstream(asyncio.Protocol):
    """The connection to the server."""

    def __init__(self, client):
        self.client = client

    def data_received(self, data):
        if self.client.is_after:
            self.client.abort()
        else:
            self.client.transport.write(data)

    def connection_lost(self, _error):
        self.client.transport.close()


class Client(asyncio.Protocol):
    """The connection of a client."""

    def __init__(self, folder, cuts):
        self.folder = folder
        self.cuts = cuts
        self.upstream = None
        self.is_writing = self.is_after = False
        self.early = []

    def connection_made(self, transport):
        self.transport = transport
        self.task = asyncio.get_running_loop().create_task(self.connect())

    async def connect(self):
        place = str(self.folder / "server" / SOCKET)
        try:
            self.upstream, _ = await asyncio.get_running_loop().create_unix_connection(
                lambda: Upstream(self), place
            )
        except OSError:
            self.transport.abort()
            return
        self.upstream.writelines(self.early)
        if self.transport.is_closing():
            self.upstream.close()

    def data_received(self, data):
        if self.upstream is None:
            self.early.append(data)
            return
        if b"READ WRITE;" in data:
            self.is_writing = True
        elif b"READ ONLY;" in data:
            self.is_writing = False
        place = self.cuts.place() if self.is_writing and data.endswith(b"COMMIT\0") else None
        if place == "before":
            self.abort()
            return
        self.upstream.write(data)
        if place == "during":
            self.transport.abort()
        self.is_after = place == "after"

    def abort(self):
        self.transport.abort()
        self.upstream.abort()

    def connection_lost(self, _error):
        # Buffered output is still sent.
        if self.upstream is not None:
            self.upstream.close()


async def main(seed, folders):
    cuts = Cuts(random.Random(seed))
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_unix_server(
            lambda folder=folder: Client(folder, cuts), str(folder / SOCKET)
        )
        for folder in folders
    ]
    print("ready", flush=True)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        cuts.wanted += 1
    for server in servers:
        server.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        uvloop.run(main(int(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
