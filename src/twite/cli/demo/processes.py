"""The parts of the demo: an emulator of X and a gateway in separate processes, and a shop."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from twite.cli.demo.campaigns import advertise
from twite.cli.demo.shop import DemoFailed, DemoShop, send
from twite.domain.secret import Masked
from twite_emulator.process import Emulator, running_emulator

KEY: Final = "demo-source-key-demo-source-key"
PIXEL: Final = "o8z6j"
TOKEN: Final = "emulator-pixel-token-o8z6j"  # noqa: S105  invented, and valid only at the emulator

_SETTINGS: Final = Path(__file__).with_name("demo.toml")
_ENVIRONMENT: Final = {
    # Without variables that override settings.
    name: text
    for name, text in os.environ.items()
    if not name.startswith("TWITE_")
}
_READY_SECONDS: Final = 30
_FRAME: Final = re.compile("[─│╭╮╰╯]+")  # around a usage error


class DemoUser(Masked, frozen=True, kw_only=True):
    """The console's user, and a link that signs in once."""

    in_repr = ("name",)
    name: str
    password: str
    link: str


class DemoProcesses:
    """The demo's processes, as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = folder / "gateway.log"
        self.config = folder / "twite.toml"
        self.gateway_url = ""
        self.shop = DemoShop()
        self._ends = ExitStack()  # each process and the function that ends it
        self._gateway: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            # X documents that it drops duplicates between pixel and API. X does not document
            # duplicates between two API requests: this switch assumes that X drops them, too.
            self.emulator: Emulator = ends.enter_context(running_emulator("dedup_scope=all"))
            advertise(self.emulator)
            ends.enter_context(self.shop)
            settings = _SETTINGS.read_text("utf-8").format(
                x=self.emulator.url,
                pixel=PIXEL,
                token=TOKEN,
                key=KEY,
                secret=secrets.token_urlsafe(32),
                port=_free_port(),
                shop=self.shop.url,
            )
            self.config.write_text(settings, encoding="utf-8")
            self.config.chmod(0o600)
            ends.callback(self._end_gateway)
            self._start_gateway()
            self.shop.open(gateway=self.gateway_url, x=self.emulator.url, key=KEY)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.close()

    def _end_gateway(self) -> None:
        if self._gateway is None:
            return
        self._gateway.terminate()
        try:
            self._gateway.communicate(timeout=_READY_SECONDS)
        except subprocess.TimeoutExpired:
            self._gateway.kill()
            self._gateway.communicate()

    def twite(
        self, *arguments: str, quiet: bool = False, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a `twite` command with the demo's settings."""
        return subprocess.run(  # noqa: S603  our own command under the running interpreter
            [sys.executable, "-m", "twite", *arguments, "--config", str(self.config)],
            text=True,
            capture_output=quiet,
            input=stdin,
            check=False,
            env=_ENVIRONMENT,
        )

    def done(self, *command: str, stdin: str | None = None) -> str:
        """Run a command; return its output. Raises DemoFailed."""
        ran = self.twite(*command, quiet=True, stdin=stdin)
        if ran.returncode:
            raise failed(command, ran)
        return ran.stdout

    def add_user(self) -> DemoUser:
        """Add a console admin for the duration of the demo."""
        name, password = "demo", secrets.token_urlsafe(12)
        self.done("user", "add", name, "--role", "admin", "--password-stdin", stdin=password)
        link = json.loads(self.done("user", "link", name, "--json"))["link"]
        return DemoUser(name=name, password=password, link=link)

    def deduplication(self) -> dict[str, int]:
        """Return how many conversion ids were sent today by each path: pixel, gateway or both."""
        return self._counts("deduplication", "--days", "1")

    def balance(self) -> dict[str, int]:
        """Return the balance of the gateway's source `shop`."""
        return self._counts("accounting")

    def _counts(self, *command: str) -> dict[str, int]:
        counts: dict[str, int] = json.loads(self.done(*command, "--json"))
        return counts

    def pending(self) -> object:
        """Return how many conversions are pending: the shop's or, if it has none, all."""
        # A request to the gateway is much faster than starting the command for the balance.
        found = send(self.gateway_url, "GET", "/v1/accounting", headers=self.shop.headers)
        return json.loads(found)["pending"] or self.balance()["pending"]

    def log(self) -> str:
        """Return what the gateway has logged: warnings and errors."""
        return self._log.read_text("utf-8", errors="replace").strip()

    def wait(self) -> None:
        """Wait until the gateway ends. It ends only after a signal or a failure."""
        if self._gateway is not None:
            self._gateway.wait()

    def _start_gateway(self) -> None:
        with self._log.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603  as above
                [sys.executable, "-m", "twite", "serve", "--json", "--config", str(self.config)],
                text=True,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_ENVIRONMENT,
            )
        self._gateway = process
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            process.wait(_READY_SECONDS)
            raise DemoFailed(f"the gateway did not start: {self.log()}")
        self.gateway_url = json.loads(line)["url"]


def failed(command: Sequence[str], ran: subprocess.CompletedProcess[str]) -> DemoFailed:
    """Return the error of a command that failed, with its own explanation."""
    said = " ".join(_FRAME.sub(" ", ran.stderr).split()) or f"exit code {ran.returncode}"
    return DemoFailed(f"the demo stopped, because twite {command[0]} failed: {said}")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
