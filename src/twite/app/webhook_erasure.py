"""Erase persons whom the sender of a webhook names, such as Shopify's `customers/redact`."""

import asyncio
import secrets
from collections.abc import Sequence
from hashlib import blake2b
from time import monotonic
from typing import Final

from twite.app.erase import EraseRequest, PayloadReader, erase, look
from twite.config.settings import Settings
from twite.domain.errors import LedgerUnavailable
from twite.domain.people.erasure import ErasureIdentifier
from twite.gateway.ports.store import Store

# Shopify waits five seconds for the response [seen].
_WAIT: Final = 3.0
_AGAIN: Final = 60  # seconds
# Shopify tries again for four hours [doc]. Afterwards, a request is a new one.
_REPEATED_WITHIN: Final = 5 * 3_600  # seconds
# Further erasures wait until the sender repeats its message.
_MOST_RUNNING: Final = 100
_MOST_DONE: Final = 1_000


class WebhookErasure:
    """Runs one erasure after the other.

    An erasure that takes longer than the sender waits goes on; the repeated message gets its
    result. If the process ends before, the repeated message begins it again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = secrets.token_bytes(16)
        self._turn = asyncio.Lock()
        self._running: dict[bytes, asyncio.Task[bool]] = {}
        # Whose sender was told to try again, and when the erasure succeeded.
        self._awaited: set[bytes] = set()
        self._done: dict[bytes, float] = {}

    async def erase(
        self, settings: Settings, webhook: str, asked: Sequence[ErasureIdentifier]
    ) -> None:
        """Erase what is known of a person.

        Raises LedgerUnavailable while the erasure runs, and StoreUnusable.
        """
        request = EraseRequest(
            asked=tuple(asked), pixel=None, returns=False, who=f"webhook {webhook}"
        )
        name = self._name(request)
        done_at = self._done.pop(name, None)
        if done_at is not None and monotonic() - done_at < _REPEATED_WITHIN:
            return
        task = self._running.get(name)
        if task is None:
            if len(self._running) >= _MOST_RUNNING:
                raise LedgerUnavailable(reason="too many erasures are running", retry_after=_AGAIN)
            task = self._running[name] = asyncio.create_task(self._erased(settings, request))
            task.add_done_callback(lambda ended: self._end(name, ended))
        done, _ = await asyncio.wait([task], timeout=_WAIT)
        if not done:
            self._awaited.add(name)
        self._done.pop(name, None)
        if not done or not task.result():
            raise LedgerUnavailable(reason="the erasure is still running", retry_after=_AGAIN)

    async def stop(self) -> None:
        """End the running erasures; the senders' repetitions begin them again."""
        for task in self._running.values():
            task.cancel()
        if self._running:
            await asyncio.wait(self._running.values())

    async def _erased(self, settings: Settings, request: EraseRequest) -> bool:
        async with self._turn:
            reader = PayloadReader(settings)
            traces = await look(settings, request, opened=reader.opened)
            result = await erase(settings, request, traces, opened=reader.opened, store=self._store)
        return not result.left

    def _end(self, name: bytes, ended: asyncio.Task[bool]) -> None:
        self._running.pop(name, None)
        is_awaited = name in self._awaited
        self._awaited.discard(name)
        if is_awaited and not ended.cancelled() and ended.exception() is None and ended.result():
            self._done[name] = monotonic()
            if len(self._done) > _MOST_DONE:
                del self._done[next(iter(self._done))]

    def _name(self, request: EraseRequest) -> bytes:
        """Return a digest of the identifiers, by a key of this process."""
        whom = request.whom
        ids = (conversion_id.encode() for conversion_id in whom.conversion_ids)
        words = b"\0".join(sorted([*whom.words, *ids]))
        return blake2b(words, key=self._key, digest_size=16).digest()
