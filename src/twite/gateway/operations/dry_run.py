"""Dry run: show how dead or held conversions would be sent, with or without an edit.

A dry run may cover thousands of conversions. The event loop also answers requests, so the dry run
pauses regularly, each time for as long as it worked before.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from twite.domain.destination import Destination, Source
from twite.domain.history import History
from twite.domain.submission import Ignored
from twite.domain.test_mode import is_test, real_name
from twite.formats.event_data.conversions import REASONS, STANDARD, our_name
from twite.gateway.operations.edit import Edit, EditResult, apply_edit, doubt, late_after_pixel
from twite.gateway.operations.refused_time import no_replay
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.outbox import EditedBody
from twite.gateway.ports.queries import KeptSubmission, PixelCopiesQuery, Queries, SubmissionsQuery
from twite.gateway.ports.tags import PREFIX

NOT_KEPT: Final = "the conversion's request is no longer stored"
NO_NAME: Final = "the request has X's own event id, which the settings do not map"
# Work for about 2 ms, then pause for 2 ms.
AT_ONCE: Final = 50
BREATH: Final = 2
# Decoding a submission of this size (bytes) takes about a millisecond.
LARGE: Final = 128 * 1024


class MappedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """X's id of the event, or the reason why there is none."""

    event: str = ""
    fault: str | None = None


def opened(body: bytes) -> object:
    """Decode a stored submission; None if it is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def event_today(
    tree: object,
    place: int,
    *,
    pixel: str,
    destination: Destination | None,
    source: Source | None,
) -> MappedEvent:
    """Return the X event to which the current settings map a conversion.

    `tree` is the conversion's submission, decoded by `opened`, and `place` the index of the
    conversion in the submission.
    """
    if destination is None:
        return MappedEvent(fault=f"pixel {pixel} is no longer in the settings")
    named, traced, standard = _names(tree, place)
    if not named:
        return MappedEvent(fault=NO_NAME)
    if traced:
        chosen = {} if source is None else source.events
        found = our_name(traced, chosen=chosen, known=destination.events, standard=standard)
        if isinstance(found, Ignored):
            return MappedEvent(fault=f"{found.name}: {REASONS[found.reason]}")
        named = found
    event = destination.events.get(named) or destination.events.get(named.strip().lower())
    if event is None:
        return MappedEvent(fault=f"the settings define no event {named[:64]!r} for this pixel")
    return MappedEvent(event=event)


def _names(tree: object, place: int) -> tuple[str, str, str]:
    """Return a submission's native event name, its tag event name and what that means, or ""."""
    several = tree.get("conversions", tree) if isinstance(tree, dict) else tree
    traces = tree.get("hit") if isinstance(tree, dict) else None
    own = _at(several, place) if isinstance(several, list) else several
    traced = _at(traces, place)
    return _text(own, "event"), _text(traced, "event_name"), _text(traced, STANDARD)


def _at(many: object, place: int) -> object:
    return many[place] if isinstance(many, list) and 0 <= place < len(many) else None


def _text(tree: object, name: str) -> str:
    found = tree.get(name) if isinstance(tree, Mapping) else None
    return found if isinstance(found, str) else ""


class DryRunResult(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion, its edited form, and why X could count it twice."""

    history: History
    result: EditResult
    doubt: str | None

    @property
    def is_certain(self) -> bool:
        """Whether a replay ends the doubt: a user confirms it, or it is a test, never sent to X."""
        return self.doubt is not None or is_test(self.history.pixel)

    @property
    def is_changed(self) -> bool:
        """Whether the edited form is another one."""
        history, result = self.history, self.result
        return (result.event, result.body) != (history.event, history.sent)

    @property
    def edited(self) -> EditedBody:
        return EditedBody(
            delivery=self.history.delivery, event=self.result.event, body=self.result.body
        )


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class DryRun:
    """Applies an edit to conversions without storing or sending them.

    `is_cautious` returns whether a pixel or tag never resends ambiguous deliveries automatically.
    """

    destinations: Mapping[str, Destination]
    sources: Iterable[Source]
    queries: Queries
    clock: Clock
    is_cautious: Callable[[str], bool] = lambda _: False
    _sources: dict[str, Source] = field(init=False)

    def __post_init__(self) -> None:
        self._sources = {source.name: source for source in self.sources}

    def doubt(self, history: History, *, now: int, changed: bool = False) -> str | None:
        """Return why X could count the conversion twice: see edit.doubt. X gets no tests."""
        if is_test(history.pixel):
            return None
        return doubt(history, now=now, changed=changed, is_cautious=self.is_cautious(history.pixel))

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
                tried = [apply_edit(history, edit) for history in some]
            tried = [
                msgspec.structs.replace(result, fault=no_replay(history) or result.fault)
                for history, result in zip(some, tried, strict=True)
            ]
            seen = await self._pixel_copies(some, tried)
            found += [
                DryRunResult(
                    history=history,
                    result=result,
                    doubt=self.doubt(history, now=now, changed=result.body != history.sent)
                    or late_after_pixel(seen.get(history.delivery), now=now),
                )
                for history, result in zip(some, tried, strict=True)
            ]
            await self.clock.sleep(BREATH)
        return found

    async def _pixel_copies(
        self, conversions: Sequence[History], results: Sequence[EditResult]
    ) -> dict[int, int]:
        """Return, by delivery, when a page first sent the same event to X's pixel."""
        asked: dict[tuple[str, str], list[int]] = {}
        for history, result in zip(conversions, results, strict=True):
            if not is_test(history.pixel):
                asked.setdefault((history.pixel, result.event), []).append(history.delivery)
        seen: dict[int, int] = {}
        for (pixel, event), deliveries in asked.items():
            query = PixelCopiesQuery(pixel=pixel, event=event, deliveries=deliveries)
            seen |= await self.queries.answer(query)
        return seen

    async def _of_today(
        self, conversions: Sequence[History], edit: Edit, scope: QueryScope
    ) -> AsyncIterator[EditResult]:
        """Yield each edited conversion, with its event as the current settings map it."""
        found = await self.queries.answer(
            SubmissionsQuery(deliveries=[history.delivery for history in conversions], scope=scope)
        )
        kept = {submission.delivery: submission for submission in found}
        body, tree = b"", opened(b"")
        for history in conversions:
            own = kept.get(history.delivery)
            # Conversions of one submission share its bytes: decode them once.
            if own is not None and own.body is not body:
                body, tree = own.body, opened(own.body)
                if len(body) > LARGE:
                    await self.clock.sleep(BREATH)
            yield self._mapped(history, own, tree, edit)

    def _mapped(
        self, history: History, kept: KeptSubmission | None, tree: object, edit: Edit
    ) -> EditResult:
        if history.pixel.startswith(PREFIX):
            return apply_edit(history, Edit())  # a tag's event has no id of X
        mapped = MappedEvent(fault=NOT_KEPT)
        if kept is not None and kept.body:
            mapped = event_today(
                tree,
                kept.place,
                pixel=history.pixel,
                destination=self.destinations.get(real_name(history.pixel)),
                source=self._sources.get(real_name(history.source)),
            )
        if mapped.fault is not None:
            return EditResult(event=history.event, body=history.sent, fault=mapped.fault)
        event = None if mapped.event == history.event else mapped.event
        return apply_edit(history, msgspec.structs.replace(edit, today=False, event=event))
