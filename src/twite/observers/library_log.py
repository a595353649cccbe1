"""What Python and libraries would print on standard error, as lines of the log.

Their texts may quote a person: a line has only their beginning, masked, and of an exception its
type and where it was raised.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

from twite.observers.log import LineLogger
from twite.redaction.mask_text import without_echoes

_MOST_FRAMES: Final = 12


@contextmanager
def library_messages(logger: LineLogger) -> Iterator[None]:
    """Write warnings of libraries and errors that nothing has caught to the log."""
    root, handler = logging.getLogger(), _Handler(logger)
    raises, before = logging.raiseExceptions, (sys.unraisablehook, threading.excepthook)

    def unraisable(ignored: "sys.UnraisableHookArgs") -> None:
        kind, trace = ignored.exc_type, ignored.exc_traceback
        logger.write("error", "internal error", **raised(kind, trace))

    def in_thread(ended: threading.ExceptHookArgs) -> None:
        logger.write("error", "internal error", **raised(ended.exc_type, ended.exc_traceback))

    root.addHandler(handler)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # it would print errors of a handler
    sys.unraisablehook, threading.excepthook = unraisable, in_thread
    try:
        yield
    finally:
        sys.unraisablehook, threading.excepthook = before
        logging.raiseExceptions = raises
        logging.captureWarnings(capture=False)
        root.removeHandler(handler)


def raised(kind: type[BaseException], trace: TracebackType | None) -> dict[str, str]:
    """Return the values of a log line about an exception. Its text may quote a person."""
    frames = traceback.extract_tb(trace)[-_MOST_FRAMES:]
    where = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": kind.__name__, "where": ", ".join(where)}


class _Handler(logging.Handler):
    def __init__(self, logger: LineLogger) -> None:
        super().__init__(logging.WARNING)
        self._to = logger

    def emit(self, record: logging.LogRecord) -> None:
        values = {"library": record.name, "reason": without_echoes(record.getMessage())}
        if record.exc_info and record.exc_info[0] is not None:
            values |= raised(record.exc_info[0], record.exc_info[2])
        level = "error" if record.levelno >= logging.ERROR else "warning"
        self._to.write(level, "message of a library", **values)
