"""Report the state of the process to systemd (`Type=notify`), or to another manager like it.

[doc sd_notify(3)]: datagrams with lines such as READY=1, to the socket that NOTIFY_SOCKET names.
"""

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

_MICROSECONDS: Final = 1_000_000


def notify(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send a state, such as "READY=1". Do nothing without a manager."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"  # an abstract socket
    # A manager that does not listen must not stop the gateway.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode(), address)


def reloading() -> str:
    """Return the state during a reload. `Type=notify-reload` needs the time. [doc sd_notify(3)]"""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1_000}"


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """Return after how many seconds without WATCHDOG=1 the manager kills this process.

    None: never. [doc sd_watchdog_enabled(3)]
    """
    microseconds, process = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or process not in {"", str(os.getpid())}:
        return None
    return int(microseconds) / _MICROSECONDS or None


async def keep_watchdog_quiet(seconds: float) -> None:
    """Send WATCHDOG=1 from the event loop at half the interval, until cancelled."""
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds / 2)
