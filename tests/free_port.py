"""Ports for programs that must be told theirs before they listen."""

import fcntl
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

# Below the ports of outgoing connections (Linux: from 32768), which would take a port between its
# choice and its use.
_PORTS = range(12_000, 32_000)
_NEXT = Path(tempfile.gettempdir()) / f"twite-test-port-{os.getuid()}"


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on, and that no other test gets soon.

    All test processes of a user count through the same ports.
    """
    with _NEXT.open("a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        index = int(file.read() or os.getpid() * 7)
        while True:
            index += 1
            port = _PORTS[index % len(_PORTS)]
            with suppress(OSError), socket.create_server(("127.0.0.1", port)):
                break
        file.truncate(0)
        file.write(str(index))
    return port
