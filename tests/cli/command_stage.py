"""A folder with settings and a store, for commands."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import fork_server
from builders import NOW, a_submission, an_entry
from command_schemas import require_schema
from twite.domain.alert import Alert, AlertKind
from twite.domain.delivery import Attempt, Settlement, Transition, Trigger
from twite.gateway.ports.outbox import Claim
from twite.stores.sqlite import SQLiteStore

RECEIPT = "01a21050-10aa-74ba-a097-7c8d979853a0"
# X echoes input: a color code, a window title, bidirectional text, a bell.
HOSTILE = "\x1b[31m\x1b]0;owned\x07 [bold]big[/bold] \u202egpj.exe \x9b2J"
SETTINGS = """\
[server]
listen = "127.0.0.1:0"
[x]
api_url = "{x}"
[[pixel]]
id = "o8z6j"
auth = {{ pixel_token = "env:X_PIXEL_TOKEN" }}
events = {{ purchase = "o8z6k", sign_up = "o8z6m" }}
[[source]]
name = "shop"
key = "env:TWITE_SHOP_KEY"
pixel = "o8z6j"
"""
HELD_ALERT = Alert(
    id="a",
    kind=AlertKind.CONVERSIONS_HELD,
    subject="o8z6j",
    reason="3 conversions are held",
    opened_at=NOW,
    reported_at=NOW,
    unsent_phase=None,
)
KEY = "a-key-that-nobody-will-guess"
# Commands under test do not inherit the machine's environment variables.
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": os.pathsep.join(sys.path),
    "X_PIXEL_TOKEN": "emulator-pixel-token-o8z6j",
    "TWITE_SHOP_KEY": KEY,
}


def settings_in(folder: Path, x: str = "http://127.0.0.1:1") -> Path:
    path = folder / "twite.toml"
    path.write_text(SETTINGS.format(x=x))
    return path


def twite(
    *arguments: str, environ: dict[str, str] | None = None, seconds: int = 30
) -> tuple[int, str, str]:
    """Run a command as a process; return its exit code and both outputs."""
    done = fork_server.run(
        [sys.executable, "-m", "twite", *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | (environ or {}),
        timeout=seconds,
        check=False,
    )
    require_schema(arguments, done.stdout)
    return done.returncode, done.stdout, done.stderr


@contextmanager
def running(
    *arguments: str, popen: type[subprocess.Popen[str]] = fork_server.Popen, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    """Start a command with --json; yield it with its ready message."""
    with popen(
        [sys.executable, "-m", "twite", *arguments, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | environment,
    ) as process:
        try:
            line = process.stdout.readline()
            yield process, json.loads(line) if line else {}
        finally:
            if process.poll() is None:
                process.kill()


def store_in(folder: Path) -> None:
    """Make a store where order-1 is delivered, order-2 dead, order-3 held, and order-4 queued."""
    write_files(folder, _files_of_store())


@cache
def _files_of_store() -> dict[str, bytes]:
    """Fill the store once: that takes 50 ms of CPU."""
    return files_of(fill_with_orders)


def files_of(fill: Callable[[str], Coroutine[None, None, None]]) -> dict[str, bytes]:
    """Fill a store in an empty folder; return the content of its files by their names."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(fill(f"{folder}/twite.db"))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


async def fill_with_orders(path: str) -> None:
    store = await SQLiteStore.open(path)
    try:
        for order, end, said in (
            ("order-1", Trigger.DELIVERED, ("delivered", 200, "all is well")),
            ("order-2", Trigger.GIVEN_UP, ("rejected", 400, HOSTILE)),
            ("order-3", Trigger.HELD, ("errored", None, "")),
        ):
            outcome, status, answer = said
            await _attempted(store, order, end, outcome=outcome, status=status, answer=answer)
        await store.record(a_submission(an_entry("order-1"), receipt="r-again"))
        await store.record(a_submission(an_entry("order-4"), receipt=RECEIPT))
    finally:
        await store.close()


async def _attempted(
    store: SQLiteStore, order: str, end: Trigger, *, outcome: str, status: int | None, answer: str
) -> None:
    await store.record(a_submission(an_entry(order), receipt=f"r-{order}"))
    batch = await store.claim(
        Claim(pixel="o8z6j", now=NOW, lease_until=NOW + 60_000, limit=1, ambiguous_after=0)
    )
    assert batch is not None
    ids = tuple(delivery.id for delivery in batch.deliveries)
    reason = None if end is Trigger.DELIVERED else (answer or "outcome unknown")
    await store.settle(
        Settlement(
            lease=batch.lease,
            attempt=Attempt(
                at=NOW + 1_000,
                pixel="o8z6j",
                event="o8z6k",
                outcome=outcome,
                deliveries=ids,
                status=status,
                answer=answer,
                ambiguous=status is None,
            ),
            transitions=(Transition(trigger=end, deliveries=ids, reason=reason),),
            lease_until=NOW + 60_000,
        )
    )
