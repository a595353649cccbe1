"""The gateway's side of the fork server: start it, request processes, find out how they ended."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from weakref import WeakSet

import twite
from twite.domain.errors import TemplatesBusy
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen, SilentObserver
from twite.tags.engines.process.engine_line import PipeEnds
from twite.tags.engines.process.engine_memory import MOST, EngineMemory
from twite.tags.engines.process.engine_process import QuickJsProcess
from twite.tags.template.sandbox import RunLimits

# Ignore paths of the environment, so that the running version of Twite comes first.
_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from twite.tags.engines.process.fork_server import main; main()"
)
NO_FILTER: Final = (
    "the kernel does not filter the system calls of engine processes here: no seccomp. Templates "
    "still run in processes without files, sockets and credentials"
)
_CHUNK: Final = 64 * 1024
_RETRY_AFTER: Final = 1  # seconds
_ENDING: Final = 2.0  # seconds


class EngineServer:
    """Makes engine processes; see gateway.ports.engines.EngineProcesses.

    `keys` are the keys for hmacSha256, by id; `memory` is the limit for all processes together, in
    bytes. Use a server in one event loop only. The fork server is started with the first process,
    and again if it has ended. Several users may share it: each calls `start` and, after it has
    stopped its own processes, `stop`.
    """

    def __init__(
        self,
        *,
        keys: Mapping[str, str] | None = None,
        memory: int = MOST,
        observer: Observer | None = None,
    ) -> None:
        self._keys = keys or {}
        self._observer = SilentObserver() if observer is None else observer
        self._is_reported = False  # whether a missing filter has been reported
        self.memory = EngineMemory(memory)
        self._server: subprocess.Popen[bytes] | None = None
        self._ending: list[subprocess.Popen[bytes]] = []
        self._line: socket.socket | None = None
        self._held = b""
        self._asked = 0
        self._spawned: dict[int, asyncio.Future[int]] = {}
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._processes: WeakSet[QuickJsProcess] = WeakSet()
        self._users = 0

    @property
    def pid(self) -> int | None:
        """The process id of the fork server, if it is running."""
        return None if self._server is None else self._server.pid

    def start(self) -> None:
        """Start the fork server now, so that the first run need not wait for it."""
        self._users += 1
        with contextlib.suppress(OSError):  # the first run reports the error
            self._started()

    def process(self, limits: RunLimits) -> QuickJsProcess:
        """Return a process whose runs have these limits."""
        made = QuickJsProcess(self, limits=limits, keys=self._keys, memory=self.memory)
        self._processes.add(made)
        return made

    async def stop(self) -> None:
        """End all processes, if no other user is left."""
        self._users = max(0, self._users - 1)
        if self._users:
            return
        for process in list(self._processes):
            process.stop()
        self._processes.clear()
        self._forget()
        ending, self._ending = self._ending, []
        for server in ending:
            await asyncio.to_thread(_reap, server)

    def spawn(self, *, memory: int) -> tuple[PipeEnds, asyncio.Future[int]]:
        """Start a process; return the gateway's ends of its pipes, and its future process id.

        `memory` is its memory limit, in bytes. Raises TemplatesBusy.
        """
        ends: list[int] = []
        try:
            ends += os.pipe()
            ends += os.pipe()
            its_input, writer, reader, its_output = ends
            line = self._started()
            self._asked += 1
            asked = json.dumps({"spawn": self._asked, "memory": memory}).encode() + b"\n"
            socket.send_fds(line, [asked], [its_input, its_output])
        except OSError as error:
            for end in ends:
                os.close(end)
            reason = f"no engine process can be started ({error.strerror})"
            raise TemplatesBusy(reason=reason, retry_after=_RETRY_AFTER) from None
        pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._spawned[self._asked] = pid
        for end in (its_input, its_output):
            os.close(end)
        return PipeEnds(reader, writer), pid

    def kill(self, pid: int) -> None:
        """End a process at once."""
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.send(json.dumps({"kill": pid}).encode() + b"\n")

    def ended(self, pid: int) -> asyncio.Future[int]:
        """Return the future exit status of a process; a signal's number is below zero."""
        return self._ended.setdefault(pid, asyncio.get_running_loop().create_future())

    def forget(self, pid: int) -> None:
        """Forget the exit status of a process."""
        self._ended.pop(pid, None)

    def _started(self) -> socket.socket:
        if self._line is not None:
            return self._line
        ours, its = socket.socketpair()
        ours.settimeout(0)
        try:
            self._server = subprocess.Popen(  # noqa: S603  this interpreter
                [sys.executable, "-I", "-c", _PROGRAM, str(Path(twite.__file__).parents[1])],
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            its.close()
        self._line = ours
        asyncio.get_running_loop().add_reader(ours, self._hear, ours)
        return ours

    def _hear(self, line: socket.socket) -> None:
        try:
            data = line.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget()
            return
        *lines, self._held = (self._held + data).split(b"\n")
        for text in lines:
            self._handle(json.loads(text))

    def _handle(self, said: dict[str, int]) -> None:
        if "filters" in said:
            self._report(filters=bool(said["filters"]))
        elif "spawn" in said:
            waiting = self._spawned.pop(said["spawn"])
            if not waiting.done():
                waiting.set_result(said["pid"])
        else:
            ended = self.ended(said["pid"])
            if not ended.done():
                ended.set_result(said["status"])

    def _report(self, *, filters: bool) -> None:
        if not filters and not self._is_reported:
            self._is_reported = True
            self._observer.see(ProblemSeen(where=ProblemPlace.ENGINES, reason=NO_FILTER))

    def _forget(self) -> None:
        """Close the connection to the fork server: the kernel then ends its processes."""
        line, self._line = self._line, None
        if line is not None:
            asyncio.get_running_loop().remove_reader(line)
            line.close()
        for waiting in (*self._spawned.values(), *self._ended.values()):
            waiting.cancel()
        self._spawned.clear()
        self._ended.clear()
        self._held = b""
        server, self._server = self._server, None
        self._ending = [ended for ended in self._ending if ended.poll() is None]
        if server is not None:
            self._ending.append(server)


def _reap(server: subprocess.Popen[bytes]) -> None:
    try:
        server.wait(_ENDING)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
