"""Run `twite serve` as a process on a real socket: start it, kill it, send requests."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final, Self

# Far longer than the gateway's own deadline for a stop.
STOP_SECONDS: Final = 40
_LOOK_SECONDS: Final = 0.25

Answer = tuple[int, dict[str, object]]


class GatewayError(AssertionError):
    """The gateway ended, or did not reach the expected state: the test fails."""


class GatewayProcess:
    """A gateway with a settings file; `start` may follow each `stop` and each `kill`.

    `note` is the address file next to the database, and `key` a source key. Its processes run in
    `environment`. Tests may replace `popen`, which starts them.
    """

    popen: ClassVar[type[subprocess.Popen[bytes]]] = subprocess.Popen

    def __init__(self, config: Path, *, note: Path, key: str) -> None:
        self.config = config
        self.key = key
        self.environment = environment()
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self._note = note
        self._log = config.with_name("log")

    @property
    def note(self) -> Path:
        """The gateway's address file."""
        return self._note

    def start(self) -> None:
        """Start the gateway, and wait until it accepts requests.

        Raises GatewayError with its log.
        """
        self.note.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self.process = self.popen(
                [sys.executable, "-m", "twite", "serve", "--config", str(self.config)],
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        wait_for(self.note.exists, self.ended)
        self.url = json.loads(self.note.read_text())["url"]
        wait_for(lambda: self.get("/readyz")[0] == 200, self.ended)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def kill(self) -> None:
        """Kill the gateway, as `kill -9` does."""
        process = self._running()
        process.kill()
        process.wait()

    def stop(self) -> int:
        """Stop the gateway with SIGTERM, as a service manager does; return its exit code."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=STOP_SECONDS)

    def post(self, body: object, path: str = "/v1/conversions") -> Answer:
        """Post JSON; return the status and the JSON of the response."""
        return self._ask(path, json.dumps(body).encode())

    def get(self, path: str) -> Answer:
        """Send a GET request; return the status and the JSON of the response.

        Text is under `text`.
        """
        return self._ask(path)

    def balance(self) -> dict[str, int]:
        """Return the response of `GET /v1/accounting`."""
        return self.get("/v1/accounting")[1]  # type: ignore[return-value] # counts, except `by`

    def drained(self, seconds: float = 60.0) -> dict[str, int]:
        """Wait until nothing is pending, and return the balance. Raises GatewayError."""
        wait_for(lambda: self.balance()["pending"] == 0, self.ended, seconds=seconds)
        return self.balance()

    def log(self) -> str:
        """Return the output of all its processes."""
        return self._log.read_text()

    def ended(self) -> str | None:
        """Return the end of its log if it has ended; None while it runs."""
        return (
            None if self._running().poll() is None else f"the gateway ended: {self.log()[-2_000:]}"
        )

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise GatewayError("the gateway has not been started")
        return self.process

    def _ask(self, path: str, body: bytes | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, _read(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _read(error.read())


class BalanceWatch:
    """Reads a gateway's balance four times a second while it runs.

    `samples` counts the readings, `residues` lists the balances that were not 0.
    """

    def __init__(self, gateway: GatewayProcess) -> None:
        self.samples = 0
        self.residues: list[dict[str, int]] = []
        self._gateway = gateway
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            try:
                balance = self._gateway.balance()
            except (OSError, ValueError, http.client.HTTPException):
                continue  # the gateway is not running now
            if "balance" in balance:
                self.samples += 1
                if balance["balance"]:
                    self.residues.append(balance)


def environment() -> dict[str, str]:
    """Return this process's environment without variables that override settings."""
    return {name: text for name, text in os.environ.items() if not name.startswith("TWITE_")}


def wait_for(
    ready: Callable[[], bool],
    ended: Callable[[], str | None] = lambda: None,
    *,
    seconds: float = 30.0,
) -> None:
    """Wait for a condition. Raises GatewayError if `ended` gives a reason to stop waiting."""
    end = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except OSError:
            pass
        why = ended() or ("it took too long" if time.monotonic() > end else None)
        if why:
            raise GatewayError(why)
        time.sleep(0.02)


def _read(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {"text": body.decode()}
    return found if isinstance(found, dict) else {"list": found}
