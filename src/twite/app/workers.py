"""Several gateway processes on one machine: start, replace and stop them.

The parent is a small process that only starts workers. Workers share the port (SO_REUSEPORT), and
are gateways on one database like any others.
"""

import asyncio
import os
import select
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from secrets import token_urlsafe
from typing import Final

import msgspec

from twite.app.control_client import leave_address, remove_address
from twite.app.worker_channel import Reload, WorkerChannel, is_reloaded, mark_reloaded
from twite.config.settings import Settings
from twite.domain.secret import Secret
from twite.gateway.operations.control import ReloadReport
from twite.gateway.ports.events import ReloadResult
from twite.http.server import listening_socket
from twite.machine.service_manager import notify, reloading, watchdog_seconds

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
# A worker that ended is replaced immediately, but not more often than once in this many seconds.
_AT_MOST_EVERY: Final = 1.0
_LOOK: Final = 0.5


class WorkerPlace(msgspec.Struct, frozen=True, kw_only=True):
    """The values that a worker gets from its parent.

    `token` opens the control channel of each worker. `folder` has the sockets for metrics. `parent`
    is a pipe that ends with the parent, or when it stops; `ready` gets the URL.
    """

    port: int
    token: Secret
    folder: Path
    parent: int
    ready: int

    def on_stop(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> None:
        """Call `stop` as soon as the parent stops or ends."""

        def ended() -> None:
            loop.remove_reader(self.parent)
            stop()

        loop.add_reader(self.parent, ended)

    def announce(self, url: str, has_admin: bool) -> None:  # noqa: FBT001  # see `serve`
        """Report that the worker accepts requests."""
        os.write(self.ready, f"{url} {'admin' if has_admin else ''}".encode())
        os.close(self.ready)


class GatewayAddress:
    """How clients, commands and other workers reach a gateway or one of its workers."""

    def __init__(
        self, settings: Settings, worker: WorkerPlace | None, rendered: Callable[[], bytes]
    ) -> None:
        self._file = settings.store.gateway_file
        self._rendered = rendered
        self._folder = None if worker is None else worker.folder
        self._channel: WorkerChannel | None = None
        self.is_shared = worker is not None
        self.port = settings.server.listen.port if worker is None else worker.port
        # The token of the control channel.
        self.token = Secret(token_urlsafe(48)) if worker is None else worker.token

    async def add_up(self, page: bytes) -> bytes:
        """Add the metrics of other workers to a page."""
        return page if self._channel is None else await self._channel.add_up(page)

    async def leave(self, url: str, reload: Reload) -> None:
        """Write the address file for commands. For workers, their parent writes it.

        `reload` reloads the settings of this process.
        """
        if self._folder is None:
            leave_address(self._file, url=url, token=self.token)
        else:
            self._channel = WorkerChannel(self._folder, self._rendered, reload)
            await self._channel.start()

    async def reload_others(self, own_report: ReloadReport, *, dry_run: bool) -> ReloadReport:
        """Reload the other workers, unless the settings have mistakes; return the whole report."""
        if self._channel is None or own_report.result is ReloadResult.FAILED:
            return own_report
        return await self._channel.reload_others(own_report, dry_run=dry_run)

    @property
    def is_reloaded(self) -> bool:
        """Whether a worker has reloaded its settings since the parent started."""
        return self._folder is not None and is_reloaded(self._folder)

    def mark_reloaded(self) -> None:
        """Record that new workers must read the settings again."""
        if self._folder is not None:
            mark_reloaded(self._folder)

    async def withdraw(self) -> None:
        if self._channel is not None:
            await self._channel.stop()
        elif not self.is_shared:
            remove_address(self._file)


class WorkersEnded(Exception):
    """The workers could not start; `code` is the exit code of one of them."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class WorkerSupervisor:
    """The parent: runs `count` workers until a signal."""

    def __init__(
        self,
        settings: Settings,
        count: int,
        *,
        announced: Callable[[str, bool], None],
        warn: Callable[[str], None],
    ) -> None:
        """`announced` gets the URL, and whether there is an admin, once all accept requests.

        `warn` is called with a message when a worker has ended and is replaced.
        """
        self._settings = settings
        self._count = count
        self._announced = announced
        self._warn = warn
        self._token = Secret(token_urlsafe(48))
        self._folder = Path(tempfile.mkdtemp(prefix="twite-"))
        self._alive: tuple[int, int] = os.pipe()
        self._woken: tuple[int, int] = os.pipe()
        self._starting: dict[int, int] = {}  # ready pipe → pid
        self._workers: set[int] = set()  # pids
        self._started = 0
        self._started_at = 0.0
        self._signals = 0
        self._reloads = 0
        self._is_up = False
        self._is_watched = watchdog_seconds() is not None
        self._port = 0

    def run(self) -> WorkerPlace | None:
        """Start the workers. Returns its place in each worker; in the parent, None at the end.

        Raises SettingsError if the address cannot be bound, and WorkersEnded if no worker could
        start.
        """
        address = self._settings.server.listen
        # Without SO_REUSEPORT first, so that another gateway on this port is an error.
        with closing(listening_socket("server.listen", address.host, address.port)) as probe:
            self._port = probe.getsockname()[1]
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        with socket.socket(family) as reserved:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind((address.host, self._port))
            self._heed_signals()
            place = self._supervise()
        if place is None:
            remove_address(self._settings.store.gateway_file)
            shutil.rmtree(self._folder, ignore_errors=True)
        return place

    def _heed_signals(self) -> None:
        def stop(_number: int, _frame: object) -> None:
            self._signals += 1

        os.set_blocking(self._woken[1], False)
        signal.set_wakeup_fd(self._woken[1], warn_on_full_buffer=False)

        def reload(_number: int, _frame: object) -> None:
            self._reloads += 1

        for number, act in (*((stops, stop) for stops in _STOPS), (signal.SIGHUP, reload)):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, act)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _supervise(self) -> WorkerPlace | None:
        code: int | None = None
        while code is None and not self._signals:
            for pid, failed in self._ended():
                if self._is_up:
                    how = f"exit code {failed}" if failed >= 0 else f"signal {-failed}"
                    self._warn(f"Worker process {pid} ended ({how}). Another one replaces it.")
                elif failed:
                    code = failed
                self._workers.discard(pid)
            if code is None and len(self._workers) < self._count and self._may_start():
                place = self._start()
                if place is not None:
                    return place
                continue
            self._wait()
            self._forward_reloads()
        self._stop()
        if code is not None:
            raise WorkersEnded(code)
        return None

    def _forward_reloads(self) -> None:
        """Let all workers reload their settings."""
        if not self._reloads:
            return
        self._reloads = 0
        notify(reloading())
        for pid in self._workers:
            os.kill(pid, signal.SIGHUP)
        notify("READY=1")

    def _may_start(self) -> bool:
        """Whether a worker may start now: the delay avoids restarting a broken one in a loop."""
        is_first = self._started < self._count
        return is_first or time.monotonic() - self._started_at >= _AT_MOST_EVERY

    def _start(self) -> WorkerPlace | None:
        ready, writable = os.pipe()
        # A worker unblocks the signal when it can handle it, and then gets the pending one.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
            os.close(writable)
            self._starting[ready] = pid
            self._workers.add(pid)
            self._started += 1
            self._started_at = time.monotonic()
            return None
        # Ctrl-C is handled by the parent.
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (*_STOPS, signal.SIGHUP, signal.SIGCHLD):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        for unused in (ready, self._alive[1], *self._woken, *self._starting):
            os.close(unused)
        return WorkerPlace(
            port=self._port,
            token=self._token,
            folder=self._folder,
            parent=self._alive[0],
            ready=writable,
        )

    def _wait(self) -> None:
        """Wait for a signal, the end of a worker, or the URL of one that has started."""
        if self._is_watched:
            notify("WATCHDOG=1")  # _LOOK is shorter than any sensible interval
        found, _, _ = select.select([self._woken[0], *self._starting], [], [], _LOOK)
        for pipe in found:
            said = os.read(pipe, 4_096)
            if pipe == self._woken[0]:
                continue
            os.close(pipe)
            del self._starting[pipe]
            are_all = self._started >= self._count and not self._starting
            if said and not self._is_up and are_all:
                self._is_up = True
                url, _, admin = said.decode().partition(" ")
                leave_address(self._settings.store.gateway_file, url=url, token=self._token)
                self._announced(url, bool(admin))
                notify("READY=1")

    def _ended(self) -> list[tuple[int, int]]:
        """Return (pid, exit code) of the workers that have ended."""
        ended = []
        for pid in list(self._workers):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                ended.append((pid, os.waitstatus_to_exitcode(status)))
        return ended

    def _stop(self) -> None:
        """Let the workers finish their requests. A second signal kills them."""
        notify("STOPPING=1")
        os.close(self._alive[1])
        while self._workers:
            for pid, _ in self._ended():
                self._workers.discard(pid)
            if self._signals > 1:
                for pid in self._workers:
                    os.kill(pid, signal.SIGKILL)
            if self._workers and select.select([self._woken[0]], [], [], _LOOK)[0]:
                os.read(self._woken[0], 4_096)
