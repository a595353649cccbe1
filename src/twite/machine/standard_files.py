"""Standard output and standard error, if their reader ends or the process started without them."""

import io
import os
import sys
from typing import Final, TextIO

# The exit code that shells show for a program that SIGPIPE ended: 128 + 13.
_READER_ENDED: Final = 141


def open_missing_files() -> None:
    """Open a file for each standard file that was closed, as by `>&-`.

    Otherwise a socket could become standard error.
    """
    missing = [number for number in (0, 1, 2) if not _is_open(number)]
    for _ in missing:
        os.open(os.devnull, os.O_RDWR)  # the lowest free number
    if sys.stdout is None:
        sys.stdout = _text(io.FileIO(1, "w", closefd=False))
    if sys.stderr is None:
        sys.stderr = _text(io.FileIO(2, "w", closefd=False))


def end_with_the_reader() -> None:
    """Let the command end quietly if the reader of its output ends, as with `| head -1`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and _is_file(stream):
            stream.flush()
            setattr(sys, name, _text(_Pipe(stream.fileno(), "w", closefd=False), stream))


class _Pipe(io.FileIO):
    def write(self, data: bytes) -> int:  # type: ignore[override]  # the buffer passes bytes
        try:
            return super().write(data)
        except BrokenPipeError:
            # What is still buffered must go somewhere when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            raise SystemExit(_READER_ENDED) from None


def _text(raw: io.FileIO, like: TextIO | None = None) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=None if like is None else like.encoding,
        errors="backslashreplace" if like is None else like.errors,
        line_buffering=like is not None and bool(like.line_buffering),
    )


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _is_file(stream: TextIO) -> bool:
    try:
        stream.fileno()
    except (OSError, ValueError):  # replaced by a test
        return False
    return True
