"""The HTTP server: uvicorn in the caller's event loop, without its signal handling."""

import asyncio
import contextlib
import os
import socket
from typing import Final

import uvicorn

from twite.domain.errors import SettingsError
from twite.http.application import HttpApplication
from twite.http.deadlines import DeadlineProtocol
from twite.http.direct import DirectConfig, DirectProtocol
from twite.http.limits import ClosedConnections, HttpLimits

# Conversions go to the built-in emulator, not to X.
EMULATED: Final = ("x-twite-destination", "emulator")
_BACKLOG: Final = 2_048
# Browsers guess no other type than the response's.
_NOSNIFF: Final = ("x-content-type-options", "nosniff")
_POLL_SECONDS: Final = 0.01
_LAST_SECONDS: Final = 1.0


class Server:
    """Listens, and serves the ASGI application.

    `port` may be 0: the system chooses one, and `port` holds it after the start. `local` is a
    second address, only for this machine. With `shares_port`, several processes listen. If X is
    `emulated`, each response says so in a header.
    """

    def __init__(
        self,
        application: HttpApplication,
        *,
        host: str,
        port: int,
        local: tuple[str, int] | None = None,
        limits: HttpLimits | None = None,
        shares_port: bool = False,
        emulated: bool = False,
    ) -> None:
        self.host = host
        self._shares_port = shares_port
        self._headers = [_NOSNIFF, *([EMULATED] if emulated else [])]
        self.port = port
        self._local = local
        self._collector = application
        self._limits = limits or HttpLimits()
        self._crowd = ClosedConnections()
        self._uvicorn: uvicorn.Server | None = None
        self._beat: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The server's URL, such as `http://127.0.0.1:8080`.

        A wildcard address is shown as loopback.
        """
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises SettingsError if the address cannot be bound."""
        shares = self._shares_port
        listeners = [listening_socket("server.listen", self.host, self.port, shares_port=shares)]
        if self._local is not None:
            try:
                listeners.append(
                    listening_socket("server.local_listen", *self._local, shares_port=shares)
                )
            except SettingsError:
                listeners[0].close()
                raise
        self.port = listeners[0].getsockname()[1]
        config = DirectConfig(
            self._collector,
            http=DirectProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=self._headers,
            backlog=_BACKLOG,
        )
        self._crowd.is_stopping = False
        config.limits, config.closed_connections = self._limits, self._crowd
        config.direct = self._collector.direct
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.on_tick(0)
        await server.startup(sockets=listeners)
        self._uvicorn = server
        self._collector.opened()
        self._beat = asyncio.get_running_loop().create_task(self._keep_time(server))

    def use(self, application: HttpApplication) -> None:
        """Serve another application from now on.

        Connections stay open. The previous application answers the requests that it has begun.
        """
        self._collector = application
        server = self._uvicorn
        if server is None:
            return
        config = server.config
        assert isinstance(config, DirectConfig)  # noqa: S101  # created in `start`
        config.app = config.loaded_app = application
        config.direct = application.direct
        for connection in server.server_state.connections:
            if isinstance(connection, DirectProtocol):
                connection.use(application, application.direct)

    async def stop(self) -> None:
        """Stop accepting connections, and finish running requests within the limit."""
        server, self._uvicorn = self._uvicorn, None
        if server is None:
            return
        self._collector.closing()
        self._crowd.is_stopping = True
        for listening in server.servers:
            listening.close()
        state = server.server_state
        for connection in list(state.connections):
            connection.shutdown()
        await self._emptied(state, self._limits.stop_seconds)
        for connection in list(state.connections):
            connection.transport.abort()
        await self._emptied(state, _LAST_SECONDS)
        for task in list(state.tasks):
            task.cancel()
        if self._beat is not None:
            self._beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beat

    async def _emptied(self, state: uvicorn.server.ServerState, seconds: float) -> None:
        """Wait until no connection or request is left, or until the time is up."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        direct = self._collector.direct
        # Polled, because uvicorn does not report when its sets become empty.
        while loop.time() < until:
            # A directly handled request has no task, and no connection either once its client has
            # left.
            is_occupied = direct is not None and direct.gate.is_occupied
            if not (state.connections or state.tasks or is_occupied):
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _keep_time(self, server: uvicorn.Server) -> None:
        """Renew the Date header, and close overdue connections."""
        loop = asyncio.get_running_loop()
        reported_at = -self._limits.tell_seconds
        while True:
            await asyncio.sleep(self._limits.sweep_seconds)
            if loop.time() - reported_at >= self._limits.tell_seconds:
                crowded = self._crowd.report()
                if crowded is not None:
                    reported_at = loop.time()
                    self._collector.crowded(crowded)
            await server.on_tick(0)
            now = loop.time()
            for connection in list(server.server_state.connections):
                if isinstance(connection, DeadlineProtocol):
                    connection.sweep(now)


def listening_socket(
    place: str, host: str, port: int, *, shares_port: bool = False
) -> socket.socket:
    """Listen at an address. Raises SettingsError if it cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server(
            (host, port), family=family, backlog=_BACKLOG, reuse_port=shares_port
        )
    except (OSError, OverflowError) as error:
        raise SettingsError(
            place,
            f"cannot listen on {host}:{port} ({_reason(error)}). "
            "Stop the process that listens there, or choose another address",
        ) from None
    # Accepted sockets inherit TCP_NODELAY. asyncio does not set it on a listener that it did not
    # create, and the second response of a connection then waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _reason(error: OSError | OverflowError) -> str:
    """Return the system's error message, because those of asyncio and socket repeat the address."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number is not None and number > 0 else str(error)
