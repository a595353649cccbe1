"""The command to reload the settings, while the gateway can do so."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from twite.app.workers import GatewayAddress
from twite.gateway.operations.control import ReloadReport
from twite.gateway.ports.events import ReloadResult
from twite.gateway.ports.ownership import RELOADS, Ownership


class ReloadOwn(Protocol):
    """Reloads the settings of this process."""

    async def __call__(self, *, dry_run: bool) -> ReloadReport: ...


class ReloadCommand:
    """Reloads the settings of all workers and machines, between `begin` and `end`."""

    def __init__(self, address: GatewayAddress, ownership: Ownership | None) -> None:
        self._address = address
        self._ownership = ownership
        self._reload: ReloadOwn = _not_running
        self._take_up_keys: Callable[[], Awaitable[None]] = _nothing

    def begin(self, reload: ReloadOwn, take_up_keys: Callable[[], Awaitable[None]]) -> None:
        """Reload this process with `reload`, and read its source keys with `take_up_keys`."""
        self._reload, self._take_up_keys = reload, take_up_keys

    def end(self) -> None:
        """Refuse to reload."""
        self._reload, self._take_up_keys = _not_running, _nothing

    async def take_up_keys(self) -> None:
        """Use the stored source keys in this process. Others read them soon after."""
        await self._take_up_keys()

    async def alone(self, dry_run: bool = False) -> ReloadReport:  # noqa: FBT001, FBT002
        """Read the settings again in this process, and use what does not need a restart."""
        return await self._reload(dry_run=dry_run)

    async def __call__(self, dry_run: bool = False) -> ReloadReport:  # noqa: FBT001, FBT002
        """Reload the settings of all workers, and tell the gateways on other machines to do so."""
        own = await self.alone(dry_run)
        report = await self._address.reload_others(own, dry_run=dry_run)
        if self._ownership is not None and not dry_run and own.result is not ReloadResult.FAILED:
            await self._ownership.announce(RELOADS)
        return report


async def _not_running(*, dry_run: bool) -> ReloadReport:
    del dry_run
    return ReloadReport(
        result=ReloadResult.FAILED, problems=("the gateway is starting or stopping",)
    )


async def _nothing() -> None:
    """Do nothing: a gateway reads the keys when it starts."""
