"""Sealed secrets by name, in memory."""

from collections.abc import Sequence


class MemoryVault:
    """The vault of a store. `forget`ting what is not there is no fault."""

    def __init__(self) -> None:
        self._sealed: dict[str, bytes] = {}

    async def put(self, name: str, sealed: bytes) -> None:
        self._sealed[name] = sealed

    async def sealed(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        return [
            (name, self._sealed[name]) for name in sorted(self._sealed) if name.startswith(prefix)
        ]

    async def forget(self, name: str) -> None:
        self._sealed.pop(name, None)
