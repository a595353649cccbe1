"""A server in threads, which answers while the event loop of a test stands still."""

import asyncio
import socket
import threading
import time

ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class ThreadedX:
    """An X in its own thread: it answers while the event loop of the test is blocked."""

    def __init__(self, requests, *, parts=(ACCEPTED,)):
        self.parts = parts
        self.received, self.answered = threading.Event(), threading.Event()
        self.may_answer = threading.Event()
        self._expected, self._left = requests, requests
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = "http://{}:{}/".format(*self._socket.getsockname())
        threading.Thread(target=self._serve, args=(requests,), daemon=True).start()

    def _serve(self, requests):
        for _ in range(requests):
            connection, _ = self._socket.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            while not connection.recv(65_536).endswith(b"{}"):
                pass
            with self._lock:
                self._expected -= 1
                if not self._expected:
                    self.received.set()
            self.may_answer.wait(10)
            for part in self.parts:
                connection.sendall(part)
            with self._lock:
                self._left -= 1
                if not self._left:
                    self.answered.set()
            connection.recv(1)

    def close(self):
        self._socket.close()


async def block_until_the_timeout(x):
    """Run nothing in this thread, as after SIGSTOP, until the timeout of 2 s has passed."""
    await asyncio.to_thread(x.received.wait, 10)
    x.may_answer.set()
    x.answered.wait(5)
    time.sleep(2.5)  # noqa: ASYNC251 - the loop must stand still
