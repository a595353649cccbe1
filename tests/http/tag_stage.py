"""The tag routes on a real socket, with the real Accept and a memory store."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import msgspec
from http_stage import Stage, StoppedClock

from builders import NOW
from fakes import SeededRandomness
from memory_store.store import MemoryStore
from raw_http import HttpResponse
from twite.domain.destination import Destination, PixelToken, Source
from twite.domain.secret import Secret
from twite.domain.submission import Recorded, Submission
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.queries import ByReceipt, IgnoredQuery

KEY = "a-source-key"
PAGE = "https://shop.example"
EVENTS = {"purchase": "o8z6k", "sign_up": "o8z6m"}
VISITOR = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", "X-Forwarded-For": "203.0.113.7"}
CLICK = "23opevjt88psuo13lu8d020qkn"


def a_shop(**said: Any) -> Source:
    return Source(
        **{
            "name": "shop",
            "key": Secret(KEY),
            "pixel": "o8z6j",
            "pixels": frozenset({"o8z6j"}),
            "origins": (PAGE,),
            "region": "GB",
        }
        | said
    )


class KeepingStore(MemoryStore):
    """Records the stored items."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Submission] = []

    async def record(self, submission: Submission) -> Recorded:
        self.kept.append(submission)
        return await super().record(submission)


class TagStage:
    """A server behind a local proxy that sends the visitor's address."""

    def __init__(self, stage: Stage, store: KeepingStore) -> None:
        self.stage = stage
        self.store = store

    async def of_page(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        origin: str | None = PAGE,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Send a request like a browser on a page of the shop."""
        said = {} if origin is None else {"Origin": origin}
        return await self.stage.ask(
            method, path, body, key=None, headers=VISITOR | said | dict(headers or {})
        )

    async def of_server(
        self, method: str, path: str, body: bytes = b"", *, key: str | None = None, **more: Any
    ) -> HttpResponse:
        """Send a request like a server. Without `key`, the path contains one."""
        return await self.stage.ask(method, path, body, key=key, **more)

    async def sent(self) -> list[dict[str, Any]]:
        """Return the bodies for X."""
        return [msgspec.json.decode(history.sent) for history in await self._histories()]

    async def ignored(self) -> list[tuple[str, str, int]]:
        """Return the ignored events as (name, reason, count)."""
        found = await self.store.answer(IgnoredQuery(since=0))
        return [(tally.name, tally.reason, tally.times) for tally in found]

    async def _histories(self) -> list[Any]:
        return [
            history
            for n in range(9)
            for history in await self.store.find(ByReceipt(receipt=receipt_of(n + 1)))
        ]


def receipt_of(number: int) -> str:
    randomness = SeededRandomness()
    return [randomness.receipt() for _ in range(number)][-1]


def stage_arguments(*sources: Source) -> tuple[dict[str, Any], KeepingStore]:
    """Return a function that starts a stage for these sources, and its store."""
    store = KeepingStore()
    destinations = {
        "o8z6j": Destination(
            pixel="o8z6j", credentials=PixelToken(token=Secret("token")), events=EVENTS
        )
    }
    accept = Accept(
        intake=store,
        clock=StoppedClock(),
        randomness=SeededRandomness(),
        destinations=destinations,
        salt=b"salt",
        wake=lambda _pixel: None,
    )
    said = {
        "accept": accept,
        "records": store,
        "sources": list(sources or (a_shop(),)),
        "destinations": destinations,
    }
    return said, store


__all__ = ["CLICK", "KEY", "NOW", "PAGE", "TagStage", "a_shop", "stage_arguments"]


PROXY = (ip_network("127.0.0.1/32"),)
