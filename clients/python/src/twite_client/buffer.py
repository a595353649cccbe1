"""Sends conversions in the background."""

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Final

from twite_client.client import Twite
from twite_client.errors import BufferFullError, TwiteError
from twite_client.request import MAX_CONVERSIONS, encoded
from twite_client.types import Conversion, Receipt

_CLOSE_SECONDS: Final = 10.0

_log = logging.getLogger("twite_client")

OnReceipt = Callable[[Sequence[Conversion], Receipt], None]
OnError = Callable[[Sequence[Conversion], TwiteError], None]


class Buffer:
    """Keeps conversions in memory and sends them in a thread, up to 1,000 a request.

    What is in memory is lost if the process is killed; `Twite.send` loses nothing. `on_receipt`
    gets the verdicts, also of rejected conversions, and `on_error` the conversions that the client
    could not send; both run in the thread. Without `on_error`, `flush` and `close` raise the first
    error. After a fork, the child begins with an empty buffer.
    """

    def __init__(
        self,
        client: Twite,
        *,
        size: int = 10_000,
        interval: float = 0.5,
        on_receipt: OnReceipt | None = None,
        on_error: OnError | None = None,
    ) -> None:
        self._client = client
        self._size = size
        self._interval = interval
        self._on_receipt = on_receipt
        self._on_error = on_error
        self._thread: threading.Thread | None = None
        self._error: TwiteError | None = None
        self._reset()
        atexit.register(self._at_exit)

    def add(self, conversion: Conversion) -> None:
        """Keep a copy of a conversion. Raises BufferFullError; TypeError and ValueError."""
        encoded(conversion)  # raises here, and not in the thread
        if self._pid != os.getpid():
            self._reset()
        with self._changed:
            if self._closing:
                raise BufferFullError("the buffer is closed")
            if len(self._waiting) >= self._size:
                raise BufferFullError(f"the buffer holds {self._size} conversions")
            self._waiting.append(deepcopy(conversion))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="twite-buffer", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until each conversion is sent or failed; False after `timeout` seconds.

        Raises the first error that no `on_error` took.
        """
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self._waiting and not self._sending, timeout)
            self._flushing -= 1
            error, self._error = self._error, None
        if error is not None:
            raise error
        return done

    def close(self, timeout: float | None = _CLOSE_SECONDS) -> bool:
        """Flush, and take nothing more."""
        with self._changed:
            self._closing = True
        atexit.unregister(self._at_exit)
        return self.flush(timeout)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._waiting: list[Conversion] = []
        self._sending = False
        self._flushing = 0
        self._closing = False
        self._error = None
        self._thread = None

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                full = time.monotonic() + self._interval
                while (
                    len(self._waiting) < MAX_CONVERSIONS
                    and not self._flushing
                    and not self._closing
                    and (remaining := full - time.monotonic()) > 0
                ):
                    self._changed.wait(remaining)
                batch = self._waiting[:MAX_CONVERSIONS]
                del self._waiting[:MAX_CONVERSIONS]
                self._sending = True
            try:
                self._send(batch)
            except Exception as error:  # noqa: BLE001 - a callback's fault must not end the thread
                _log.error("a callback of the buffer raised %s", type(error).__name__)
            finally:
                with self._changed:
                    self._sending = False
                    self._changed.notify_all()

    def _send(self, batch: Sequence[Conversion]) -> None:
        try:
            receipt = self._client.send_many(batch)
        except TwiteError as error:
            if error.sent and self._on_receipt is not None:
                self._on_receipt(batch[: error.sent], error.receipt)
            if self._on_error is not None:
                self._on_error(batch[error.sent :], error)
            else:
                self._error = self._error or error
        else:
            if self._on_receipt is not None:
                self._on_receipt(batch, receipt)

    def _at_exit(self) -> None:
        if self._pid == os.getpid():
            self.close()
