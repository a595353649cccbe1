"""The command to run a sync, while the gateway can do so."""

from collections.abc import Awaitable, Callable

from twite.gateway.operations.control import PositionChoice, SyncReport

RunNow = Callable[[str, PositionChoice | None], Awaitable[SyncReport]]


class SyncCommand:
    """Runs a `[[sync]]` by its name, after `begin`."""

    def __init__(self) -> None:
        self._run: RunNow = _not_running

    def begin(self, run: RunNow) -> None:
        self._run = run

    async def __call__(self, name: str, position: PositionChoice | None) -> SyncReport:
        """Run the sync, or a part of it. Raises LedgerUnavailable."""
        return await self._run(name, position)


async def _not_running(name: str, position: PositionChoice | None) -> SyncReport:
    del name, position
    return SyncReport(error="the gateway is starting or stopping")
