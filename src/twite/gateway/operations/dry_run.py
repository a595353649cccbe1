"""Dry run: show how dead or held conversions would be sent, edited or not, without sending them.

There may be thousands. Requests are answered by the same thread, so a dry run pauses after every
few conversions for as long as they took.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.destination import Destination, Source
from twite.domain.history import History
from twite.gateway.operations.edit import Edit, EditResult, apply_edit, doubt
from twite.gateway.operations.event_mapping import NOT_KEPT, MappedEvent, event_today, opened
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import KeptSubmission, Queries, QueryScope, SubmissionsQuery

# About 2 ms of work, then a pause of 2 ms.
AT_ONCE: Final = 50
BREATH: Final = 2
# A submission of this size (bytes) takes about a millisecond to decode.
LARGE: Final = 128 * 1024


class DryRunResult(msgspec.Struct, frozen=True, kw_only=True):
    """One conversion, its edited form, and why sending it could count it twice."""

    life: History
    mended: EditResult
    doubt: str | None


class DryRun:
    """Applies an edit to conversions without storing or sending them."""

    def __init__(
        self,
        *,
        destinations: Mapping[str, Destination],
        sources: Iterable[Source],
        glances: Queries,
        clock: Clock,
        is_cautious: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`is_cautious`: whether a pixel or tag never resends ambiguous deliveries by itself."""
        self._is_cautious = is_cautious
        self._destinations = destinations
        self._sources = {source.name: source for source in sources}
        self._glances = glances
        self._clock = clock

    def doubt(self, life: History, *, now: int, changed: bool = False) -> str | None:
        """Return why sending it again could count it twice: see edit.doubt."""
        is_cautious = self._is_cautious(life.pixel)
        return doubt(life, now=now, changed=changed, is_cautious=is_cautious)

    async def each(
        self, conversions: Sequence[History], edit: Edit, *, now: int, scope: QueryScope
    ) -> list[DryRunResult]:
        """Return the result for each conversion. Raises LedgerUnavailable."""
        found: list[DryRunResult] = []
        for at in range(0, len(conversions), AT_ONCE):
            some = conversions[at : at + AT_ONCE]
            if edit.today:
                tried = [result async for result in self._of_today(some, edit, scope)]
            else:
                tried = [apply_edit(life, edit) for life in some]
            found += [
                DryRunResult(
                    life=life,
                    mended=result,
                    doubt=self.doubt(life, now=now, changed=result.body != life.sent),
                )
                for life, result in zip(some, tried, strict=True)
            ]
            await self._clock.sleep(BREATH)
        return found

    async def _of_today(
        self, conversions: Sequence[History], edit: Edit, scope: QueryScope
    ) -> AsyncIterator[EditResult]:
        """Yield each edited conversion, with its event as the current settings map it."""
        found = await self._glances.answer(
            SubmissionsQuery(deliveries=[life.delivery for life in conversions], scope=scope)
        )
        kept = {submission.delivery: submission for submission in found}
        body, tree = b"", opened(b"")
        for life in conversions:
            own = kept.get(life.delivery)
            # Conversions of one submission share its bytes: decode them once.
            if own is not None and own.body is not body:
                body, tree = own.body, opened(own.body)
                if len(body) > LARGE:
                    await self._clock.sleep(BREATH)
            yield self._mapped(life, own, tree, edit)

    def _mapped(
        self, life: History, kept: KeptSubmission | None, tree: object, edit: Edit
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
        return apply_edit(life, msgspec.structs.replace(edit, today=False, event=event))
