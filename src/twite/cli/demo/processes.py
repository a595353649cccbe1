"""The parts of the demo: an emulator of X and a gateway in separate processes, and a shop."""

import json
import os
import secrets
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

import typer

from twite.cli.demo.shop import DemoShop, send
from twite_emulator.process import Emulator, running_emulator

KEY: Final = "demo-source-key-demo-source-key"
PIXEL: Final = "o8z6j"
TOKEN: Final = "emulator-pixel-token-o8z6j"  # noqa: S105  invented, and valid only at the emulator

_SETTINGS: Final = Path(__file__).with_name("demo.toml")
_ENVIRONMENT: Final = {
    # Without variables that override settings.
    **{name: text for name, text in os.environ.items() if not name.startswith("TWITE_")},
    "DEMO_PIXEL_TOKEN": TOKEN,
    "DEMO_SHOP_KEY": KEY,
}
_READY_SECONDS: Final = 30


class DemoProcesses:
    """The demo's processes, as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
            ends.enter_context(self.shop)
            settings = _SETTINGS.read_text("utf-8").format(
                x=self.emulator.url, pixel=PIXEL, port=_free_port(), shop=self.shop.url
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
        if self._gateway is not None:
            self._gateway.terminate()
            self._gateway.communicate(timeout=_READY_SECONDS)

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

    def add_user(self) -> tuple[str, str]:
        """Add a console admin for the duration of the demo; return name and password."""
        name, password = "demo", secrets.token_urlsafe(12)
        added = self.twite(
            "user", "add", name, "--role", "admin", "--password-stdin", quiet=True, stdin=password
        )
        if added.returncode:
            sys.stderr.write(added.stderr)
            raise typer.Exit(1)
        return name, password

    def deduplication(self) -> dict[str, int]:
        """Return how many conversion ids were sent today by each path: pixel, gateway or both."""
        return self._counts("deduplication", "--days", "1")

    def balance(self) -> dict[str, int]:
        """Return the balance of the gateway's source `shop`."""
        return self._counts("accounting")

    def _counts(self, *command: str) -> dict[str, int]:
        counts: dict[str, int] = json.loads(self.twite(*command, "--json", quiet=True).stdout)
        return counts

    def pending(self) -> object:
        """Return how many conversions are pending: the shop's or, if it has none, all."""
        # A request to the gateway is much faster than starting the command for the balance.
        found = send(self.gateway_url, "GET", "/v1/accounting", headers=self.shop.headers)
        return json.loads(found)["pending"] or self.balance()["pending"]

    def wait(self) -> None:
        """Wait until the gateway ends. It ends only after a signal or a failure."""
        if self._gateway is not None:
            self._gateway.wait()

    def _start_gateway(self) -> None:
        process = subprocess.Popen(  # noqa: S603  as above
            [sys.executable, "-m", "twite", "serve", "--json", "--config", str(self.config)],
            text=True,
            stdout=subprocess.PIPE,
            env=_ENVIRONMENT,
        )
        self._gateway = process
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            process.wait(_READY_SECONDS)
            raise typer.Exit(1)
        self.gateway_url = json.loads(line)["url"]


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
