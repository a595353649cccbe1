"""Sealed secrets by name, in memory."""

from collections.abc import Awaitable, Callable, Sequence

from twite.domain.people.users import AuditEvent


class MemorySecretRecords:
    """The vault of a store. `forget`ting what is not there is no fault."""

    def __init__(self) -> None:
        self._sealed: dict[str, bytes] = {}
        # What hears of deeds; else they are only listed here.
        self.note: Callable[[AuditEvent], Awaitable[None]] | None = None
        self.deeds: list[AuditEvent] = []

    async def put(self, name: str, sealed: bytes, *, deed: AuditEvent | None = None) -> None:
        self._sealed[name] = sealed
        await self._noted(deed)

    async def reseal(self, name: str, *, was: bytes, sealed: bytes) -> None:
        if self._sealed.get(name) == was:
            self._sealed[name] = sealed

    async def sealed(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        return [
            (name, self._sealed[name]) for name in sorted(self._sealed) if name.startswith(prefix)
        ]

    async def forget(self, name: str, *, deed: AuditEvent | None = None) -> None:
        self._sealed.pop(name, None)
        await self._noted(deed)

    async def _noted(self, deed: AuditEvent | None) -> None:
        if deed is None:
            return
        self.deeds.append(deed)
        if self.note is not None:
            await self.note(deed)
