"""The fork server: a process with an empty environment that forks the engine processes.

A forked process is ready in about a millisecond, and shares the memory of the modules imported
here. The server runs no template. It reports how each process ended, and ends when the gateway
does.

    the gateway sends   {"spawn": 7, "memory": …}, with the ends of its two pipes
                        {"kill": 1234}
    the server sends    {"filters": true}, once: whether the kernel filters system calls
                        {"spawn": 7, "pid": 1234}, {"pid": 1234, "status": -11}
"""

import gc
import json
import os
import select
import signal
import socket
from contextlib import suppress
from typing import Final

from twite.tags.engines.process.child import serve, warm_up
from twite.tags.engines.process.isolation import INPUT, OUTPUT, end_with, isolate, read_mapped

_CHUNK: Final = 64 * 1024
_MOST_DESCRIPTORS: Final = 64
_FAILED: Final = 70
_TRIAL_MEMORY: Final = 256 * 1024 * 1024
_MOST_OPEN: Final = 1024
_FIRST_TO_END: Final = "900"  # of 1000: if memory runs out, this ends before the gateway


def main() -> None:
    """Serve on descriptor 0."""
    end_with(os.getppid())
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    # SIGPROF must end a step at its limit, even if the gateway ignores or blocks the signal.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write(_FIRST_TO_END)
    warm_up()
    read_mapped()
    gc.collect()
    gc.freeze()
    ForkServer(socket.socket(fileno=0)).serve()


class ForkServer:
    """Forks engine processes for the gateway at the other end of `line`."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._held = b""
        self._ends: list[int] = []
        self._children: set[int] = set()
        self._filters = works_with_filter()
        self._send({"filters": self._filters})
        self._ended, wakes = os.pipe()
        os.set_blocking(self._ended, False)
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Serve until the gateway closes its end."""
        while True:
            ready, _, _ = select.select([self._line.fileno(), self._ended], [], [])
            if self._ended in ready:
                with suppress(BlockingIOError):
                    os.read(self._ended, _CHUNK)
                self._reap()
            if self._line.fileno() in ready and not self._receive():
                return

    def _receive(self) -> bool:
        try:
            data, ends, _, _ = socket.recv_fds(self._line, _CHUNK, _MOST_DESCRIPTORS)
        except ConnectionError:
            return False  # the gateway ended without reading the last message
        self._ends += ends
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(data)

    def _obey(self, asked: dict[str, int]) -> None:
        if "kill" in asked:
            # Only this process reaps its children, so the id still belongs to that child.
            if asked["kill"] in self._children:
                os.kill(asked["kill"], signal.SIGKILL)
            return
        ends = self._ends.pop(0), self._ends.pop(0)
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            _close(ends)
            self._send({"spawn": asked["spawn"], "pid": 0})
            return
        if pid == 0:
            _become(ends, parent=server, memory=asked["memory"], filters=self._filters)
        _close(ends)
        self._children.add(pid)
        self._send({"spawn": asked["spawn"], "pid": pid})

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._children.discard(pid)
            self._send({"pid": pid, "status": os.waitstatus_to_exitcode(status)})

    def _send(self, said: dict[str, int]) -> None:
        with suppress(BrokenPipeError):  # the next read ends the server
            self._line.sendall(json.dumps(said).encode() + b"\n")


def works_with_filter() -> bool:
    """Return whether turns work with the system call filter.

    The kernel may refuse it, and another libc may need other calls.
    """
    server = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        return True  # the engine processes will fail in the same way
    if pid == 0:
        try:
            isolate(parent=server, memory=_TRIAL_MEMORY)
            warm_up()
            os._exit(0)
        finally:
            os._exit(_FAILED)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _close(ends: tuple[int, int]) -> None:
    for end in ends:
        os.close(end)


def _become(ends: tuple[int, int], *, parent: int, memory: int, filters: bool) -> None:
    """Become an engine process; does not return."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end, own in zip(ends, (INPUT, OUTPUT), strict=True):
            os.dup2(end, own)
        os.closerange(OUTPUT + 1, _MOST_OPEN)
        isolate(parent=parent, memory=memory, filters=filters)
        serve()
        os._exit(0)
    finally:
        os._exit(_FAILED)
