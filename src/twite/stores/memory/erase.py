"""A store owner that records erasure requests."""

from twite.gateway.ports.privacy import EraseStore


class MemoryEraser:
    """`told` are the slices, in their order; the log is always empty."""

    def __init__(self) -> None:
        self.told: list[EraseStore] = []

    async def erase(self, erasing: EraseStore, *, now: int) -> int:
        """Remember a slice; see the port."""
        del now
        self.told.append(erasing)
        return 1 if erasing.ends else len(erasing.conversions)
