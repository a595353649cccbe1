"""Run the emulator as a server on loopback."""

import random
import socket
import time
from collections.abc import Callable, Mapping

import uvicorn

from twite.emulator.judge import Judge
from twite.emulator.server.app import EmulatorApp
from twite.emulator.server.wire import OpenProtocol
from twite.emulator.switches import Switches

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8081


def serve(
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    switches: Switches | None = None,
    world: Mapping[str, object] | None = None,
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM. `port` 0 takes a free one; `ready` is told the address.

    OSError when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1024) as listener:
        judge = Judge(
            switches=switches or Switches(),
            clock=time.time,
            randomness=random.SystemRandom(),
            world=world,
        )
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listener.getsockname()[1]}"
        _Server(_config(judge), lambda: ready(url)).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn, which says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()


def _config(judge: Judge) -> uvicorn.Config:
    return uvicorn.Config(
        EmulatorApp(judge),
        http=OpenProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        # Date is the emulator's own, and a forwarded scheme is nothing X knows.
        date_header=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )
