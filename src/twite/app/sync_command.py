"""The command to run a sync, while the gateway can do so."""

from collections.abc import Awaitable, Callable, Sequence

from twite.gateway.operations.control import PositionChoice, SyncReport, SyncSummary

RunNow = Callable[[str, PositionChoice | None], Awaitable[SyncReport]]
ListSyncs = Callable[[], Awaitable[Sequence[SyncSummary]]]


class SyncCommand:
    """Runs a `[[sync]]` by its name, and lists all, after `begin`."""

    def __init__(self) -> None:
        self._run: RunNow = _not_running
        self._list: ListSyncs = _no_syncs

    def begin(self, run: RunNow, list_syncs: ListSyncs) -> None:
        self._run, self._list = run, list_syncs

    async def list_syncs(self) -> Sequence[SyncSummary]:
        """Return the syncs of the settings in use. Raises LedgerUnavailable."""
        return await self._list()

    async def __call__(self, name: str, position: PositionChoice | None) -> SyncReport:
        """Run the sync, or a part of it. Raises LedgerUnavailable."""
        return await self._run(name, position)


async def _not_running(name: str, position: PositionChoice | None) -> SyncReport:
    del name, position
    return SyncReport(error="the gateway is starting or stopping")


async def _no_syncs() -> Sequence[SyncSummary]:
    return ()
