"""The console on demand: its pages and their libraries are loaded at the first request."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec
from starlette.types import Receive, Scope, Send

from twite.app.feature import RunningFeature
from twite.domain.destination import Destination
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.directory import Passwords
from twite.gateway.ports.events import Observer
from twite.gateway.ports.findings import CheckFinding
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.ports.store import Store
from twite.gateway.x_account.sign_in import XSignIn
from twite.http.addresses import Front

if TYPE_CHECKING:
    from twite.console.application import Console


class ConsoleServices(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a running gateway that console pages use.

    `passwords` hashes passwords; None for Argon2id.
    """

    store: Store
    runner: DeliveryRunner
    accept: Accept
    sign_in: XSignIn
    destinations: Mapping[str, Destination]
    secret_store: SecretStore | None
    passwords: Passwords | None
    examine: Callable[[], AsyncIterator[CheckFinding]] | None
    feature: RunningFeature
    front: Front
    clock: Clock
    observer: Observer


class OnDemandConsole:
    """Loads the console on another thread, so that the event loop continues meanwhile."""

    def __init__(self, load: "Callable[[], Console]") -> None:
        """`load` imports the console and builds it."""
        self._load = load
        self._console: Console | None = None
        self._opening = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        console = self._console
        if console is None:
            console = await asyncio.to_thread(self.opened)
        await console(scope, receive, send)

    def opened(self) -> "Console":
        """Return the console. The first call loads it."""
        with self._opening:
            if self._console is None:
                self._console = self._load()
            return self._console
