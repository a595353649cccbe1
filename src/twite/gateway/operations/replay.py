"""Replay: a person brings back what was given up, and those who send hear of it."""

from collections.abc import Callable, Collection, Mapping, Sequence

from twite.domain.people.users import AuditEvent
from twite.gateway.ports.queries import EditedBody, Editor
from twite.gateway.ports.store import Operations


class WakingOperations:
    """A desk whose replays go out at once instead of at the next look."""

    def __init__(self, *, desk: Operations, wake_all: Callable[[], None]) -> None:
        self._desk = desk
        self._wake_all = wake_all

    async def replay(
        self,
        deliveries: Sequence[int],
        *,
        now: int,
        sure: Collection[int] = (),
        deed: AuditEvent | None = None,
    ) -> int:
        """Queue them again; see the port."""
        done = await self._desk.replay(deliveries, now=now, sure=sure, deed=deed)
        self._wake_all()
        return done

    async def discard(
        self, deliveries: Sequence[int], *, now: int, note: str, deed: AuditEvent | None = None
    ) -> int:
        """Give them up for good; see the port."""
        return await self._desk.discard(deliveries, now=now, note=note, deed=deed)


class WakingEditor:
    """A mender whose amendments go out at once."""

    def __init__(self, *, editor: Editor, wake_all: Callable[[], None]) -> None:
        self._editor = editor
        self._wake_all = wake_all

    async def amend(
        self,
        amendments: Sequence[EditedBody],
        *,
        now: int,
        note: str,
        sure: Collection[int] = (),
        deed: AuditEvent | None = None,
    ) -> Mapping[int, str]:
        """Put bodies in the place of others, and queue their deliveries; see the port."""
        refused = await self._editor.amend(amendments, now=now, note=note, sure=sure, deed=deed)
        self._wake_all()
        return refused
