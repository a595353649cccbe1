"""Rehearse: how conversions at rest would go out, mended or not, though it be thousands of them.

What comes in meanwhile is answered by the same thread: after every few, it is let go for as long as
they took.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.destination import Destination, Source
from twite.domain.history import History
from twite.gateway.operations.edit import Edit, EditResult, doubt, mended
from twite.gateway.operations.event_mapping import NOT_KEPT, MappedEvent, event_today, opened
from twite.gateway.ports.queries import ConsoleQueries, KeptSubmission, QueryScope
from twite.gateway.ports.store import Clock

# Some 2 ms of work, and 2 ms without.
AT_ONCE: Final = 50
BREATH: Final = 2
# A submission of this size (bytes) takes a millisecond to read.
LARGE: Final = 128 * 1024


class DryRunResult(msgspec.Struct, frozen=True, kw_only=True):
    """One conversion at rest, as it would go, and why it could be counted twice."""

    life: History
    mended: EditResult
    doubt: str | None


class DryRun:
    """Tries out what a person wants, and does nothing."""

    def __init__(
        self,
        *,
        destinations: Mapping[str, Destination],
        sources: Iterable[Source],
        glances: ConsoleQueries,
        clock: Clock,
        is_cautious: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`is_cautious` says of a pixel, or a tag, that nothing is repeated there by itself."""
        self._is_cautious = is_cautious
        self._destinations = destinations
        self._sources = {source.name: source for source in sources}
        self._glances = glances
        self._clock = clock

    def doubt(self, life: History, *, now: int, changed: bool = False) -> str | None:
        """Say why sending it again could count it twice; see mend.doubt."""
        is_cautious = self._is_cautious(life.pixel)
        return doubt(life, now=now, changed=changed, is_cautious=is_cautious)

    async def each(
        self, lives: Sequence[History], mend: Edit, *, now: int, scope: QueryScope
    ) -> list[DryRunResult]:
        """Return each as it would go. Raises LedgerUnavailable."""
        found: list[DryRunResult] = []
        for at in range(0, len(lives), AT_ONCE):
            some = lives[at : at + AT_ONCE]
            if mend.today:
                tried = [one async for one in self._of_today(some, mend, scope)]
            else:
                tried = [mended(life, mend) for life in some]
            found += [
                DryRunResult(
                    life=life,
                    mended=one,
                    doubt=self.doubt(life, now=now, changed=one.body != life.sent),
                )
                for life, one in zip(some, tried, strict=True)
            ]
            await self._clock.sleep(BREATH)
        return found

    async def _of_today(
        self, lives: Sequence[History], mend: Edit, scope: QueryScope
    ) -> AsyncIterator[EditResult]:
        """Yield each as the settings map its name now: each has an event of its own."""
        found = await self._glances.kept([life.delivery for life in lives], scope)
        kept = {one.delivery: one for one in found}
        body, tree = b"", opened(b"")
        for life in lives:
            own = kept.get(life.delivery)
            # Those of one submission hold the same bytes: it is read once.
            if own is not None and own.body is not body:
                body, tree = own.body, opened(own.body)
                if len(body) > LARGE:
                    await self._clock.sleep(BREATH)
            yield self._mapped(life, own, tree, mend)

    def _mapped(
        self, life: History, kept: KeptSubmission | None, tree: object, mend: Edit
    ) -> EditResult:
        mapped = MappedEvent(fault=NOT_KEPT)
        if kept is not None and kept.body:
            mapped = event_today(
                tree,
                kept.place,
                pixel=life.pixel,
                destination=self._destinations.get(life.pixel),
                source=self._sources.get(life.source),
            )
        if mapped.fault is not None:
            return EditResult(event=life.event, body=life.sent, fault=mapped.fault)
        event = None if mapped.event == life.event else mapped.event
        return mended(life, msgspec.structs.replace(mend, today=False, event=event))
