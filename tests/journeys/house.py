"""Real processes on real sockets: a gateway, an emulator of X, and a shop that posts to them."""

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
from typing import Self

KEY = "journey-key-journey-key-journey"
PIXEL = "o8z6j"
TOKEN = "emulator-pixel-token-o8z6j"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TWITE_")}

SETTINGS = """
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite:twite.db"
[x]
api_url = "{x}"
rate = 10000000
timeout = "5s"
{extra}
[log]
level = "warning"
[[pixel]]
id = "o8z6j"
account = "18ce54d4x5t"
auth = {auth}
events = {{ purchase = "o8z6k", sign_up = "o8z6m" }}
[[source]]
name = "shop"
key = "{key}"
pixel = "o8z6j"
region = "GB"
"""


class Gateway:
    """`twite serve`, as a person runs it."""

    def __init__(self, folder: Path, x: str, *, extra: str = "", auth: str | None = None) -> None:
        self.folder = folder
        self.config = folder / "twite.toml"
        token = f'{{ pixel_token = "{TOKEN}" }}'
        self.config.write_text(SETTINGS.format(x=x, extra=extra, auth=auth or token, key=KEY))
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def note(self) -> Path:
        return self.folder / "twite.db.gateway"

    def start(self) -> None:
        self.note.unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "twite", "serve", "--config", str(self.config)],
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
            )
        wait_for(self.note.exists, self._ended)
        self.url = json.loads(self.note.read_text())["url"]
        wait_for(lambda: self.get("/readyz")[0] == 200, self._ended)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def post(self, body: object, path: str = "/v1/conversions") -> tuple[int, dict[str, object]]:
        return self._ask(path, data=json.dumps(body).encode())

    def get(self, path: str) -> tuple[int, dict[str, object]]:
        return self._ask(path)

    def balance(self) -> dict[str, int]:
        return self.get("/v1/accounting")[1]  # type: ignore[return-value]

    def drained(self, seconds: float = 60.0) -> dict[str, int]:
        """Wait until nothing is pending, and return the balance."""
        wait_for(lambda: self.balance()["pending"] == 0, self._ended, seconds=seconds)
        return self.balance()

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def _ended(self) -> str | None:
        assert self.process is not None
        return None if self.process.poll() is None else f"the gateway ended: {self.log()[-2_000:]}"

    def _ask(self, path: str, data: bytes | None = None) -> tuple[int, dict[str, object]]:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, _read(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _read(error.read())


class BalanceWatch:
    """Asks a gateway for its balance four times a second, whenever it runs."""

    def __init__(self, gateway: Gateway) -> None:
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
        while not self._over.wait(0.25):
            try:
                balance = self._gateway.balance()
            except (OSError, ValueError, http.client.HTTPException):
                continue  # it is down just now
            if "balance" in balance:
                self.samples += 1
                if balance["balance"]:
                    self.residues.append(balance)


def command(gateway: Gateway, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a `twite` command with the gateway's settings."""
    return subprocess.run(
        [sys.executable, "-m", "twite", *args, "--config", str(gateway.config)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
        timeout=120,
    )


def wait_for(
    ready: Callable[[], bool],
    ended: Callable[[], str | None] = lambda: None,
    *,
    seconds: float = 30.0,
) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except OSError:
            pass
        why = ended() or ("it took too long" if time.monotonic() > end else None)
        if why:
            raise AssertionError(why)
        time.sleep(0.02)


def _read(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {"text": body.decode()}
    return found if isinstance(found, dict) else {"list": found}
