"""Call a function in forked processes, to use several CPUs."""

import asyncio
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from twite.domain.errors import OperatorError

_LENGTH: Final = 8  # bytes before each message: its length
_MOST: Final = 3
_SHORTEST_WAIT: Final = 0.002  # seconds
_LONGEST_PAUSE: Final = 0.25

BytesFunction = Callable[[bytes], bytes]
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ForkedWorkers:
    """Processes that call a function of bytes. They end with this process, however it ends.

    They have the priority of this process. After a call that had to wait for the CPU, a worker
    pauses for the rest of that time: priorities do not count between control groups.
    """

    def __init__(self, free: "asyncio.Queue[_Streams]", count: int) -> None:
        """Use `forked` to create one."""
        self._free, self.count = free, count

    async def call(self, message: bytes) -> bytes:
        """Return the function's result. Raises OperatorError if the process has ended."""
        reader, writer = await self._free.get()
        try:
            writer.write(len(message).to_bytes(_LENGTH) + message)
            length = int.from_bytes(await reader.readexactly(_LENGTH))
            answer = await reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise OperatorError("a worker process ended. Its error is above. Try again") from None
        finally:
            self._free.put_nowait((reader, writer))
        return answer


def workers_here() -> int:
    """Return how many workers to fork; 0 with one CPU, or where processes cannot be forked."""
    if not hasattr(os, "fork") or not hasattr(os, "sched_getaffinity"):
        return 0
    cpus = len(os.sched_getaffinity(0))
    return 0 if cpus == 1 else min(cpus, _MOST)


@asynccontextmanager
async def forked(function: BytesFunction, count: int) -> AsyncIterator[ForkedWorkers]:
    """Fork `count` workers. This process must have one thread, which the workers continue."""
    sockets: list[socket.socket] = []
    pids = []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if not pid:
            # The end of this process closes its sockets, if no other worker has them.
            for each in (ours, *sockets):
                each.close()
            _serve(theirs, function)
        theirs.close()
        sockets.append(ours)
        pids.append(pid)
    free: asyncio.Queue[_Streams] = asyncio.Queue()
    writers = []
    for ours in sockets:
        reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        writers.append(writer)
        free.put_nowait((reader, writer))
    try:
        yield ForkedWorkers(free, count)
    finally:
        for writer in writers:
            writer.transport.abort()
        for pid in pids:
            await asyncio.to_thread(os.waitpid, pid, 0)


def _serve(theirs: socket.socket, function: BytesFunction) -> NoReturn:
    """Answer messages until the parent closes its end."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        # The parent handles Ctrl-C, and then closes its end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with theirs.makefile("rwb") as stream:
            while head := stream.read(_LENGTH):
                message = stream.read(int.from_bytes(head))
                began = time.perf_counter(), time.process_time()
                answer = function(message)
                _pause(time.perf_counter() - began[0], time.process_time() - began[1])
                stream.write(len(answer).to_bytes(_LENGTH) + answer)
                stream.flush()
        code = 0
    except (BrokenPipeError, ConnectionError):
        code = 0
    except BaseException as error:  # noqa: BLE001  # nothing may return to the parent's code
        # Its words may repeat what it read: a person's data.
        traceback.print_tb(error.__traceback__)
        sys.stderr.write(f"{type(error).__name__}\n")
    finally:
        os._exit(code)


def _pause(elapsed: float, used: float) -> None:
    # The workers and their parent wait for each other: for up to half of the time they use.
    waited = elapsed - used * 1.5
    if waited >= _SHORTEST_WAIT:
        time.sleep(min(waited, _LONGEST_PAUSE))
