"""Consent part of the SQLite store: opt-outs, decisions and policies."""

from collections.abc import Sequence

from twite.stores.sqlite.engine.reader import ReadConnection
from twite.stores.sqlite.engine.writer import Writer


class ConsentViews:
    """For a store to inherit; see twite.gateway.ports.privacy.

    `_opted_out` is the list as the event loop knows it, beside the writer's own.
    """

    _writer: Writer
    _reader: ReadConnection
    _opted_out: set[bytes]

    def some(self) -> bool:
        return bool(self._opted_out)

    def lists(self, keys: Sequence[bytes]) -> bool:
        return not self._opted_out.isdisjoint(keys)

    async def revoke(self, keys: Sequence[bytes], *, now: int) -> None:
        await self._writer.submit_act(lambda book: book.opt_outs.revoke(keys, now=now))
        self._opted_out.update(keys)

    async def restore(self, keys: Sequence[bytes]) -> None:
        await self._writer.submit_act(lambda book: book.opt_outs.restore(keys))
        self._opted_out.difference_update(keys)
