"""A gateway with a pixel without credentials, and users who sign in for it."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from gateway_processes import ENVIRONMENT, KEY, Gateway

import fork_server
from x_page import CONSUMER_KEY, CONSUMER_SECRET, answer_the_page

SETTINGS = """
[server]
listen = "127.0.0.1:0"
secret_key = "file:twite.secret"
[store]
url = "sqlite:twite.db"
[x]
api_url = "{x}"
oauth_url = "{x}"
consumer_key = "{key}"
consumer_secret = "{secret}"
[[pixel]]
id = "o8z6j"
account = "18ce54d4x5t"
{auth}
events = {{ purchase = "o8z6k" }} # ours → X's
[[source]]
name = "shop"
key = "{shop}"
pixel = "o8z6j"
"""
# The earlier token in the emulator's documentation.
OAUTH = (
    f'auth = {{ consumer_key = "{CONSUMER_KEY}", consumer_secret = "{CONSUMER_SECRET}", '
    'token = "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", '
    'token_secret = "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE" }'
)


class Unsigned(Gateway):
    """`twite serve` without X credentials; `auth` is a line of the settings."""

    def __init__(self, folder: Path, x: str, *, auth: str = "") -> None:
        super().__init__(folder, x)
        text = SETTINGS.format(x=x, key=CONSUMER_KEY, secret=CONSUMER_SECRET, shop=KEY, auth=auth)
        self.config.write_text(text)
        (folder / "twite.secret").write_text("the-first-key-that-seals\n")

    def order(self, number: str) -> int:
        """Post a purchase; return the status."""
        conversion = {
            "event": "purchase",
            "conversion_id": number,
            "value": "49.90",
            "currency": "EUR",
            "email": "shopper@shop.example",
        }
        return self.post(conversion)[0]


def log_in(
    gateway: Gateway, *arguments: str, typed: str | None = None, **choice: str
) -> tuple[int, str, str]:
    """Run `twite login`, act as the user on X's page, and return the finished process.

    `typed` is entered instead of the PIN.
    """
    command = [
        sys.executable, "-m", "twite", "login", *arguments, "--config", str(gateway.config)
    ]  # fmt: skip
    process = fork_server.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        text=True,
    )
    assert process.stdout is not None
    first = ""
    if "--pixel-token" not in arguments:
        first = process.stdout.readline()
        if first and "--json" not in arguments:
            first = process.stdout.readline()
    if not first:
        out, err = process.communicate(typed, timeout=60)
        return process.wait(), out, err
    page = json.loads(first)["page"] if first.startswith("{") else first.strip()
    pin, sent_to = answer_the_page(page, **choice)
    if sent_to:
        _follow(sent_to)
    out, err = process.communicate(f"{pin if typed is None else typed}\n", timeout=60)
    return process.wait(), out, err


def _follow(address: str) -> None:
    """Follow X's redirect, as the browser does."""
    with urllib.request.urlopen(address, timeout=30) as page:
        assert "you can close this page" in page.read().decode()
