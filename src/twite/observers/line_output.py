"""Lines on standard output or standard error, whose reader may hang or end before the gateway."""

import os
import select
from contextlib import suppress
from typing import Final, TextIO

# If a pipe is writable, it takes as many bytes at once (PIPE_BUF of Linux).
_AT_ONCE: Final = 4_096
# Milliseconds. A reader that is only slow takes a line within this time.
_PATIENCE: Final = 100


class LineOutput:
    """Writes lines to what a stream was at first. It never raises, and never waits for long."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._fd: int | None = None
        with suppress(OSError, ValueError, AttributeError):  # not a file: of tests
            self._fd = stream.fileno()  # type: ignore[union-attr]  # None has no such attribute
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._is_hanging = self._is_cut = False

    @property
    def is_terminal(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def write(self, line: str) -> bool:
        """Write a line; return False if it is lost, because its reader hangs or has ended."""
        try:
            if self._fd is None:
                if self._stream is not None:
                    self._stream.write(f"{line}\n")
                    self._stream.flush()
                return self._stream is not None
            cut = "\n" if self._is_cut else ""
            rest = memoryview(f"{cut}{line}\n".encode(self._encoding, "backslashreplace"))
            while rest:
                if self._hangs():
                    return False
                rest = rest[os.write(self._fd, rest[:_AT_ONCE]) :]
                self._is_cut = bool(rest)
        except (OSError, ValueError):  # a closed stream of a test raises the second
            return False
        return True

    def _hangs(self) -> bool:
        """Wait until a write would not block, unless the reader already kept a line waiting."""
        if self._fd is None:
            return False
        ready = select.poll()
        ready.register(self._fd, select.POLLOUT)
        self._is_hanging = not ready.poll(0 if self._is_hanging else _PATIENCE)
        return self._is_hanging
