"""Real processes on real sockets: a gateway, an emulator of X, and a shop that posts to them."""

import json
import subprocess
import sys
from pathlib import Path

import fork_server
from gateway_process import BalanceWatch, GatewayProcess, environment, wait_for

__all__ = [
    "ENVIRONMENT",
    "KEY",
    "PIXEL",
    "TOKEN",
    "BalanceWatch",
    "Gateway",
    "PostgresGateway",
    "command",
    "replay",
    "wait_for",
]

KEY = "journey-key-journey-key-journey"
PIXEL = "o8z6j"
TOKEN = "emulator-pixel-token-o8z6j"
ENVIRONMENT = environment()

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


class Gateway(GatewayProcess):
    """A gateway that sends to an X, with its settings and its database in a folder."""

    def __init__(self, folder: Path, x: str, *, extra: str = "", auth: str | None = None) -> None:
        super().__init__(folder / "twite.toml", note=folder / "twite.db.gateway", key=KEY)
        self.folder = folder
        token = f'{{ pixel_token = "{TOKEN}" }}'
        self.config.write_text(SETTINGS.format(x=x, extra=extra, auth=auth or token, key=KEY))


class PostgresGateway(Gateway):
    """A gateway with a PostgreSQL store. `extra` goes into the table [server]."""

    def __init__(self, folder: Path, x: str, url: str, *, extra: str = "") -> None:
        super().__init__(folder, x)
        settings = self.config.read_text().replace("[store]", f"{extra}\n[store]")
        self.config.write_text(settings.replace("sqlite:twite.db", url))

    @property
    def note(self) -> Path:
        return self.folder / "twite.postgresql.gateway"


def command(
    gateway: Gateway, *args: str, typed: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a `twite` command with the gateway's settings; `typed` is its standard input."""
    return fork_server.run(
        [sys.executable, "-m", "twite", *args, "--config", str(gateway.config)],
        capture_output=True,
        text=True,
        env=gateway.environment,
        check=False,
        timeout=120,
        input=typed,
    )


def replay(gateway: Gateway, *words: str) -> subprocess.CompletedProcess[str]:
    """Start a replay with `twite dead replay`, and follow it until nothing is left to send.

    Returns what the start printed, as JSON.
    """
    started = command(gateway, "dead", "replay", *words, "--json")
    found = json.loads(started.stdout)["replay"]
    if found is not None:
        command(gateway, "dead", "replays", found, "--follow")
    return started


def discard(gateway: Gateway, *words: str) -> subprocess.CompletedProcess[str]:
    return command(gateway, "dead", "discard", *words)
