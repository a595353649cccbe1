"""Replay and edit dead letters, and wake the workers at once."""

from collections.abc import Callable, Collection, Mapping, Sequence

from twite.domain.people.users import AuditEvent
from twite.gateway.ports.outbox import Operations
from twite.gateway.ports.queries import EditedBody, Editor


class WakingOperations:
    """Operations whose replays are sent at once instead of at the next poll."""

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
        """Queue deliveries again: see the port."""
        done = await self._desk.replay(deliveries, now=now, sure=sure, deed=deed)
        self._wake_all()
        return done

    async def discard(
        self, deliveries: Sequence[int], *, now: int, note: str, deed: AuditEvent | None = None
    ) -> int:
        """Discard deliveries for good: see the port."""
        return await self._desk.discard(deliveries, now=now, note=note, deed=deed)


class WakingEditor:
    """An editor whose edited deliveries are sent at once."""

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
        """Replace bodies and queue their deliveries: see the port."""
        refused = await self._editor.amend(amendments, now=now, note=note, sure=sure, deed=deed)
        self._wake_all()
        return refused
