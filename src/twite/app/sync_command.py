"""The command to run a sync, while the gateway can do so."""

from collections.abc import Awaitable, Callable

from twite.gateway.operations.control import SyncReport

RunNow = Callable[[str], Awaitable[SyncReport]]


class SyncCommand:
    """Runs a `[[sync]]` by its name, after `begin`."""

    def __init__(self) -> None:
        self._run: RunNow = _not_running

    def begin(self, run: RunNow) -> None:
        self._run = run

    async def __call__(self, name: str) -> SyncReport:
        """Run the sync, or a part of it. Raises LedgerUnavailable."""
        return await self._run(name)


async def _not_running(name: str) -> SyncReport:
    del name
    return SyncReport(error="the gateway is starting or stopping")
