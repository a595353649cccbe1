"""Replay: a person brings back what was given up, and those who send hear of it."""

from collections.abc import Callable, Collection, Mapping, Sequence

from twite.domain.people import Deed
from twite.gateway.inspect import Amendment, Mender
from twite.gateway.ports import Desk


class WakingDesk:
    """A desk whose replays go out at once instead of at the next look."""

    def __init__(self, *, desk: Desk, wake_all: Callable[[], None]) -> None:
        self._desk = desk
        self._wake_all = wake_all

    async def replay(
        self,
        deliveries: Sequence[int],
        *,
        now: int,
        sure: Collection[int] = (),
        deed: Deed | None = None,
    ) -> int:
        """Queue them again; see the port."""
        done = await self._desk.replay(deliveries, now=now, sure=sure, deed=deed)
        self._wake_all()
        return done

    async def discard(
        self, deliveries: Sequence[int], *, now: int, note: str, deed: Deed | None = None
    ) -> int:
        """Give them up for good; see the port."""
        return await self._desk.discard(deliveries, now=now, note=note, deed=deed)


class WakingMender:
    """A mender whose amendments go out at once."""

    def __init__(self, *, mender: Mender, wake_all: Callable[[], None]) -> None:
        self._mender = mender
        self._wake_all = wake_all

    async def amend(
        self,
        amendments: Sequence[Amendment],
        *,
        now: int,
        note: str,
        sure: Collection[int] = (),
        deed: Deed | None = None,
    ) -> Mapping[int, str]:
        """Put bodies in the place of others, and queue their deliveries; see the port."""
        refused = await self._mender.amend(amendments, now=now, note=note, sure=sure, deed=deed)
        self._wake_all()
        return refused
