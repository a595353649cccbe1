"""Firestore's transactions of one run: reads see one moment, writes are kept until the commit."""

from collections.abc import Awaitable, Callable

import msgspec

from twite.sgtm.google import firestore
from twite.sgtm.google.asking import Asking, NotAsked, Told
from twite.sgtm.google.firestore import Write
from twite.sgtm.tree import Tree

Asks = Callable[[Asking, Callable[[int, bytes], Told]], Awaitable[Told]]


class _Open(msgspec.Struct, kw_only=True):
    project: str
    writes: tuple[Write, ...] = ()


class Transactions:
    """Those that a run has begun: no other's id is taken. `ask` sends a request and reads it."""

    def __init__(self, ask: Asks) -> None:
        self._ask = ask
        self._open: dict[str, _Open] = {}

    async def begin(self, project: str, *, former: Tree) -> Told:
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
            raise NotAsked("is asked with a transaction that is not under way")
        if found.project != project:
            raise NotAsked("names another project than its transaction")

    def keep(self, transaction: str, project: str, write: Write) -> None:
        """Keep a write until the commit. Raises NotAsked."""
        self.check(transaction, project)
        self._open[transaction].writes += (write,)

    async def commit(self, transaction: str) -> Told:
        """Write what was kept; the ids of what was written, in order. Raises NotAsked."""
        found = self._taken(transaction)
        asking = firestore.commit(found.project, found.writes, transaction=transaction)
        told = await self._ask(asking, firestore.done)
        return told if told.reason is not None else Told(value=[one.id for one in found.writes])

    async def rollback(self, transaction: str) -> Told:
        """End it with nothing written. Raises NotAsked."""
        found = self._taken(transaction)
        return await self._ask(firestore.rollback(found.project, transaction), firestore.done)

    def _taken(self, transaction: str) -> _Open:
        found = self._open.pop(transaction, None)
        if found is None:
            raise NotAsked("is asked with a transaction that is not under way")
        return found
