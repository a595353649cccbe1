"""Firestore transactions of one run: consistent reads, writes buffered until the commit."""

from collections.abc import Awaitable, Callable

import msgspec

from twite.domain.json_tree import Tree
from twite.gtm.google_requests import firestore
from twite.gtm.google_requests.firestore import FirestoreWrite
from twite.gtm.google_requests.request import GoogleRequest, GoogleResult, RequestNotSent

Asks = Callable[[GoogleRequest, Callable[[int, bytes], GoogleResult]], Awaitable[GoogleResult]]


class _Open(msgspec.Struct, kw_only=True):
    project: str
    writes: tuple[FirestoreWrite, ...] = ()


class Transactions:
    """Those that a run has begun: no other's id is taken. `ask` sends a request and reads it."""

    def __init__(self, ask: Asks) -> None:
        self._ask = ask
        self._open: dict[str, _Open] = {}

    async def begin(self, project: str, *, former: Tree) -> GoogleResult:
        """Begin one; `former` is the id of the one that it follows after a conflict."""
        asking = firestore.begin(project, former=former if isinstance(former, str) else None)
        told = await self._ask(asking, firestore.begun)
        if isinstance(told.value, str):
            self._open[told.value] = _Open(project=project)
        return told

    def check(self, transaction: str, project: str) -> None:
        """Raise NotAsked where the run has no such transaction in that project."""
        found = self._open.get(transaction)
        if found is None:
            raise RequestNotSent("is asked with a transaction that is not under way")
        if found.project != project:
            raise RequestNotSent("names another project than its transaction")

    def keep(self, transaction: str, project: str, write: FirestoreWrite) -> None:
        """Keep a write until the commit. Raises NotAsked."""
        self.check(transaction, project)
        self._open[transaction].writes += (write,)

    async def commit(self, transaction: str) -> GoogleResult:
        """Write what was kept; the ids of what was written, in order. Raises NotAsked."""
        found = self._taken(transaction)
        asking = firestore.commit(found.project, found.writes, transaction=transaction)
        told = await self._ask(asking, firestore.done)
        return (
            told
            if told.reason is not None
            else GoogleResult(value=[write.id for write in found.writes])
        )

    async def rollback(self, transaction: str) -> GoogleResult:
        """End it with nothing written. Raises NotAsked."""
        found = self._taken(transaction)
        return await self._ask(firestore.rollback(found.project, transaction), firestore.done)

    def _taken(self, transaction: str) -> _Open:
        found = self._open.pop(transaction, None)
        if found is None:
            raise RequestNotSent("is asked with a transaction that is not under way")
        return found
